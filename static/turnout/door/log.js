// What was scanned on this phone, the latest first.

import { clockTime, EVENT, here, now } from "./here.js";
import { kept } from "./store.js";
import * as view from "./view.js";

const LOGGED = 50;
const UNDO = 15 * 60 * 1000;

let log = [];

export async function loadLog() {
  log = (await kept.get(`log/${EVENT}`)) ?? [];
}

export function forgetLog() {
  log = [];
}

export const keepLog = () => (here.shut === "gate" ? null : kept.put(`log/${EVENT}`, log));

export const entryOf = (scan) => log.find((entry) => entry.scan === scan);

export const waiting = () => log.filter(({ state }) => state === "waiting");

export function note(entry) {
  log = [entry, ...log].slice(0, LOGGED);
  showLog();
}

/** Only the last one, as for the server. */
export function mayUndo(entry) {
  const last = log.find(({ kind, state }) => kind === "in" && (state === "waiting" || state === "sent"));
  return last === entry && now() - new Date(entry.scannedAt) < UNDO && (entry.state === "waiting" || Boolean(entry.checkIn));
}

export function showLog() {
  const states = { waiting: "waiting to be sent", undoing: "being undone", undone: "undone" };
  view.log(
    log.map((entry) => ({
      scan: entry.scan,
      kind: entry.kind,
      name: (entry.name ?? entry.word) + (entry.plus ? ` +${entry.plus}` : ""),
      state: [entry.name && entry.word, entry.late && "late", entry.kind === "refused" && entry.text, states[entry.state]].filter(Boolean).join(" · "),
      time: clockTime(entry.scannedAt),
      undone: entry.state === "undone",
      undo: mayUndo(entry),
    })),
  );
}
