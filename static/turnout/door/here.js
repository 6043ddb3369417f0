// What the parts of the door share: which door this is, what is known of it, and its machinery.

import { Api } from "./api.js";
import { Camera } from "./camera.js";
import { Queue } from "./queue.js";
import { Sound } from "./sound.js";

export const EVENT = Number(location.pathname.match(/\/door\/(\d+)\//)[1]);
export const SIGN_IN = `/admin/login/?next=${encodeURIComponent(location.pathname)}`;
export const TUNES = { in: "good", already: "known", kept: "known", refused: "bad" };

export const here = {
  door: null, // what GET door/ said last
  point: null, // where one stands; null is the event's own door
  tickets: null, // of that point
  counts: null, // of that point
  reached: navigator.onLine,
  clock: 0, // the server's clock, less this phone's
  syncedAt: -Infinity,
  shut: null, // "signed-out" | "gate"
};

/** People and codes whose scan is being taken this moment. */
export const busy = new Set();

export const api = new Api();
export const sound = new Sound();
export const queue = new Queue(api);
export const camera = new Camera(document.getElementById("video"));

export const now = () => new Date(Date.now() + here.clock);

export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // without HTTPS there is no randomUUID
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** "10:02" where the event is; with the day if it isn't today. */
export function clockTime(moment) {
  if (!moment) return "";
  const zone = { timeZone: here.door?.event.timezone };
  const time = new Intl.DateTimeFormat("en-GB", { ...zone, hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { ...zone, weekday: "short", day: "numeric", month: "short" });
  const date = new Date(moment);
  if (day.format(date) === day.format(now())) return time.format(date);
  return `${day.format(date).replace(/^(\p{L}+),/u, "$1")}, ${time.format(date)}`;
}

export const whenAndWho = ({ at, by }) => [clockTime(at), by && `by ${by}`].filter(Boolean).join(", ");
