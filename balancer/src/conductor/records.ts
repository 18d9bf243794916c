/**
 * The conductor's records in the control store, under the event's and the pack's name (an event that was generated anew
 * begins with a clean memory):
 *
 *   epoch        names this memory; made once
 *   rounds/R     a round's times and state; every change is a compare-and-set
 *   keys/R       the round's key; created once, at the opening, and never changed
 *   transfers/N  prizes that move, in the order in which that was decided, without gaps
 *   users        what operators said of single users, whole (user-rules.ts)
 *   lease        which controller says that it leads; nothing depends on it
 *   log/T-…      one entry for each change, never changed
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { storeUnder, type ControlStore } from "../control/store.ts";

const ms = z.int().positive();

const changeSchema = z.object({ atMs: ms, by: z.string(), what: z.string(), why: z.string() });

/** Who did what, and why. */
export type Change = z.infer<typeof changeSchema>;

const roundSchema = z.object({
  round: z.int().min(1).max(99),
  /** Version of what buckets are told: times and key. Only grows. */
  v: z.int().positive(),
  /** Number of this record's changes. */
  n: z.int().positive(),
  state: z.enum(["scheduled", "open", "closed"]),
  opensAtMs: ms.nullable(),
  closesAtMs: ms.nullable(),
  /** Whether the start file may show the key: every bucket within reach has it. */
  published: z.boolean(),
  /** An operator ordered that the closed round's rest goes on, whatever the event says. */
  rollover: z.boolean().optional(),
  /** The round's seed in hex, once it was revealed: then everybody can make its amounts again. */
  seed: z.string().optional(),
  change: changeSchema,
});

/**
 *   scheduled --opening time, or by command--> open --closing time, or by command--> closed
 *       \___________________closing time, or by command______________________________^
 */
export type RoundRecord = z.infer<typeof roundSchema>;

/** How far a bucket's Redis had come at a step: which epoch, and how many moves it had noted. */
const markSchema = z.object({ epoch: z.string(), moves: z.int().min(0) });

const transferSchema = z.object({
  n: z.int().positive(),
  /** Number of this record's changes. */
  step: z.int().positive(),
  kind: z.enum(["lend", "roll"]),
  from: z.string(),
  to: z.string(),
  round: z.int().min(1).max(99),
  toRound: z.int().min(1).max(99),
  /** IDs wanted; null is all that is left. */
  count: z.int().positive().nullable(),
  /** The lender's epoch: a rebuild makes what was cut in another one void. */
  epoch: z.string(),
  state: z.enum(["leaving", "arriving", "done"]),
  /** Ordered by command. */
  ordered: z.boolean(),
  /** While it is arriving: the IDs that nobody has. */
  runs: z.array(z.object({ lo: z.int().positive(), count: z.int().positive() })),
  /** IDs that left. */
  moved: z.int().min(0),
  left: markSchema.nullable(),
  arrived: markSchema.nullable(),
  change: changeSchema,
});

/** leaving --> arriving --> done; leaving --nothing was left--> done. See decide-moves.ts. */
export type Transfer = z.infer<typeof transferSchema>;

const keySchema = z.object({ key: z.string().min(16), atMs: ms, by: z.string() });
const epochSchema = z.object({ epoch: z.string() });
const leaseSchema = z.object({ id: z.string(), beat: z.int() });
const logSchema = changeSchema.extend({ round: z.int().optional() });

export type LogEntry = z.infer<typeof logSchema>;

export interface Stored<T> {
  value: T;
  etag: string;
}

/** 24 bytes from the system's generator: nobody guesses it, and nobody can derive it. */
export function randomKey(): string {
  return randomBytes(24).toString("base64url");
}

/** The part of a control store that belongs to one event and pack. */
export function eventStore(store: ControlStore, event: string, packDigest: string): ControlStore {
  return storeUnder(store, `${event}/${packDigest.slice(0, 16)}/`);
}

/** Errors of all: Unreachable, and what a damaged record gives. */
export class Records {
  readonly #store: ControlStore;
  /** By round: up to which change the log is known to be complete. */
  readonly #logged = new Map<number, number>();

  /** `store` is an eventStore(). */
  constructor(store: ControlStore) {
    this.#store = store;
  }

  async epoch(): Promise<string> {
    const mine = { epoch: randomBytes(12).toString("hex") };
    const known = await this.#get("epoch", epochSchema);
    if (known !== null) return known.value.epoch;
    await this.#store.put("epoch", JSON.stringify(mine), { ifNoneMatch: true });
    return (await this.#get("epoch", epochSchema))!.value.epoch;
  }

  async rounds(ids: number[]): Promise<Map<number, Stored<RoundRecord>>> {
    const found = await Promise.all(ids.map((id) => this.round(id)));
    return new Map(
      found.flatMap((stored) => (stored === null ? [] : [[stored.value.round, stored] as const])),
    );
  }

  async round(id: number): Promise<Stored<RoundRecord> | null> {
    return this.#get(`rounds/${id}`, roundSchema);
  }

  /**
   * Creates (before null) or replaces a round's record; null when somebody else was faster.
   * The change before is logged first, so that no change can be overwritten before it is in the log.
   */
  async putRound(next: RoundRecord, before: Stored<RoundRecord> | null): Promise<Stored<RoundRecord> | null> {
    if (before !== null) await this.logChange(before.value);
    const condition = before === null ? { ifNoneMatch: true as const } : { ifMatch: before.etag };
    const etag = await this.#store.put(`rounds/${next.round}`, JSON.stringify(next), condition);
    if (etag === null) return null;
    await this.logChange(next);
    return { value: next, etag };
  }

  async key(round: number): Promise<string | null> {
    return (await this.#get(`keys/${round}`, keySchema))?.value.key ?? null;
  }

  /** The one conditional write that decides a round's key; answers the key that was decided, whoever did. */
  async decideKey(round: number, made: { key: string; atMs: number; by: string }): Promise<string> {
    await this.#store.put(`keys/${round}`, JSON.stringify(made), { ifNoneMatch: true });
    return (await this.key(round))!;
  }

  async transfer(n: number): Promise<Stored<Transfer> | null> {
    return this.#get(`transfers/${transferName(n)}`, transferSchema);
  }

  /** The number of the newest transfer; 0 without any. */
  async newestTransfer(): Promise<number> {
    const newest = (await this.#store.list("transfers/")).at(-1);
    return newest === undefined ? 0 : Number(newest.slice("transfers/".length));
  }

  /** Creates (before null) or replaces a transfer; null when somebody else was faster. What is logged is logged first. */
  async putTransfer(next: Transfer, before: Stored<Transfer> | null): Promise<Stored<Transfer> | null> {
    if (before !== null) await this.logTransfer(before.value);
    const condition = before === null ? { ifNoneMatch: true as const } : { ifMatch: before.etag };
    const etag = await this.#store.put(`transfers/${transferName(next.n)}`, JSON.stringify(next), condition);
    if (etag === null) return null;
    await this.logTransfer(next);
    return { value: next, etag };
  }

  /** Orders are logged when they are given, all transfers when they are done; like logChange(). */
  async logTransfer({ n, step, state, ordered, round, change }: Transfer): Promise<void> {
    if (state !== "done" && !(ordered && step === 1)) return;
    const name = `log/${logTime(change.atMs)}-transfer-${transferName(n)}-${step}`;
    const entry: LogEntry = { ...change, what: `${change.what} (transfer ${n})`, round };
    await this.#store.put(name, JSON.stringify(entry), { ifNoneMatch: true });
  }

  async lease(): Promise<Stored<{ id: string; beat: number }> | null> {
    return this.#get("lease", leaseSchema);
  }

  async putLease(id: string, beat: number, etag: string | null): Promise<string | null> {
    const condition = etag === null ? { ifNoneMatch: true as const } : { ifMatch: etag };
    return this.#store.put("lease", JSON.stringify({ id, beat }), condition);
  }

  async appendLog(entry: LogEntry): Promise<void> {
    const name = `${logTime(entry.atMs)}-${randomBytes(6).toString("hex")}`;
    await this.#store.put(`log/${name}`, JSON.stringify(entry), { ifNoneMatch: true });
  }

  /** The newest `limit` entries, oldest first. */
  async log(limit: number): Promise<LogEntry[]> {
    const names = (await this.#store.list("log/")).slice(-limit);
    const entries = await Promise.all(names.map((name) => this.#get(name, logSchema)));
    return entries.flatMap((entry) => (entry === null ? [] : [entry.value]));
  }

  /**
   * Writes a record's last change into the log, unless it is there: its author may have been killed before. Named by the
   * change itself, so that whoever writes it a second time changes nothing.
   */
  async logChange({ round, n, change }: RoundRecord): Promise<void> {
    if ((this.#logged.get(round) ?? 0) >= n) return;
    const entry: LogEntry = { ...change, round };
    const name = `log/${logTime(change.atMs)}-round-${round}-${String(n).padStart(6, "0")}`;
    await this.#store.put(name, JSON.stringify(entry), { ifNoneMatch: true });
    this.#logged.set(round, n);
  }

  async #get<T>(name: string, schema: z.ZodType<T>): Promise<Stored<T> | null> {
    const found = await this.#store.get(name);
    return found === null ? null : { value: schema.parse(JSON.parse(found.value)), etag: found.etag };
  }
}

/** So that names sort by number. */
function transferName(n: number): string {
  return String(n).padStart(8, "0");
}

/** So that names sort by time. */
export function logTime(atMs: number): string {
  return String(Math.round(atMs)).padStart(15, "0");
}
