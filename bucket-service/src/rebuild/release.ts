import { randomBytes } from "node:crypto";
import type { Connection, RowDataPacket } from "mysql2/promise";
import { BadInput, type Pack } from "@hongbao/preprocess";
import type { MoveNote } from "../moves/note.ts";
import { addIn, recordedIns } from "../moves/record.ts";
import { worthOf } from "../moves/runs.ts";
import { lockEpoch, readMeta } from "../mysql/bucket-record.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { runsOf } from "./burn-plan.ts";
import type { Amount } from "./stock.ts";

/** Runs in one note; a release of more has more notes. */
const NOTE_RUNS_MAX = 500;

export interface ReleaseReport {
  /** Burned IDs that are stock again. */
  released: Amount;
  /** Moves into the round that had been broken off: their IDs entered Redis now. */
  finished: number;
}

/**
 * Makes a round's burned IDs stock again, after the time in which receipts were taken: a move from nowhere into the round (kind
 * `release` in moves/note.ts). First in MySQL, then in Redis, so that nothing can be given that MySQL does not have. Repeated, it
 * releases what was burned since and finishes what was broken off.
 *
 * Errors: BadInput while the bucket is being rebuilt; EPOCH while its Redis is of another epoch; those of MySQL and Redis.
 */
export async function releaseRound(parts: {
  mysql: Connection;
  store: BucketStore;
  pack: Pack;
  bucket: string;
  round: number;
  /** The highest seq that this process has seen. */
  seq: number;
}): Promise<ReleaseReport> {
  const { mysql, store, round, seq } = parts;
  await mysql.query("START TRANSACTION");
  let epoch: string;
  let released: Amount & { notes: number };
  try {
    epoch = await lockEpoch(mysql, "update");
    const meta = await readMeta(mysql);
    if (meta.rebuilding !== null || meta.fence !== null) {
      throw new BadInput(`the bucket is fenced (${meta.fence ?? "being rebuilt"}): rebuild it first`);
    }
    released = await releaseBurned(parts);
    await mysql.query("COMMIT");
  } catch (error) {
    await mysql.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
  const { entered } = await store.enter(round, await recordedIns(mysql, round), { epoch, seq });
  const { count, amount, notes } = released;
  return { released: { count, amount }, finished: Math.max(0, entered - notes) };
}

async function releaseBurned(parts: {
  mysql: Connection;
  pack: Pack;
  bucket: string;
  round: number;
}): Promise<Amount & { notes: number }> {
  const { mysql, pack, bucket, round } = parts;
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT prize_id, amount_minor FROM burned WHERE round_id = ? AND state = 'burned' ORDER BY prize_id FOR UPDATE",
    [round],
  );
  const runs = runsOf(rows.map((row) => row["prize_id"] as number));
  const name = `release-${round}-${randomBytes(6).toString("hex")}`;
  let notes = 0;
  for (let from = 0; from < runs.length; from += NOTE_RUNS_MAX) {
    const some = runs.slice(from, from + NOTE_RUNS_MAX);
    notes += 1;
    const note: MoveNote = {
      id: `${name}-${notes}`,
      direction: "in",
      kind: "release",
      round,
      peerBucket: bucket,
      peerRound: round,
      runs: some,
    };
    const amountsMinor = some.map((run) => worthOf([run], (id) => pack.amountOf(id)));
    await addIn(mysql, { ...note, amountsMinor });
  }
  await mysql.query("UPDATE burned SET state = 'released' WHERE round_id = ? AND state = 'burned'", [round]);
  const amount = rows.reduce((sum, row) => sum + (row["amount_minor"] as number), 0);
  return { count: rows.length, amount, notes };
}

/** What is burned now, by round. */
export async function burnedNow(mysql: Connection): Promise<({ round: number } & Amount)[]> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, COUNT(*) AS ids, SUM(amount_minor) AS amount FROM burned WHERE state = 'burned' GROUP BY round_id ORDER BY round_id",
  );
  return rows.map((row) => ({
    round: row["round_id"] as number,
    count: Number(row["ids"]),
    amount: Number(row["amount"]),
  }));
}
