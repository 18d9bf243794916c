import type { Connection, Pool, PoolConnection, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { epochSql, lockEpoch } from "./bucket-record.ts";
import { mysqlErrorCode, mysqlPolicy } from "./connect.ts";
import { feedPayout, feedSql } from "./payout-feed.ts";
import type { PayoutState } from "./payouts.ts";
import type { JournalClaim } from "../persist/journal.ts";

/** A row of `claims`. */
export interface ClaimRow extends JournalClaim {
  amountMinor: number;
}

/** A claim with the journal entry that it came from. */
export interface PersistableClaim extends ClaimRow {
  entryId: string;
}

/** Rows in one INSERT; beyond about 1,000 the statement only gets longer, not faster. */
const INSERT_ROWS_MAX = 1000;

export const CLAIM_COLUMNS = "prize_id, round_id, user_id, n, amount_minor, claimed_at";

export function timestamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace("T", " ");
}

/** VALUES text of CLAIM_COLUMNS. Every part is a number of ours or a user ID, whose alphabet holds nothing that needs escaping. */
export function valuesOf(rows: readonly ClaimRow[]): string {
  let text = "";
  let lastMs = -1;
  let at = "";
  for (const row of rows) {
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(row.user))
      throw new Error(`user ID is damaged: ${JSON.stringify(row.user)}`);
    if (row.claimedAtMs !== lastMs) at = timestamp((lastMs = row.claimedAtMs));
    text += `${text === "" ? "" : ","}(${row.prizeId},${row.round},'${row.user}',${row.n},${row.amountMinor},'${at}')`;
  }
  return text;
}

/** What came of writing claims. `otherEpoch`: nothing was written, a rebuild has judged these claims lost. */
export type InsertOutcome =
  { otherEpoch: false; inserted: number; conflicts: PersistableClaim[] } | { otherEpoch: true };

/**
 * Writes claims in one transaction, in which the bucket still is of the epoch that they were issued in. A duplicate key is
 * never ignored: the rows are compared with what stands there, the same claim is done already, another one is written to
 * claim_conflicts. A deadlock is for the caller to try again.
 *
 * @returns rows that were new, and the conflicts.
 */
export async function insertClaims(
  pool: Pool,
  rows: readonly PersistableClaim[],
  epoch: string,
): Promise<InsertOutcome> {
  const connection = await pool.getConnection();
  try {
    await connection.query({ sql: "START TRANSACTION", timeout: mysqlPolicy.queryTimeoutMs });
    if ((await lockEpoch(connection, "share")) !== epoch) {
      await connection.query({ sql: "ROLLBACK", timeout: mysqlPolicy.queryTimeoutMs });
      connection.release();
      return { otherEpoch: true };
    }
    const result = { otherEpoch: false as const, inserted: 0, conflicts: [] as PersistableClaim[] };
    for (let from = 0; from < rows.length; from += INSERT_ROWS_MAX) {
      const chunk = rows.slice(from, from + INSERT_ROWS_MAX);
      const { inserted, conflicts } = await insertChunk(connection, chunk);
      result.inserted += inserted;
      result.conflicts.push(...conflicts);
    }
    await feedPayout(
      connection,
      rows.map(({ prizeId }) => prizeId),
    );
    await connection.query({ sql: "COMMIT", timeout: mysqlPolicy.queryTimeoutMs });
    connection.release();
    return result;
  } catch (error) {
    // A connection in an unknown state is not given back; closing it rolls back what it had begun.
    connection.destroy();
    throw error;
  }
}

/**
 * The same in two trips to MySQL instead of six, for a pool that takes multiple statements: all but the commit is one text. Where a
 * row stands already it is rolled back and done the careful way.
 */
export async function insertClaimsAtOnce(
  pool: Pool,
  rows: readonly PersistableClaim[],
  epoch: string,
): Promise<InsertOutcome> {
  const chunks: string[] = [];
  for (let from = 0; from < rows.length; from += INSERT_ROWS_MAX) {
    chunks.push(insertSql(rows.slice(from, from + INSERT_ROWS_MAX)));
  }
  const feed = feedSql(rows.map(({ prizeId }) => prizeId));
  const { queryTimeoutMs: timeout } = mysqlPolicy;
  const connection = await pool.getConnection();
  try {
    const sql = ["START TRANSACTION", epochSql("share"), ...chunks, ...feed].join(";");
    const [results] = await connection.query<RowDataPacket[][]>({ sql, timeout });
    const isOurs = results[1]?.[0]?.["value"] === epoch;
    await connection.query({ sql: isOurs ? "COMMIT" : "ROLLBACK", timeout });
    connection.release();
    return isOurs ? { otherEpoch: false, inserted: rows.length, conflicts: [] } : { otherEpoch: true };
  } catch (error) {
    // A connection in an unknown state is not given back; closing it rolls back what it had begun.
    connection.destroy();
    if (mysqlErrorCode(error) !== "ER_DUP_ENTRY") throw error;
    return insertClaims(pool, rows, epoch);
  }
}

const insertSql = (rows: readonly ClaimRow[]): string =>
  `INSERT INTO claims (${CLAIM_COLUMNS}) VALUES ${valuesOf(rows)}`;

async function insertChunk(
  connection: PoolConnection,
  rows: readonly PersistableClaim[],
): Promise<{ inserted: number; conflicts: PersistableClaim[] }> {
  const timeout = mysqlPolicy.queryTimeoutMs;
  try {
    const [header] = await connection.query<ResultSetHeader>({
      sql: insertSql(rows),
      timeout,
    });
    return { inserted: header.affectedRows, conflicts: [] };
  } catch (error) {
    if (mysqlErrorCode(error) !== "ER_DUP_ENTRY") throw error;
  }
  // Rare: entries taken over from a process that had committed but not acknowledged. One row at a time, each compared.
  let inserted = 0;
  const conflicts: PersistableClaim[] = [];
  for (const row of rows) {
    try {
      await connection.query({
        sql: insertSql([row]),
        timeout,
      });
      inserted += 1;
    } catch (error) {
      if (mysqlErrorCode(error) !== "ER_DUP_ENTRY") throw error;
      if (await standsAlready(connection, row)) continue;
      conflicts.push(row);
      await keepConflict(connection, row);
    }
  }
  return { inserted, conflicts };
}

/** Keeps a claim that cannot be written where people find it. Safe to repeat. */
export async function keepConflict(
  connection: Pool | Connection | PoolConnection,
  row: PersistableClaim,
): Promise<void> {
  await connection.query({
    sql:
      `INSERT INTO claim_conflicts (${CLAIM_COLUMNS}, journal_entry) ` +
      `VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE prize_id = prize_id`,
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [
      row.prizeId,
      row.round,
      row.user,
      row.n,
      row.amountMinor,
      timestamp(row.claimedAtMs),
      row.entryId,
    ],
  });
}

async function standsAlready(connection: PoolConnection, row: ClaimRow): Promise<boolean> {
  const [found] = await connection.query<RowDataPacket[]>({
    sql: `SELECT ${CLAIM_COLUMNS} FROM claims WHERE prize_id = ?`,
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [row.prizeId],
  });
  const other = found[0];
  return (
    other !== undefined &&
    other["round_id"] === row.round &&
    other["user_id"] === row.user &&
    other["n"] === row.n &&
    other["amount_minor"] === row.amountMinor
  );
}

/** A claim of a user; `payout` is told of questions over all rounds. */
export interface UserClaim {
  prizeId: number;
  round: number;
  n: number;
  payout?: PayoutState;
}

/** The claims of some users (at most a few hundred), of one round, or of all with their payouts; by user, then round and n. */
export async function claimsOfUsers(
  pool: Pool,
  users: readonly string[],
  round?: number,
  timeoutMs: number = mysqlPolicy.queryTimeoutMs,
): Promise<Map<string, UserClaim[]>> {
  const marks = users.map(() => "?").join(",");
  const where = `c.user_id IN (${marks}) ORDER BY c.user_id, c.round_id, c.n`;
  const select = "SELECT c.user_id, c.prize_id, c.round_id, c.n";
  const [rows] = await pool.query<RowDataPacket[]>({
    sql:
      round === undefined
        ? `${select}, p.state FROM claims c LEFT JOIN payouts p ON p.prize_id = c.prize_id WHERE ${where}`
        : `${select}, NULL FROM claims c WHERE c.round_id = ? AND ${where}`,
    timeout: timeoutMs,
    values: round === undefined ? [...users] : [round, ...users],
    rowsAsArray: true,
  });
  const found = new Map<string, UserClaim[]>();
  for (const [user, prizeId, roundId, n, payout] of rows as unknown as UserClaimRow[]) {
    const claims = found.get(user) ?? [];
    found.set(user, claims);
    claims.push({ prizeId, round: roundId, n, ...(payout === null ? {} : { payout }) });
  }
  return found;
}

type UserClaimRow = [string, number, number, number, PayoutState | null];

/** Streams all claims in ID order with flat memory. */
export async function* allClaims(connection: Connection): AsyncGenerator<Omit<ClaimRow, "claimedAtMs">> {
  let after = 0;
  for (;;) {
    const [rows] = await connection.query<RowDataPacket[]>({
      sql:
        `SELECT prize_id, round_id, user_id, n, amount_minor FROM claims WHERE prize_id > ${after} ` +
        `ORDER BY prize_id LIMIT 20000`,
      rowsAsArray: true,
    });
    for (const row of rows as unknown as [number, number, string, number, number][]) {
      yield { prizeId: row[0], round: row[1], user: row[2], n: row[3], amountMinor: row[4] };
      after = row[0];
    }
    if (rows.length < 20_000) return;
  }
}
