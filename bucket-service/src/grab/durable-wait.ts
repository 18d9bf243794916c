import { setTimeout as sleep } from "node:timers/promises";
import type { RedisClient } from "../redis/connect.ts";
import { compareEntryIds } from "../persist/journal.ts";

export const durablePolicy = {
  /** How often the journal's head is looked at while someone waits; persist's word comes sooner. */
  pollMs: 50,
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
 * journal only after MySQL's commit, so whatever stands before the first entry is committed. Persist says so at once, on a
 * channel (redis/lua/ack.lua); a word that is lost is made up for by looking.
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
  /** What persist said last. */
  #bound = "0-0";

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
    if (compareEntryIds(entryId, this.#bound) < 0) return done(true);
    this.#waiters.push({ entryId, sinceMs: performance.now(), done });
    if (!this.#running) void this.#watch();
  }

  /** Everything before this entry ID is in MySQL. */
  committed(bound: string): void {
    this.#bound = bound;
    this.#moved(bound);
    this.#settle((waiter) => compareEntryIds(waiter.entryId, bound) < 0, true);
  }

  #moved(head: string): void {
    if (head === this.#head && head !== "") return;
    this.#head = head;
    this.#headSinceMs = performance.now();
  }

  async #watch(): Promise<void> {
    this.#running = true;
    this.#headSinceMs = performance.now();
    while (this.#waiters.length > 0) {
      await sleep(durablePolicy.pollMs);
      try {
        const first = (await this.#redis.xrange(this.#journal, "-", "+", "COUNT", 1))[0]?.[0] ?? "";
        this.#moved(first);
        // The question went the way of the grabs: an empty journal has no entry of those who wait.
        this.#settle((waiter) => first === "" || compareEntryIds(waiter.entryId, first) < 0, true);
      } catch {
        // Redis is away: the waiters run into their time, and clients ask again.
      }
      const oldest = performance.now() - durablePolicy.waitMsMax;
      this.#settle((waiter) => waiter.sinceMs < oldest, false);
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

/** Hears what persist says of commits, on a connection of its own. */
export function hearCommits(
  client: RedisClient,
  channel: string,
  durable: DurableWait,
): { stop: () => void } {
  client.on("message", (_channel: string, bound: string) => durable.committed(bound));
  // After each reconnection; one that fails is followed by another.
  client.on("ready", () => void client.subscribe(channel).catch(() => undefined));
  client.connect().catch(() => undefined);
  return { stop: () => client.disconnect() };
}
