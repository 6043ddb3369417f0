// Taking back the last scan: before it was sent, while it is under way, or after.

import { EVENT, here, queue, sound } from "./here.js";
import { entryOf, keepLog, mayUndo, showLog } from "./log.js";
import { showPeople } from "./screen.js";
import * as view from "./view.js";

export async function undoScan(scan) {
  const entry = entryOf(scan);
  if (!entry || !mayUndo(entry)) return;
  entry.state = "undoing"; // before anything waits: a second tap finds nothing to undo
  const { point, tickets, counts } = here;
  const row = tickets?.byId.get(entry.attendee);
  const people = 1 + (entry.plus ?? 0);
  view.closeAnswer();
  const outcome = await queue.takeBack(scan);
  if (outcome === "removed") entry.state = "undone";
  if (outcome === "gone") {
    counts?.expect(key(scan), -people);
    await queue.add({ kind: "undo", event: EVENT, point, scan_id: scan, check_in_id: entry.checkIn, attendee: entry.attendee, people });
  } else counts?.forget(scan);
  if (row) {
    tickets.waiting.delete(row.id);
    await tickets.learn(row, { at: null, by: null });
  }
  const words = { removed: "undone; it was never sent.", later: "will be undone when the server has it.", gone: here.reached ? "is being undone." : "will be undone when the network is back." };
  if (outcome === "removed" || entry.state === "undoing") tell(entry.name, words[outcome]);
  showPeople();
  showLog();
  await keepLog();
}

/** The server has answered the undoing. */
export async function undone(item, answer) {
  const entry = entryOf(item.scan_id);
  const { tickets, counts } = here;
  const isHere = tickets !== null && tickets.point === item.point;
  const name = answer.attendee?.name ?? entry?.name;
  if (answer.result === "undone") {
    if (isHere) await counts.settle(key(item.scan_id));
    if (entry) entry.state = "undone";
    if (answer.attendee && isHere) await tickets.learn(answer.attendee, { at: null, by: null });
    tell(name, "undone.");
  } else {
    if (isHere) counts.forget(key(item.scan_id));
    if (entry) entry.state = "sent";
    const row = isHere && tickets.byId.get(item.attendee);
    if (row && entry) await tickets.learn(row, { at: entry.at, by: entry.by });
    view.notice("undo", `stays in. ${answer.detail}`, { about: name ?? "The scan" });
    sound.play("bad");
  }
  showPeople();
  showLog();
  await keepLog();
}

/** Under this key the counts know that somebody is about to be out again. */
export const key = (scan) => `undo ${scan}`;

function tell(name, words) {
  view.notice("undo", words, { about: `${name ?? "The scan"}:`, brief: true });
}
