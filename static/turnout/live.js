/* Where htmx gets no good answer, the form is sent as it would be without: the page that comes then says why. */
"use strict";

document.addEventListener("htmx:responseError", (event) => {
    const form = event.detail.elt.closest("form");
    const link = event.detail.elt.closest("a[href]");
    if (form) {
        const pressed = event.detail.requestConfig.triggeringEvent?.submitter;
        if (pressed?.name) {
            form.append(Object.assign(document.createElement("input"), { type: "hidden", name: pressed.name, value: pressed.value }));
        }
        form.submit();
    } else if (link) {
        location.assign(link.href);
    }
});

/* No network: said beside the button, and nothing is lost. */
document.addEventListener("htmx:sendError", (event) => {
    const card = event.detail.elt.closest(".session");
    const words = document.getElementById("offline");
    if (card && words) {
        card.querySelector(".told").replaceChildren(words.content.cloneNode(true));
        tell(card.id);
    }
});

const settled = new WeakSet();

document.addEventListener("htmx:afterSettle", (event) => {
    const { xhr, requestConfig } = event.detail;
    const id = requestConfig.elt.closest(".session")?.id;
    if (id && !settled.has(xhr)) {
        settled.add(xhr);
        tell(id);
    }
});

/* What came of it is read out, from a place that stays; and the keyboard, which a button loses while it is off, goes on
   at the question, the card's own button, the card: or where that is gone, at the page's heading. */
function tell(id) {
    const card = document.getElementById(id);
    const told = (card ?? document.getElementById("live"))?.querySelector(".told");
    document.getElementById("said").textContent = told?.textContent.trim() ?? "";
    if (document.activeElement && document.activeElement !== document.body) {
        return;
    }
    card?.setAttribute("tabindex", "-1");
    for (const place of [card?.querySelector(".ask"), card?.querySelector("[id^=act-]"), card, document.querySelector("h1")]) {
        place?.focus();
        if (place && document.activeElement === place) {
            return;
        }
    }
}
