// When this phone has no business at the door, or not any more.

import { api, camera, EVENT, here, queue, SIGN_IN } from "./here.js";
import { forgetLog } from "./log.js";
import { forgetEvent, kept } from "./store.js";
import * as view from "./view.js";

let wasRevoked = false;

/** 401, 403 and 404 of whatever call. */
export async function refuse(error) {
  if (error.code === "device_revoked" && api.token) return revoked();
  if (wasRevoked) return; // says more than being a stranger now
  if (error.status === 401) {
    const text = "Sign in as door staff or organiser of this event.";
    const hint = "On a phone that stays at the door: ask an organiser for the code that registers it, and scan it with the phone's camera app.";
    if (!here.tickets?.loaded) close({ title: "Sign in to open the door", text, hint, signIn: SIGN_IN });
    else if (here.shut !== "signed-out") {
      here.shut = "signed-out";
      view.notice("signed-out", "You are signed out. Scans are kept and sent after you sign in.", { signIn: SIGN_IN });
    }
  } else if (error.status === 404) {
    await forget();
    close({ title: "This event isn't yours to open", text: "You need to be door staff or organiser of it.", signIn: SIGN_IN, again: () => location.reload() });
  } else view.notice("refused", error.message);
}

/** The queue can't send. */
export function turnedAway(eventId, error) {
  if (eventId !== EVENT) return;
  if (error.status === 401) refuse(error);
  // Whether the whole door is shut or a point is gone, the next round tells.
  else view.notice("unsent", `Some scans can't be sent, and are kept. ${error.message}`);
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
  here.tickets = here.counts = here.door = null;
  forgetLog();
  view.forget();
  await forgetEvent(EVENT);
}

export function close(what) {
  here.shut = "gate";
  camera.stop();
  view.gate(what, queue.of(EVENT).length);
}

export function reopen() {
  if (!here.shut) return;
  view.clearNotice("signed-out");
  view.gate(null);
  here.shut = null;
  wasRevoked = false;
  camera.start();
}
