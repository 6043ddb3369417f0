// The list of tickets at one check-in point: in memory for answers at once, in IndexedDB for later.

import { kept, tickets as stored } from "./store.js";

const PAGE = 1000;
const WHOLE_AGAIN = 60 * 60 * 1000; // changes are enough in between
const byName = new Intl.Collator(undefined, { sensitivity: "base" });

export class Tickets {
  constructor(api, eventId, point) {
    this.api = api;
    this.eventId = eventId;
    this.point = point;
    this.name = `${eventId}/${point ?? "door"}`;
    this.byId = new Map();
    this.byHash = new Map();
    this.sorted = null; // by name; made when it is needed
    this.asOf = null;
    this.wholeAt = 0;
    this.checkedAt = null;
    this.waiting = new Map(); // attendee id → {at}: let in here, not yet known to the server
    this.changed = new Map(); // attendee id → when the server last told us of it in an answer
  }

  get loaded() {
    return this.asOf !== null;
  }

  async load() {
    const head = await kept.get(`list/${this.name}`);
    if (!head) return;
    for (const row of await stored.read(this.name)) this.#take(row);
    Object.assign(this, { asOf: head.asOf, wholeAt: head.wholeAt, checkedAt: head.checkedAt });
  }

  /** Fetches what changed, or the whole list where there is none. Raises what the API raises. */
  async sync() {
    const startedAt = performance.now();
    const whole = !this.loaded || Date.now() - this.wholeAt > WHOLE_AGAIN;
    const query = new URLSearchParams({ page_size: PAGE });
    if (this.point !== null) query.set("point", this.point);
    if (!whole) query.set("updated_since", this.asOf);
    let path = `events/${this.eventId}/door/tickets/?${query}`;
    let asOf = null;
    const rows = [];
    while (path) {
      const { data, headers } = await this.api.get(path);
      asOf ??= headers.get("Turnout-As-Of");
      rows.push(...data.results);
      path = data.next;
    }
    // A page may be older than an answer that came while it was under way; the next sync has both.
    const news = rows.filter(({ id }) => !(this.changed.get(id) > startedAt));
    if (whole) {
      const still = new Set(rows.map(({ id }) => id));
      for (const row of [...this.byId.values()]) if (!still.has(row.id)) this.#drop(row);
    }
    for (const row of news) this.#take(row);
    this.asOf = asOf;
    this.checkedAt = Date.now();
    if (whole) this.wholeAt = this.checkedAt;
    const all = whole ? [...this.byId.values()] : news;
    await stored.write(this.name, all.map(plain), { replace: whole });
    await kept.put(`list/${this.name}`, {
      name: this.name,
      asOf: this.asOf,
      wholeAt: this.wholeAt,
      checkedAt: this.checkedAt,
    });
  }

  #take(row) {
    const old = this.byId.get(row.id);
    if (old) this.byHash.delete(old.ticket_hash);
    this.sorted = null;
    if (row.name !== undefined) Object.assign(row, findable(row.name));
    this.byId.set(row.id, row);
    this.byHash.set(row.ticket_hash, row);
  }

  #drop(row) {
    this.sorted = null;
    this.byId.delete(row.id);
    this.byHash.delete(row.ticket_hash);
  }

  /** {at, by} of the check-in, with `waiting` where the server doesn't know of it yet; null if not in. */
  isIn(row) {
    const mine = this.waiting.get(row.id);
    if (mine) return { at: mine.at, by: "you", waiting: true };
    return row.checked_in_at ? { at: row.checked_in_at, by: row.checked_in_by } : null;
  }

  /** What the server answered about a person is newer than the list. */
  async learn(attendee, { at, by }) {
    const row = this.byId.get(attendee.id);
    if (!row) return;
    Object.assign(row, { checked_in_at: at, checked_in_by: by });
    for (const name of ["name", "photo_url", "plus_ones", "status"]) row[name] = attendee[name] ?? row[name];
    this.changed.set(row.id, performance.now());
    await stored.write(this.name, [plain(row)]);
  }

  /** {people, expected}, plus-ones included, by this list alone. */
  tally() {
    const sum = (rows) => rows.reduce((people, { plus_ones }) => people + 1 + plus_ones, 0);
    const expected = [...this.byId.values()].filter(({ removed }) => !removed);
    return { people: sum(expected.filter((row) => this.isIn(row))), expected: sum(expected) };
  }

  /** People whose name has every word of the text in it, best first; without a text, who isn't in yet first. */
  search(text, limit = 40) {
    const { key, tails } = findable(text);
    const words = key.split(" ").filter(Boolean);
    const whole = tails[0] ?? "";
    this.sorted ??= [...this.byId.values()].filter(({ removed }) => !removed).sort((a, b) => byName.compare(a.name, b.name));
    const runs = (row) => row.tails.some((tail) => tail.startsWith(whole));
    const hits = this.sorted.filter((row) => words.every((word) => row.key.includes(word)) || runs(row));
    const starts = (row) => words.every((word) => ` ${row.key}`.includes(` ${word}`)) || runs(row);
    const first = words.length ? starts : (row) => !this.isIn(row);
    const rows = [...hits.filter(first), ...hits.filter((row) => !first(row))];
    return { total: hits.length, rows: rows.slice(0, limit) };
  }
}

function plain({ key, tails, list, ...row }) {
  return row;
}

/**
 * By what a name is found. `key`: its words in lower case, without accents; apostrophes and hyphens part
 * words. `tails`: from each word on, without gaps. "D’Arcy Müller" is found by "muller", "d arcy", "darcy m".
 */
function findable(text) {
  const letters = text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const words = letters.split(/[\p{P}\p{Z}\p{Sk}\p{C}\u02b0-\u02ff]+/u).filter(Boolean);
  return { key: words.join(" "), tails: words.map((_word, index) => words.slice(index).join("")) };
}

/** The hex digest under which the list has a code; null where the browser can't (no HTTPS). */
export async function hash(code) {
  if (!crypto.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(code));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
