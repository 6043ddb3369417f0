// The card with the answer to a scan.

import { here, newId, sound, TUNES, whenAndWho } from "./here.js";
import { entryOf, mayUndo } from "./log.js";
import { sentence } from "./verdict.js";
import * as view from "./view.js";

/** Puts a verdict on the screen, with what became of its sending. */
export function show(verdict, { sent = sentState(verdict) } = {}) {
  const entry = entryOf(verdict.scan);
  const when = verdict.kind === "already" || verdict.late ? whenAndWho(verdict) : "";
  view.answer(verdict, { when, sent, undo: Boolean(entry && mayUndo(entry)), said: sentence(verdict, when) });
}

export function showAndPlay(verdict, options) {
  show(verdict, options);
  sound.play(TUNES[verdict.kind] ?? "known");
}

/** Something that never became a scan. */
export function fail(verdict) {
  showAndPlay({ kind: "refused", scan: newId(), ...verdict }, { sent: "" });
}

function sentState({ scan, kind }) {
  const entry = entryOf(scan);
  if (!entry) return "";
  if (entry.state === "sent") return kind === "in" || kind === "already" ? "Confirmed" : "Checked with the server";
  return here.reached ? "" : "Kept on this phone, waiting to be sent";
}
