/** The payouts table and the budget guard's books. Every function is one statement, for use in a transaction of the caller's. */
import type { Connection, Pool, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";
import type { FeedRun } from "./payout-feed.ts";

export type PayoutState = "pending" | "paid" | "dead" | "held";

/** A claim that payout has to decide on. */
export interface OpenClaim {
  prizeId: number;
  round: number;
  user: string;
  n: number;
  amountMinor: number;
}

/** A row of payouts that is due. */
export interface DueRow {
  prizeId: number;
  round: number;
  attempts: number;
  amountMinor: number;
  granted: boolean;
  /** The target has taken it and has not said yet that it is done. */
  accepted: boolean;
  /** Seconds since then. */
  acceptedAgeSeconds: number;
}

/** A row of payouts as it is written. Times are relative, because only the database's clock counts. */
export interface PayoutRow {
  prizeId: number;
  round: number;
  state: PayoutState;
  attempts: number;
  amountMinor: number;
  granted: boolean;
  reason: string | null;
}

const timeout = mysqlPolicy.queryTimeoutMs;
const NOW = "UTC_TIMESTAMP(3)";
const REASON_LENGTH_MAX = 255;

const listed = (ids: readonly number[]): string => ids.join(",");

/** Whether there is a payout of these rounds due, or (for whoever reads it) anything in the feed; a look that locks nothing. */
export async function hasWork(
  pool: Pool,
  { rounds, feed }: { rounds: readonly number[]; feed: boolean },
): Promise<boolean> {
  const inRounds = `round_id IN (${rounds.length === 0 ? "NULL" : listed(rounds)})`;
  const [rows] = await pool.query<RowDataPacket[]>({
    sql:
      `SELECT ${feed ? "EXISTS (SELECT 1 FROM payout_feed) OR " : ""}` +
      `EXISTS (SELECT 1 FROM payouts WHERE state = 'pending' AND next_at <= ${NOW} AND ${inRounds}) AS found`,
    timeout,
  });
  return rows[0]?.["found"] === 1;
}

/** The claims in these runs that have no payout yet, in the order of IDs. */
export async function openClaims(connection: Connection, runs: readonly FeedRun[]): Promise<OpenClaim[]> {
  const where = runs.map(({ lo, count }) => `c.prize_id BETWEEN ${lo} AND ${lo + count - 1}`).join(" OR ");
  return readClaims(
    connection,
    "SELECT c.prize_id, c.round_id, c.user_id, c.n, c.amount_minor FROM claims c LEFT JOIN payouts p ON p.prize_id = c.prize_id " +
      `WHERE (${where}) AND p.prize_id IS NULL`,
  );
}

/** The claims with these IDs. */
export async function claimsById(connection: Connection, ids: readonly number[]): Promise<OpenClaim[]> {
  return readClaims(
    connection,
    `SELECT prize_id, round_id, user_id, n, amount_minor FROM claims WHERE prize_id IN (${listed(ids)})`,
  );
}

async function readClaims(connection: Connection, sql: string): Promise<OpenClaim[]> {
  const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout, rowsAsArray: true });
  return (rows as unknown as [number, number, string, number, number][]).map(
    ([prizeId, round, user, n, amountMinor]) => ({ prizeId, round, user, n, amountMinor }),
  );
}

/** Pending payouts of these rounds that are due and that no other puller holds; locked until the transaction ends. */
export async function lockDue(
  connection: Connection,
  rounds: readonly number[],
  limit: number,
): Promise<DueRow[]> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql:
      `SELECT prize_id, round_id, attempts, amount_minor, granted, ` +
      `TIMESTAMPDIFF(SECOND, accepted_at, ${NOW}) FROM payouts ` +
      `WHERE state = 'pending' AND next_at <= ${NOW} AND round_id IN (${listed(rounds)}) ` +
      `ORDER BY next_at LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
    timeout,
    rowsAsArray: true,
  });
  return (rows as unknown as (number | null)[][]).map(
    ([prizeId, round, attempts, amountMinor, granted, age]) => ({
      prizeId: prizeId!,
      round: round!,
      attempts: attempts!,
      amountMinor: amountMinor!,
      granted: granted === 1,
      accepted: age !== null,
      acceptedAgeSeconds: age ?? 0,
    }),
  );
}

/**
 * Writes rows: new ones, or in place of those that the caller has locked. A pending one is due at once. ER_DUP_ENTRY of
 * a new one: another puller was faster.
 */
export async function writePayouts(
  connection: Connection,
  rows: readonly PayoutRow[],
  { replace }: { replace: boolean },
): Promise<void> {
  let values = "";
  for (const { prizeId, round, state, attempts, amountMinor, granted, reason } of rows) {
    const due = state === "pending" ? NOW : "NULL";
    const paid = state === "paid" ? NOW : "NULL";
    const why = reason === null ? "NULL" : connection.escape(reason.slice(0, REASON_LENGTH_MAX));
    values += `${values === "" ? "" : ","}(${prizeId},${round},'${state}',${attempts},${amountMinor},${granted ? 1 : 0},${due},${paid},${why})`;
  }
  await connection.query({
    sql:
      `${replace ? "REPLACE" : "INSERT"} INTO payouts ` +
      `(prize_id, round_id, state, attempts, amount_minor, granted, next_at, paid_at, reason) VALUES ${values}`,
    timeout,
  });
}

/** The caller is about to send these; nobody else takes them before the lease is over. */
export async function leasePayouts(
  connection: Connection,
  rows: { ids: readonly number[]; lease: string; leaseMs: number; isAttempt: boolean },
): Promise<void> {
  await connection.query({
    sql:
      `UPDATE payouts SET lease = ?, granted = 1, attempts = attempts + ?, ` +
      `next_at = ${NOW} + INTERVAL ${Math.round(rows.leaseMs * 1000)} MICROSECOND WHERE prize_id IN (${listed(rows.ids)})`,
    timeout,
    values: [rows.lease, rows.isAttempt ? 1 : 0],
  });
}

/** Rows as they stand, locked: before an answer of the target is written down. */
export async function lockPayouts(
  connection: Connection,
  ids: readonly number[],
): Promise<
  Map<
    number,
    { state: PayoutState; granted: boolean; lease: string | null; round: number; amountMinor: number }
  >
> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: `SELECT prize_id, state, granted, lease, round_id, amount_minor FROM payouts WHERE prize_id IN (${listed(ids)}) ORDER BY prize_id FOR UPDATE`,
    timeout,
  });
  return new Map(
    rows.map((row) => [
      row["prize_id"] as number,
      {
        state: row["state"] as PayoutState,
        granted: row["granted"] === 1,
        lease: row["lease"] as string | null,
        round: row["round_id"] as number,
        amountMinor: row["amount_minor"] as number,
      },
    ]),
  );
}

export async function markPaid(connection: Connection, ids: readonly number[]): Promise<void> {
  await connection.query({
    sql: `UPDATE payouts SET state = 'paid', granted = 1, paid_at = ${NOW}, next_at = NULL, lease = NULL, reason = NULL WHERE prize_id IN (${listed(ids)})`,
    timeout,
  });
}

export async function markDead(
  connection: Connection,
  ids: readonly number[],
  reason: string,
): Promise<void> {
  await connection.query({
    sql: `UPDATE payouts SET state = 'dead', granted = 0, next_at = NULL, lease = NULL, reason = ? WHERE prize_id IN (${listed(ids)})`,
    timeout,
    values: [reason.slice(0, REASON_LENGTH_MAX)],
  });
}

/** Due again after a while; `accepted` null leaves as it is whether the target has taken it. */
export async function postpone(
  connection: Connection,
  id: number,
  { delayMs, accepted, reason }: { delayMs: number; accepted: boolean | null; reason: string | null },
): Promise<void> {
  const acceptedAt = accepted === null ? "accepted_at" : accepted ? `COALESCE(accepted_at, ${NOW})` : "NULL";
  await connection.query({
    sql:
      `UPDATE payouts SET lease = NULL, accepted_at = ${acceptedAt}, reason = ?, ` +
      `next_at = ${NOW} + INTERVAL ${Math.round(delayMs * 1000)} MICROSECOND WHERE prize_id = ${id}`,
    timeout,
    values: [reason?.slice(0, REASON_LENGTH_MAX) ?? null],
  });
}

/** Dead ones, all or by ID, become pending and due at once, with a fresh count of attempts. Answers how many. */
export async function retryDead(
  connection: Connection,
  which: { prizeIds?: readonly number[]; round?: number },
): Promise<number> {
  const [header] = await connection.query<ResultSetHeader>({
    sql:
      `UPDATE payouts SET state = 'pending', attempts = 0, accepted_at = NULL, next_at = ${NOW} WHERE state = 'dead'` +
      (which.prizeIds === undefined ? "" : ` AND prize_id IN (${listed(which.prizeIds)})`) +
      (which.round === undefined ? "" : ` AND round_id = ${which.round}`),
    timeout,
  });
  return header.affectedRows;
}

/** Rows of the guard's books must be there before they are added to. */
export async function beginTotals(connection: Connection, rounds: readonly number[]): Promise<void> {
  const values = rounds.map((round) => `(${round}, 0, 0)`).join(",");
  await connection.query({
    sql: `INSERT INTO payout_totals (round_id, granted_count, granted_minor) VALUES ${values} ON DUPLICATE KEY UPDATE round_id = round_id`,
    timeout,
  });
}

/** Books on a round's budget; false: it would be exceeded, and nothing was booked. */
export async function grant(
  connection: Connection,
  round: number,
  sum: { count: number; amountMinor: number },
  budget: { count: number; amountMinor: number },
): Promise<boolean> {
  const [header] = await connection.query<ResultSetHeader>({
    sql:
      "UPDATE payout_totals SET granted_count = granted_count + ?, granted_minor = granted_minor + ? " +
      "WHERE round_id = ? AND granted_count + ? <= ? AND granted_minor + ? <= ?",
    timeout,
    values: [sum.count, sum.amountMinor, round, sum.count, budget.count, sum.amountMinor, budget.amountMinor],
  });
  return header.affectedRows === 1;
}

/** Takes off a round's budget what will not be paid. */
export async function ungrant(
  connection: Connection,
  round: number,
  sum: { count: number; amountMinor: number },
): Promise<void> {
  await connection.query({
    sql:
      "UPDATE payout_totals SET granted_count = granted_count - LEAST(granted_count, ?), " +
      "granted_minor = granted_minor - LEAST(granted_minor, ?) WHERE round_id = ?",
    timeout,
    values: [sum.count, sum.amountMinor, round],
  });
}

/** What is booked on each round's budget; `lock` keeps other pullers from booking until the transaction ends. */
export async function readTotals(
  connection: Connection,
  { lock }: { lock: boolean },
): Promise<Map<number, { count: number; amountMinor: number }>> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: `SELECT round_id, granted_count, granted_minor FROM payout_totals ORDER BY round_id${lock ? " FOR UPDATE" : ""}`,
    timeout,
  });
  return new Map(
    rows.map((row) => [
      row["round_id"] as number,
      { count: Number(row["granted_count"]), amountMinor: Number(row["granted_minor"]) },
    ]),
  );
}
