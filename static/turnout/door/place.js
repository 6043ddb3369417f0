// Where one can stand, and whether somebody can be let in there.

import { clockTime, here, now } from "./here.js";

const MAIN_DOOR = { id: null, name: "Main door" };

/** [{id, name, opens_at, closes_at}]: the event's own door, if this scanner may use it, and its other points. */
export const choices = (door = here.door) => [...(door?.at_door ? [MAIN_DOOR] : []), ...(door?.points ?? [])];

export const placeName = () => choices().find(({ id }) => id === here.point)?.name ?? "";

/** Why nobody can be let in at the moment: {code, text}; null where they can. */
export function whyShut(moment = now()) {
  if (here.door?.event.status === "cancelled") return { code: "event_closed", text: "This event is cancelled." };
  const text = hours(here.point, moment);
  return text ? { code: "point_closed", text } : null;
}

/** "Second day opens at Sun 22 Nov, 09:00." to somebody who came at a moment when the point wasn't open; or null. */
export function hours(point, moment) {
  const place = choices().find(({ id }) => id === point);
  const at = new Date(moment);
  const opens = place?.opens_at && new Date(place.opens_at);
  if (opens && at < opens) return `${place.name} ${now() < opens ? "opens" : "opened"} at ${clockTime(opens)}.`;
  if (place?.closes_at && at >= new Date(place.closes_at)) return `${place.name} closed at ${clockTime(place.closes_at)}.`;
  return null;
}
