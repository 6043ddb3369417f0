// Everything that touches the page. Whatever people or the API wrote goes in as text, never as HTML.

const $ = (id) => document.getElementById(id);

const ICONS = { in: "check", already: "twice", refused: "stop", kept: "wait", checking: "wait" };
const STAYS = { in: 5000, already: 9000, refused: 15_000, kept: 9000, checking: 15_000 };
const BRIEF = 6000;
const MOST_NOTICES = 3;
const WIDE = matchMedia("(min-width: 900px), (orientation: landscape) and (max-height: 500px)");

export const on = (id, kind, act) => $(id).addEventListener(kind, act);

export function text(id, value) {
  if ($(id).textContent !== value) $(id).textContent = value;
}

export function hide(id, hidden = true) {
  $(id).hidden = hidden;
}

function icon(use, name) {
  use.setAttribute("href", `#i-${name}`);
}

function clone(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

function portrait(place, name, photo) {
  const initials = (name ?? "").split(/\s+/).filter(Boolean);
  place.textContent = [initials[0], initials.length > 1 ? initials.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase();
  if (!photo) return;
  const image = new Image();
  image.alt = "";
  image.decoding = "async";
  image.onload = () => place.replaceChildren(image); // until then, and without network, the initials
  image.src = photo;
}

// -- Which part is shown ------------------------------------------------------------------------

export function go(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.to === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (view === "search") $("search-text").focus();
}

export function onGo(act) {
  for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => act(button.dataset.to));
}

export const seesCamera = () => WIDE.matches || document.body.dataset.view === "scan";

export function allowWalkIns(allowed, most) {
  document.querySelector("nav [data-to=walk-in]").hidden = !allowed;
  if (!allowed && document.body.dataset.view === "walk-in") go("scan");
  hide("plus-ones-row", !most);
  const choice = $("plus_ones");
  if (choice.options.length === most + 1) return;
  choice.replaceChildren(...Array.from({ length: most + 1 }, (_, n) => new Option(n ? `+${n}` : "Nobody", n)));
}

// -- The line at the top ------------------------------------------------------------------------

/** {people, expected}, or null where they aren't known. */
export function counts(known) {
  hide("counts", !known);
  if (!known) return;
  text("people-in", String(known.people));
  text("people-expected", String(known.expected));
  $("share").max = Math.max(known.expected, 1);
  $("share").value = known.people;
}

export function line({ state, words, waiting }) {
  $("link").dataset.state = state;
  text("link", words);
  text("waiting", waiting ? `${waiting} waiting to be sent` : "");
  hide("waiting", !waiting);
}

/** Where one stands, by name; with several choices a tap on the name opens them. */
export function points(choices, chosen, name) {
  text("place", name);
  const several = choices.length > 1;
  const select = $("point");
  $("point-choice").classList.toggle("several", several);
  select.hidden = !several;
  if (several) $("place").setAttribute("aria-hidden", "true"); // the choice says it
  else $("place").removeAttribute("aria-hidden");
  const wanted = choices.map(({ id, name }) => `${id ?? ""}/${name}`).join("\n");
  if (select.dataset.shown !== wanted) {
    select.dataset.shown = wanted;
    select.replaceChildren(...choices.map(({ id, name }) => new Option(name, id ?? "")));
  }
  select.value = chosen ?? "";
}

/**
 * A word that stays until it is put away, or if it is `brief` goes by itself; the same `key` again replaces it.
 * `about`: whose name it begins with.
 */
export function notice(key, words, { about = "", signIn = null, brief = false } = {}) {
  clearNotice(key);
  const place = clone("notice");
  place.dataset.key = key;
  place.querySelector("b").textContent = about;
  place.querySelector("b").hidden = !about;
  place.querySelector(".words > span").textContent = words;
  place.querySelector("button").onclick = () => place.remove();
  if (signIn) Object.assign(place.querySelector("a"), { href: signIn, hidden: false });
  $("notices").prepend(place);
  if (brief) setTimeout(() => recede(place), BRIEF);
  for (const old of [...document.querySelectorAll("#notices p:not(.aside)")].slice(MOST_NOTICES)) old.remove();
}

/** Out of sight; screen readers that look through the log still find it. */
function recede(place) {
  for (const old of document.querySelectorAll("#notices .aside")) old.remove();
  place.classList.add("aside");
  place.querySelector("button").remove();
}

export function clearNotice(key) {
  for (const place of $("notices").children) if (place.dataset.key === key) place.remove();
}

/** Nothing that names anybody stays on the page, seen or unseen. */
export function forget() {
  closeAnswer();
  for (const id of ["answer-name", "said", "search-says", "shut", "place"]) text(id, "");
  for (const id of ["answer-photo", "hits", "log", "notices"]) $(id).replaceChildren();
  $("search-form").reset();
  clearWalkIn();
  hide("counts");
  text("title", "Door");
  document.title = "Door – Turnout";
}

// -- The answer ---------------------------------------------------------------------------------

let leaving;

export function answer(verdict, { when, sent, undo, said }) {
  const place = $("answer");
  const same = !place.hidden && place.dataset.scan === verdict.scan;
  if (!same) {
    place.hidden = true;
    void place.offsetWidth; // so that the next one arrives anew
    place.scrollTop = 0;
  }
  place.dataset.kind = verdict.kind;
  place.dataset.scan = verdict.scan;
  icon($("answer-icon"), ICONS[verdict.kind]);
  $("answer-word").lastElementChild.textContent = verdict.word;
  hide("answer-who", !verdict.name);
  if (!same || $("answer-name").textContent !== (verdict.name ?? "")) portrait($("answer-photo"), verdict.name, verdict.photo);
  text("answer-name", verdict.name ?? "");
  text("answer-plus", verdict.plus ? `+${verdict.plus}` : "");
  hide("answer-late", !verdict.late);
  text("answer-text", [when, verdict.text].filter(Boolean).join(". "));
  text("answer-sent", sent);
  hide("answer-undo", !undo);
  place.hidden = false;
  if (said) text("said", said);
  clearTimeout(leaving);
  leaving = setTimeout(closeAnswer, STAYS[verdict.kind]);
}

export function closeAnswer() {
  clearTimeout(leaving);
  hide("answer");
}

/** Who types the next name wants to see whom it finds; where the card is beside the list it may stay. */
export function uncoverSearch() {
  if (!WIDE.matches) closeAnswer();
}

/** The id of the scan that is on the screen, or null. */
export const answering = () => ($("answer").hidden ? null : $("answer").dataset.scan);

// -- Lists --------------------------------------------------------------------------------------

/** `act(id)`: somebody was picked from the list. */
export function onHit(act) {
  on("hits", "click", ({ target }) => target.closest("button") && act(target.closest("li").dataset.id));
}

/** `act(scan)`: on the card or in the log. */
export function onUndo(act) {
  on("answer-undo", "click", () => act($("answer").dataset.scan));
  on("log", "click", ({ target }) => target.closest("button") && act(target.closest("li").dataset.scan));
}

/** `rows`: [{id, name, photo, state, in}] */
export function hits(rows, words) {
  text("search-says", words);
  const before = new Map(Array.from($("hits").children, (place) => [place.dataset.id, place]));
  const places = rows.map((row) => {
    const drawn = JSON.stringify(row);
    const old = before.get(row.id);
    if (old?.dataset.drawn === drawn) return old; // the same element: a finger may be on its button
    const place = old ?? clone("hit");
    place.dataset.id = row.id;
    place.dataset.drawn = drawn;
    place.classList.toggle("in", row.in);
    if (!old) portrait(place.querySelector(".photo"), row.name, row.photo);
    place.querySelector(".name").textContent = row.name;
    place.querySelector(".state").textContent = row.state;
    const button = place.querySelector("button");
    button.textContent = row.in ? "In" : "Check in";
    button.setAttribute("aria-label", row.in ? `${row.name} is in` : `Check in ${row.name}`);
    return place;
  });
  // Moving an element would take the focus from it.
  if (places.length !== before.size || places.some((place, index) => $("hits").children[index] !== place)) $("hits").replaceChildren(...places);
}

/** `entries`: [{scan, kind, name, state, time, undone, undo}] */
export function log(entries) {
  hide("log-empty", entries.length > 0);
  $("log").replaceChildren(
    ...entries.map((entry) => {
      const place = clone("entry");
      place.dataset.scan = entry.scan;
      place.classList.add(entry.kind);
      place.classList.toggle("undone", entry.undone);
      icon(place.querySelector("use"), entry.undone ? "undo" : ICONS[entry.kind]);
      place.querySelector(".name").textContent = entry.name;
      place.querySelector(".state").textContent = entry.state;
      place.querySelector("time").textContent = entry.time;
      const button = place.querySelector("button");
      button.hidden = !entry.undo;
      button.setAttribute("aria-label", `Undo ${entry.name}`);
      return place;
    }),
  );
}

// -- The camera ---------------------------------------------------------------------------------

const PROBLEMS = {
  InsecureError: ["No camera on this address", "Cameras need HTTPS or localhost. Ask for the address that starts with https://. Search by name works here."],
  NotAllowedError: ["The camera isn't allowed", "Tap the sign beside the address, allow the camera for this site, then try again. On an iPhone: Settings, Apps, Safari, Camera. Search by name works without."],
  NotFoundError: ["No camera found", "This device has none that the browser can use. Search by name works without."],
  OverconstrainedError: ["That camera is gone", "Try again to use another one. Search by name works without."],
  NotReadableError: ["The camera is busy", "Another app may be using it. Close that app, then try again."],
};

export function camera({ on: works, problem, torch, lit, several }) {
  hide("video", !works);
  hide("frame", !works);
  hide("no-camera", works);
  hide("torch", !works || !torch);
  hide("turn", !works || !several);
  $("torch").setAttribute("aria-pressed", String(Boolean(lit)));
  if (works) return;
  const [title, words] = PROBLEMS[problem] ?? ["The camera doesn't start", "Try again, or search by name."];
  text("no-camera-title", title);
  text("no-camera-text", words);
  hide("camera-again", problem === "InsecureError");
}

export function muted(is) {
  $("mute").setAttribute("aria-pressed", String(is));
  icon($("mute").querySelector("use"), is ? "mute" : "sound");
}

// -- The walk-in form ---------------------------------------------------------------------------

const FIELDS = ["first_name", "last_name", "email", "phone", "plus_ones"];

export function walkIn() {
  const form = new FormData($("walk-in-form"));
  const filled = FIELDS.map((name) => [name, String(form.get(name) ?? "").trim()]).filter(([, value]) => value);
  return { ...Object.fromEntries(filled), plus_ones: Number(form.get("plus_ones") ?? 0) };
}

export function walkInProblems(fields, words = "") {
  text("walk-in-problem", words);
  for (const name of FIELDS) {
    text(`${name}-problem`, fields[name] ?? "");
    if (fields[name]) $(name).setAttribute("aria-invalid", "true");
    else $(name).removeAttribute("aria-invalid");
  }
  const first = FIELDS.find((name) => fields[name]);
  if (first) $(first).focus();
}

export function walkInBusy(busy) {
  const button = document.querySelector("#walk-in-form button");
  button.disabled = busy;
  button.textContent = busy ? "Adding…" : "Add and check in";
}

export const clearWalkIn = () => $("walk-in-form").reset();

// -- Before the door ----------------------------------------------------------------------------

/** Covers the page: {title, text, hint, signIn, again}; null opens it. */
export function gate(what, waiting = 0) {
  hide("gate", !what);
  for (const part of document.querySelectorAll("body > :not(#gate):not(script):not(#said)")) part.inert = Boolean(what);
  if (!what) return;
  text("gate-title", what.title);
  text("gate-text", what.text ?? "");
  text("gate-hint", what.hint ?? "");
  hide("gate-hint", !what.hint);
  hide("gate-kept", !waiting);
  text("gate-kept", `${waiting} ${waiting === 1 ? "scan is" : "scans are"} kept on this phone, waiting to be sent.`);
  hide("gate-sign-in", !what.signIn);
  if (what.signIn) $("gate-sign-in").href = what.signIn;
  hide("gate-again", !what.again);
  $("gate-again").onclick = what.again;
}
