// Keeping up with the server: the door's state and counts, the tickets, and what waits.

import { Refused, Unreachable } from "./api.js";
import { Counts } from "./counts.js";
import { close, refuse, reopen } from "./gate.js";
import { api, busy, EVENT, here, queue } from "./here.js";
import { keepLog, showLog, waiting } from "./log.js";
import { choices } from "./place.js";
import { showDoor, showLine, showPeople } from "./screen.js";
import { kept } from "./store.js";
import { Tickets } from "./tickets.js";
import { key as undoOf } from "./undo.js";

const TICK = 5000;
const SYNC = 20_000;
const CLOCK_TRUSTED = 10_000;

/** Stands at another point: its list, its counts, and what waits there. */
export async function choose(id) {
  const list = new Tickets(api, EVENT, id);
  const counts = new Counts(EVENT, id, list);
  Object.assign(here, { point: id, tickets: list, counts, syncedAt: -Infinity });
  for (const item of queue.of(EVENT)) {
    if (item.point !== id) continue;
    if (item.kind === "undo" && item.people) counts.expect(undoOf(item.scan_id), -item.people);
    if (item.kind !== "scan" || item.undo || item.guess !== "in") continue;
    list.waiting.set(item.attendee, { at: item.scanned_at });
    counts.expect(item.scan_id, item.people);
  }
  if (here.door) showDoor();
  await Promise.all([list.load(), counts.load(), kept.put(`point/${EVENT}`, id)]);
  showPeople();
}

/** {point, data, askedAt}: the door's state, with the counts of the point that was asked for. */
async function ask(point) {
  const askedAt = performance.now();
  const path = `events/${EVENT}/door/`;
  const { data } = await api.get(point === null ? path : `${path}?point=${point}`);
  // A slow network moves the estimate by its delay: only a clock that is clearly wrong is corrected.
  const skew = new Date(data.server_time) - (Date.now() - (performance.now() - askedAt) / 2);
  here.clock = Math.abs(skew) > CLOCK_TRUSTED ? skew : 0;
  return { point, data, askedAt };
}

async function refresh() {
  const wanted = here.point;
  let told = await ask(wanted).catch((error) => {
    if (wanted === null || !(error instanceof Refused) || error.status === 401) throw error;
    return ask(null); // the point is no more: what is left?
  });
  const free = choices(told.data);
  if (!free.length) return close({ title: "No check-in point", text: "An organiser has given this device none.", again: () => location.reload() });
  const ids = free.map(({ id }) => id);
  const gone = told.point !== wanted && here.point === wanted;
  const place = ids.includes(here.point) && !gone ? here.point : ids[0];
  if (told.point !== place) told = await ask(place);
  here.door = told.data;
  await kept.put(`door/${EVENT}`, { ...told.data, clock: here.clock });
  reopen();
  if (!ids.includes(here.point) || gone || here.tickets?.point !== here.point) await choose(place);
  if (told.point === here.point) await here.counts.told(told.data.counts, told.askedAt);
  showDoor();
}

let ticking = null;

/** One round: counts, then tickets if it is time, and what waits. */
export function tick({ soon = false } = {}) {
  if (soon) here.syncedAt = -Infinity;
  if (soon && ticking) return ticking.then(() => tick());
  ticking ??= round().finally(() => (ticking = null));
  return ticking;
}

async function round() {
  try {
    await refresh();
    if (here.shut) return;
    queue.flush();
    await settle();
    if (performance.now() - here.syncedAt > SYNC) {
      const list = here.tickets;
      await list.sync();
      if (list === here.tickets) here.syncedAt = performance.now();
    }
    showPeople();
  } catch (error) {
    if (error instanceof Refused) await refuse(error);
    else if (!(error instanceof Unreachable)) throw error;
    else if (!here.door && here.shut !== "gate") waitForNetwork();
  } finally {
    showLine();
  }
}

/** What another tab has sent meanwhile doesn't wait any more. */
async function settle() {
  if (busy.size) return;
  const queued = new Set(queue.of(EVENT).map((item) => item.scan_id));
  const settled = waiting().filter(({ scan }) => !queued.has(scan));
  if (!settled.length) return;
  for (const entry of settled) {
    entry.state = "sent";
    here.tickets.waiting.delete(entry.attendee);
    await here.counts.settle(entry.scan);
  }
  showLog();
  await keepLog();
}

function waitForNetwork() {
  close({ title: "No network yet", text: "The door needs it once, to fetch the list of tickets. It goes on by itself.", again: () => tick({ soon: true }) });
}

export async function keepUp() {
  if (!document.hidden) await tick().catch((error) => console.error(error));
  setTimeout(keepUp, here.shut === "gate" ? 3 * TICK : TICK);
}
