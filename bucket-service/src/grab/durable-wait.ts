import { setTimeout as sleep } from "node:timers/promises";
import type { RedisClient } from "../redis/connect.ts";
import { compareEntryIds } from "../persist/journal.ts";

export const durablePolicy = {
  /** How often the journal's head is looked at while someone waits. */
  pollMs: 4,
  /** An answer that waits longer than this is told `busy`. */
  waitMsMax: 1000,
  /** Without progress for this long while something waits, MySQL counts as away, and grabs stop before they pop. */
  stallMs: 500,
} as const;

interface Waiter {
  entryId: string;
  sinceMs: number;
  done: (committed: boolean) => void;
}

/**
 * `ack: database`: holds answers back until the journal's first entry is past them. Persist takes entries out of the
 * journal only after MySQL's commit, so whatever stands before the first entry is committed.
 */
export class DurableWait {
  readonly #redis: RedisClient;
  readonly #journal: string;
  /** In the order of arrival; entry IDs only grow, but for calls that overtook each other. */
  #waiters: Waiter[] = [];
  #running = false;
  #mysqlUp = true;
  #head = "";
  #headSinceMs = 0;

  constructor(redis: RedisClient, journal: string) {
    this.#redis = redis;
    this.#journal = journal;
  }

  /** What the process's own MySQL probe says. */
  setMysqlUp(up: boolean): void {
    this.#mysqlUp = up;
  }

  /** False while MySQL is known to be away or commits do not move. */
  isFlowing(): boolean {
    if (!this.#mysqlUp) return false;
    return !this.#running || performance.now() - this.#headSinceMs < durablePolicy.stallMs;
  }

  wait(entryId: string, done: (committed: boolean) => void): void {
    this.#waiters.push({ entryId, sinceMs: performance.now(), done });
    if (!this.#running) void this.#watch();
  }

  async #watch(): Promise<void> {
    this.#running = true;
    this.#headSinceMs = performance.now();
    while (this.#waiters.length > 0) {
      try {
        const first = (await this.#redis.xrange(this.#journal, "-", "+", "COUNT", 1))[0]?.[0] ?? "";
        if (first !== this.#head || first === "") {
          this.#head = first;
          this.#headSinceMs = performance.now();
        }
        this.#settle((waiter) => first === "" || compareEntryIds(waiter.entryId, first) < 0, true);
      } catch {
        // Redis is away: the waiters run into their time, and clients ask again.
      }
      const oldest = performance.now() - durablePolicy.waitMsMax;
      this.#settle((waiter) => waiter.sinceMs < oldest, false);
      if (this.#waiters.length > 0) await sleep(durablePolicy.pollMs);
    }
    this.#running = false;
  }

  #settle(which: (waiter: Waiter) => boolean, committed: boolean): void {
    const settled = this.#waiters.filter(which);
    if (settled.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !which(waiter));
    for (const waiter of settled) waiter.done(committed);
  }
}
