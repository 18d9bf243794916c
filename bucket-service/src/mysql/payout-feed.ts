/** The feed: which runs of prize IDs payout has not looked at yet. */
import type { Connection, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

/** IDs lo to lo + count - 1; count is at most RUN_IDS_MAX. */
export interface FeedRun {
  lo: number;
  count: number;
}

export interface FeedRow extends FeedRun {
  feedId: number;
}

/** A puller takes whole runs, so this bounds its transactions. */
export const RUN_IDS_MAX = 1024;
/** Claims without a payout that a sweep finds at once. */
export const SWEEP_IDS_MAX = 50_000;

const timeout = mysqlPolicy.queryTimeoutMs;

/** Neighbours become runs; the journal's IDs run down and a sweep's run up, so both directions count. Pure. */
export function runsOf(prizeIds: Iterable<number>): FeedRun[] {
  const runs: FeedRun[] = [];
  let run: FeedRun | undefined;
  for (const id of prizeIds) {
    const isNext =
      run !== undefined && run.count < RUN_IDS_MAX && (id === run.lo - 1 || id === run.lo + run.count);
    if (isNext) {
      run!.lo = Math.min(run!.lo, id);
      run!.count += 1;
    } else runs.push((run = { lo: id, count: 1 }));
  }
  return runs;
}

/** Tells payout of claims, in the transaction that writes them; a few rows, however many claims. Errors: those of MySQL. */
export async function feedPayout(connection: Connection, prizeIds: Iterable<number>): Promise<void> {
  for (const sql of feedSql(prizeIds)) await connection.query({ sql, timeout });
}

/** The statements that tell payout of claims. */
export function feedSql(prizeIds: Iterable<number>): string[] {
  const values = runsOf(prizeIds).map(({ lo, count }) => `(${lo},${count})`);
  const statements: string[] = [];
  for (let from = 0; from < values.length; from += 1000) {
    statements.push(
      `INSERT INTO payout_feed (lo, id_count) VALUES ${values.slice(from, from + 1000).join(",")}`,
    );
  }
  return statements;
}

/** The oldest runs that no other puller holds, with about so many claims; they stay locked until the transaction ends. */
export async function takeFeed(
  connection: Connection,
  { feedRunsMax, feedClaimsMax }: { feedRunsMax: number; feedClaimsMax: number },
): Promise<FeedRow[]> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: `SELECT feed_id, lo, id_count FROM payout_feed ORDER BY feed_id LIMIT ${feedRunsMax} FOR UPDATE SKIP LOCKED`,
    timeout,
    rowsAsArray: true,
  });
  let claims = 0;
  const taken: FeedRow[] = [];
  for (const [feedId, lo, count] of rows as unknown as [number, number, number][]) {
    if (claims >= feedClaimsMax) break;
    claims += count;
    taken.push({ feedId, lo, count });
  }
  return taken;
}

export async function deleteFeed(connection: Connection, rows: readonly FeedRow[]): Promise<void> {
  const ids = rows.map(({ feedId }) => feedId).join(",");
  await connection.query({ sql: `DELETE FROM payout_feed WHERE feed_id IN (${ids})`, timeout });
}

/**
 * Feeds claims that came to `claims` by another way than persist (a restored receipt, a hand): those without a payout while the
 * feed is empty. One sweep at a time in a bucket. Answers how many it found; at most SWEEP_IDS_MAX. Errors: those of MySQL.
 */
export async function sweep(connection: Connection, database: string): Promise<number> {
  const lock = `${database}.payout-sweep`;
  const [[got]] = await connection.query<RowDataPacket[]>({
    sql: "SELECT GET_LOCK(?, 0) AS got",
    timeout,
    values: [lock],
  });
  if (got?.["got"] !== 1) return 0;
  try {
    const [[fed]] = await connection.query<RowDataPacket[]>({
      sql: "SELECT 1 FROM payout_feed LIMIT 1",
      timeout,
    });
    if (fed !== undefined) return 0;
    const [rows] = await connection.query<RowDataPacket[]>({
      sql:
        "SELECT c.prize_id FROM claims c LEFT JOIN payouts p ON p.prize_id = c.prize_id WHERE p.prize_id IS NULL " +
        `ORDER BY c.prize_id LIMIT ${SWEEP_IDS_MAX}`,
      timeout: SWEEP_MS_MAX,
      rowsAsArray: true,
    });
    await feedPayout(
      connection,
      (rows as unknown as number[][]).map(([id]) => id!),
    );
    return rows.length;
  } finally {
    await connection.query<ResultSetHeader[]>({ sql: "DO RELEASE_LOCK(?)", timeout, values: [lock] });
  }
}

/** It reads every claim once. */
const SWEEP_MS_MAX = 120_000;
