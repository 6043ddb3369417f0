// A scan: answered at once by the list on the phone, kept, sent, and answered by the server.

import { fail, show, showAndPlay } from "./card.js";
import { busy, clockTime, EVENT, here, newId, now, queue, sound, TUNES, whenAndWho } from "./here.js";
import { entryOf, keepLog, note, showLog } from "./log.js";
import { hours, whyShut } from "./place.js";
import { showPeople } from "./screen.js";
import { hash } from "./tickets.js";
import { undone } from "./undo.js";
import { answered, judge, sentence } from "./verdict.js";
import * as view from "./view.js";

const PATIENCE = 2000; // how long an unknown ticket may be "checking"
const LONGEST_CODE = 64;

/** What the camera has read. */
export async function scanned(code) {
  if (here.shut === "gate" || !here.tickets) return;
  if (code.length > LONGEST_CODE) return fail(answered({ result: "refused", code: "invalid" }));
  const digest = await hash(code);
  await checkIn(here.tickets.byHash.get(digest), { ticket_code: code });
}

/** Whom somebody has picked from the list. */
export const picked = (id) => checkIn(here.tickets.byId.get(id), { attendee_id: id });

async function checkIn(row, body) {
  const { tickets, counts, point } = here;
  const who = row?.id ?? body.ticket_code;
  if (busy.has(who)) return; // a second tap of the same moment
  busy.add(who);
  try {
    const at = now().toISOString();
    const isIn = row ? tickets.isIn(row) : null;
    const verdict = judge(row, { isIn, at, loaded: tickets.loaded, online: here.reached, shut: whyShut() });
    const before = underWay(row, body);
    if (before) return repeat(before, verdict);
    verdict.scan = newId();
    if (verdict.kind === "in") {
      tickets.waiting.set(row.id, { at });
      counts.expect(verdict.scan, 1 + row.plus_ones);
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
    showAndPlay(verdict);
    showPeople();
    await saved;
    await keepLog();
    if (verdict.kind === "checking") setTimeout(() => giveUpChecking(verdict.scan), PATIENCE);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    fail({ word: "Not saved", text: "This phone's storage is full or closed. Free some space and scan again." });
  } finally {
    busy.delete(who);
  }
}

/** The scan of the same person or code that still waits for its answer. */
function underWay(row, body) {
  return queue
    .of(EVENT)
    .find((item) => item.kind === "scan" && !item.undo && item.point === here.point && ((row && item.attendee === row.id) || (body.ticket_code && item.body.ticket_code === body.ticket_code)));
}

/** Shows again what is known; the first scan is on its way, and a second one would tell nothing new. */
function repeat(item, verdict) {
  if (view.answering() !== item.scan_id) showAndPlay({ ...verdict, scan: item.scan_id });
}

function giveUpChecking(scan) {
  const entry = entryOf(scan);
  if (entry?.kind !== "checking") return;
  Object.assign(entry, { kind: "refused", word: "Unknown ticket", text: "Not on this phone's list; the server hasn't answered yet." });
  if (view.answering() === scan) showAndPlay(entry);
  keepLog();
}

// -- What the server says -------------------------------------------------------------------------

export async function heard(item, answer) {
  if (item.event !== EVENT) return;
  if (item.kind === "undo") return undone(item, answer);
  const row = here.tickets?.byId.get(item.attendee ?? answer.attendee?.id);
  // The server takes a refused scan that comes late for somebody who was let in. This one wasn't.
  if (answer.result === "flagged" && item.guess === "refused") answer = { ...answer, result: "refused" };
  // Of two scans the earlier counts: ours came in later, and still is the one that let the person in.
  const ours = answer.result === "already_checked_in" && Number(new Date(answer.checked_in_at)) === Number(new Date(item.scanned_at));
  if (ours) answer = { ...answer, result: "checked_in", check_in_id: null };
  const closed = answer.code === "point_closed" && hours(item.point, item.scanned_at);
  if (closed) answer = { ...answer, detail: closed };
  const verdict = { ...answered(answer, row), scan: item.scan_id };
  await learn(item, answer, verdict, { row, ours });
  const entry = entryOf(item.scan_id);
  // Who was removed meanwhile may have left the list before the answer came.
  if (entry?.name && !verdict.name) Object.assign(verdict, { name: entry.name, plus: entry.plus, photo: entry.photo });
  const guess = entry?.kind ?? item.guess;
  const entered = answer.result === "checked_in";
  if (entry) {
    const undoing = entry.state === "undoing" && entered;
    Object.assign(entry, verdict, { state: undoing ? "undoing" : "sent" });
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

/** The list and the counts of the place where one stands take over what the server says. */
async function learn(item, answer, verdict, { row, ours }) {
  const { tickets, counts } = here;
  if (!tickets || item.point !== tickets.point) return;
  const entered = answer.result === "checked_in";
  if (item.attendee) tickets.waiting.delete(item.attendee);
  if (entered && !item.undo && !ours) await counts.settle(item.scan_id, answer.attendee ? 1 + answer.attendee.plus_ones : item.people);
  else counts.forget(item.scan_id);
  if (!answer.attendee) return;
  if (verdict.at && !(item.undo && entered)) await tickets.learn(answer.attendee, verdict);
  if (!row) here.syncedAt = -Infinity; // somebody new: the next tick fetches them
}

/** The server wants the scan again later. Who is on the list has been let in by it. */
export function postponed(item, { code, detail, retryAfter }) {
  const entry = entryOf(item.scan_id);
  if (entry?.kind !== "checking" || view.answering() !== item.scan_id) return;
  const text = retryAfter ? `Too many unknown tickets. Scan again in ${retryAfter} seconds.` : detail;
  showAndPlay({ ...answered({ result: "refused", code, detail: text, attendee: null }), scan: item.scan_id, text });
  entry.kind = "refused";
}
