// What is on the screen all the time: the event, the place, the line, the counts, the people.

import { clockTime, EVENT, here, queue } from "./here.js";
import { choices, placeName, whyShut } from "./place.js";
import * as view from "./view.js";

let drawing = null;

export function showDoor() {
  const { door, point } = here;
  view.text("title", door.event.title);
  document.title = `${door.event.title} – Door`;
  view.points(choices(), point, placeName());
  const open = door.at_door && door.event.status !== "cancelled";
  view.allowWalkIns(door.scanner.may_add_walk_ins && open, door.event.max_plus_ones);
  showLine();
  showCounts();
}

export function showLine() {
  const items = queue.of(EVENT);
  const old = items.some(({ addedAt }) => Date.now() - addedAt > 1500); // no flicker for what goes at once
  const list = here.tickets?.checkedAt ? ` List of ${clockTime(here.tickets.checkedAt)}.` : "";
  const state = here.reached ? "online" : "offline";
  const words = here.reached ? "Online" : `Offline – scans are kept.${list}`;
  view.line({ state, words, waiting: here.reached && !old ? 0 : items.length });
  view.text("shut", whyShut()?.text ?? "");
}

export function reach(is) {
  if (here.reached === is) return;
  here.reached = is;
  showLine();
}

/** After the answer has been painted: with 10,000 people a slow phone needs a moment. */
export function showPeople() {
  showCounts();
  drawing ??= requestAnimationFrame(() => setTimeout(drawPeople));
}

function showCounts() {
  view.counts(here.counts?.now());
}

const STATES = { excused: "Excused", absent: "Absent", present: "Marked present", late: "Marked late" };

function drawPeople() {
  drawing = null;
  const { tickets } = here;
  if (!tickets) return;
  const words = document.getElementById("search-text").value;
  const { total, rows } = tickets.search(words);
  const shown = rows.map((row) => {
    const isIn = tickets.isIn(row);
    const guests = row.plus_ones ? `+${row.plus_ones}` : "";
    const state = isIn ? `In ${clockTime(isIn.at)}${isIn.waiting ? ", waiting to be sent" : ""}` : STATES[row.status];
    return { id: row.id, name: row.name, photo: row.photo_url, state: [guests, state ?? "Not in yet"].filter(Boolean).join(" · "), in: Boolean(isIn) };
  });
  const people = `${total} ${total === 1 ? "person" : "people"}`;
  const more = total > rows.length ? ` The first ${rows.length}:` : "";
  const none = tickets.loaded ? "Nobody of that name." : "The list isn't on this phone yet.";
  view.hits(shown, total ? people + (more && `.${more}`) : none);
}
