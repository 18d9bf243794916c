/**
 * A simulation of several conductors: the real code on model buckets and a model store, in virtual time. Every call of a
 * conductor waits until the scheduler picks it, so two conductors interleave at every step; one may be frozen for a while,
 * or killed between any two calls, or a call may fail with its work done or not done. All of it from one seed.
 */
import type { AdminClient } from "@hongbao/bucket-service";
import { Unreachable } from "@hongbao/preprocess";
import type { ControlStore } from "../../src/control/store.ts";
import { BucketWatch } from "../../src/conductor/bucket-watch.ts";
import { Conductor } from "../../src/conductor/conductor.ts";
import { Records, type RoundRecord } from "../../src/conductor/records.ts";
import { closeNow, move, openNow } from "../../src/conductor/requests.ts";
import { manifestOf, memoryStore, ModelBucket } from "./model.ts";

/** mulberry32: small, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Call {
  actor: number;
  run: () => void;
}

/** How far the buckets' clocks are apart. */
const SKEW_MS = 40;
const ROUNDS = [1, 2, 3];
const START_MS = 1_800_000_000_000;

export interface SimulationOptions {
  seed: number;
  buckets: number;
  /** Prizes of each round in each bucket. */
  prizes?: number;
  /** Users' grabs for each step of the simulation, in the mean; nine of ten come to the first bucket. */
  demand?: number;
  /** Faults: killed and frozen conductors, failing calls, buckets away. */
  faults: boolean;
}

export class Simulation {
  readonly random: () => number;
  readonly store = memoryStore();
  readonly buckets: ModelBucket[];
  readonly violations: string[] = [];
  /** The true time. */
  nowMs = START_MS;
  calm: boolean;
  readonly #records = new Records(this.store);
  readonly #calls: Call[] = [];
  readonly #sleepers: { atMs: number; actor: number; wake: () => void }[] = [];
  readonly #frozenUntil = new Map<number, number>();
  readonly #live: { actor: number; conductor: Conductor; watches: BucketWatch[] }[] = [];
  readonly #seenStates = new Map<number, string>();
  readonly #keys = new Map<string, string>();
  /** By bucket and round: the IDs that were generated there. */
  readonly generated = new Map<string, Map<number, number[]>>();
  /** What users were told, by bucket. */
  readonly told = new Map<string, number>();
  readonly #demand: number;
  /** Without faults nobody may hear a wrong word. */
  readonly #strict: boolean;
  #checks = 0;
  #actors = 0;

  constructor({ seed, buckets, faults, prizes = 10, demand = 0 }: SimulationOptions) {
    this.random = randomFrom(seed);
    this.#demand = demand;
    this.#strict = !faults;
    this.calm = !faults;
    this.buckets = Array.from({ length: buckets }, (_, index) => {
      const skewMs = Math.round((this.random() - 0.5) * 2 * SKEW_MS);
      return new ModelBucket(`b${index}`, () => this.nowMs + skewMs);
    });
    for (const [index, bucket] of this.buckets.entries()) {
      const lo = (round: number): number => 1 + (index * ROUNDS.length + round - 1) * prizes;
      bucket.load(1, START_MS + 3_000, START_MS + 12_000, prizes, lo(1));
      bucket.load(2, START_MS + 4_000, START_MS + 60_000, prizes, lo(2));
      bucket.load(3, null, null, prizes, lo(3));
      const ids = new Map(Array.from(bucket.rounds, ([round, record]) => [round, [...record.ids]]));
      this.generated.set(bucket.id, ids);
    }
    this.#spawn();
    this.#spawn();
  }

  get world() {
    return this.#live[0]!.conductor.world();
  }
  get conductors(): Conductor[] {
    return this.#live.map(({ conductor }) => conductor);
  }

  /** Runs until the true time is `untilMs` after the start. */
  async run(untilMs: number): Promise<void> {
    while (this.nowMs < START_MS + untilMs) {
      await this.#step();
      this.#check();
    }
  }

  async #step(): Promise<void> {
    if (!this.calm && this.random() < 0.01) this.#fault();
    for (let many = this.#demand * 2 * this.random(); many > this.random(); many -= 1) this.#grab();
    const ready = this.#calls.filter(({ actor }) => !this.#isFrozen(actor));
    if (ready.length > 0) {
      const call = ready[Math.floor(this.random() * ready.length)]!;
      this.#calls.splice(this.#calls.indexOf(call), 1);
      call.run();
      // Every call takes a little.
      this.nowMs += Math.floor(this.random() * 4);
    } else {
      const next = Math.min(...this.#sleepers.map(({ atMs }) => atMs), ...this.#frozenUntil.values());
      this.nowMs = Math.max(this.nowMs + 1, Math.min(next, this.nowMs + 1_000));
      for (const [actor, untilMs] of this.#frozenUntil)
        if (untilMs <= this.nowMs) this.#frozenUntil.delete(actor);
      for (const sleeper of [...this.#sleepers]) {
        if (sleeper.atMs > this.nowMs || this.#isFrozen(sleeper.actor)) continue;
        this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
        sleeper.wake();
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #grab(): void {
    const isFirst = this.random() < 0.9;
    const bucket = isFirst
      ? this.buckets[0]!
      : this.buckets[Math.floor(this.random() * this.buckets.length)]!;
    if (!bucket.up || bucket.redis === "down" || bucket.fenced !== null) return;
    const round = ROUNDS[Math.floor(this.random() * ROUNDS.length)]!;
    const word = bucket.grab(round);
    const isElsewhere = this.buckets.some((each) => each.rounds.get(round)!.left > 0);
    if (this.#strict && word === "ended" && bucket.phase(round) === "open" && isElsewhere)
      this.#violate(`round ${round}: ${bucket.id} says ended, and another bucket has some left`);
    const key = `${bucket.id} ${word}`;
    this.told.set(key, (this.told.get(key) ?? 0) + 1);
  }

  #isFrozen(actor: number): boolean {
    return (this.#frozenUntil.get(actor) ?? 0) > this.nowMs;
  }

  #fault(): void {
    const kind = this.random();
    const victim = this.#live[Math.floor(this.random() * this.#live.length)]!;
    const bucket = this.buckets[Math.floor(this.random() * this.buckets.length)]!;
    if (kind < 0.2) {
      // Killed: what it was about to do never happens.
      this.#live.splice(this.#live.indexOf(victim), 1);
      for (const list of [this.#calls, this.#sleepers]) {
        for (const each of [...list])
          if (each.actor === victim.actor) list.splice(list.indexOf(each as never), 1);
      }
      this.#spawn();
    } else if (kind < 0.4) {
      this.#frozenUntil.set(victim.actor, this.nowMs + Math.floor(this.random() * 6_000));
    } else if (kind < 0.6) {
      bucket.up = !bucket.up;
    } else if (kind < 0.65) {
      bucket.redis = bucket.redis === "ok" ? "down" : "ok";
    } else if (kind < 0.7) {
      bucket.mysql = bucket.mysql === "ok" ? "down" : "ok";
    } else if (kind < 0.75) {
      bucket.fenced = bucket.fenced === null ? "went back in time" : null;
    } else if (kind < 0.8) {
      bucket.rebuild(this.generated.get(bucket.id)!);
    } else {
      void this.#operate(victim.conductor);
    }
  }

  /** What an operator may do at any moment; refusals are fine. */
  async #operate(conductor: Conductor): Promise<void> {
    const round = ROUNDS[Math.floor(this.random() * ROUNDS.length)]!;
    const kind = this.random();
    if (this.random() < 0.3) return this.#lend(conductor, round);
    const wish = { by: "operator", why: "simulation" };
    const later = Math.round(this.nowMs + this.random() * 5_000);
    await conductor
      .change(round, (record, moment, closing) => {
        if (kind < 0.6) return move(record, { ...wish, opensAtMs: later }, moment, closing);
        if (kind < 0.8) return openNow(record, wish, moment, closing);
        return closeNow(record, wish, moment);
      })
      .catch(() => undefined);
  }

  async #lend(conductor: Conductor, round: number): Promise<void> {
    const pick = (): string => this.buckets[Math.floor(this.random() * this.buckets.length)]!.id;
    const order = { round, from: pick(), to: pick(), count: 1 + Math.floor(this.random() * 5) };
    await conductor.lend({ ...order, by: "operator", why: "" }).catch(() => undefined);
  }

  #spawn(): void {
    const actor = (this.#actors += 1);
    const monotonicMs = (): number => this.nowMs - START_MS + actor * 1_000_000;
    // Its own clock is wrong by an hour, one way or the other: nothing may depend on it.
    const wallMs = (): number => this.nowMs + (actor % 2 ? 3_600_000 : -3_600_000);
    const watches = this.buckets.map(
      (bucket) => new BucketWatch({ id: bucket.id, clients: [this.#client(actor, bucket)], monotonicMs }),
    );
    const conductor = new Conductor({
      id: `c${actor}`,
      manifest: manifestOf(ROUNDS, "next"),
      closings: new Map([[3, { kind: "afterOpening", ms: 5_000 }]]),
      records: new Records(this.#storeOf(actor)),
      buckets: watches,
      randomKey: () => `key-of-c${actor}-${Math.floor(this.random() * 1e9)}`,
      monotonicMs,
      wallMs,
      sleep: (ms) => this.#sleep(actor, ms),
    });
    this.#live.push({ actor, conductor, watches });
    for (const watch of watches) void this.#loop(actor, () => watch.look(), 150);
    void this.#loop(actor, () => conductor.tick().catch(() => undefined), 100);
  }

  async #loop(actor: number, work: () => Promise<void>, everyMs: number): Promise<void> {
    while (this.#live.some((each) => each.actor === actor)) {
      await work();
      await this.#sleep(actor, everyMs);
    }
  }

  #sleep(actor: number, ms: number): Promise<void> {
    return new Promise((wake) => this.#sleepers.push({ atMs: this.nowMs + Math.max(1, ms), actor, wake }));
  }

  /** Waits for its turn, then happens in one step; with faults it may fail before or after. */
  #call<T>(actor: number, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        const luck = this.calm ? 1 : this.random();
        if (luck < 0.01) return reject(new Unreachable("the call failed"));
        work().then(
          (value) => (luck < 0.02 ? reject(new Unreachable("the answer was lost")) : resolve(value)),
          reject,
        );
      };
      this.#calls.push({ actor, run });
    });
  }

  #client(actor: number, bucket: ModelBucket): AdminClient {
    return {
      state: () => this.#call(actor, async () => structuredClone(bucket.state())),
      putRound: (round, record) =>
        this.#call(actor, async () => {
          this.#checkInstall(round, record.key);
          return bucket.put(round, record);
        }),
      setFinal: (round, stock) => this.#call(actor, async () => bucket.setFinal(round, stock)),
      moveOut: (order) => this.#call(actor, async () => bucket.moveOut(order, this.#isKilled())),
      moveIn: (order) => this.#call(actor, async () => bucket.moveIn(order, this.#isKilled())),
      ready: async () => bucket.up,
    };
  }

  /** Whether the bucket's process dies between the two steps of a move's half. */
  #isKilled(): boolean {
    return !this.calm && this.random() < 0.1;
  }

  #storeOf(actor: number): ControlStore {
    return {
      get: (name) => this.#call(actor, () => this.store.get(name)),
      list: (prefix) => this.#call(actor, () => this.store.list(prefix)),
      put: (name, value, condition) =>
        this.#call(actor, async () => {
          const etag = await this.store.put(name, value, condition);
          if (etag !== null && name.startsWith("rounds/"))
            this.#checkChange(JSON.parse(value) as RoundRecord);
          if (etag !== null && name.startsWith("keys/")) this.#checkKey(Number(name.slice(5)));
          return etag;
        }),
    };
  }

  #violate(what: string): void {
    this.violations.push(`at +${this.nowMs - START_MS} ms: ${what}`);
  }

  #checkChange(record: RoundRecord): void {
    const { round, state, opensAtMs, change } = record;
    const order = ["scheduled", "open", "closed"];
    const before = this.#seenStates.get(round) ?? "scheduled";
    if (order.indexOf(state) < order.indexOf(before))
      this.#violate(`round ${round} went from ${before} to ${state}`);
    this.#seenStates.set(round, state);
    if (change.what === "opened on time" && (opensAtMs === null || this.nowMs + SKEW_MS < opensAtMs)) {
      this.#violate(`round ${round} was opened ${(opensAtMs ?? 0) - this.nowMs} ms early`);
    }
  }

  #checkKey(round: number): void {
    if ((this.#seenStates.get(round) ?? "scheduled") === "scheduled") {
      this.#violate(`round ${round} has a key before its opening`);
    }
  }

  #checkInstall(round: number, key: string | null): void {
    if (key === null) return;
    const decided = this.store.records.get(`keys/${round}`);
    if (decided === undefined || (JSON.parse(decided.value) as { key: string }).key !== key) {
      this.#violate(`round ${round}: a bucket is given a key that was not decided`);
    }
  }

  /** No ID may be issued, or be there to be issued, in two places; `whole`: and none may be missing. */
  #checkIds(whole: boolean): void {
    const places = new Map<number, string>();
    for (const bucket of this.buckets) {
      for (const [round, { ids, issuedIds, left }] of bucket.rounds) {
        const place = `${bucket.id} round ${round}`;
        if (left !== ids.length) this.#violate(`${place}: counts ${left}, holds ${ids.length}`);
        for (const id of [...ids, ...issuedIds]) {
          const other = places.get(id);
          if (other !== undefined) this.#violate(`prize ${id} is in ${place} and in ${other}`);
          places.set(id, place);
        }
      }
    }
    const all = [...this.generated.values()].flatMap((rounds) => [...rounds.values()].flat());
    if (!whole) return;
    for (const id of all) if (!places.has(id)) this.#violate(`prize ${id} is lost`);
  }

  /** What must hold at any moment. */
  #check(): void {
    this.#checks += 1;
    if (this.#checks % 50 === 0 && this.violations.length === 0) this.#checkIds(false);
    for (const round of ROUNDS) {
      const stored = this.store.records.get(`keys/${round}`)?.value;
      const known = this.#keys.get(String(round));
      if (known !== undefined && known !== stored) this.#violate(`round ${round}: the key changed`);
      if (stored !== undefined) this.#keys.set(String(round), stored);
      const contents = new Map<string, string>();
      for (const bucket of this.buckets) {
        for (const [version, content] of bucket.history) {
          if (!version.startsWith(`${round} `)) continue;
          const other = contents.get(version);
          if (other !== undefined && other !== content) {
            this.#violate(`round ${version}: ${bucket.id} has ${content}, another bucket ${other}`);
          }
          contents.set(version, content);
        }
      }
    }
  }

  /** No more faults: everything that was begun has to be finished. */
  settle(): void {
    this.calm = true;
    this.#frozenUntil.clear();
    for (const bucket of this.buckets)
      Object.assign(bucket, { up: true, redis: "ok", mysql: "ok", fenced: null });
  }

  /** What has to be true once everything had time to settle. */
  async checkSettled(): Promise<void> {
    for (const [round, { value }] of await this.#records.rounds(ROUNDS)) {
      const key = await this.#records.key(round);
      const wanted = value.state === "scheduled" ? null : key;
      for (const bucket of this.buckets) {
        const has = bucket.rounds.get(round)!;
        if (has.v !== value.v || has.key !== wanted || has.opensAtMs !== value.opensAtMs) {
          this.#violate(
            `round ${round} (${value.state} v${value.v}): ${bucket.id} has v${has.v}, key ${has.key}`,
          );
        }
      }
      if (value.state === "open" && !value.published)
        this.#violate(`round ${round} is open and not published`);
    }
    this.#checkIds(true);
    const transfers = this.conductors[0]!.transfers.all();
    for (const { n, state } of transfers) if (state !== "done") this.#violate(`transfer ${n} is ${state}`);
    this.#checkRest();
    const log = await this.#records.log(10_000);
    const rounds = await this.#records.rounds(ROUNDS);
    const ordered = transfers.filter(({ ordered }) => ordered).length;
    const changes = [...rounds.values()].reduce(
      (sum, { value }) => sum + value.n,
      transfers.length + ordered,
    );
    if (log.length !== changes) this.#violate(`${changes} changes, ${log.length} in the log`);
  }

  /** A closed round keeps nothing while a later one is still to close. */
  #checkRest(): void {
    const { records } = this.world;
    for (const round of ROUNDS) {
      const isNext = ROUNDS.some((later) => later > round && records.get(later)?.state !== "closed");
      if (records.get(round)?.state !== "closed" || !isNext) continue;
      for (const bucket of this.buckets) {
        const { left } = bucket.rounds.get(round)!;
        if (left > 0) this.#violate(`round ${round} is closed and keeps ${left} in ${bucket.id}`);
      }
    }
  }
}
