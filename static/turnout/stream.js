/* Follows the live stream (requests/stream), and comes back to it for as long as the page is open.

   turnoutStream.follow({
       path: "session-requests",            or "service-sessions/<id>"
       ticketUrl, csrf: () => token,        where a ticket is to be had, and the page's token against forgery
       last: 17,                            of a session: the last message that the page has
       on: {request, gone, ready, session, message},   each gets the event's data
       state: (word) => …,                  "online" once all is there that there is, "offline" when nothing comes
   })  →  {close()}

   Whatever comes is what is so now, so it may come twice. While "offline", the page looks for news by itself. */
"use strict";

window.turnoutStream = {
    follow({ path, ticketUrl, csrf, last = "", on = {}, state = () => {} }) {
        const [SHORTEST, LONGEST] = [500, 10_000]; // before the next attempt
        const SILENT = 25_000; // the stream says every 15 seconds that it is there
        const PATIENCE = 3_000; // before the page is told: most who come back are there at once
        const known = new Set();
        let patience = setTimeout(() => tell("offline"), PATIENCE);
        let source, said, retry, watch;
        let wait = SHORTEST;
        let isClosed = false;

        function tell(word) {
            if (said !== word) {
                said = word;
                state(word);
            }
        }

        function arrived() {
            clearTimeout(patience);
            patience = undefined;
            wait = SHORTEST;
            tell("online");
        }

        function isAlive() {
            clearTimeout(watch);
            watch = setTimeout(again, SILENT);
        }

        function drop() {
            clearTimeout(watch);
            source?.close();
            source = undefined;
        }

        function again() {
            drop();
            clearTimeout(retry);
            if (isClosed) {
                return;
            }
            patience ??= setTimeout(() => tell("offline"), PATIENCE);
            retry = setTimeout(open, wait * (0.5 + Math.random() / 2));
            wait = Math.min(2 * wait, LONGEST);
        }

        async function open() {
            try {
                const response = await fetch(ticketUrl, {
                    method: "POST",
                    headers: { "X-CSRFToken": csrf(), Accept: "application/json" },
                    credentials: "same-origin",
                    cache: "no-store",
                    signal: AbortSignal.timeout(LONGEST),
                });
                if (!response.ok) {
                    throw new Error(response.statusText);
                }
                const { url, ticket } = await response.json();
                if (!isClosed) {
                    connect(`${url}/${path}/?${new URLSearchParams({ ticket, last_event_id: last })}`);
                }
            } catch {
                again();
            }
        }

        function connect(address) {
            drop();
            source = new EventSource(address);
            source.onerror = again; // by itself it would come back with a ticket that is used up
            source.onopen = isAlive;
            source.addEventListener("alive", isAlive);
            for (const name of ["request", "gone", "ready", "session", "message"]) {
                source.addEventListener(name, (event) => {
                    isAlive();
                    last = event.lastEventId || last;
                    hear(name, JSON.parse(event.data));
                });
            }
            isAlive();
        }

        function hear(name, data) {
            if (name === "request") {
                known.add(data.id);
            } else if (name === "ready") {
                if (data.ids.some((id) => !known.has(id))) {
                    last = ""; // of some nothing had changed but that they are theirs to see
                    again();
                    return;
                }
                known.clear();
                data.ids.forEach((id) => known.add(id));
            }
            on[name]?.(data);
            if (name === "ready" || name === "session") {
                arrived();
            } else if (name === "gone" && path !== "session-requests") {
                close();
            }
        }

        function soon() {
            if (!source && !isClosed) {
                clearTimeout(retry);
                open();
            }
        }

        function close() {
            isClosed = true;
            drop();
            clearTimeout(retry);
            clearTimeout(patience);
            window.removeEventListener("online", soon);
        }

        window.addEventListener("online", soon);
        open();
        return { close };
    },
};
