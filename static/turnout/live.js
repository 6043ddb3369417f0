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
    }
});
