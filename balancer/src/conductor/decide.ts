/**
 * What the conductor does next: a pure function of what the control store and the buckets say. Whoever calls it, as often
 * and as late as they like: every action is a compare-and-set on what was seen, so a second controller, or one that was
 * frozen and wakes, finds its action refused or done already.
 *
 * An opening is five steps, each of which any controller can take when it finds the one before it done:
 *
 *   change (open)       the record says that the round is open; from here on its opening cannot be moved any more
 *   decideKey           keys/R is created: there was no key before the opening
 *   install             every bucket takes times and key, by compare-and-set on its version
 *   change (published)  every bucket within reach has it: now the start file shows the key
 *   install             a bucket that was away takes it when it is back
 */
import { createHash } from "node:crypto";
import { decideMoves, mayCome, type MoveAction, type RoundPlan } from "./decide-moves.ts";
import type { RoundRecord, Transfer } from "./records.ts";

/** One round as a bucket tells it. */
export interface SeenRound {
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  /** SHA-256 in hex; null when the bucket has no key. */
  keyHash: string | null;
  stock: number;
  left: number;
  issued: number;
  state: "scheduled" | "open" | "closed";
  /** Empty, and somebody asked since. */
  dry: boolean;
  /** Empty, and was told that nothing follows. */
  final: boolean;
}

export interface SeenBucket {
  id: string;
  /** Whether its Redis answered a moment ago. What is known of a bucket out of reach is old, or nothing. */
  reachable: boolean;
  /** Out of reach only because nobody has looked: just started, or just woken. */
  unsure: boolean;
  /** It answers, but a round could not be installed a moment ago. */
  refusing: boolean;
  fenced: boolean;
  /** Whether its MySQL answers. */
  mysql: boolean;
  /** Of its load or rebuild, and how many moves its Redis has noted in it. */
  epoch: string;
  moves: number;
  /** The bucket's own clock now, also of one out of reach that was seen before. */
  nowMs: number | null;
  rounds: Map<number, SeenRound>;
}

export interface World {
  /** The time, as the buckets' clocks have it; null while none is within reach: then nothing is due. */
  nowMs: number | null;
  /** All of the topology. */
  buckets: SeenBucket[];
  rounds: number[];
  records: Map<number, RoundRecord>;
  keys: Map<number, string>;
  /** The rounds as the pack has them, in its order. */
  plans: RoundPlan[];
  /** All of them, those that are done too. */
  transfers: Transfer[];
  /** Whether a bucket may lend and borrow by itself. */
  lends: (bucket: string) => boolean;
  /** Who is acting, for the log. */
  self: string;
}

/** What a bucket is told of a round. */
export interface Installation {
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  key: string | null;
}

export type Action =
  /** Create or replace the record, if it still is as it was seen. */
  | { kind: "change"; round: number; next: RoundRecord }
  | { kind: "decideKey"; round: number }
  | { kind: "install"; round: number; bucket: string; installation: Installation }
  | MoveAction;

export function decide(world: World): Action[] {
  const rounds = world.rounds.flatMap((round) => {
    const record = world.records.get(round);
    return record === undefined ? seed(world, round) : decideRound(world, record);
  });
  return [...rounds, ...decideMoves(world)];
}

/** The first record of a round: what the load put into the buckets. */
function seed(world: World, round: number): Action[] {
  const seen = seenIn(world, round).map(({ seen }) => seen);
  if (world.nowMs === null || seen.length === 0) return [];
  const newest = seen.reduce((best, each) => (each.v > best.v ? each : best));
  const atMs = Math.max(1, Math.round(world.nowMs));
  const next: RoundRecord = {
    round,
    v: newest.v,
    n: 1,
    state: "scheduled",
    opensAtMs: newest.opensAtMs,
    closesAtMs: newest.closesAtMs,
    published: false,
    change: { atMs, by: world.self, what: "found the round in the buckets", why: "" },
  };
  return [{ kind: "change", round, next }];
}

function decideRound(world: World, record: RoundRecord): Action[] {
  const { round } = record;
  const { nowMs } = world;
  // No bucket within reach: nobody knows what time it is, and there is nobody to tell.
  if (nowMs === null) return [];
  const seen = seenIn(world, round);
  const installation = installationOf(record, world.keys.get(round) ?? null);
  const change = (what: string, fields: Partial<RoundRecord>): Action => ({
    kind: "change",
    round,
    next: changed(record, { ...fields, by: world.self, what, atMs: nowMs }),
  });

  const newerV = newerVersion(record, installation, seen);
  if (newerV !== null) return [change("a bucket had another version", { v: newerV })];
  const due = dueChange(record, nowMs);
  if (due === "open") return [change("opened on time", { state: "open", v: record.v + 1 })];
  if (due === "closed") return [change("closed on time", { state: "closed" })];
  if (installation === null) return [{ kind: "decideKey", round }];

  const installs = seen
    .filter(({ seen }) => seen.v < record.v)
    .map(({ bucket }): Action => ({ kind: "install", round, bucket: bucket.id, installation }));
  // One that refused may have taken it all the same: what it holds counts, not what it answered.
  const ready = seen.filter(({ bucket, seen }) => !bucket.refusing || holds(seen, installation));
  const isSure = ready.length > 0 && !world.buckets.some(({ unsure }) => unsure);
  const isInstalled = isSure && ready.every(({ seen }) => holds(seen, installation));
  if (record.state !== "open" || record.published || !isInstalled) return installs;
  const what = `published the key: it is in ${ready.length} of ${world.buckets.length} buckets`;
  return [...installs, change(what, { published: true })];
}

/**
 * A control store that was lost, or an older copy of it, must not be stuck behind what the buckets know: its word becomes
 * newer than all of them. Null when nothing is to be done.
 */
function newerVersion(
  record: RoundRecord,
  installation: Installation | null,
  seen: { seen: SeenRound }[],
): number | null {
  const newest = Math.max(0, ...seen.map(({ seen }) => seen.v));
  if (newest > record.v) return newest + 1;
  if (installation === null) return null;
  const differs = seen.some(({ seen }) => seen.v === record.v && !holds(seen, installation));
  return differs ? record.v + 1 : null;
}

function dueChange(record: RoundRecord, nowMs: number): "open" | "closed" | null {
  if (record.state === "closed") return null;
  if (record.closesAtMs !== null && nowMs >= record.closesAtMs) return "closed";
  const opens = record.state === "scheduled" && record.opensAtMs !== null && nowMs >= record.opensAtMs;
  return opens ? "open" : null;
}

/** What the buckets shall have; null while an open round has no key yet. */
export function installationOf(record: RoundRecord, key: string | null): Installation | null {
  const { v, opensAtMs, closesAtMs } = record;
  if (record.state === "open" && key === null) return null;
  return { v, opensAtMs, closesAtMs, key: record.state === "scheduled" ? null : key };
}

/** The record's next version; `v` is among the fields when the buckets have to be told. */
export function changed(
  record: RoundRecord,
  fields: Partial<RoundRecord> & { atMs: number; by: string; what: string; why?: string },
): RoundRecord {
  const { atMs, by, what, why = "", ...rest } = fields;
  return {
    ...record,
    ...rest,
    n: record.n + 1,
    change: { atMs: Math.max(1, Math.round(atMs)), by, what, why },
  };
}

export function keyHash(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** Whether a bucket has exactly this. */
export function holds(seen: SeenRound, installation: Installation): boolean {
  return (
    seen.v === installation.v &&
    seen.opensAtMs === installation.opensAtMs &&
    seen.closesAtMs === installation.closesAtMs &&
    seen.keyHash === (installation.key === null ? null : keyHash(installation.key))
  );
}

function seenIn(world: World, round: number): { bucket: SeenBucket; seen: SeenRound }[] {
  return world.buckets.flatMap((bucket) => {
    const seen = bucket.reachable ? bucket.rounds.get(round) : undefined;
    return seen === undefined ? [] : [{ bucket, seen }];
  });
}

/** A bucket out of reach counts as closed only when its own clock is this far past the closing. */
const CLOSED_MARGIN_MS = 1_000;

/**
 * Whether nobody can win in the round any more, in any bucket: each one has the newest times, and is past its closing or
 * has nothing left and will get nothing. A bucket out of reach is over only by its clock; what it has left cannot be known.
 */
export function isOver(world: World, round: number): boolean {
  const record = world.records.get(round);
  if (record === undefined || record.state === "scheduled") return false;
  const isComing = mayCome(world, round);
  return world.buckets.every((bucket) => {
    const seen = bucket.rounds.get(round);
    if (seen === undefined || seen.v !== record.v) return false;
    if (bucket.reachable) {
      const isOut = seen.state === "open" && seen.left === 0 && seen.final && !bucket.fenced;
      return seen.state === "closed" || (isOut && !isComing);
    }
    const { nowMs } = bucket;
    return nowMs !== null && record.closesAtMs !== null && nowMs >= record.closesAtMs + CLOSED_MARGIN_MS;
  });
}
