// How many are in at one check-in point: what the server said last, and what it can't know yet.

import { kept } from "./store.js";

export class Counts {
  /** `list`: the tickets of the point, which tell the number where the server never did. */
  constructor(eventId, point, list) {
    this.point = point;
    this.list = list;
    this.name = `counts/${eventId}/${point ?? "door"}`;
    this.server = null; // {people, expected}
    this.deltas = new Map(); // key → {people, settledAt}; settled: the server has it, and hasn't counted for us since
  }

  async load() {
    this.server ??= (await kept.get(this.name)) ?? null;
  }

  expect(key, people) {
    this.deltas.set(key, { people, settledAt: null });
  }

  async settle(key, people = this.deltas.get(key)?.people) {
    if (people !== undefined) this.deltas.set(key, { people, settledAt: performance.now() });
    await this.#keep();
  }

  forget(key) {
    this.deltas.delete(key);
  }

  /** The server's counts, in answer to a question of `askedAt`. */
  async told({ people_in, people_expected }, askedAt) {
    this.server = { people: people_in, expected: people_expected };
    for (const [key, { settledAt }] of this.deltas) if (settledAt !== null && settledAt < askedAt) this.deltas.delete(key);
    await this.#keep();
  }

  /** {people, expected}, or null where nobody could know. */
  now() {
    if (!this.server) return this.list.loaded ? this.list.tally() : null;
    return { ...this.server, people: Math.max(0, this.server.people + this.#sum(() => true)) };
  }

  /** For the next time without network. What waits is counted anew from the queue. */
  async #keep() {
    if (!this.server) return;
    await kept.put(this.name, { ...this.server, people: this.server.people + this.#sum(({ settledAt }) => settledAt !== null) });
  }

  #sum(which) {
    return [...this.deltas.values()].filter(which).reduce((sum, { people }) => sum + people, 0);
  }
}
