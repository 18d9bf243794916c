/**
 * A small set under a version (user rules, switches): one record of the control store, changed by compare-and-set, and pushed to
 * every process that obeys it. Any controller may push, at any time and as late as it likes: a process takes newer versions only.
 *
 *   record (v)  ──push──> processes (memory, and a copy of their own)
 *
 * A control store that was lost is filled from what the processes obey.
 */
import type { SetClient } from "@hongbao/bucket-service";
import { Unreachable } from "@hongbao/preprocess";
import { z } from "zod";
import type { ControlStore } from "../control/store.ts";
import { logTime, type LogEntry } from "./records.ts";

/** Changes are live within a second: this, and a push. */
const LOOK_MS = 200;
/** A process that was told is asked now and then whether it still knows: it may have been started anew. */
const CHECK_MS = 2_000;
const TRIES_MAX = 5;

const changeSchema = z.object({
  atMs: z.int().positive(),
  by: z.string(),
  what: z.string(),
  why: z.string(),
  round: z.int().optional(),
});

export interface ObedientProcess<S> {
  bucket: string;
  id: string;
  client: SetClient<S>;
}

/** What a set is, beside its content. */
export interface SetKind<S extends { v: number }> {
  /** The record's name. */
  record: string;
  schema: z.ZodType<S>;
  none: S;
  /** In messages. */
  noun: string;
  /** Which command shows it. */
  list: string;
}

export interface PushedSetParts<S> {
  /** An eventStore(). */
  store: ControlStore;
  processes: readonly ObedientProcess<S>[];
  /** The buckets' time, ms since 1970. */
  nowMs: () => number;
  monotonicMs: () => number;
  self: string;
  /** Told once when the control store or a record fails. */
  onTrouble?: (error: unknown) => void;
}

/** What an operator's word, or the time, makes of a set; its v is the next one. */
export interface SetChange<S> {
  set: S;
  what: string;
  round?: number;
}

/** What is known of one process. */
interface Told<S> {
  process: ObedientProcess<S>;
  /** The version that it obeys; -1 before it answered, and while it does not. */
  v: number;
  set: S;
  askedAtMs: number;
  busy: boolean;
}

export class PushedSet<S extends { v: number }> {
  readonly #kind: SetKind<S>;
  readonly #parts: PushedSetParts<S>;
  readonly #tidy: (set: S) => SetChange<S> | null;
  #told: Told<S>[];
  readonly #stopping = new AbortController();
  #record: { set: S; change: LogEntry; text: string; etag: string } | null = null;
  #loggedV = 0;
  #wake: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();

  /** @param tidy what the set becomes by itself, as time goes on; null: it stays. */
  constructor(
    kind: SetKind<S>,
    parts: PushedSetParts<S>,
    tidy: (set: S) => SetChange<S> | null = () => null,
  ) {
    this.#kind = kind;
    this.#parts = parts;
    this.#tidy = tidy;
    this.#told = parts.processes.map((process) => this.#untold(process));
  }

  #untold(process: ObedientProcess<S>): Told<S> {
    return { process, v: -1, set: this.#kind.none, askedAtMs: -Infinity, busy: false };
  }

  /** Processes came or went; what is known of those that stayed is kept. */
  setProcesses(processes: readonly ObedientProcess<S>[]): void {
    const nameOf = ({ bucket, id }: ObedientProcess<S>): string => `${bucket}/${id}`;
    const known = new Map(this.#told.map((told) => [nameOf(told.process), told]));
    this.#told = processes.map((process) => known.get(nameOf(process)) ?? this.#untold(process));
    this.#wake();
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#loop;
  }

  /** As it shall be. */
  get set(): S {
    return this.#record?.set ?? this.#kind.none;
  }

  /** The version that each process obeys; null for one that does not answer. */
  get processes(): { bucket: string; id: string; v: number | null }[] {
    return this.#told.map(({ process: { bucket, id }, v }) => ({ bucket, id, v: v < 0 ? null : v }));
  }

  /**
   * An operator's word; `plan` may throw, and answers null when nothing changes. Errors: what `plan` throws, and Unreachable
   * (the control store is away).
   */
  async change(plan: (set: S) => SetChange<S> | null, { by, why }: { by: string; why: string }): Promise<S> {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      await this.look();
      const before = this.#record;
      const next = plan(this.set);
      if (next === null) return this.set;
      if (await this.#put(next, { by, why }, before?.etag ?? null)) {
        this.#wake();
        return next.set;
      }
    }
    const { noun, list } = this.#kind;
    throw new Unreachable(`the ${noun} keep changing; look at "${list}" and try again`);
  }

  async #put(
    { set, what, round }: SetChange<S>,
    who: { by: string; why: string },
    etag: string | null,
  ): Promise<boolean> {
    const atMs = Math.max(1, Math.round(this.#parts.nowMs()));
    const change = { ...who, what, atMs, ...(round === undefined ? {} : { round }) };
    const condition = etag === null ? { ifNoneMatch: true as const } : { ifMatch: etag };
    const text = JSON.stringify({ ...set, change });
    const stored = await this.#parts.store.put(this.#kind.record, text, condition);
    if (stored === null) return false;
    this.#record = { set, change, text, etag: stored };
    await this.#log();
    return true;
  }

  /** Named by the version, so that whoever finds a change unlogged may log it. */
  async #log(): Promise<void> {
    if (this.#record === null || this.#record.set.v === this.#loggedV) return;
    const { set, change } = this.#record;
    const name = `log/${logTime(change.atMs)}-${this.#kind.record}-${String(set.v).padStart(6, "0")}`;
    await this.#parts.store.put(name, JSON.stringify(change), { ifNoneMatch: true });
    this.#loggedV = set.v;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let isWell = true;
    while (!signal.aborted) {
      try {
        await this.look();
        await this.#repair();
        const tidied = this.#record === null ? null : this.#tidy(this.set);
        if (tidied !== null) await this.#put(tidied, { by: this.#parts.self, why: "" }, this.#record!.etag);
        isWell = true;
      } catch (error) {
        if (isWell) this.#parts.onTrouble?.(error);
        isWell = false;
      }
      for (const told of this.#told) void this.#tell(told);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (signal.aborted) this.#wake();
      });
    }
  }

  /** Reads the record. Errors: Unreachable, and what a damaged record gives. */
  async look(): Promise<void> {
    const found = await this.#parts.store.get(this.#kind.record);
    if (found === null) this.#record = null;
    else {
      const { value: text, etag } = found;
      this.#record = { ...(text === this.#record?.text ? this.#record : this.#read(text)), text, etag };
    }
    await this.#log();
  }

  #read(text: string): { set: S; change: LogEntry } {
    const value = JSON.parse(text) as { change?: unknown };
    return { set: this.#kind.schema.parse(value), change: changeSchema.parse(value.change) };
  }

  /** A lost record comes back from the processes, and one that is older than what they obey becomes the newest. */
  async #repair(): Promise<void> {
    const newest = this.#told.reduce((best, { set }) => (set.v > best.v ? set : best), this.#kind.none);
    const record = this.#record;
    if (newest.v <= this.set.v) return;
    const { noun } = this.#kind;
    const who = { by: this.#parts.self, why: "" };
    if (record === null)
      await this.#put({ set: newest, what: `found the ${noun} in the buckets` }, who, null);
    else {
      const set = { ...record.set, v: newest.v + 1 };
      const what = `a bucket obeyed newer ${noun} than the control store has`;
      await this.#put({ set, what }, who, record.etag);
    }
  }

  /** Asks or pushes, unless that is under way. Never rejects: a process that does not answer is tried again. */
  async #tell(told: Told<S>): Promise<void> {
    const wanted = this.#record?.set;
    const now = this.#parts.monotonicMs();
    const isBehind = wanted !== undefined && told.v < wanted.v;
    if (told.busy || (!isBehind && now - told.askedAtMs < CHECK_MS)) return;
    told.busy = true;
    told.askedAtMs = now;
    const { client } = told.process;
    try {
      if (isBehind) await client.put(wanted);
      told.set = this.#kind.schema.parse(await client.get());
      told.v = told.set.v;
    } catch {
      told.v = -1;
    } finally {
      told.busy = false;
    }
  }
}
