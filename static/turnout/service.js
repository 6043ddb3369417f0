"use strict";
/* A session's page follows along (templates/web/service/thread.html): by the live stream, and by asking every few
   seconds while there is none. Without this everything works too, by forms and links. */

const POLL = 4000;
const POLL_BESIDE_THE_STREAM = 30000;
const PATIENCE = 15000;
const AT_THE_END = 40;

for (const root of document.querySelectorAll("[data-service]")) {
    follow(root);
}

function follow(root) {
    const scroll = () => root.querySelector("[data-part=messages]");
    let token = root.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
    const newer = root.querySelector("[data-newer]");
    const title = document.title;
    let isOnline = false, isLost = false, isFetching = false, asksAgain = false, isOver = false;
    let askedAt = Date.now(), asked = 0, shown = 0, unread = 0, newest = newestOf(root), stream = null;

    // -- What is new ------------------------------------------------------------------------------

    async function refresh() {
        if (isFetching) {
            asksAgain = true;
            return;
        }
        isFetching = true;
        askedAt = Date.now();
        const number = ++asked;
        try {
            const answer = await fetch(root.dataset.url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
            if (answer.redirected || answer.status === 404) {
                leave(answer.status === 404);
            } else if (answer.ok) {
                show(await answer.text(), number);
            }
            isLost = !answer.ok;
        } catch {
            isLost = true; // asked again in a moment, whatever becomes of the stream
        } finally {
            isFetching = false;
            showLost();
            if (asksAgain && !isOver) {
                asksAgain = false;
                refresh();
            }
        }
    }

    function showLost() {
        root.querySelector("[data-lost]")?.toggleAttribute("hidden", !isLost || isOver);
    }

    function show(html, number) {
        if (number < shown) {
            return; // an answer that was overtaken
        }
        shown = number;
        const fresh = new DOMParser().parseFromString(html, "text/html");
        take(fresh);
        for (const part of fresh.querySelectorAll("[data-part]")) {
            const old = root.querySelector(`[data-part="${part.dataset.part}"]`);
            for (const fold of old?.querySelectorAll("details[id]") ?? []) {
                part.querySelector(`#${CSS.escape(fold.id)}`)?.toggleAttribute("open", fold.open);
            }
            const left = part.querySelector("[data-left]");
            if (left) { // it ticks here
                left.textContent = old?.querySelector("[data-left]")?.textContent ?? "";
            }
            if (old && !old.isEqualNode(part)) {
                replace(old, part);
            }
        }
        tell();
    }

    function replace(old, part) {
        switch (part.dataset.part) {
            case "messages": {
                const isAtEnd = old.scrollHeight - old.scrollTop - old.clientHeight < AT_THE_END;
                const top = old.scrollTop;
                old.replaceChildren(...part.childNodes);
                old.scrollTop = isAtEnd ? old.scrollHeight : top;
                newer.hidden = isAtEnd || (newer.hidden && newestOf(root) === newest);
                break;
            }
            case "say":
                // What is being typed stays, and so does its form, unless it is of no use any more.
                if (old.dataset.open !== part.dataset.open && !old.querySelector("textarea")?.value.trim()) {
                    old.replaceWith(part);
                    prepare();
                }
                break;
            default:
                // What was refused stays to be put right.
                if (!("refused" in old.dataset && part.querySelector("form"))) {
                    keepTyped(old, part);
                }
        }
    }

    function keepTyped(old, part) {
        const focused = old.contains(document.activeElement) ? document.activeElement : null;
        for (const field of part.querySelectorAll("input[id]:not([type=hidden]), textarea[id]")) {
            const before = old.querySelector(`#${CSS.escape(field.id)}`);
            if (before && before.value !== before.defaultValue) {
                field.value = before.value;
            }
        }
        old.replaceWith(part);
        if (focused?.id) {
            const again = part.querySelector(`#${CSS.escape(focused.id)}`);
            again?.focus();
            if (again?.setSelectionRange && focused.selectionStart !== null) {
                again.setSelectionRange(focused.selectionStart, focused.selectionEnd);
            }
        }
    }

    /* Read out, from a place that stays: how it stands, and what the other one wrote. */
    function tell() {
        const state = root.querySelector("[data-part=state]");
        const words = [];
        const headline = state?.dataset.headline ?? "";
        if (headline !== (root.dataset.headline ?? headline)) {
            words.push(headline);
        }
        root.dataset.headline = headline;
        isOver = state?.dataset.over === "1";
        const lines = [...root.querySelectorAll("[data-line]:not(.mine)")].filter((one) => Number(one.dataset.line) > newest);
        newest = newestOf(root);
        for (const line of lines) {
            const body = line.querySelector("[data-body]")?.textContent ?? "";
            words.push(`${line.querySelector("[data-who]")?.textContent ?? ""}: ${body.slice(0, 300)}`);
        }
        if (words.length) {
            root.querySelector("[data-said]").textContent = words.join(" ");
            unread += document.hidden ? words.length : 0;
        }
        entitle();
        if (isOver) {
            stream?.close();
        }
    }

    function entitle() {
        const headline = root.querySelector("[data-part=state]")?.dataset.title || title;
        document.title = unread ? `(${unread}) ${headline}` : headline;
    }

    /* Signed out, or no longer in the session; what is being typed is taken from nobody. */
    function leave(isGone) {
        const typed = root.querySelector("[data-say] textarea");
        const gone = isGone && document.querySelector("template[data-gone]");
        if (typed?.value.trim() && !gone) {
            return;
        }
        isOver = true;
        stream?.close();
        if (!gone) {
            location.reload();
        } else if (typed?.value.trim()) {
            for (const part of root.querySelectorAll("[data-part]:not([data-part=say])")) {
                part.replaceChildren();
            }
            root.querySelector("[data-part=state]").replaceChildren(gone.content.cloneNode(true));
            typed.readOnly = true;
            typed.form.querySelector("button").disabled = true;
            explain(typed.form, typed.form.dataset.gone);
        } else {
            root.replaceChildren(gone.content.cloneNode(true));
        }
    }

    // -- Sending ------------------------------------------------------------------------------------

    async function send(form) {
        const box = form.querySelector("textarea"), button = form.querySelector("button");
        const body = box.value;
        if (!body.trim() || form.dataset.busy) {
            return;
        }
        form.dataset.busy = "1";
        button.disabled = true;
        explain(form, "");
        const number = ++asked;
        const data = new FormData(form);
        data.append("part", "messages");
        if (root.dataset.url.includes("all=1")) {
            data.append("all", "1");
        }
        try {
            const post = () => fetch(form.action, { method: "POST", body: data, signal: AbortSignal.timeout(PATIENCE) });
            let answer = await post();
            if (answer.status === 403 && (await renewToken())) {
                data.set("csrfmiddlewaretoken", token);
                answer = await post();
            }
            if (answer.redirected) {
                explain(form, form.dataset.signedOut);
            } else if (answer.ok) {
                // Whatever was typed since stays.
                box.value = box.value.startsWith(body) ? box.value.slice(body.length).trimStart() : box.value;
                form.elements.key.value = freshKey();
                show(await answer.text(), number);
                const view = scroll();
                view.scrollTop = view.scrollHeight;
                newer.hidden = true;
            } else if (answer.status === 404) {
                leave(true);
            } else {
                const isTold = answer.headers.get("Content-Type")?.startsWith("application/json");
                explain(form, isTold ? (await answer.json()).detail : form.dataset.failed);
            }
        } catch {
            explain(form, form.dataset.offline); // with the same key the next attempt writes nothing twice
        } finally {
            delete form.dataset.busy;
            button.disabled = isOver;
            if (document.activeElement === document.body || document.activeElement === button) {
                box.focus();
            }
        }
    }

    async function renewToken() {
        const answer = await fetch(root.dataset.url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
        if (answer.redirected || !answer.ok) {
            return false;
        }
        take(new DOMParser().parseFromString(await answer.text(), "text/html"));
        return true;
    }

    /* The answer's token for the whole page: each answer writes it differently, and who signs in anew has another one. */
    function take(fresh) {
        token = fresh.querySelector("[name=csrfmiddlewaretoken]")?.value ?? token;
        for (const place of [root, fresh]) {
            for (const one of place.querySelectorAll("[name=csrfmiddlewaretoken]")) {
                one.setAttribute("value", token);
            }
        }
    }

    function explain(form, words) {
        const place = form.querySelector("[data-error]");
        place.textContent = words;
        place.hidden = !words;
    }

    /* Not crypto.randomUUID: a site without HTTPS hasn't got it. */
    function freshKey() {
        return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
    }

    root.addEventListener("submit", (event) => {
        const form = event.target;
        if (form.matches("[data-say]")) {
            event.preventDefault();
            send(form);
        } else if (event.submitter?.dataset.confirm && !form.dataset.sent && !confirm(event.submitter.dataset.confirm)) {
            event.preventDefault();
        } else if (form.dataset.sent) {
            event.preventDefault(); // a second click
        } else {
            form.dataset.sent = "1";
        }
    });

    const hasKeys = matchMedia("(hover: hover) and (pointer: fine)").matches;

    root.addEventListener("keydown", (event) => {
        const form = event.target.closest("[data-say]");
        if (form && hasKeys && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            form.requestSubmit();
        }
    });

    function prepare() {
        const hint = root.querySelector("[data-hint]");
        if (hint) {
            hint.hidden = !hasKeys;
        }
    }

    newer?.addEventListener("click", () => {
        scroll().scrollTop = scroll().scrollHeight;
        newer.hidden = true;
        scroll().focus();
    });

    root.addEventListener("scroll", (event) => {
        const view = event.target;
        if (view === scroll() && view.scrollHeight - view.scrollTop - view.clientHeight < AT_THE_END) {
            newer.hidden = true;
        }
    }, true);

    addEventListener("offline", () => {
        isLost = true;
        showLost();
    });

    addEventListener("online", () => {
        if (!isOver) {
            refresh();
        }
    });

    addEventListener("pageshow", (event) => {
        for (const form of root.querySelectorAll("[data-sent]")) {
            delete form.dataset.sent;
        }
        if (event.persisted) {
            refresh();
        }
    });

    document.addEventListener("visibilitychange", () => {
        if (!document.hidden) {
            unread = 0;
            entitle();
            if (!isOver) {
                refresh();
            }
        }
    });

    // -- Following --------------------------------------------------------------------------------

    prepare();
    if (scroll()) {
        scroll().scrollTop = scroll().scrollHeight;
    }
    tell();
    if (isOver) {
        return;
    }
    stream = window.turnoutStream?.follow({
        path: `service-sessions/${root.dataset.session}`,
        ticketUrl: root.dataset.ticket,
        csrf: () => token,
        last: newest || "",
        on: { ready: refresh, session: refresh, message: refresh, gone: refresh },
        state: (how) => {
            isOnline = how === "online";
            root.dataset.stream = how;
        },
    });
    setInterval(() => {
        if (!isOver && Date.now() - askedAt >= (isOnline && !isLost ? POLL_BESIDE_THE_STREAM : POLL)) {
            refresh();
        }
    }, 1000);
}

function newestOf(root) {
    return Math.max(0, ...[...root.querySelectorAll("[data-line]")].map((one) => Number(one.dataset.line)));
}
