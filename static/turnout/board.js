"use strict";
/* The board of service requests follows along: by the live stream, and by asking every few seconds while there is
   none. Without this it works by its buttons, and is loaded anew every twenty seconds. On a session's page only the
   times tick. */

{
  const TICK = 1000;
  const POLL = 5000;
  const POLL_BESIDE_THE_STREAM = 30000;
  const PATIENCE = 15000;
  const DEBOUNCE = 60;
  const JITTER = 140; // so that fifty screens don't all ask in the same moment
  const NOTE_STAYS = 15000;
  const AIMED = 400; // before that nobody has seen what slid under the finger
  const SOUND = "turnout-board-sound";

  // -- Times that tick -----------------------------------------------------------------------------

  const board = document.getElementById("board");
  let ahead = 0; // by how much this clock is ahead of the server's

  function clock(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  }

  function tick(place = document) {
    const now = Date.now() - ahead;
    for (const one of place.querySelectorAll("[data-since]")) {
      one.textContent = clock((now - Date.parse(one.dataset.since)) / 1000);
    }
    for (const one of place.querySelectorAll("[data-until] + [data-left]")) {
      one.textContent = ` (${clock((Date.parse(one.previousElementSibling.dataset.until) - now) / 1000)})`;
    }
  }

  tick();
  setInterval(tick, TICK);

  if (board) follow();

  function follow() {
    const rows = document.getElementById("board-rows");
    const live = document.getElementById("board-live");
    const note = document.getElementById("board-note");
    const form = document.getElementById("board-form");
    const token = form.querySelector("[name=csrfmiddlewaretoken]");
    const title = document.title;
    const notes = new Map(); // id of a card → what is told beside it
    const busy = new Set();
    const known = new Map(); // id → the card as the server wrote it, without what ticks
    let isOnline = null; // not known yet
    let isLost = false;
    let isFetching = false;
    let asksAgain = false;
    let askedAt = Date.now();
    let soon = null;
    let before = []; // where Accept stood, and until when: as often as that changed of late
    let aim = { at: -Infinity };
    let isLeaving = false;

    board.dataset.running = "1";

    // -- What is new -------------------------------------------------------------------------------

    function later() {
      soon ??= setTimeout(refresh, DEBOUNCE + Math.random() * JITTER);
    }

    async function refresh() {
      clearTimeout(soon);
      soon = null;
      if (isFetching) {
        asksAgain = true;
        return;
      }
      isFetching = true;
      askedAt = Date.now();
      try {
        const answer = await fetch(board.dataset.source, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
        if (answer.redirected || answer.status === 403 || answer.status === 404) {
          location.reload(); // signed out, or the board is theirs no longer: the page itself says which
        } else if (answer.ok) {
          isLost = false;
          show(await answer.text());
        } else {
          isLost = true;
        }
      } catch {
        isLost = true; // asked again in a moment
      } finally {
        isFetching = false;
        say();
        if (asksAgain) {
          asksAgain = false;
          later();
        }
      }
    }

    const still = (element) => {
      const copy = element.cloneNode(true);
      for (const one of copy.querySelectorAll("[data-since], [data-left]")) one.textContent = "";
      return copy.innerHTML.replace(/\s+/g, " ");
    };

    function show(html) {
      const fresh = new DOMParser().parseFromString(html, "text/html");
      if (isAnothers(fresh)) return location.reload();
      const focused = rows.contains(document.activeElement) ? document.activeElement : null;
      const column = focused?.closest(".board-column")?.querySelector("h2")?.id;
      const waited = new Set(idsOf("waiting"));
      for (const part of fresh.querySelectorAll("[data-part]")) {
        const old = rows.querySelector(`[data-part="${part.dataset.part}"]`);
        old.dataset.waiting = part.dataset.waiting ?? "";
        if (part.dataset.now) old.dataset.now = part.dataset.now;
        if (old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes);
      }
      const stood = places();
      const cards = new Map([...fresh.querySelectorAll(".board-card")].map((card) => [card.id, card]));
      for (const list of fresh.querySelectorAll("[data-list]")) {
        arrange(rows.querySelector(`[data-list="${list.dataset.list}"]`), [...list.children], cards);
      }
      if (JSON.stringify(stood) !== JSON.stringify(places())) before = [...lately(), { until: performance.now(), stood }];
      synchronize();
      tick(rows);
      if (focused && document.activeElement !== focused) {
        const again = focused.id && document.getElementById(focused.id);
        (again || (column && document.getElementById(column)))?.focus({ preventScroll: true });
      }
      announce([...idsOf("waiting")].filter((id) => !waited.has(id)));
    }

    function idsOf(list) {
      return [...rows.querySelectorAll(`[data-list=${list}] > .board-card:not(.board-gone)`)].map((card) => card.id);
    }

    /* The cards of a list as they are now; those that didn't change stay the same elements, with what is open in them. */
    function arrange(list, cards, all) {
      for (const old of [...list.children]) {
        const now = all.get(old.id);
        if (now && now.parentElement?.dataset.list === list.dataset.list) continue;
        if (!now && notes.get(old.id)?.refused) leaveWord(old);
        else old.remove();
      }
      let place = list.firstElementChild;
      for (const card of cards) {
        const id = card.id;
        let shown = [...list.children].find((one) => one.id === id);
        if (!shown || shown.classList.contains("board-gone") || known.get(id) !== still(card) || shown.className !== card.className) {
          known.set(id, still(card));
          const anew = document.importNode(card, true);
          if (shown) {
            keep(shown, anew);
            if (place === shown) place = anew;
            shown.replaceWith(anew);
          }
          shown = anew;
          tellBeside(shown);
        }
        while (place?.classList.contains("board-gone")) place = place.nextElementSibling;
        if (place === shown) place = place.nextElementSibling;
        else list.insertBefore(shown, place);
      }
    }

    /* What was opened and chosen in a card that is written anew. */
    function keep(old, anew) {
      for (const one of old.querySelectorAll("details[open]")) {
        anew.querySelector(`#${CSS.escape(one.id)}`)?.setAttribute("open", "");
      }
      for (const one of old.querySelectorAll("select")) {
        const select = anew.querySelector(`#${CSS.escape(one.id)}`);
        if (select && [...select.options].some((option) => option.value === one.value)) select.value = one.value;
      }
    }

    function announce(ids) {
      if (!ids.length) return;
      const names = ids.map((id) => document.getElementById(id).dataset.name);
      document.getElementById("board-said").textContent = `${board.dataset.new}: ${names.join(", ")}`;
      for (const id of ids) document.getElementById(id).classList.add("board-new");
      beep();
    }

    function synchronize() {
      const { waiting, now } = rows.querySelector("[data-part=duty]").dataset;
      ahead = Date.now() - Date.parse(now);
      document.title = waiting === "0" ? title : `(${waiting}) ${title}`;
    }

    function say() {
      if (isOnline === null && !isLost) return;
      const how = isLost ? "lost" : isOnline ? "live" : "polling";
      if (live.dataset.how !== how) {
        live.dataset.how = how;
        live.textContent = board.dataset[how];
      }
    }

    // -- What is told beside a card ----------------------------------------------------------------

    function tellBeside(card) {
      const told = notes.get(card.id);
      card.querySelector(".board-said")?.remove();
      if (!told) return;
      const place = document.createElement("p");
      place.className = told.refused ? "board-said board-refused" : "board-said";
      place.setAttribute("role", "alert");
      place.textContent = told.words;
      card.append(place);
    }

    /* It is gone, but what was said of it is still to be read. */
    function leaveWord(card) {
      card.classList.add("board-gone");
      for (const one of card.querySelectorAll(":scope > :not(h3, .board-said)")) one.remove();
    }

    function tell(id, words, refused) {
      const card = document.getElementById(id);
      if (!card?.matches(".board-card")) {
        note.textContent = words;
        note.hidden = !words;
        setTimeout(() => {
          if (note.textContent === words) note.hidden = true;
        }, NOTE_STAYS);
        return;
      }
      const told = { words, refused };
      notes.set(id, told);
      tellBeside(card);
      setTimeout(() => {
        if (notes.get(id) !== told) return;
        notes.delete(id);
        const now = document.getElementById(id);
        if (now?.classList.contains("board-gone")) now.remove();
        else now?.querySelector(".board-said")?.remove();
      }, NOTE_STAYS);
    }

    // -- What one does -----------------------------------------------------------------------------

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter) act(event.submitter);
    });

    async function act(button) {
      const card = button.closest(".board-card");
      const id = card?.id ?? button.id;
      if (isLeaving || busy.has(id)) return; // a second click
      if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
      const isAccept = button.value.startsWith("accept:");
      if (isAccept && slid(button)) return tell(id, board.dataset.moved, true);
      isLeaving = isAccept;
      busy.add(id);
      button.setAttribute("aria-busy", "true");
      try {
        let answer = await send(button.value);
        if (answer.status === 403 && !isJson(answer) && (await renewToken())) answer = await send(button.value);
        if (answer.redirected) return location.reload();
        if (isJson(answer)) {
          const { done, said, go } = await answer.json();
          if (go) return location.assign(go);
          tell(id, said, !done);
        } else tell(id, board.dataset.failed, true);
      } catch {
        tell(id, board.dataset.offline, true);
      } finally {
        busy.delete(id);
        button.removeAttribute("aria-busy");
      }
      isLeaving = false;
      return refresh();
    }

    addEventListener("pointerdown", ({ clientX: x, clientY: y }) => { aim = { at: performance.now(), x, y }; }, true);

    function places() {
      return [...rows.querySelectorAll("[id^=accept-]")].map((one) => {
        const { left, right, top, bottom } = one.getBoundingClientRect();
        return { id: one.id, left, right, top, bottom };
      });
    }

    const lately = () => before.filter(({ until }) => performance.now() - until <= AIMED);

    /* Whether the finger went down where another one's Accept was a moment ago. */
    function slid(button) {
      if (performance.now() - aim.at > AIMED) return false;
      const isAimedAt = (one) => one.left <= aim.x && aim.x <= one.right && one.top <= aim.y && aim.y <= one.bottom;
      return lately().some(({ stood }) => stood.some((one) => one.id !== button.id && isAimedAt(one)));
    }

    function send(act) {
      const data = new FormData(form);
      data.set("act", act);
      const [headers, signal] = [{ Accept: "application/json" }, AbortSignal.timeout(PATIENCE)];
      return fetch(form.action, { method: "POST", body: data, headers, signal });
    }

    /* Whether somebody else has signed in meanwhile, in another tab. */
    function isAnothers(fresh) {
      const [person, now] = [rows, fresh].map((page) => page.querySelector("[data-part=duty]")?.dataset.person);
      return person !== now;
    }

    const isJson = (answer) => answer.headers.get("Content-Type")?.startsWith("application/json");

    /* Who signed out and in again, in another tab, has another token against forgery than this page. */
    async function renewToken() {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.redirected || !answer.ok) return false;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (isAnothers(fresh)) {
        location.reload(); // whatever was pressed here, it wasn't they who pressed it
        return false;
      }
      token.value = fresh.querySelector("#board-form [name=csrfmiddlewaretoken]").value;
      return true;
    }

    const filter = document.querySelector(".board-filter");
    filter?.querySelector("select").addEventListener("change", () => filter.submit());

    // -- Sound -------------------------------------------------------------------------------------

    const sound = document.getElementById("board-sound");
    let isLoud = false;
    let audio = null;

    try {
      isLoud = localStorage.getItem(SOUND) === "1";
    } catch {
      // Nothing is kept here: then it is off.
    }

    function showSound() {
      sound.hidden = !window.AudioContext;
      sound.setAttribute("aria-pressed", String(isLoud));
      sound.querySelector(".material-symbols-outlined").textContent = isLoud ? "volume_up" : "volume_off";
    }

    sound.addEventListener("click", () => {
      isLoud = !isLoud;
      try {
        localStorage.setItem(SOUND, isLoud ? "1" : "0");
      } catch {
        // It holds as long as the page.
      }
      showSound();
      beep();
    });

    /* Browsers let a page be heard once somebody has touched it: the first touch is enough. */
    addEventListener("pointerdown", () => isLoud && context()?.resume(), { once: true });

    function context() {
      return (audio ??= window.AudioContext && new AudioContext());
    }

    function beep() {
      if (!isLoud || !context()) return;
      audio.resume();
      for (const [at, pitch] of [[0, 660], [0.18, 880]]) {
        const tone = audio.createOscillator();
        const volume = audio.createGain();
        tone.frequency.value = pitch;
        volume.gain.setValueAtTime(0.0001, audio.currentTime + at);
        volume.gain.exponentialRampToValueAtTime(0.25, audio.currentTime + at + 0.02);
        volume.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + at + 0.16);
        tone.connect(volume).connect(audio.destination);
        tone.start(audio.currentTime + at);
        tone.stop(audio.currentTime + at + 0.17);
      }
      board.dataset.beeps = String(Number(board.dataset.beeps ?? 0) + 1);
    }

    // -- Following ---------------------------------------------------------------------------------

    for (const card of rows.querySelectorAll(".board-card")) known.set(card.id, still(card));
    synchronize();
    showSound();
    if (board.dataset.ticket && window.turnoutStream) {
      window.turnoutStream.follow({
        path: "session-requests",
        ticketUrl: board.dataset.ticket,
        csrf: () => token.value,
        on: { request: later, gone: later, ready: later },
        state: (how) => {
          isOnline = how === "online";
          say();
        },
      });
    } else isOnline = false;
    say();
    setInterval(() => {
      if (Date.now() - askedAt >= (isOnline && !isLost ? POLL_BESIDE_THE_STREAM : POLL)) refresh();
    }, TICK);
    addEventListener("pageshow", (event) => {
      isLeaving = false;
      if (event.persisted) refresh();
    });
  }
}
