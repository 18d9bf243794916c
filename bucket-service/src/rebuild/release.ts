import type { Connection, RowDataPacket } from "mysql2/promise";
import { BadInput } from "@hongbao/preprocess";
import { lockEpoch, readMeta } from "../mysql/bucket-record.ts";
import { runsOf, type Run } from "./burn-plan.ts";
import type { RebuildScripts } from "./rebuild-scripts.ts";
import type { Amount } from "./stock.ts";

/** Ranges in one call to Redis. */
const ENTER_MAX = 1000;

export interface ReleaseReport {
  /** Burned IDs that are stock again. */
  released: Amount;
  /** Of an earlier release that had been broken off: they entered Redis now. */
  finished: number;
}

/**
 * Makes a round's burned IDs stock again, after the time in which receipts were taken. First in MySQL, then in Redis, so
 * that nothing can be given that MySQL does not have. Repeated, it releases what was burned since and finishes what was
 * broken off.
 *
 * Errors: BadInput while the bucket is being rebuilt; FENCED while its Redis is of another epoch; those of MySQL and Redis.
 */
export async function releaseRound(parts: {
  mysql: Connection;
  scripts: RebuildScripts;
  round: number;
}): Promise<ReleaseReport> {
  const { mysql, scripts, round } = parts;
  await mysql.query("START TRANSACTION");
  let epoch: string;
  let released: Amount & { ranges: number };
  try {
    epoch = await lockEpoch(mysql, "update");
    const meta = await readMeta(mysql);
    if (meta.rebuilding !== null || meta.fence !== null) {
      throw new BadInput(`the bucket is fenced (${meta.fence ?? "being rebuilt"}): rebuild it first`);
    }
    released = await releaseBurned(mysql, round);
    await mysql.query("COMMIT");
  } catch (error) {
    await mysql.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
  const ranges = await releasedRanges(mysql, round);
  let entered = 0;
  for (let from = 0; from < ranges.length; from += ENTER_MAX)
    entered += await scripts.enterReleased(epoch, round, ranges.slice(from, from + ENTER_MAX));
  const { count, amount } = released;
  return { released: { count, amount }, finished: entered - released.ranges };
}

async function releaseBurned(mysql: Connection, round: number): Promise<Amount & { ranges: number }> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT prize_id, amount_minor FROM burned WHERE round_id = ? AND state = 'burned' ORDER BY prize_id FOR UPDATE",
    [round],
  );
  const runs = runsOf(rows.map((row) => row["prize_id"] as number));
  const [last] = await mysql.query<RowDataPacket[]>(
    "SELECT COALESCE(MAX(ordinal), 0) AS last FROM ranges WHERE round_id = ?",
    [round],
  );
  const first = Number(last[0]!["last"]) + 1;
  for (let from = 0; from < runs.length; from += ENTER_MAX) {
    const values = runs
      .slice(from, from + ENTER_MAX)
      .map(({ lo, count }, index) => `(${round},${first + from + index},${lo},${count},'released')`);
    await mysql.query(
      `INSERT INTO ranges (round_id, ordinal, lo, id_count, origin) VALUES ${values.join(",")}`,
    );
  }
  await mysql.query("UPDATE burned SET state = 'released' WHERE round_id = ? AND state = 'burned'", [round]);
  const amount = rows.reduce((sum, row) => sum + (row["amount_minor"] as number), 0);
  return { count: rows.length, amount, ranges: runs.length };
}

async function releasedRanges(mysql: Connection, round: number): Promise<(Run & { ordinal: number })[]> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT ordinal, lo, id_count FROM ranges WHERE round_id = ? AND origin = 'released' ORDER BY ordinal",
    [round],
  );
  return rows.map((row) => ({
    ordinal: row["ordinal"] as number,
    lo: row["lo"] as number,
    count: row["id_count"] as number,
  }));
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
