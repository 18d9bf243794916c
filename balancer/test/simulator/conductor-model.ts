/** The conductor as a generator: it looks, asks the real decide(), and takes one step after the other (conductor.ts, transfers.ts). */
import { decide, keyHash, type Action, type SeenBucket, type World } from "../../src/conductor/decide.ts";
import { describe as describeMove } from "../../src/conductor/decide-moves.ts";
import type { RoundRecord, Transfer } from "../../src/conductor/records.ts";
import type { MoveNote } from "../../../bucket-service/src/moves/note.ts";
import { ScriptError } from "./redis-model.ts";
import type { Actor } from "./actors.ts";
import type { Bucket, Simulator } from "./simulator.ts";

interface Stored<T> {
  value: T;
  etag: number;
}

/** The control store, and what users see of it. */
export interface ControlModel {
  records: Map<number, Stored<RoundRecord>>;
  keys: Map<number, string>;
  transfers: Map<number, Stored<Transfer>>;
  etags: number;
  /** What the start files show. */
  decided: Map<number, { key: string; published: boolean }>;
}

export function* conductor(sim: Simulator, id: string): Actor {
  const self = `controller ${id}`;
  for (;;) {
    yield;
    const seen = new Map<string, SeenBucket>();
    for (const bucket of sim.buckets) {
      seen.set(bucket.id, look(sim, bucket));
      if (sim.random() < 0.5) yield;
    }
    const records = new Map(sim.control.records);
    const transfers = new Map(sim.control.transfers);
    const keys = new Map(sim.control.keys);
    const nowMs = [...seen.values()].some(({ reachable }) => reachable) ? sim.nowMs : null;
    const world: World = {
      nowMs,
      buckets: [...seen.values()],
      rounds: [...sim.rounds],
      records: new Map([...records].map(([round, { value }]) => [round, value])),
      keys,
      plans: sim.pack.manifest.rounds,
      transfers: [...transfers.values()].map(({ value }) => value),
      lends: () => true,
      self,
    };
    for (const action of decide(world)) {
      yield;
      if (sim.unlucky()) continue;
      yield* act(sim, action, { records, transfers, self });
    }
  }
}

interface Known {
  records: Map<number, Stored<RoundRecord>>;
  transfers: Map<number, Stored<Transfer>>;
  self: string;
}

function* act(sim: Simulator, action: Action, known: Known): Actor {
  const { control } = sim;
  switch (action.kind) {
    case "change": {
      const isMade = put(sim, control.records, action.round, action.next, known.records.get(action.round));
      if (isMade) show(sim, action.next);
      return;
    }
    case "decideKey":
      if (!control.keys.has(action.round) || sim.bugs.has("a record is written without comparing")) {
        const before = control.keys.get(action.round);
        const key = `key of ${known.self} at ${sim.nowMs}`;
        if (before !== undefined && before !== key) sim.violate(`the key of round ${action.round} changed`);
        control.keys.set(action.round, key);
        control.etags += 1;
      }
      return;
    case "install": {
      const bucket = sim.buckets.find(({ id }) => id === action.bucket)!;
      const round = bucket.redis.rounds.get(action.round);
      if (!bucket.redis.up || round === undefined || action.installation.v <= round.v) return;
      Object.assign(round, action.installation);
      yield;
      const { v, opensAtMs, closesAtMs, key } = action.installation;
      if (bucket.mysql.up)
        bucket.mysql.recordRound(action.round, { v, opensAtMs, closesAtMs, opened: key !== null });
      return;
    }
    case "final": {
      const { redis } = sim.buckets.find(({ id }) => id === action.bucket)!;
      if (redis.up) redis.setFinal(action.round, action.stock);
      return;
    }
    case "transfer":
      return void putTransfer(sim, action.next, known);
    case "out":
    case "in":
      return yield* half(sim, action.transfer, known);
  }
}

/** Compare-and-set; with the planted bug whoever comes last wins. */
function put<T>(
  sim: Simulator,
  store: Map<number, Stored<T>>,
  name: number,
  value: T,
  before: Stored<T> | undefined,
): boolean {
  const isFree = store.get(name)?.etag === before?.etag;
  if (!isFree && !sim.bugs.has("a record is written without comparing")) return false;
  store.set(name, { value, etag: (sim.control.etags += 1) });
  return true;
}

function putTransfer(sim: Simulator, next: Transfer, { transfers }: Known): boolean {
  const before = transfers.get(next.n);
  if ((before?.value.step ?? 0) !== next.step - 1) return false;
  // A new one takes the next number, and none is left out.
  if (before === undefined && next.n > 1 && !sim.control.transfers.has(next.n - 1)) return false;
  return put(sim, sim.control.transfers, next.n, next, before);
}

function show(sim: Simulator, { round, state, published }: RoundRecord): void {
  const key = sim.control.keys.get(round);
  if (state === "open" && published && key !== undefined) sim.control.decided.set(round, { key, published });
}

/** One half of a transfer, in the bucket (moves/mover.ts), and then its record. */
function* half(sim: Simulator, transfer: Transfer, known: Known): Actor {
  const isOut = transfer.state === "leaving";
  const bucket = sim.buckets.find(({ id }) => id === (isOut ? transfer.from : transfer.to))!;
  const { kind, n, from, to, round, toRound, epoch } = transfer;
  const id = `t-${n}`;
  try {
    if (isOut) {
      const note = { id, direction: "out" as const, kind, round, peerBucket: to, peerRound: toRound };
      const left = yield* moveOut(sim, bucket, note, { epoch, count: transfer.count });
      if (left === null) return;
      const moved = left.runs.reduce((sum, { count }) => sum + count, 0);
      const mark = { epoch, moves: bucket.redis.moves.size };
      const next: Partial<Transfer> =
        moved === 0
          ? { state: "done", left: mark }
          : { state: "arriving", runs: left.runs, moved, left: mark };
      putTransfer(sim, after(sim, transfer, next, known.self), known);
      return;
    }
    const note: MoveNote = {
      id,
      direction: "in",
      kind,
      round: toRound,
      peerBucket: from,
      peerRound: round,
      runs: transfer.runs,
    };
    if (!(yield* moveIn(sim, bucket, note))) return;
    const arrived = { epoch: bucket.redis.epoch, moves: bucket.redis.moves.size };
    putTransfer(sim, after(sim, transfer, { state: "done", runs: [], arrived }, known.self), known);
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
  }
}

function* moveOut(
  sim: Simulator,
  { redis, mysql, id }: Bucket,
  note: Omit<MoveNote, "runs">,
  asked: { epoch: string; count: number | null },
): Generator<void, MoveNote | null, void> {
  if (!mysql.up || !redis.up) return null;
  const recorded = mysql.moves.get(`${note.id}/out`);
  if (recorded !== undefined) return recorded;
  const isRoll = note.kind === "roll";
  const left = redis.leave(
    note,
    { epoch: asked.epoch, countMax: asked.count ?? Infinity, closed: isRoll },
    sim.nowMs,
  );
  if (left === null) return null;
  yield;
  if (left.runs.length === 0) return sim.unlucky() ? null : left;
  if (!mysql.up) return null;
  const came = {
    ...left,
    direction: "in" as const,
    round: note.peerRound,
    peerRound: note.round,
    peerBucket: id,
  };
  const out = mysql.recordOut(asked.epoch, left, isRoll ? came : null);
  yield;
  return out === null || sim.unlucky() ? null : out;
}

function* moveIn(sim: Simulator, { redis, mysql }: Bucket, note: MoveNote): Generator<void, boolean, void> {
  if (!mysql.up || !redis.up) return false;
  if (sim.bugs.has("stock enters before it is recorded")) {
    redis.enter(note.round, [note], mysql.meta.epoch);
    yield;
    // Killed here, or MySQL away, and users win what no record of this bucket knows of.
    if (!mysql.up || sim.unlucky()) return true;
  }
  const epoch = mysql.recordIn(note);
  yield;
  if (!redis.up) return false;
  redis.enter(note.round, mysql.recordedIns(note.round), epoch);
  yield;
  return !sim.unlucky();
}

function after(sim: Simulator, transfer: Transfer, fields: Partial<Transfer>, self: string): Transfer {
  const next = { ...transfer, ...fields, step: transfer.step + 1 };
  return {
    ...next,
    change: { atMs: sim.nowMs, by: self, what: describeMove(next, "moves", next.moved), why: "" },
  };
}

function look(sim: Simulator, { id, redis, mysql, services }: Bucket): SeenBucket {
  const reachable = redis.up && redis.epoch !== "";
  const rounds: SeenBucket["rounds"] = new Map();
  for (const [round, it] of redis.rounds) {
    const isClosed = it.closesAtMs !== null && sim.nowMs >= it.closesAtMs;
    const isOpen = it.key !== null && it.opensAtMs !== null && sim.nowMs >= it.opensAtMs;
    const left = it.left + it.ranges.reduce((sum, { count }) => sum + count, 0);
    rounds.set(round, {
      v: it.v,
      opensAtMs: it.opensAtMs,
      closesAtMs: it.closesAtMs,
      keyHash: it.key === null ? null : hashOf(it.key),
      stock: it.stock,
      left,
      issued: it.issued,
      state: isClosed ? "closed" : isOpen ? "open" : "scheduled",
      dry: left === 0 && it.dryAtMs !== null,
      final: left === 0 && it.final === it.stock,
    });
  }
  const fenced = services.every(({ trust }) => trust === "fenced");
  const known = { id, reachable, unsure: false, refusing: false, fenced, mysql: mysql.up };
  return {
    ...known,
    epoch: redis.epoch,
    moves: redis.moves.size,
    nowMs: reachable ? sim.nowMs : null,
    rounds,
  };
}

const hashes = new Map<string, string>();

function hashOf(key: string): string {
  const known = hashes.get(key) ?? keyHash(key);
  if (hashes.size < 1_000) hashes.set(key, known);
  return known;
}
