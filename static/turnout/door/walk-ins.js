// Somebody without a ticket: added and checked in at the event's own door, with network only.

import { Refused, Unreachable } from "./api.js";
import { showAndPlay } from "./card.js";
import { refuse } from "./gate.js";
import { api, busy, EVENT, here, newId, now, sound } from "./here.js";
import { keepLog, note } from "./log.js";
import { tick } from "./sync.js";
import { answered } from "./verdict.js";
import * as view from "./view.js";

let unsent = null; // the scan_id, until the server said yes

export async function addWalkIn(event) {
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
  unsent ??= newId(); // the same until the server said yes: sent twice, they are added once
  try {
    const at = now().toISOString();
    const { data } = await api.post(`events/${EVENT}/walk-ins/`, { ...person, scan_id: unsent, scanned_at: at });
    const verdict = { ...answered(data), scan: unsent };
    unsent = null;
    note({ ...verdict, state: "sent", scannedAt: at, attendee: data.attendee.id });
    view.clearWalkIn();
    showAndPlay(verdict);
    if (verdict.kind === "in" && here.point === null) await here.counts?.settle(verdict.scan, 1 + data.attendee.plus_ones);
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
