// The door: puts list, queue, camera and page together.

import { Api, Refused, Unreachable } from "./api.js";
import { Camera } from "./camera.js";
import { Queue } from "./queue.js";
import { Sound } from "./sound.js";
import { forgetEvent, kept, open } from "./store.js";
import { hash, Tickets } from "./tickets.js";
import { answered, judge, sentence } from "./verdict.js";
import * as view from "./view.js";

const EVENT = Number(location.pathname.match(/\/door\/(\d+)\//)[1]);
const SIGN_IN = `/admin/login/?next=${encodeURIComponent(location.pathname)}`;
const TICK = 5000;
const SYNC = 20_000;
const CLOCK_TRUSTED = 10_000;
const PATIENCE = 2000; // how long an unknown ticket may be "checking"
const UNDO = 15 * 60 * 1000;
const LOGGED = 50;
const LONGEST_CODE = 64;
const FORGOTTEN_AFTER = 48 * 60 * 60 * 1000; // names of an event that is over
const TUNES = { in: "good", already: "known", kept: "known", refused: "bad" };

let door = null; // what GET door/ said last
let point = null;
let tickets = null;
let reached = navigator.onLine;
let clock = 0; // the server's clock, less this phone's
let syncedAt = -Infinity;
let log = [];
let shut = null; // "signed-out" | "gate"
let wasRevoked = false;
let unsentWalkIn = null; // its scan_id, until the server said yes
const busy = new Set(); // people and codes whose scan is being taken this moment
let drawing = null;
const deltas = new Map(); // what the server's counts don't have yet: key → {people, settledAt}

const api = new Api({ onReach: reach });
const sound = new Sound({
  onSilent: () => view.notice("sound", "Tap the screen once, and there is sound."),
  onAwake: () => view.clearNotice("sound"),
});
const queue = new Queue(api, { onAnswer: heard, onLater: postponed, onShut: turnedAway, onChange: showLine });
const camera = new Camera(document.getElementById("video"), { onCode: scanned, onState: view.camera });

const now = () => new Date(Date.now() + clock);

function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // without HTTPS there is no randomUUID
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** "10:02" where the event is; with the day if it isn't today. */
function clockTime(moment) {
  if (!moment) return "";
  const zone = { timeZone: door?.event.timezone };
  const time = new Intl.DateTimeFormat("en-GB", { ...zone, hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { ...zone, weekday: "short", day: "numeric", month: "short" });
  const date = new Date(moment);
  return day.format(date) === day.format(now()) ? time.format(date) : `${day.format(date)}, ${time.format(date)}`;
}

const whenAndWho = ({ at, by }) => [clockTime(at), by && `by ${by}`].filter(Boolean).join(", ");

// -- A scan ---------------------------------------------------------------------------------------

async function scanned(code) {
  if (shut === "gate" || !tickets) return;
  if (code.length > LONGEST_CODE) {
    show({ ...answered({ result: "refused", code: "invalid" }), scan: newId() }, { sent: "" });
    sound.play("bad");
    return;
  }
  const digest = await hash(code);
  await checkIn(tickets.byHash.get(digest), { ticket_code: code });
}

async function checkIn(row, body) {
  const who = row?.id ?? body.ticket_code;
  if (busy.has(who)) return; // a second tap of the same moment
  busy.add(who);
  try {
    const at = now().toISOString();
    const isIn = row ? tickets.isIn(row) : null;
    const verdict = judge(row, { isIn, at, loaded: tickets.loaded, online: reached, open: isOpen() });
    const before = underWay(row, body);
    if (before) return repeat(before, verdict);
    verdict.scan = newId();
    if (verdict.kind === "in") {
      tickets.waiting.set(row.id, { at });
      deltas.set(verdict.scan, { people: 1 + row.plus_ones, settledAt: null });
    }
    const saved = queue.add({
      event: EVENT,
      point,
      scan_id: verdict.scan,
      scanned_at: at,
      body,
      attendee: row?.id ?? null,
      guess: verdict.kind,
      people: row?.removed === false ? 1 + row.plus_ones : 0,
    });
    note({ ...verdict, state: "waiting", scannedAt: at, attendee: row?.id ?? null });
    show(verdict);
    sound.play(TUNES[verdict.kind] ?? "known");
    showPeople();
    await saved;
    await keepLog();
    if (verdict.kind === "checking") setTimeout(() => giveUpChecking(verdict.scan), PATIENCE);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    show({ scan: newId(), kind: "refused", word: "Not saved", text: "This phone's storage is full or closed. Free some space and scan again." }, { sent: "" });
    sound.play("bad");
  } finally {
    busy.delete(who);
  }
}

/** The scan of the same person or code that still waits for its answer. */
function underWay(row, body) {
  return queue
    .of(EVENT)
    .find((item) => item.kind === "scan" && !item.undo && item.point === point && ((row && item.attendee === row.id) || (body.ticket_code && item.body.ticket_code === body.ticket_code)));
}

/** Shows again what is known; the first scan is on its way, and a second one would tell nothing new. */
function repeat(item, verdict) {
  if (view.answering() === item.scan_id) return;
  show({ ...verdict, scan: item.scan_id });
  sound.play(TUNES[verdict.kind] ?? "known");
}

function isOpen() {
  const chosen = door?.points.find(({ id }) => id === point);
  if (!chosen) return true;
  const moment = now();
  return !(chosen.opens_at && moment < new Date(chosen.opens_at)) && !(chosen.closes_at && moment >= new Date(chosen.closes_at));
}

function giveUpChecking(scan) {
  const entry = entryOf(scan);
  if (entry?.kind !== "checking") return;
  Object.assign(entry, { kind: "refused", word: "Unknown ticket", text: "Not on this phone's list; the server hasn't answered yet." });
  if (view.answering() === scan) {
    show(entry);
    sound.play("bad");
  }
  keepLog();
}

/** Puts a verdict on the screen, with what became of its sending. */
function show(verdict, { sent = sentState(verdict.scan) } = {}) {
  const entry = entryOf(verdict.scan);
  const when = verdict.kind === "already" || verdict.late ? whenAndWho(verdict) : "";
  const undo = entry && mayUndo(entry) ? () => undoScan(verdict.scan) : null;
  view.answer(verdict, { when, sent, undo, said: sentence(verdict, when) });
}

function sentState(scan) {
  const entry = entryOf(scan);
  if (!entry || entry.state === "sent") return entry ? "Confirmed" : "";
  return reached ? "" : "Kept on this phone, waiting to be sent";
}

// -- What the server says -------------------------------------------------------------------------

async function heard(item, answer) {
  if (item.event !== EVENT) return;
  if (item.kind === "undo") return undone(item, answer);
  const row = tickets?.byId.get(item.attendee ?? answer.attendee?.id);
  // The server takes a refused scan that comes late for somebody who was let in. This one wasn't.
  if (answer.result === "flagged" && item.guess === "refused") answer = { ...answer, result: "refused" };
  // Of two scans the earlier counts: ours came in later, and still is the one that let the person in.
  const ours = answer.result === "already_checked_in" && Number(new Date(answer.checked_in_at)) === Number(new Date(item.scanned_at));
  if (ours) answer = { ...answer, result: "checked_in", check_in_id: null };
  const verdict = { ...answered(answer, row), scan: item.scan_id };
  const entered = answer.result === "checked_in";
  const people = entered && answer.attendee ? 1 + answer.attendee.plus_ones : item.people;
  if (entered && !item.undo && !ours) deltas.set(item.scan_id, { people, settledAt: performance.now() });
  else deltas.delete(item.scan_id);
  if (item.point === point && tickets) {
    if (item.attendee) tickets.waiting.delete(item.attendee);
    if (answer.attendee && verdict.at && !(item.undo && entered)) await tickets.learn(answer.attendee, verdict);
    if (answer.attendee && !row) syncedAt = -Infinity; // somebody new: the next tick fetches them
  }
  const entry = entryOf(item.scan_id);
  const guess = entry?.kind ?? item.guess;
  if (entry) {
    const undoing = entry.state === "undoing" && entered;
    Object.assign(entry, verdict, { state: undoing ? "undoing" : "sent", name: verdict.name ?? entry.name });
  }
  if (view.answering() === item.scan_id && entry?.state !== "undoing") {
    show(verdict);
    if (verdict.kind !== guess) sound.play(TUNES[verdict.kind]);
  } else if (verdict.kind !== guess && !(item.undo && entered)) {
    const words = sentence(verdict, verdict.kind === "already" ? whenAndWho(verdict) : "");
    view.notice(item.scan_id, `Scan of ${clockTime(item.scanned_at)}: ${words}`);
    sound.play(TUNES[verdict.kind]);
  }
  showPeople();
  showLog();
  await keepLog();
}

/** The server wants the scan again later. Who is on the list has been let in by it. */
function postponed(item, { code, detail, retryAfter }) {
  const entry = entryOf(item.scan_id);
  if (entry?.kind !== "checking" || view.answering() !== item.scan_id) return;
  const text = retryAfter ? `Too many unknown tickets. Scan again in ${retryAfter} seconds.` : detail;
  show({ ...answered({ result: "refused", code, detail: text, attendee: null }), scan: item.scan_id, text });
  sound.play("bad");
  entry.kind = "refused";
}

function turnedAway(eventId, error) {
  if (eventId !== EVENT) return;
  if (error.status === 401) refuse(error);
  // Whether the whole door is shut or a point is gone, the next round tells.
  else view.notice("unsent", `Some scans can't be sent, and are kept. ${error.message}`);
}

/** 401, 403 and 404 of whatever call. */
async function refuse(error) {
  if (error.code === "device_revoked" && api.token) return revoked();
  if (wasRevoked) return; // says more than being a stranger now
  if (error.status === 401) {
    const text = "Sign in as door staff or organiser of this event.";
    const hint = "On a phone that stays at the door: ask an organiser for the code that registers it, and scan it with the phone's camera app.";
    if (!tickets?.loaded) close({ title: "Sign in to open the door", text, hint, signIn: SIGN_IN });
    else if (shut !== "signed-out") {
      shut = "signed-out";
      view.notice("signed-out", "You are signed out. Scans are kept and sent after you sign in.", SIGN_IN);
    }
  } else if (error.status === 404) {
    await forget();
    close({ title: "This event isn't yours to open", text: "You need to be door staff or organiser of it.", signIn: SIGN_IN, again: () => location.reload() });
  } else view.notice("refused", error.message);
}

async function revoked() {
  wasRevoked = true;
  api.token = null;
  await kept.delete(`token/${EVENT}`);
  await forget();
  close({ title: "This device was revoked", text: "An organiser has taken it off the door. The list of tickets is gone from this phone.", hint: "To use it again, ask for a new code, or sign in.", signIn: SIGN_IN });
}

/** Names and tickets leave the phone; unsent scans stay. */
async function forget() {
  tickets = door = null;
  log = [];
  deltas.clear();
  view.forget();
  await forgetEvent(EVENT);
}

function close(what) {
  shut = "gate";
  camera.stop();
  view.gate(what, queue.of(EVENT).length);
}

// -- Undo -----------------------------------------------------------------------------------------

/** Only the last one, as for the server. */
function mayUndo(entry) {
  const last = log.find(({ kind, state }) => kind === "in" && (state === "waiting" || state === "sent"));
  return last === entry && now() - new Date(entry.scannedAt) < UNDO && (entry.state === "waiting" || Boolean(entry.checkIn));
}

async function undoScan(scan) {
  const entry = entryOf(scan);
  if (!entry || !mayUndo(entry)) return;
  entry.state = "undoing"; // before anything waits: a second tap finds nothing to undo
  const row = tickets?.byId.get(entry.attendee);
  view.closeAnswer();
  const outcome = await queue.takeBack(scan);
  if (outcome === "removed") entry.state = "undone";
  if (outcome === "gone") {
    await queue.add({ kind: "undo", event: EVENT, point, scan_id: scan, check_in_id: entry.checkIn, attendee: entry.attendee, people: 1 + (entry.plus ?? 0) });
    deltas.set(`undo ${scan}`, { people: -(1 + (entry.plus ?? 0)), settledAt: null });
  } else deltas.delete(scan);
  if (row) {
    tickets.waiting.delete(row.id);
    await tickets.learn(row, { at: null, by: null });
  }
  const words = { removed: "undone; it was never sent.", later: "will be undone when the server has it.", gone: reached ? "is being undone." : "will be undone when the network is back." };
  view.notice("undo", `${entry.name ?? "The scan"}: ${words[outcome]}`);
  showPeople();
  showLog();
  await keepLog();
}

async function undone(item, answer) {
  const entry = entryOf(item.scan_id);
  const key = `undo ${item.scan_id}`;
  const delta = deltas.get(key);
  const name = answer.attendee?.name ?? entry?.name ?? "The scan";
  if (answer.result === "undone") {
    if (delta) delta.settledAt = performance.now();
    if (entry) entry.state = "undone";
    if (answer.attendee) await tickets?.learn(answer.attendee, { at: null, by: null });
    view.notice("undo", `${name}: undone.`);
  } else {
    deltas.delete(key);
    if (entry) entry.state = "sent";
    const row = tickets?.byId.get(item.attendee);
    if (row && entry) await tickets.learn(row, { at: entry.at, by: entry.by });
    view.notice("undo", `${name} stays in. ${answer.detail}`);
    sound.play("bad");
  }
  showPeople();
  showLog();
  await keepLog();
}

// -- The log of this phone ------------------------------------------------------------------------

const entryOf = (scan) => log.find((entry) => entry.scan === scan);

function note(entry) {
  log = [entry, ...log].slice(0, LOGGED);
  showLog();
}

const keepLog = () => (shut === "gate" ? null : kept.put(`log/${EVENT}`, log));

function showLog() {
  const states = { waiting: "waiting to be sent", undoing: "being undone", undone: "undone" };
  view.log(
    log.map((entry) => ({
      scan: entry.scan,
      kind: entry.kind,
      name: (entry.name ?? entry.word) + (entry.plus ? ` +${entry.plus}` : ""),
      state: [entry.name && entry.word, entry.late && "late", entry.kind === "refused" && entry.text, states[entry.state]].filter(Boolean).join(" · "),
      time: clockTime(entry.scannedAt),
      undone: entry.state === "undone",
      undo: mayUndo(entry) ? () => undoScan(entry.scan) : null,
    })),
  );
}

// -- What is on the screen all the time -----------------------------------------------------------

function reach(is) {
  if (reached === is) return;
  reached = is;
  showLine();
}

function showLine() {
  const items = queue.of(EVENT);
  const old = items.some(({ addedAt }) => Date.now() - addedAt > 1500); // no flicker for what goes at once
  const list = tickets?.checkedAt ? ` List of ${clockTime(tickets.checkedAt)}.` : "";
  const state = reached ? "online" : "offline";
  const words = reached ? "Online" : `Offline – scans are kept.${list}`;
  view.line({ state, words, waiting: reached && !old ? 0 : items.length });
}

/** After the answer has been painted: with 10,000 people a slow phone needs a moment. */
function showPeople() {
  showCounts();
  drawing ??= requestAnimationFrame(() => setTimeout(drawPeople));
}

function drawPeople() {
  drawing = null;
  if (!tickets) return;
  const words = document.getElementById("search-text").value;
  const { total, rows } = tickets.search(words);
  const shown = rows.map((row) => {
    const isIn = tickets.isIn(row);
    const guests = row.plus_ones ? `+${row.plus_ones}` : "";
    const state = isIn ? `In ${clockTime(isIn.at)}${isIn.waiting ? ", waiting to be sent" : ""}` : { excused: "Excused", absent: "Absent", present: "Marked present", late: "Marked late" }[row.status];
    return { id: row.id, name: row.name, photo: row.photo_url, state: [guests, state ?? "Not in yet"].filter(Boolean).join(" · "), in: Boolean(isIn) };
  });
  const people = `${total} ${total === 1 ? "person" : "people"}`;
  const more = total > rows.length ? ` The first ${rows.length}:` : "";
  const none = tickets.loaded ? "Nobody of that name." : "The list isn't on this phone yet.";
  view.hits(shown, total ? people + (more && `.${more}`) : none, (id) => checkIn(tickets.byId.get(id), { attendee_id: id }));
}

function showCounts() {
  if (!door) return;
  let people = door.counts.people_in;
  for (const delta of deltas.values()) people += delta.people;
  view.counts(Math.max(0, people), door.counts.people_expected);
}

function showDoor() {
  view.text("title", door.event.title);
  document.title = `${door.event.title} – Door`;
  view.points(choices(), point);
  view.allowWalkIns(door.scanner.may_add_walk_ins && door.at_door, door.event.max_plus_ones);
  showCounts();
}

const choices = () => [...(door.at_door ? [{ id: null, name: "Main door" }] : []), ...door.points];

// -- Keeping up with the server -------------------------------------------------------------------

async function refresh() {
  const startedAt = performance.now();
  const path = `events/${EVENT}/door/`;
  const { data } = await api.get(point === null ? path : `${path}?point=${point}`).catch((error) => {
    if (point === null || !(error instanceof Refused) || error.status === 401) throw error;
    point = null; // the point is no more: what is left?
    return api.get(path);
  });
  // A slow network moves the estimate by its delay: only a clock that is clearly wrong is corrected.
  const skew = new Date(data.server_time) - (Date.now() - (performance.now() - startedAt) / 2);
  clock = Math.abs(skew) > CLOCK_TRUSTED ? skew : 0;
  door = data;
  for (const [key, { settledAt }] of deltas) if (settledAt !== null && settledAt < startedAt) deltas.delete(key);
  await kept.put(`door/${EVENT}`, { ...data, clock });
  if (!choices().length) return close({ title: "No check-in point", text: "An organiser has given this device none.", again: () => location.reload() });
  if (shut) {
    view.clearNotice("signed-out");
    view.gate(null);
    shut = null;
    wasRevoked = false;
    camera.start();
  }
  if (!choices().some(({ id }) => id === point)) await choose(choices()[0].id);
  else if (tickets?.point !== point) await choose(point);
  showDoor();
}

async function choose(id) {
  point = id;
  const list = new Tickets(api, EVENT, id);
  tickets = list;
  await Promise.all([list.load(), kept.put(`point/${EVENT}`, id)]);
  deltas.clear();
  for (const item of queue.of(EVENT)) {
    if (item.kind === "undo") deltas.set(`undo ${item.scan_id}`, { people: -(item.people ?? 1), settledAt: null });
    if (item.kind !== "scan" || item.undo || item.guess !== "in" || item.point !== id) continue;
    list.waiting.set(item.attendee, { at: item.scanned_at });
    deltas.set(item.scan_id, { people: item.people, settledAt: null });
  }
  syncedAt = -Infinity;
  showPeople();
}

let ticking = null;

/** One round: counts, then tickets if it is time, and what waits. */
function tick({ soon = false } = {}) {
  if (soon) syncedAt = -Infinity;
  if (soon && ticking) return ticking.then(() => tick());
  ticking ??= round().finally(() => (ticking = null));
  return ticking;
}

async function round() {
  try {
    await refresh();
    if (shut) return;
    queue.flush();
    settle();
    if (performance.now() - syncedAt > SYNC) {
      const list = tickets;
      await list.sync();
      if (list === tickets) syncedAt = performance.now();
    }
    showPeople();
  } catch (error) {
    if (error instanceof Refused) await refuse(error);
    else if (!(error instanceof Unreachable)) throw error;
    else if (!door && shut !== "gate") waitForNetwork();
  } finally {
    showLine();
  }
}

/** What another tab has sent meanwhile doesn't wait any more. */
function settle() {
  if (busy.size) return;
  const waiting = new Set(queue.of(EVENT).map((item) => item.scan_id));
  const settled = log.filter(({ scan, state }) => state === "waiting" && !waiting.has(scan));
  for (const entry of settled) {
    entry.state = "sent";
    tickets.waiting.delete(entry.attendee);
  }
  if (settled.length) showLog();
}

function waitForNetwork() {
  close({ title: "No network yet", text: "The door needs it once, to fetch the list of tickets. It goes on by itself.", again: () => tick({ soon: true }) });
}

async function keepUp() {
  if (!document.hidden) await tick().catch((error) => console.error(error));
  setTimeout(keepUp, shut === "gate" ? 3 * TICK : TICK);
}

// -- Registering this device ----------------------------------------------------------------------

async function enrol() {
  const code = new URLSearchParams(location.hash.slice(1)).get("enrol");
  if (!code) return true;
  view.gate({ title: "Registering this device…" });
  try {
    const { data } = await api.post("door/devices/", { code });
    await kept.put(`token/${data.event_id}`, data.token);
    // The code is used up; a token for another event opens that event's door.
    history.replaceState(null, "", location.pathname);
    if (data.event_id !== EVENT) location.replace(location.pathname.replace(/\d+\/$/, `${data.event_id}/`));
    else api.token = data.token;
    view.gate(null);
    view.notice("device", `This phone is now “${data.device.name}”.`);
    return data.event_id === EVENT;
  } catch (error) {
    shut = "gate";
    if (error instanceof Unreachable) view.gate({ title: "No network", text: "Registering this device needs it.", again: () => location.reload() });
    else {
      history.replaceState(null, "", location.pathname);
      view.gate({ title: "This code can't be used", text: error.status === 429 ? error.message : "It was used before, or it is too old. Ask an organiser for a new one.", again: () => location.reload() });
    }
    return false;
  }
}

// -- Walk-ins -------------------------------------------------------------------------------------

async function addWalkIn(event) {
  event.preventDefault();
  if (busy.has("walk-in")) return;
  const person = view.walkIn();
  const missing = {};
  if (!person.first_name) missing.first_name = "Who is it?";
  if (!person.email && !person.phone) missing.email = "An e-mail address or a phone number is needed.";
  view.walkInProblems(missing);
  if (Object.keys(missing).length) return;
  busy.add("walk-in");
  view.walkInBusy(true);
  unsentWalkIn ??= newId(); // the same until the server said yes: sent twice, they are added once
  try {
    const at = now().toISOString();
    const { data } = await api.post(`events/${EVENT}/walk-ins/`, { ...person, scan_id: unsentWalkIn, scanned_at: at });
    const verdict = { ...answered(data), scan: unsentWalkIn };
    unsentWalkIn = null;
    if (verdict.kind === "in") deltas.set(verdict.scan, { people: 1 + data.attendee.plus_ones, settledAt: performance.now() });
    note({ ...verdict, state: "sent", scannedAt: at, attendee: data.attendee.id });
    view.clearWalkIn();
    show(verdict);
    sound.play(TUNES[verdict.kind]);
    tick({ soon: true });
    await keepLog();
  } catch (error) {
    if (error instanceof Unreachable) view.walkInProblems({}, "No network. A walk-in can only be added with it: try again.");
    else if (!(error instanceof Refused)) throw error;
    else if (error.status === 401) await refuse(error);
    else {
      view.walkInProblems(error.fields, Object.keys(error.fields).some((name) => document.getElementById(name)) ? "" : error.message);
      sound.play("bad");
    }
  } finally {
    busy.delete("walk-in");
    view.walkInBusy(false);
  }
}

// -- Start ----------------------------------------------------------------------------------------

function listen() {
  view.onGo((to) => {
    view.go(to);
    camera.paused = !view.seesCamera();
    view.closeAnswer();
    if (!shut && to === "scan") camera.start();
  });
  view.on("search-text", "input", showPeople);
  view.on("search-form", "submit", (event) => {
    event.preventDefault();
    document.activeElement.blur(); // puts the phone's keyboard away
  });
  view.on("walk-in-form", "submit", addWalkIn);
  view.on("answer", "click", ({ target }) => target.closest("#answer-undo") || view.closeAnswer());
  view.on("camera-again", "click", () => camera.start());
  view.on("torch", "click", () => camera.light());
  view.on("turn", "click", () => camera.turn());
  view.on("mute", "click", () => {
    sound.muted = !sound.muted;
    view.muted(sound.muted);
    kept.put("muted", sound.muted);
  });
  view.on("point", "change", async ({ target }) => {
    view.closeAnswer();
    await choose(target.value === "" ? null : Number(target.value));
    await tick({ soon: true });
  });
  addEventListener("online", () => {
    queue.flush({ now: true });
    tick({ soon: true });
  });
  addEventListener("hashchange", () => location.reload()); // a registration code, opened where the page was open
  addEventListener("offline", () => reach(false));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return camera.stop();
    if (shut !== "gate") camera.start();
    stayAwake();
    queue.flush({ now: true });
    return tick({ soon: true });
  });
}

async function stayAwake() {
  await navigator.wakeLock?.request("screen").catch(() => null);
}

/** A new version takes over while nobody looks; everything that matters is on the disk. */
async function installWorker() {
  if (!navigator.serviceWorker) return; // no HTTPS
  const had = Boolean(navigator.serviceWorker.controller);
  const registration = await navigator.serviceWorker.register("/door/sw.js");
  setInterval(() => registration.update().catch(() => null), 30 * 60 * 1000);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (!had) return;
    document.addEventListener("visibilitychange", () => document.hidden && location.reload());
  });
}

/** Names of events that are over leave the phone. */
async function forgetThePast() {
  for (const [key, past] of await kept.entries("door/")) {
    if (Date.now() - new Date(past.event.ends_at) > FORGOTTEN_AFTER) await forgetEvent(past.event.id ?? key.split("/")[1]);
  }
}

async function start() {
  try {
    await open();
  } catch {
    view.gate({ title: "This browser keeps nothing", text: "Scans would be lost. Open the page in a window that isn't private." });
    return;
  }
  installWorker().catch((error) => console.warn(error));
  navigator.storage?.persist?.();
  listen();
  api.token = (await kept.get(`token/${EVENT}`)) ?? null;
  sound.muted = (await kept.get("muted")) ?? false;
  view.muted(sound.muted);
  await queue.load();
  if (!(await enrol())) return;
  await forgetThePast();
  point = (await kept.get(`point/${EVENT}`)) ?? null;
  log = (await kept.get(`log/${EVENT}`)) ?? [];
  door = (await kept.get(`door/${EVENT}`)) ?? null;
  if (door) {
    clock = door.clock;
    await choose(point);
    showDoor();
    showLog();
    camera.start();
  }
  showLine();
  queue.flush();
  await keepUp();
  if (!shut) camera.start();
  stayAwake();
}

setInterval(showLine, 1000);
start();
