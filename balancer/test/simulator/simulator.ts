/**
 * A seeded simulator of the whole machine: users, services, persist, payout, two conductors, lending, rollover, loss, rebuild and
 * receipts, over model stores. What decides is the real code (decide() of conductor and payout, the guard, planBurn, judge,
 * judgeWin, unpackEntry); what talks is modelled, each call one step. Between any two steps anybody may be killed or frozen, a
 * store may be away, an answer may get lost. All of it from one seed; nothing is asynchronous, so a schedule takes a fraction of
 * a millisecond.
 */
import type { Bug } from "./bugs.ts";
import { conductor, type ControlModel } from "./conductor-model.ts";
import { MysqlModel, type ModelPack } from "./mysql-model.ts";
import { RedisModel } from "./redis-model.ts";
import { freshRound, packOf, START_MS } from "./scene.ts";
import { payout, persist, rebuilder, receipts, user, watcher, type Actor } from "./actors.ts";
import { checkEnd } from "./checks.ts";

export interface Service {
  epoch: string;
  seq: number;
  trust: "unproven" | "ok" | "away" | "fenced";
  /** It has seen this epoch going back. */
  lost: string | null;
}

export interface Bucket {
  id: string;
  redis: RedisModel;
  mysql: MysqlModel;
  services: Service[];
  /** Data was lost once: whoever has won shows the receipt and does not ask again. */
  wasLost: boolean;
  /**
   * This epoch came back as an older copy, and those who have seen more have not marked it yet. A service that starts in between can
   * know of it from MySQL alone, which is half a second behind: that it notices is not promised (docs/reliability.md).
   */
  unmarked: string | null;
}

export interface Win {
  user: string;
  bucket: number;
  round: number;
  n: number;
  prize: number;
}

/** What kind of schedule: which parts take turns in it, so that each stays short. */
export type Focus = "grabs" | "moves" | "loss" | "wallet";

interface Turn {
  name: string;
  make: () => Actor;
  actor: Actor;
  frozenUntilMs: number;
}

/** Of each round and bucket; where data is lost more, so that a rebuild has something to leave. */
const PRIZES = { grabs: 4, moves: 4, loss: 12, wallet: 4 } as const;
const JOURNAL_MAX = { grabs: 3, moves: 3, loss: 2, wallet: 3 } as const;
const FAULTS = { grabs: 0.03, moves: 0.03, loss: 0.06, wallet: 0.03 } as const;
const STEPS = { grabs: 160, moves: 200, loss: 200, wallet: 160 } as const;
const CALM_ROUNDS_MAX = 60;
const CALM_MS = 700;
const NO_WINS: readonly Win[] = [];

export class Simulator {
  nowMs = START_MS;
  readonly focus: Focus;
  readonly bugs: ReadonlySet<Bug>;
  readonly buckets: Bucket[];
  readonly control: ControlModel;
  readonly pack: ModelPack;
  readonly rounds: readonly number[];
  readonly journalMax: number;
  readonly told: Win[] = [];
  readonly #toldTo = new Map<string, Win[]>();
  readonly wallet = new Map<string, { prize: number; user: string; amount: number }>();
  readonly violations: string[] = [];
  calm = false;
  #state: number;
  readonly #turns: Turn[] = [];
  #copy: { bucket: number; copy: ReturnType<RedisModel["copy"]>; seq: number } | null = null;

  constructor(seed: number, bugs: ReadonlySet<Bug> = new Set(), focus?: Focus) {
    this.#state = seed >>> 0;
    this.bugs = bugs;
    this.focus = focus ?? (["grabs", "moves", "loss", "wallet"] as const)[seed % 4]!;
    this.journalMax = JOURNAL_MAX[this.focus];
    const count = this.focus === "moves" ? 2 : 1;
    this.rounds = this.focus === "moves" ? [1, 2] : [1];
    this.pack = packOf(this.rounds, count, PRIZES[this.focus]);
    this.control = {
      records: new Map(),
      keys: new Map(),
      transfers: new Map(),
      etags: 0,
      decided: new Map(),
    };
    this.buckets = Array.from({ length: count }, (_, index) => this.#bucket(index));
    if (this.focus !== "moves") this.#openFromTheStart();
    this.#cast();
  }

  /** mulberry32. */
  random = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  /** Whether a call fails, or its answer gets lost. */
  unlucky(): boolean {
    return !this.calm && this.random() < 0.04;
  }

  tell(win: Win): void {
    this.told.push(win);
    this.#toldTo.set(win.user, [...this.winsOf(win.user), win]);
  }

  winsOf(user: string): readonly Win[] {
    return this.#toldTo.get(user) ?? NO_WINS;
  }

  violate(what: string): void {
    this.violations.push(`at +${this.nowMs - START_MS} ms: ${what}`);
  }

  /** Runs the schedule to its end and answers what was broken. */
  run(): string[] {
    try {
      for (let step = 0; step < STEPS[this.focus] && this.violations.length === 0; step += 1) this.#step();
      this.#settle();
      if (this.violations.length === 0) checkEnd(this);
    } catch (error) {
      this.violate(`a core threw: ${(error as Error).message}`);
    }
    return this.violations;
  }

  #bucket(index: number): Bucket {
    const id = `b${index}`;
    const redis = new RedisModel(this.bugs);
    const mysql = new MysqlModel(id, this.pack, this.bugs, this.focus === "wallet" ? "outside" : "inside");
    for (const round of this.rounds) {
      const range = this.pack.manifest.ranges.find((each) => each.bucket === id && each.round === round)!;
      redis.rounds.set(round, freshRound(range.lo, range.count));
      mysql.ranges.set(round, [{ lo: range.lo, count: range.count }]);
      const times = this.timesOf(round);
      Object.assign(redis.rounds.get(round)!, times);
      mysql.versions.set(round, { v: 1, ...times, opened: false });
    }
    const service = (): Service => ({ epoch: "e1", seq: 0, trust: "ok", lost: null });
    return { id, redis, mysql, services: [service(), service()], wasLost: false, unmarked: null };
  }

  timesOf(round: number): { opensAtMs: number | null; closesAtMs: number | null } {
    if (this.focus !== "moves") return { opensAtMs: START_MS, closesAtMs: START_MS + 2_500 };
    return round === 1
      ? { opensAtMs: START_MS + 100, closesAtMs: START_MS + 1_200 }
      : { opensAtMs: START_MS + 900, closesAtMs: START_MS + 6_000 };
  }

  /** Without a conductor in the play its work is done already. */
  #openFromTheStart(): void {
    this.control.keys.set(1, "key");
    this.control.decided.set(1, { key: "key", published: true });
    for (const { redis, mysql } of this.buckets) {
      Object.assign(redis.rounds.get(1)!, { v: 2, key: "key" });
      mysql.recordRound(1, { v: 2, ...this.timesOf(1), opened: true });
    }
  }

  #cast(): void {
    const add = (name: string, make: () => Actor): void =>
      void this.#turns.push({ name, make, actor: make(), frozenUntilMs: 0 });
    for (const [index, bucket] of this.buckets.entries()) {
      const users = this.focus === "loss" || (this.focus === "moves" && index === 0) ? 7 : 5;
      for (let who = 0; who < users; who += 1)
        add(`user ${who} of ${bucket.id}`, () => user(this, index, `u${index}${who}`));
      add(`persist ${bucket.id}`, () => persist(this, bucket, `p${index}`));
      if (this.focus !== "moves") add(`persist2 ${bucket.id}`, () => persist(this, bucket, `q${index}`));
      add(`payout ${bucket.id}`, () => payout(this, bucket));
      for (const at of [0, 1]) add(`service ${bucket.id}/${at}`, () => watcher(this, bucket, at));
      if (this.focus === "loss") {
        add(`rebuild ${bucket.id}`, () => rebuilder(this, bucket));
        add(`receipts ${bucket.id}`, () => receipts(this, index));
      }
    }
    if (this.focus === "moves")
      for (const id of ["c0", "c1"]) add(`controller ${id}`, () => conductor(this, id));
  }

  #step(): void {
    if (this.random() < FAULTS[this.focus]) this.#fault();
    // Who decides over all gets more turns than a single user.
    const turn = this.#turns[Math.floor(this.random() ** 0.6 * this.#turns.length)]!;
    this.nowMs += Math.floor(this.random() * 30);
    if (turn.frozenUntilMs <= this.nowMs) turn.actor.next();
  }

  #fault(): void {
    const kind = this.random();
    const at = Math.floor(this.random() * this.buckets.length);
    const bucket = this.buckets[at]!;
    const turn = this.#turns[Math.floor(this.random() * this.#turns.length)]!;
    if (kind < 0.4) this.#kill(turn);
    else if (kind < 0.6) turn.frozenUntilMs = this.nowMs + Math.floor(this.random() * 2_000);
    else if (kind < 0.65) bucket.redis.up = !bucket.redis.up;
    else if (kind < 0.7) bucket.mysql.up = !bucket.mysql.up;
    else if (this.focus === "loss") this.#lose(at);
  }

  /** What it was about to do never happens, and what it knew is gone. */
  #kill(turn: Turn): void {
    const service = /^service .*\/(\d)$/.exec(turn.name)?.[1];
    const owner = this.buckets.find(({ id }) => turn.name.includes(id));
    if (service !== undefined && owner !== undefined) {
      if (owner.redis.epoch === owner.unmarked) return;
      owner.services[Number(service)] = { epoch: "", seq: 0, trust: "unproven", lost: null };
    }
    turn.actor = turn.make();
  }

  /**
   * A Redis comes back empty, or as an older copy. What nobody can notice is not promised: a copy so young that no process has
   * seen a later claim than it holds.
   */
  #lose(at: number): void {
    const bucket = this.buckets[at]!;
    const { redis, mysql, services } = bucket;
    // A restart that was quick enough is not noticed by a call that fails; then what a process has seen must be enough.
    let isSlow = this.random() < 0.5;
    if (this.#copy === null && this.random() < 0.6) {
      if (redis.epoch !== "" && redis.filling === null)
        this.#copy = { bucket: at, copy: redis.copy(), seq: redis.seq };
      return;
    }
    if (this.#copy?.bucket === at && this.random() < 0.6) {
      const { copy, seq } = this.#copy;
      const seen = services.filter(({ epoch }) => epoch === redis.epoch).map((service) => service.seq);
      const isNoticed =
        copy.epoch !== mysql.meta.epoch ||
        mysql.meta.seen > seq ||
        (seen.length === 2 && Math.min(...seen) > seq);
      if (!isNoticed || redis.epoch !== copy.epoch) return;
      isSlow ||= services.some((service) => service.trust === "ok" && service.seq <= seq);
      redis.goBack(copy);
      bucket.unmarked = copy.epoch;
    } else if (this.random() < 0.5) redis.lose();
    else return;
    this.#copy = null;
    bucket.wasLost = true;
    for (const service of services) if (service.trust === "ok" && isSlow) service.trust = "away";
  }

  /** No more faults; everybody takes turns until nothing changes any more. */
  #settle(): void {
    this.calm = true;
    for (const { redis, mysql } of this.buckets) redis.up = mysql.up = true;
    for (const turn of this.#turns) turn.frozenUntilMs = 0;
    const endMs = START_MS + (this.focus === "moves" ? 6_500 : 3_000);
    let before = "";
    let quiet = 0;
    for (let round = 0; round < CALM_ROUNDS_MAX && quiet < 2; round += 1) {
      this.nowMs += CALM_MS;
      for (const turn of this.#turns)
        for (let step = turn.name.startsWith("user") ? 2 : 8; step > 0; step -= 1) turn.actor.next();
      if (this.nowMs < endMs) continue;
      const now = this.#mark();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
    }
  }

  /** Changes whenever something of importance does. */
  #mark(): string {
    const parts: unknown[] = [this.told.length, this.control.etags, this.wallet.size];
    for (const { redis, mysql, services } of this.buckets) {
      parts.push(
        redis.epoch,
        redis.seq,
        redis.acked,
        mysql.meta.epoch,
        mysql.meta.rebuilding,
        mysql.claims.size,
        mysql.feed.length,
      );
      parts.push(
        mysql.ledger.length,
        services.map(({ trust }) => trust).join(),
        [...mysql.payouts.values()].filter(({ state }) => state === "paid").length,
      );
    }
    return parts.join(" ");
  }
}
