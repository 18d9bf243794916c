import { setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { insertClaimsAtOnce, keepConflict, type PersistableClaim } from "../mysql/claims.ts";
import type { RebuildScripts } from "../rebuild/rebuild-scripts.ts";
import { restoreWins } from "../receipts/restore.ts";
import type { RedisClient } from "../redis/connect.ts";
import { JOURNAL_GROUP, type BucketKeys } from "../redis/keys.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { unpackEntry } from "./journal.ts";

/** Bounds of the way from journal to MySQL. */
export const persistPolicy = {
  /** Entries read at once; an entry holds up to a batch of claims, so this bounds a transaction. */
  entriesMax: 128,
  /** Claims in one transaction; reading stops growing a batch there. */
  claimsMax: 8192,
  blockMs: 200,
  /**
   * With `ack: journal` nobody waits for the commit, so entries are let gather this long: a transaction for each small entry
   * costs more than all else on the way of a win. A full read goes on at once.
   */
  gatherMs: 40,
  /** With `ack: database` people wait, but a commit that many share is worth a moment. */
  gatherMsDatabase: 12,
  /** An entry that another process has held for this long without acknowledging it is taken over. */
  takeoverIdleMs: 5000,
  takeoverEveryMs: 1000,
  retryDelayMs: (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 10), 2000),
} as const;

type Entry = [id: string, fields: string[]];

/** Claims that were read and are not done with: they go to MySQL in one transaction. */
interface Batch {
  epoch: string;
  rows: PersistableClaim[];
  entries: { id: string; count: number }[];
}

/** What a persist process tells whoever watches it. */
export interface PersistObserver {
  persisted(rows: number, milliseconds: number): void;
  conflict(claim: PersistableClaim): void;
  /** A rebuild had judged these claims lost; they were true wins, and are claims again (or conflicts, told apart). */
  late?(claims: number): void;
  /** MySQL or Redis did not do it; the entries stay where they are. */
  failed(what: string, error: unknown): void;
}

/**
 * Moves claims from a bucket's journal to its MySQL: read → insert → commit → take out of the journal. Several processes
 * may run; each entry is one's at a time, and an entry whose process died is taken over. A crash between commit and
 * acknowledgement makes the next one insert again, which compares and finds the same rows.
 *
 *   begin ──> own pending entries of before a crash ──> new entries ⟲      every second: entries of the dead
 *
 * What was read stays in hand until it is done with. A process that was frozen over a rebuild finds another epoch: nobody
 * else knows its entries any more, so they are brought back as receipts bring wins back (receipts/restore.ts).
 */
export class Persist {
  readonly #reader: RedisClient;
  readonly #store: BucketStore;
  readonly #keys: BucketKeys;
  readonly #pool: Pool;
  readonly #pack: Pick<Pack, "amountOf">;
  readonly #consumer: string;
  readonly #ack: () => "journal" | "database";
  readonly #observer: PersistObserver;
  readonly #scripts: RebuildScripts;
  #hand: Batch[] = [];
  readonly #stop = new AbortController();
  #takeoverAtMs = 0;

  /** @param reader a connection of its own, without a command time-out: it blocks in XREADGROUP. */
  constructor(parts: {
    reader: RedisClient;
    store: BucketStore;
    /** One that takes multiple statements. */
    pool: Pool;
    pack: Pick<Pack, "amountOf">;
    consumer: string;
    /** Whether answers wait for the commit, at this moment. */
    ack: () => "journal" | "database";
    observer: PersistObserver;
    scripts: RebuildScripts;
  }) {
    this.#reader = parts.reader;
    this.#store = parts.store;
    this.#keys = parts.store.keys;
    this.#pool = parts.pool;
    this.#pack = parts.pack;
    this.#consumer = parts.consumer;
    this.#ack = parts.ack;
    this.#observer = parts.observer;
    this.#scripts = parts.scripts;
  }

  /** Ends the run after the batch in hand. */
  stop(): void {
    this.#stop.abort();
  }

  /** Runs until stop(). Never rejects: whatever fails is told to the observer and tried again, with backoff. */
  async run(): Promise<void> {
    let attempt = 0;
    let ownPending = true;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#finish();
        const entries = ownPending ? await this.#ownPending() : await this.#next();
        if (ownPending && entries.length === 0) ownPending = false;
        this.#hand = this.#batches(entries);
        await this.#finish();
        attempt = 0;
        if (!ownPending && entries.length < persistPolicy.entriesMax) await this.#rest(this.#gatherMs());
      } catch (error) {
        this.#observer.failed("persist", error);
        // What was read and not acknowledged is pending under our name: begin with it again.
        ownPending = true;
        attempt += 1;
        await this.#rest(persistPolicy.retryDelayMs(attempt));
      }
    }
  }

  #gatherMs(): number {
    return this.#ack() === "database" ? persistPolicy.gatherMsDatabase : persistPolicy.gatherMs;
  }

  async #rest(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }

  async #ownPending(): Promise<Entry[]> {
    return this.#read("0", null);
  }

  async #next(): Promise<Entry[]> {
    const now = performance.now();
    if (now >= this.#takeoverAtMs) {
      this.#takeoverAtMs = now + persistPolicy.takeoverEveryMs;
      const taken = await this.#takeOver();
      if (taken.length > 0) return taken;
    }
    return this.#read(">", persistPolicy.blockMs);
  }

  async #read(from: "0" | ">", blockMs: number | null): Promise<Entry[]> {
    const block = blockMs === null ? [] : ["BLOCK", blockMs];
    const reply = (await this.#reader.call(
      "XREADGROUP",
      "GROUP",
      JOURNAL_GROUP,
      this.#consumer,
      "COUNT",
      persistPolicy.entriesMax,
      ...block,
      "STREAMS",
      this.#keys.journal,
      from,
    )) as [string, Entry[]][] | null;
    // An entry of our own that was acknowledged by whoever took it over comes with no fields.
    return reply?.[0]?.[1].filter(([, fields]) => fields !== null) ?? [];
  }

  /** Entries whose process has not acknowledged them for takeoverIdleMs. */
  async #takeOver(): Promise<Entry[]> {
    const reply = (await this.#reader.call(
      "XAUTOCLAIM",
      this.#keys.journal,
      JOURNAL_GROUP,
      this.#consumer,
      persistPolicy.takeoverIdleMs,
      "0-0",
      "COUNT",
      persistPolicy.entriesMax,
    )) as [string, Entry[]];
    return reply[1].filter((entry) => entry !== null && entry[1] !== null);
  }

  /** Entries in the order of the journal, cut where a transaction is large enough or the epoch changes. */
  #batches(entries: readonly Entry[]): Batch[] {
    const batches: Batch[] = [];
    for (const [id, [, packed = "", , epoch = ""]] of entries) {
      const claims = unpackEntry(packed);
      let batch = batches.at(-1);
      if (batch === undefined || batch.epoch !== epoch || batch.rows.length >= persistPolicy.claimsMax)
        batches.push((batch = { epoch, rows: [], entries: [] }));
      for (const claim of claims)
        batch.rows.push({ ...claim, amountMinor: this.#pack.amountOf(claim.prizeId), entryId: id });
      batch.entries.push({ id, count: claims.length });
    }
    return batches;
  }

  async #finish(): Promise<void> {
    for (let batch = this.#hand[0]; batch !== undefined; batch = this.#hand[0]) {
      await this.#commit(batch);
      this.#hand.shift();
    }
  }

  async #commit({ epoch, rows, entries }: Batch): Promise<void> {
    const began = performance.now();
    const outcome = await insertClaimsAtOnce(this.#pool, rows, epoch);
    if (outcome.otherEpoch) return this.#restore(rows);
    for (const conflict of outcome.conflicts) this.#observer.conflict(conflict);
    await this.#store.ack(epoch, entries);
    this.#observer.persisted(rows.length, performance.now() - began);
  }

  /** Entries of before a rebuild: true wins, each of them burned, unless its user has won anew since. */
  async #restore(rows: readonly PersistableClaim[]): Promise<void> {
    const results = await restoreWins({ pool: this.#pool, scripts: this.#scripts }, rows);
    for (const [index, { result }] of results.entries()) {
      if (result !== "refused") continue;
      await keepConflict(this.#pool, rows[index]!);
      this.#observer.conflict(rows[index]!);
    }
    this.#observer.late?.(rows.length);
  }
}
