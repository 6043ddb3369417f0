// Scans on their way to the server. A scan is on the disk before it is sent, and leaves it on a final
// answer only. Sending twice does no harm: the server knows a scan by its id.

import { Refused, Unreachable } from "./api.js";
import { queue as stored } from "./store.js";

const BATCH = 100;
const LATER = new Set(["throttled", "busy"]);
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

export class Queue {
  /** A final answer; for an undo, {result: "undone" | "refused", …}. */
  onAnswer = (item, answer) => {};

  /** Not now (throttled, busy). */
  onLater = (item, answer) => {};

  /** Not us (401, 403, 404). */
  onShut = (eventId, error) => {};

  /** Another number is waiting. */
  onChange = () => {};

  constructor(api) {
    this.api = api;
    this.items = [];
    this.failures = 0;
    this.notBefore = 0;
    this.running = null;
  }

  async load() {
    this.items = await stored.all();
    this.onChange();
  }

  of(eventId) {
    return this.items.filter((item) => item.event === eventId);
  }

  /** Resolves when the item is on the disk; the sending goes on by itself. */
  async add(item) {
    const whole = { kind: "scan", attempted: false, undo: false, addedAt: Date.now(), ...item };
    whole.key = await stored.add(whole);
    this.items.push(whole);
    this.onChange();
    this.flush();
    return whole;
  }

  /**
   * "removed": it was never sent, and now never will be. "later": it is or was under way, so the
   * server may have it; it is undone as soon as the server has answered. "gone": not here any more.
   */
  async takeBack(scanId) {
    const item = this.items.find((one) => one.scan_id === scanId && one.kind === "scan");
    if (!item) return "gone";
    let outcome = "gone";
    await this.#change(item.key, (old) => {
      outcome = old.attempted ? "later" : "removed";
      return old.attempted ? { ...old, undo: true } : null;
    });
    return outcome;
  }

  /** Sends all that waits, unless it is too early to try again. */
  flush({ now = false } = {}) {
    if (now) this.notBefore = this.failures = 0;
    this.again = true;
    this.running ??= this.#run().finally(() => {
      this.running = null;
      clearTimeout(this.timer);
      if (this.items.length) this.timer = setTimeout(() => this.flush(), Math.max(250, this.notBefore - Date.now()));
    });
    return this.running;
  }

  async #run() {
    const work = async (lock) => {
      if (lock === null) {
        this.items = await stored.all(); // another tab is sending: what has it left?
        this.notBefore = Date.now() + FIRST_PAUSE;
        return this.onChange();
      }
      while (this.again) {
        this.again = false;
        // Without network nothing can be under way, and what isn't under way can be taken back for good.
        if (Date.now() < this.notBefore || !navigator.onLine) return;
        this.items = await stored.all(); // other tabs add to it too
        this.onChange();
        await this.#send();
      }
    };
    // Locks need HTTPS; without them two tabs may send the same scan twice, which does no harm.
    if (navigator.locks) await navigator.locks.request("turnout-door-queue", { ifAvailable: true }, work);
    else await work();
  }

  async #send() {
    const shut = new Set();
    for (;;) {
      const chunk = next(this.items.filter((item) => !shut.has(place(item))));
      if (!chunk.length) return;
      try {
        if (!(await this.#sendChunk(chunk))) return this.#pause();
        this.failures = 0;
      } catch (error) {
        if (!(error instanceof Refused)) {
          this.#pause();
          if (error instanceof Unreachable) return;
          throw error;
        }
        if (LATER.has(error.code) || error.status === 429) {
          const answer = { code: "throttled", detail: error.message, retryAfter: error.retryAfter };
          for (const item of chunk) this.onLater(item, answer);
          return this.#pause(error.retryAfter);
        }
        shut.add(place(chunk[0]));
        this.onShut(chunk[0].event, error);
        this.#pause();
      }
    }
  }

  #pause(seconds) {
    this.failures += 1;
    const grown = Math.min(FIRST_PAUSE * 2 ** (this.failures - 1), LONGEST_PAUSE);
    this.notBefore = Date.now() + Math.max((seconds ?? 0) * 1000, grown * (0.75 + Math.random() / 2));
  }

  /** True unless some must wait. Raises Unreachable, and Refused where it isn't about one scan. */
  async #sendChunk(chunk) {
    const items = [];
    for (const { key } of chunk) {
      const item = await this.#change(key, (old) => ({ ...old, attempted: true }));
      if (item) items.push(item);
    }
    if (!items.length) return true;
    const [first] = items;
    if (first.kind === "undo") await this.#sendUndo(first);
    else if (items.length === 1) await this.#finish(first, await this.#sendOne(first));
    else return this.#sendBatch(items);
    return true;
  }

  async #sendOne(item) {
    try {
      const body = { ...scan(item), ...(item.point === null ? {} : { point: item.point }) };
      return (await this.api.post(`events/${item.event}/check-ins/`, body)).data;
    } catch (error) {
      if (!isFinal(error)) throw error;
      return refusal(error);
    }
  }

  async #sendBatch(chunk) {
    const [{ event, point }] = chunk;
    let results;
    try {
      const body = { scans: chunk.map(scan), ...(point === null ? {} : { point }) };
      ({ results } = (await this.api.post(`events/${event}/check-ins/batch/`, body)).data);
    } catch (error) {
      if (!isFinal(error)) throw error;
      // One of them spoils the batch: alone, each gets its own answer.
      for (const item of chunk) await this.#finish(item, await this.#sendOne(item));
      return true;
    }
    let complete = true;
    for (const [index, item] of chunk.entries()) {
      const answer = results[index];
      if (answer.result === "refused" && LATER.has(answer.code)) {
        complete = false;
        this.onLater(item, answer);
      } else await this.#finish(item, answer);
    }
    return complete;
  }

  async #sendUndo(item) {
    let answer;
    try {
      ({ data: answer } = await this.api.post(`events/${item.event}/check-ins/${item.check_in_id}/undo/`));
    } catch (error) {
      if (!isFinal(error) && !(error instanceof Refused && error.status === 404)) throw error;
      answer = refusal(error);
    }
    await this.#change(item.key, () => null);
    this.onAnswer(item, { ...answer, result: answer.result === "refused" ? "refused" : "undone" });
  }

  async #finish(item, answer) {
    let latest = item;
    await this.#change(item.key, (old) => {
      latest = old;
      if (!old.undo || answer.result !== "checked_in" || !answer.check_in_id) return null;
      // The wish to undo, spoken while the scan was under way, takes its place.
      const { key, event, point, scan_id, attendee, addedAt } = old;
      return { key, event, point, scan_id, attendee, addedAt, kind: "undo", check_in_id: answer.check_in_id };
    });
    this.onAnswer(latest, answer);
  }

  /** Writes the disk, then what is shown of it. Resolves with the item as it is now. */
  async #change(key, decide) {
    let now;
    await stored.change(key, (old) => (now = decide(old)));
    this.items = this.items.flatMap((item) => (item.key !== key ? [item] : now ? [now] : []));
    this.onChange();
    return now;
  }
}

const place = ({ event, point }) => `${event}/${point}`;

/** The first item, with those behind it that may travel in the same batch. */
function next(items) {
  const [first] = items;
  if (!first || first.kind === "undo" || first.undo) return items.slice(0, 1);
  const end = items.findIndex(
    (item) => item.kind !== "scan" || item.undo || place(item) !== place(first),
  );
  return items.slice(0, Math.min(BATCH, end === -1 ? items.length : end));
}

/** With what the phone told the person: who was turned away isn't inside, however late the server hears of it. */
function scan({ scan_id, scanned_at, body, guess }) {
  const let_in = { in: true, refused: false }[guess] ?? null;
  return { scan_id, scanned_at, let_in, ...body };
}

/** Whether a refusal is about the scan and won't change. */
function isFinal(error) {
  if (!(error instanceof Refused) || LATER.has(error.code)) return false;
  return error.status === 400 || error.status === 409 || error.code === "unknown_ticket";
}

function refusal({ code, status, message }) {
  return { result: "refused", code: status === 400 ? "invalid" : code, detail: message, attendee: null, check_in_id: null };
}
