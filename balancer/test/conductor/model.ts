/** Small faithful stand-ins for what the conductor talks to: a control store and buckets, in memory. */
import type {
  AdminClient,
  AdminRound,
  AdminState,
  InOrder,
  MoveAnswer,
  OutOrder,
  PutRoundResult,
  RoundRecord,
  Run,
} from "@hongbao/bucket-service";
import { Unreachable, type PackManifest } from "@hongbao/preprocess";
import type { ControlStore } from "../../src/control/store.ts";
import { keyHash } from "../../src/conductor/decide.ts";

export function memoryStore(): ControlStore & { records: Map<string, { value: string; etag: string }> } {
  const records = new Map<string, { value: string; etag: string }>();
  let versions = 0;
  return {
    records,
    get: async (name) => records.get(name) ?? null,
    put: async (name, value, condition = {}) => {
      const etag = records.get(name)?.etag;
      if ("ifNoneMatch" in condition && etag !== undefined) return null;
      if ("ifMatch" in condition && etag !== condition.ifMatch) return null;
      versions += 1;
      records.set(name, { value, etag: String(versions) });
      return String(versions);
    },
    list: async (prefix) => [...records.keys()].filter((name) => name.startsWith(prefix)).sort(),
  };
}

export interface ModelRound {
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  key: string | null;
  left: number;
  issued: number;
  stock: number;
  final: number | null;
  dry: boolean;
  /** IDs that are left, in the order of issue; as far as a test cares for them. */
  ids: number[];
  issuedIds: number[];
}

/** One side of a move, as Redis notes it and as MySQL records it. */
interface ModelMove {
  round: number;
  toRound: number;
  ids: number[];
}

/** A process of the bucket is killed between the two steps of a half. */
export class KilledBetween extends Unreachable {}

/** A bucket with the compare-and-set rules of the admin API. */
export class ModelBucket {
  readonly id: string;
  up = true;
  redis: "ok" | "down" = "ok";
  fenced: string | null = null;
  mysql: "ok" | "down" = "ok";
  epoch = "e1";
  rounds = new Map<number, ModelRound>();
  /** Moves by ID and direction: what Redis has noted, and what MySQL has recorded. */
  readonly notes = new Map<string, ModelMove>();
  readonly recorded = new Map<string, ModelMove>();
  /** Each version of each round that was ever in place, as text. */
  readonly history = new Map<string, string>();
  clock: () => number;

  constructor(id: string, clock: () => number) {
    this.id = id;
    this.clock = clock;
  }

  load(round: number, opensAtMs: number | null, closesAtMs: number | null, left = 10, lo = 1): void {
    const ids = Array.from({ length: left }, (_, index) => lo + left - 1 - index);
    const stock = { stock: 1, final: null, dry: false, ids, issuedIds: [] };
    this.rounds.set(round, { v: 1, opensAtMs, closesAtMs, key: null, left, issued: 0, ...stock });
  }

  /** What a user is told. */
  grab(round: number): "won" | "busy" | "ended" | "not_open" {
    if (this.phase(round) === "closed") return "ended";
    if (this.phase(round) !== "open") return "not_open";
    const record = this.rounds.get(round)!;
    const id = record.ids.shift();
    if (id === undefined) {
      record.dry = true;
      return record.final === record.stock ? "ended" : "busy";
    }
    record.left -= 1;
    record.issued += 1;
    record.issuedIds.push(id);
    return "won";
  }

  setFinal(round: number, stock: number): boolean {
    const record = this.rounds.get(round)!;
    if (record.stock !== stock || record.left > 0) return false;
    record.final = stock;
    return true;
  }

  moveOut(order: OutOrder, isKilled = false): MoveAnswer<{ runs: Run[]; moves: number }> {
    this.#requireMysql();
    const name = `${order.id}/out`;
    const answer = ({ ids }: ModelMove): MoveAnswer<{ runs: Run[]; moves: number }> => {
      return { ok: true, runs: runsOf(ids), moves: this.notes.size };
    };
    const recorded = this.recorded.get(name);
    if (recorded !== undefined) return answer(recorded);
    if (order.epoch !== this.epoch) return { ok: false, outdated: true, why: "another epoch" };
    let noted = this.notes.get(name);
    if (noted === undefined) {
      const isClosed = this.phase(order.round) === "closed";
      if (order.kind === "roll" && !isClosed) return { ok: false, outdated: false, why: "not closed yet" };
      const record = this.rounds.get(order.round)!;
      const count = order.kind === "lend" && isClosed ? 0 : Math.min(order.count ?? Infinity, record.left);
      const ids = count === 0 ? [] : record.ids.splice(-count).reverse();
      record.left -= count;
      noted = { round: order.round, toRound: order.peerRound, ids };
      this.notes.set(name, noted);
    }
    if (isKilled) throw new KilledBetween("killed after leaving");
    if (noted.ids.length > 0) {
      this.recorded.set(name, noted);
      if (order.kind === "roll") {
        this.recorded.set(`${order.id}/in`, { ...noted, round: noted.toRound, toRound: noted.round });
      }
    }
    return answer(noted);
  }

  moveIn(order: InOrder, isKilled = false): MoveAnswer<{ stock: number; moves: number }> {
    this.#requireMysql();
    const name = `${order.id}/in`;
    const ids = order.runs.flatMap(({ lo, count }) =>
      Array.from({ length: count }, (_, index) => lo + index),
    );
    if (!this.recorded.has(name))
      this.recorded.set(name, { round: order.round, toRound: order.peerRound, ids });
    if (isKilled) throw new KilledBetween("killed after recording");
    const record = this.rounds.get(order.round)!;
    if (!this.notes.has(name)) {
      this.notes.set(name, this.recorded.get(name)!);
      record.ids.push(...ids);
      record.left += ids.length;
      record.stock += 1;
      record.dry = false;
    }
    return { ok: true, stock: record.stock, moves: this.notes.size };
  }

  /** Redis is made anew from MySQL: what was cut and not written down is in stock again. */
  rebuild(generated: Map<number, number[]>): void {
    this.epoch = `${this.epoch}+`;
    this.notes.clear();
    for (const [name, move] of this.recorded) this.notes.set(name, move);
    for (const [round, record] of this.rounds) {
      const owned = new Map((generated.get(round) ?? []).map((id) => [id, 1]));
      for (const [name, move] of this.recorded) {
        if (move.round !== round) continue;
        for (const id of move.ids) owned.set(id, (owned.get(id) ?? 0) + (name.endsWith("/in") ? 1 : -1));
      }
      record.ids = [...owned.keys()].filter((id) => owned.get(id) === 1 && !record.issuedIds.includes(id));
      record.left = record.ids.length;
      record.stock += 1_000;
      record.dry = false;
    }
  }

  #requireMysql(): void {
    if (!this.up || this.redis === "down" || this.mysql === "down" || this.fenced !== null)
      throw new Unreachable(`bucket ${this.id} is away`);
  }

  state(): AdminState {
    if (!this.up) throw new Unreachable(`bucket ${this.id} is away`);
    return {
      event: "test",
      bucket: this.id,
      id: "s0",
      roles: ["grab"],
      packDigest: "0",
      epoch: this.epoch,
      moves: this.notes.size,
      timeMs: this.clock(),
      fenced: this.fenced,
      journal: { waiting: 0 },
      redis: this.redis,
      mysql: this.mysql,
      rounds: Array.from(this.rounds, ([round, record]) => this.#shown(round, record)),
    };
  }

  #shown(round: number, record: ModelRound): AdminRound {
    const { v, opensAtMs, closesAtMs, key, left, issued, stock, final, dry } = record;
    return {
      round,
      v,
      opensAtMs,
      closesAtMs,
      hasKey: key !== null,
      keyHash: key === null ? null : keyHash(key),
      stock,
      left,
      issued,
      state: this.phase(round),
      dry: left === 0 && dry,
      final: left === 0 && final === stock,
    };
  }

  phase(round: number): "scheduled" | "open" | "closed" {
    const { opensAtMs, closesAtMs, key } = this.rounds.get(round)!;
    if (closesAtMs !== null && this.clock() >= closesAtMs) return "closed";
    return key !== null && opensAtMs !== null && this.clock() >= opensAtMs ? "open" : "scheduled";
  }

  put(round: number, record: RoundRecord): PutRoundResult {
    const known = this.rounds.get(round);
    if (!this.up || this.redis === "down" || known === undefined)
      throw new Unreachable(`bucket ${this.id} is away`);
    const content = ({ opensAtMs, closesAtMs, key }: Omit<RoundRecord, "v">): string =>
      JSON.stringify([opensAtMs, closesAtMs, key]);
    if (record.v > known.v) {
      Object.assign(known, record);
      this.history.set(`${round} v${record.v}`, content(record));
      return { ok: true, v: record.v, applied: true };
    }
    if (record.v === known.v && content(record) === content(known))
      return { ok: true, v: known.v, applied: false };
    return { ok: false, v: known.v };
  }

  client(): AdminClient {
    return {
      state: async () => structuredClone(this.state()),
      putRound: async (round, record) => this.put(round, record),
      setFinal: async (round, stock) => this.setFinal(round, stock),
      moveOut: async (order) => this.moveOut(order),
      moveIn: async (order) => this.moveIn(order),
      ready: async () => this.up,
    };
  }
}

/** IDs that go up one by one are a run. */
function runsOf(ids: number[]): Run[] {
  const runs: Run[] = [];
  for (const id of ids) {
    const last = runs.at(-1);
    if (last !== undefined && last.lo + last.count === id) last.count += 1;
    else runs.push({ lo: id, count: 1 });
  }
  return runs;
}

export function manifestOf(rounds: number[], leftovers: "next" | "hold" = "hold"): PackManifest {
  return {
    format: 1,
    event: {
      id: "test",
      title: { zh: "测试", en: "Test" },
      currency: "CNY",
      timezone: "Asia/Shanghai",
      budgetMinor: 0,
      ack: "journal",
      journalMax: 1000,
    },
    rounds: rounds.map((id) => ({
      id,
      kind: "envelope",
      count: 20,
      budgetMinor: 2000,
      split: { method: "equal" },
      perUser: 1,
      groups: null,
      leftovers,
      spreadMs: 500,
      commitment: "c".repeat(64),
    })),
    ranges: [],
    firstId: 1,
    prizeCount: 20,
    buckets: [],
    groups: [],
    greetings: 0,
    files: {},
  };
}
