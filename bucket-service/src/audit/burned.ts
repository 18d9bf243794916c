import type { Connection, RowDataPacket } from "mysql2/promise";
import type { MoveNote } from "../moves/note.ts";
import { recordedMoves } from "../moves/record.ts";
import { balanceOf, runWith, type Run } from "../moves/runs.ts";
import type { BucketCut } from "../redis/scripts.ts";
import { runsOf } from "../rebuild/burn-plan.ts";

/** What MySQL says of burned IDs, at one moment. */
export interface BurnedRecord {
  burned: { round: number; prizeId: number }[];
  /** Releases: moves that make burned IDs stock again. */
  releases: MoveNote[];
}

/** Where a round's burned IDs stand at the cut. */
export interface BurnedBooks {
  /** Out of use: not issued, not left. */
  burned: Run[];
  /** On their way back to a user: MySQL may hold the claim, Redis does not count it yet. Part of `burned`. */
  restoring: Set<number>;
}

/** The connection is in a snapshot, or nobody releases. */
export async function readBurned(mysql: Connection): Promise<BurnedRecord> {
  const [rows] = await mysql.query<RowDataPacket[]>({
    sql: "SELECT round_id, prize_id FROM burned WHERE state = 'burned' ORDER BY prize_id",
    rowsAsArray: true,
  });
  const burned = (rows as unknown as [number, number][]).map(([round, prizeId]) => ({ round, prizeId }));
  return { burned, releases: (await recordedMoves(mysql)).filter(({ kind }) => kind === "release") };
}

/**
 * What was burned in a round when Redis was cut, by what MySQL said a moment before. An ID ceases to be burned when it is won back
 * or released; both are decided in MySQL, but happen in Redis, whose marks and notes tell whether they have. Pure.
 */
export function burnedAtCut(
  { burned, releases }: BurnedRecord,
  { moves, restores }: Pick<BucketCut, "moves" | "restores">,
  round: number,
): BurnedBooks {
  const ofRound = (each: { round: number }): boolean => each.round === round;
  const one = (prizeId: number): Run => ({ lo: prizeId, count: 1 });
  const before = runsOf(burned.filter(ofRound).map(({ prizeId }) => prizeId));
  const isBefore = (prizeId: number): boolean => runWith(before, prizeId) >= 0;
  const restoring = restores.filter((each) => each.round === round).map(({ prizeId }) => prizeId);
  const back = restores.filter((each) => each.round === null && isBefore(each.prizeId));
  const noted = moves.filter((note) => note.kind === "release" && ofRound(note));
  const recorded = releases.filter(ofRound);
  const without = (notes: readonly MoveNote[], others: readonly MoveNote[]): Run[] => {
    const ids = new Set(others.map(({ id }) => id));
    return notes.filter(({ id }) => !ids.has(id)).flatMap(({ runs }) => runs);
  };
  const came = [
    ...before,
    ...restoring.filter((prizeId) => !isBefore(prizeId)).map(one),
    ...without(recorded, noted),
  ];
  const went = [...back.map(({ prizeId }) => one(prizeId)), ...without(noted, recorded)];
  return { burned: balanceOf(came, went), restoring: new Set(restoring) };
}
