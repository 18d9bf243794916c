import type { Connection } from "mysql2/promise";
import type { BucketPlace, Pack, Secrets } from "@hongbao/preprocess";
import type { Direction, MoveKind, MoveNote } from "../moves/note.ts";
import { recordedMoves } from "../moves/record.ts";
import { countOf, worthOf, type Run } from "../moves/runs.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { withBucket } from "../stores.ts";
import type { Sum, Violation } from "./audit.ts";

/** One side of a move, for the sum over all buckets. */
export interface AuditMove extends Sum {
  id: string;
  bucket: string;
  kind: Exclude<MoveKind, "release">;
  direction: Direction;
  round: number;
  peerBucket: string;
  peerRound: number;
  runs: readonly Run[];
}

/** The moves between buckets and rounds among some notes; moves of nothing are none. */
export function movesOf(pack: Pack, bucket: string, notes: readonly MoveNote[]): AuditMove[] {
  return notes.flatMap(({ kind, ...note }) =>
    kind === "release" || note.runs.length === 0
      ? []
      : { ...note, kind, bucket, count: countOf(note.runs), amount: amountOf(pack, note.runs) },
  );
}

/** What a bucket has lent to others by its MySQL's word. Errors: Unreachable. */
export async function loansOut(parts: {
  pack: Pack;
  bucket: BucketPlace;
  secrets: Pick<Secrets, "redis" | "mysql">;
}): Promise<AuditMove[]> {
  const { pack, bucket } = parts;
  return withBucket({ ...parts, name: "audit" }, async ({ mysql, record }) => {
    if (record.epoch === "") return [];
    const loans = (await recordedMoves(mysql)).filter(
      ({ kind, direction }) => kind === "lend" && direction === "out",
    );
    return movesOf(pack, bucket.id, loans);
  });
}

function amountOf(pack: Pack, runs: readonly Run[]): number {
  return worthOf(runs, (id) => (pack.holds(id) ? pack.amountOf(id) : 0));
}

/** Redis and the ledger of moves against each other: what came stands in MySQL before, what went left Redis before. */
export async function moveFaults(parts: {
  mysql: Connection;
  store: BucketStore;
  pack: Pack;
  /** The notes of the cut; MySQL must be of later. */
  noted: readonly MoveNote[];
  report: (violation: Omit<Violation, "bucket">) => void;
}): Promise<void> {
  const { mysql, store, pack, noted, report } = parts;
  const recorded = await recordedMoves(mysql);
  const named = (note: MoveNote): string => `${note.id}/${note.direction} ${JSON.stringify(note.runs)}`;
  const inMysql = new Set(recorded.map(named));
  for (const note of noted) {
    if (note.direction === "out" || note.runs.length === 0 || inMysql.has(named(note))) continue;
    const what = `move ${note.id} came into Redis, but does not stand so in MySQL's range_moves`;
    report({ promise: 6, round: note.round, what });
  }
  const inRedis = new Set([...noted, ...(await store.moves())].map(named));
  for (const note of recorded) {
    if (note.direction === "out" && !inRedis.has(named(note))) {
      const what = `move ${note.id} left by MySQL's word, but not so in Redis`;
      report({ promise: 1, round: note.round, what });
    }
    const worth = amountOf(pack, note.runs);
    if (note.amountMinor === worth) continue;
    const what = `move ${note.id} (${note.direction}) is written down as worth ${note.amountMinor}, generated was ${worth}`;
    report({ promise: 4, round: note.round, what });
  }
}
