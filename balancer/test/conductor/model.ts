/** Small faithful stand-ins for what the conductor talks to: a control store and buckets, in memory. */
import type {
  AdminClient,
  AdminRound,
  AdminState,
  PutRoundResult,
  RoundRecord,
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
}

/** A bucket with the compare-and-set rules of the admin API. */
export class ModelBucket {
  readonly id: string;
  up = true;
  redis: "ok" | "down" = "ok";
  fenced: string | null = null;
  rounds = new Map<number, ModelRound>();
  /** Each version of each round that was ever in place, as text. */
  readonly history = new Map<string, string>();
  clock: () => number;

  constructor(id: string, clock: () => number) {
    this.id = id;
    this.clock = clock;
  }

  load(round: number, opensAtMs: number | null, closesAtMs: number | null, left = 10): void {
    this.rounds.set(round, { v: 1, opensAtMs, closesAtMs, key: null, left, issued: 0, stock: 1 });
  }

  state(): AdminState {
    if (!this.up) throw new Unreachable(`bucket ${this.id} is away`);
    return {
      event: "test",
      bucket: this.id,
      id: "s0",
      roles: ["grab"],
      packDigest: "0",
      timeMs: this.clock(),
      fenced: this.fenced,
      journal: { waiting: 0 },
      redis: this.redis,
      mysql: "ok",
      rounds: Array.from(this.rounds, ([round, record]) => this.#shown(round, record)),
    };
  }

  #shown(round: number, { v, opensAtMs, closesAtMs, key, left, issued, stock }: ModelRound): AdminRound {
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
      ready: async () => this.up,
    };
  }
}

export function manifestOf(rounds: number[]): PackManifest {
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
      leftovers: "hold",
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
