/**
 * Late joiners and cheaters: one record of the control store, `users`, changed by compare-and-set, and pushed to every process that
 * obeys it. Any controller may push, at any time and as late as it likes: a process takes newer versions only.
 *
 *   users (v)  ──push──> services and payout of every bucket (memory) ──> the bucket's MySQL ──> whoever starts later
 *
 * A control store that was lost is filled from what the processes obey.
 */
import {
  changeRules,
  NO_RULES,
  type UserRule,
  type UserRuleSet,
  type UsersClient,
} from "@hongbao/bucket-service";
import { BadInput, Unreachable } from "@hongbao/preprocess";
import { z } from "zod";
import type { ControlStore } from "../control/store.ts";
import { logTime, type LogEntry } from "./records.ts";

/** Changes are live within a second: this, and a push. */
const LOOK_MS = 200;
/** A process that was told is asked now and then whether it still knows: it may have been started anew. */
const CHECK_MS = 2_000;
const TRIES_MAX = 5;

const recordSchema = z.object({
  v: z.int().positive(),
  rules: z.array(
    z.object({ user: z.string(), round: z.int().min(0).max(99), rule: z.enum(["allow", "deny"]) }),
  ),
  change: z.object({
    atMs: z.int().positive(),
    by: z.string(),
    what: z.string(),
    why: z.string(),
    round: z.int().optional(),
  }),
});
type UsersRecord = z.infer<typeof recordSchema>;

export interface RuledProcess {
  bucket: string;
  id: string;
  client: UsersClient;
}

export interface UserRulesParts {
  /** An eventStore(). */
  store: ControlStore;
  processes: readonly RuledProcess[];
  /** The buckets' time, ms since 1970: for the log. */
  nowMs: () => number;
  monotonicMs: () => number;
  self: string;
  onTrouble?: (error: unknown) => void;
}

/** What is known of one process. */
interface Told {
  process: RuledProcess;
  /** The version that it obeys; -1 before it answered, and while it does not. */
  v: number;
  set: UserRuleSet;
  askedAtMs: number;
  busy: boolean;
}

export class UserRulesDesk {
  readonly #parts: UserRulesParts;
  readonly #told: Told[];
  readonly #stopping = new AbortController();
  #record: { value: UsersRecord; etag: string } | null = null;
  #loggedV = 0;
  #wake: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: UserRulesParts) {
    this.#parts = parts;
    this.#told = parts.processes.map((process) => ({
      process,
      v: -1,
      set: NO_RULES,
      askedAtMs: -Infinity,
      busy: false,
    }));
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#loop;
  }

  /** The rules as they shall be, and what each process obeys; null for one that does not answer. */
  state(): { v: number; rules: UserRule[]; processes: { bucket: string; id: string; v: number | null }[] } {
    const { v, rules } = this.#record?.value ?? NO_RULES;
    return {
      v,
      rules,
      processes: this.#told.map(({ process: { bucket, id }, v: known }) => ({
        bucket,
        id,
        v: known < 0 ? null : known,
      })),
    };
  }

  /** An operator's word. Throws BadInput (too many rules) and Unreachable (the control store is away). */
  async change(said: UserRule, { by, why }: { by: string; why: string }): Promise<UserRuleSet> {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      await this.look();
      const before = this.#record;
      let next: UserRuleSet;
      try {
        next = changeRules(before?.value ?? NO_RULES, said);
      } catch (error) {
        if (error instanceof RangeError) throw new BadInput(error.message);
        throw error;
      }
      const what = `${said.rule === "deny" ? "denied" : "allowed"} user ${said.user}`;
      const round = said.round === 0 ? {} : { round: said.round };
      if (await this.#put(next, { by, why, what, ...round }, before?.etag ?? null)) {
        this.#wake();
        return next;
      }
    }
    throw new Unreachable('the user rules keep changing; look at "user list" and try again');
  }

  async #put(set: UserRuleSet, change: Omit<LogEntry, "atMs">, etag: string | null): Promise<boolean> {
    const value: UsersRecord = {
      ...set,
      change: { ...change, atMs: Math.max(1, Math.round(this.#parts.nowMs())) },
    };
    const condition = etag === null ? { ifNoneMatch: true as const } : { ifMatch: etag };
    const stored = await this.#parts.store.put("users", JSON.stringify(value), condition);
    if (stored === null) return false;
    this.#record = { value, etag: stored };
    await this.#log();
    return true;
  }

  /** Named by the version, so that whoever finds a change unlogged may log it. */
  async #log(): Promise<void> {
    if (this.#record === null || this.#record.value.v === this.#loggedV) return;
    const { v, change } = this.#record.value;
    const name = `log/${logTime(change.atMs)}-users-${String(v).padStart(6, "0")}`;
    await this.#parts.store.put(name, JSON.stringify(change), { ifNoneMatch: true });
    this.#loggedV = v;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.look();
        await this.#repair();
      } catch (error) {
        this.#parts.onTrouble?.(error);
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
    const found = await this.#parts.store.get("users");
    this.#record =
      found === null ? null : { value: recordSchema.parse(JSON.parse(found.value)), etag: found.etag };
    await this.#log();
  }

  /** A lost record comes back from the processes, and one that is older than what they obey becomes the newest. */
  async #repair(): Promise<void> {
    const newest = this.#told.reduce((best, { set }) => (set.v > best.v ? set : best), NO_RULES);
    const record = this.#record;
    if (newest.v <= (record?.value.v ?? 0)) return;
    const change = { by: this.#parts.self, why: "" };
    if (record === null)
      await this.#put(newest, { ...change, what: "found the user rules in the buckets" }, null);
    else {
      const { rules } = record.value;
      const what = "a bucket obeyed newer user rules than the control store has";
      await this.#put({ v: newest.v + 1, rules }, { ...change, what }, record.etag);
    }
  }

  /** Asks or pushes, unless that is under way. Never rejects: a process that does not answer is tried again. */
  async #tell(told: Told): Promise<void> {
    const wanted = this.#record?.value;
    const now = this.#parts.monotonicMs();
    const isBehind = wanted !== undefined && told.v < wanted.v;
    if (told.busy || (!isBehind && now - told.askedAtMs < CHECK_MS)) return;
    told.busy = true;
    told.askedAtMs = now;
    const { client } = told.process;
    try {
      if (isBehind) await client.put({ v: wanted.v, rules: wanted.rules });
      told.set = await client.get();
      told.v = told.set.v;
    } catch {
      told.v = -1;
    } finally {
      told.busy = false;
    }
  }
}
