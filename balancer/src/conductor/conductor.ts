/**
 * The conductor: looks at buckets and control store, asks decide() what to do, does it, again and again. It holds nothing
 * that is not in the control store, so any number of them may run and any may be killed at any step.
 */
import { BadInput, Unreachable, type PackManifest, type TimeExpression } from "@hongbao/preprocess";
import type { BucketWatch } from "./bucket-watch.ts";
import { judgeNow } from "./clock.ts";
import { decide, isOver, type Action, type World } from "./decide.ts";
import { Lease } from "./lease.ts";
import { roundsJson, startFile } from "./publish.ts";
import type { LogEntry, Records, RoundRecord, Stored, Transfer } from "./records.ts";
import type { Moment } from "./requests.ts";
import { RoundMarks, type Marks } from "./marks.ts";
import { Transfers, type LendOrder } from "./transfers.ts";

const TICK_MS = 100;
/** One tick goes on while it makes progress: an opening takes five steps, and nobody wants to wait five ticks. */
const STEPS_MAX = 8;
/** A step waits this long for slow buckets before the next one is looked at. */
const STEP_MS_MAX = 300;
/** A bucket that failed is not told again at once. */
const RETRY_MS = 100;
/** An operator's change may lose against the conductor's own; then it is planned again on what is there now. */
const TRIES_MAX = 5;

export interface ConductorParts {
  id: string;
  manifest: PackManifest;
  /** The closing as the event has it, for rounds that close a while after their opening. */
  closings: Map<number, TimeExpression>;
  records: Records;
  buckets: BucketWatch[];
  randomKey: () => string;
  monotonicMs: () => number;
  wallMs: () => number;
  sleep: (ms: number) => Promise<void>;
  /** Whether a bucket may lend and borrow by itself (default: yes); orders are carried out in any case. */
  lends?: (bucket: string) => boolean;
  onTick?: (seconds: number) => void;
  /** The control store failed, or works again (null). */
  onTrouble?: (error: unknown) => void;
  onAction?: (action: Action, outcome: string) => void;
}

export class Conductor {
  readonly lease: Lease;
  readonly marks = new RoundMarks();
  readonly transfers: Transfers;
  readonly #parts: ConductorParts;
  readonly #roundIds: number[];
  readonly #stopping = new AbortController();
  #records = new Map<number, Stored<RoundRecord>>();
  readonly #keys = new Map<number, string>();
  #epoch: string | null = null;
  #storeWorks = false;
  #wake: () => void = () => undefined;
  #loops: Promise<unknown>[] = [];

  constructor(parts: ConductorParts) {
    this.#parts = parts;
    this.#roundIds = parts.manifest.rounds.map(({ id }) => id);
    this.lease = new Lease(parts.id, parts.records, parts.monotonicMs);
    this.transfers = new Transfers({
      self: this.#self,
      records: parts.records,
      buckets: parts.buckets,
      epoch: () => this.#epoch ?? "",
      monotonicMs: parts.monotonicMs,
      nowMs: () => this.nowMs(),
    });
  }

  get #self(): string {
    return `controller ${this.#parts.id}`;
  }

  /** The name of the control store; null before it answered. */
  get epoch(): string | null {
    return this.#epoch;
  }
  get event(): string {
    return this.#parts.manifest.event.id;
  }
  get storeWorks(): boolean {
    return this.#storeWorks;
  }
  get roundIds(): number[] {
    return this.#roundIds;
  }

  /** Runs until stop(). */
  start(): void {
    this.#loops = [...this.#parts.buckets.map((bucket) => bucket.run()), this.#run()];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const bucket of this.#parts.buckets) bucket.stop();
    this.#wake();
    await Promise.allSettled(this.#loops);
    await this.lease.release().catch(() => undefined);
  }

  /** Something changed: look now and not at the next tick. */
  wake(): void {
    this.#wake();
  }

  world(): World {
    const buckets = this.#parts.buckets.map((bucket) => bucket.seen());
    const clocks = buckets.flatMap(({ reachable, nowMs }) => (reachable && nowMs !== null ? [nowMs] : []));
    return {
      nowMs: judgeNow(clocks, this.#parts.wallMs()),
      buckets,
      rounds: this.#roundIds,
      records: new Map(Array.from(this.#records, ([round, { value }]) => [round, value])),
      keys: this.#keys,
      plans: this.#parts.manifest.rounds,
      transfers: this.transfers.all(),
      lends: this.#parts.lends ?? (() => true),
      self: this.#self,
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const began = this.#parts.monotonicMs();
      try {
        await this.tick();
        if (!this.#storeWorks) this.#parts.onTrouble?.(null);
        this.#storeWorks = true;
      } catch (error) {
        if (this.#storeWorks) this.#parts.onTrouble?.(error);
        this.#storeWorks = false;
      }
      this.#parts.onTick?.((this.#parts.monotonicMs() - began) / 1000);
      await this.#rest(signal);
    }
  }

  /** Until the next tick, the next opening or closing, or news; whichever comes first. */
  async #rest(signal: AbortSignal): Promise<void> {
    const { nowMs, records } = this.world();
    const due = [...records.values()].flatMap(({ opensAtMs, closesAtMs }) => [opensAtMs, closesAtMs]);
    const waits = due.flatMap((ms) => (ms === null || nowMs === null || ms <= nowMs ? [] : [ms - nowMs]));
    const restMs = Math.max(1, Math.ceil(Math.min(TICK_MS, ...waits)));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, restMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) this.#wake();
    });
  }

  /** Reads the store, then takes steps as long as they lead somewhere. Errors: Unreachable (the control store). */
  async tick(): Promise<void> {
    const { records } = this.#parts;
    this.#epoch ??= await records.epoch();
    this.#records = await records.rounds(this.#roundIds);
    for (const [round, { value }] of this.#records) {
      await records.logChange(value);
      if (value.state !== "scheduled" && !this.#keys.has(round)) await this.#readKey(round);
    }
    await this.transfers.read();
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const world = this.world();
      this.marks.look(world);
      const actions = decide(world).filter((action) => this.#isDue(action));
      if (actions.length === 0) break;
      const isTransfer = (action: Action): boolean => action.kind === "transfer";
      const others = actions.filter((action) => !isTransfer(action)).map((action) => this.#act(action));
      const done = Promise.allSettled([...others, this.#inOrder(actions.filter(isTransfer))]);
      const results = await Promise.race([done, this.#parts.sleep(STEP_MS_MAX).then(() => null)]);
      const failed = results?.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
      // Slow buckets: what they do shows at the next tick.
      if (results === null) break;
    }
    await this.lease.beat();
  }

  #isDue(action: Action): boolean {
    return !("transfer" in action) || this.transfers.isDue(action.transfer);
  }

  /** New transfers are made one after the other, and none after one that was not: their numbers have no gaps. */
  async #inOrder(actions: Action[]): Promise<void> {
    for (const action of actions) {
      if (action.kind !== "transfer") continue;
      const isMade = await this.transfers.put(action.next);
      this.#parts.onAction?.(action, isMade ? "done" : "another controller was faster");
      if (!isMade) return;
    }
  }

  async #readKey(round: number): Promise<void> {
    const key = await this.#parts.records.key(round);
    if (key !== null) this.#keys.set(round, key);
  }

  async #act(action: Action): Promise<void> {
    const { records, buckets, id, randomKey, wallMs, onAction } = this.#parts;
    switch (action.kind) {
      case "change": {
        const stored = await records.putRound(action.next, this.#records.get(action.round) ?? null);
        onAction?.(action, stored === null ? "another controller was faster" : "done");
        if (stored !== null) this.#records.set(action.round, stored);
        else await this.#reread(action.round);
        return;
      }
      case "decideKey": {
        const atMs = Math.round(this.world().nowMs ?? wallMs());
        const key = await records.decideKey(action.round, { key: randomKey(), atMs, by: `controller ${id}` });
        this.#keys.set(action.round, key);
        return onAction?.(action, "decided");
      }
      case "install": {
        await buckets
          .find((bucket) => bucket.id === action.bucket)!
          .install(action.round, action.installation);
        return;
      }
      case "final": {
        const bucket = buckets.find(({ id }) => id === action.bucket)!;
        // A bucket that cannot be told ends by itself a moment later.
        await bucket.setFinal(action.round, action.stock).catch(() => this.#parts.sleep(RETRY_MS));
        return;
      }
      case "out":
      case "in": {
        const outcome = await this.transfers.take(action.transfer);
        return onAction?.(action, outcome);
      }
      case "transfer":
        return this.#inOrder([action]);
    }
  }

  #noSuchRound(round: number): BadInput {
    return new BadInput(`round: found ${round}, expected one of ${this.#roundIds.join(", ")}`);
  }

  async #reread(round: number): Promise<void> {
    const stored = await this.#parts.records.round(round);
    if (stored !== null) this.#records.set(round, stored);
    await this.#readKey(round);
  }

  /**
   * An operator's change, by compare-and-set on what `plan` saw. Throws BadInput (from `plan`, or an unknown round) and
   * Unreachable (no bucket tells the time, or the control store is away).
   */
  async change(
    round: number,
    plan: (record: RoundRecord, moment: Moment, closing: TimeExpression | null) => RoundRecord,
  ): Promise<RoundRecord> {
    const { records, closings } = this.#parts;
    if (!this.#roundIds.includes(round)) throw this.#noSuchRound(round);
    const { nowMs, buckets } = this.world();
    if (nowMs === null) throw new Unreachable("no bucket is within reach, so nobody knows what time it is");
    const clocks = buckets.flatMap((bucket) => (bucket.reachable ? (bucket.nowMs ?? []) : []));
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const before = await records.round(round);
      if (before === null)
        throw new Unreachable(`round ${round} is not known yet: its buckets have not answered`);
      const slowestMs = Math.min(nowMs, ...clocks);
      const next = plan(before.value, { nowMs, slowestMs }, closings.get(round) ?? null);
      if (next === before.value) return next;
      const stored = await records.putRound(next, before);
      if (stored !== null) {
        this.#records.set(round, stored);
        this.wake();
        return stored.value;
      }
    }
    throw new Unreachable(`round ${round} keeps changing; look at "round list" and try again`);
  }

  /** An operator's loan. Throws BadInput and Unreachable. */
  async lend(order: LendOrder): Promise<Transfer> {
    if (!this.#roundIds.includes(order.round)) throw this.#noSuchRound(order.round);
    const made = await this.transfers.lend(order, this.world());
    this.wake();
    return made;
  }

  async log(limit: number): Promise<LogEntry[]> {
    return this.#parts.records.log(limit);
  }

  async appendLog(entry: Omit<LogEntry, "atMs">): Promise<void> {
    await this.#parts.records.appendLog({ ...entry, atMs: Math.round(this.nowMs()) });
  }

  /** The buckets' time, or our own while none is within reach: only for what people read. */
  nowMs(): number {
    return this.world().nowMs ?? this.#parts.wallMs();
  }

  /** What was published of a round's draw before the event. */
  commitmentOf(round: number): string | null {
    return this.#parts.manifest.rounds.find(({ id }) => id === round)?.commitment ?? null;
  }

  marksOf(round: number): Marks {
    return this.marks.of(round);
  }

  /** The text of rounds.json, made at this moment; null while a round is not known yet. */
  roundsJson(): string | null {
    return roundsJson(this.#parts.manifest, this.world().records, this.nowMs());
  }

  /** The text of a start file, made at this moment; null when there is no such round (yet). */
  startFile(round: number): string | null {
    const record = this.#records.get(round)?.value;
    return record === undefined ? null : startFile(record, this.#keys.get(round) ?? null, this.nowMs());
  }

  /** What HAProxy is told; null while the control store has not answered. */
  news(): { event: string; epoch: string; rounds: NewsOfRound[] } | null {
    if (this.#epoch === null) return null;
    const world = this.world();
    const rounds = this.#roundIds.map((id) => ({
      id,
      known: true,
      over: isOver(world, id),
      stocks: Object.fromEntries(
        world.buckets.flatMap((bucket) => {
          const seen = bucket.rounds.get(id);
          return seen === undefined ? [] : [[bucket.id, seen.stock]];
        }),
      ),
    }));
    return { event: this.#parts.manifest.event.id, epoch: this.#epoch, rounds };
  }
}

interface NewsOfRound {
  id: number;
  known: boolean;
  over: boolean;
  stocks: Record<string, number>;
}
