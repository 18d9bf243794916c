import type { Connection, Pool, PoolConnection, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

/** What MySQL knows of the load that its Redis must match. Errors: those of MySQL. */
export async function loadRecord(
  pool: Pool | Connection,
): Promise<{ epoch: string; pack: string; claims: number }> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql:
      "SELECT (SELECT value FROM meta WHERE name = 'epoch') AS epoch, (SELECT value FROM meta WHERE name = 'pack') AS pack, " +
      "(SELECT COUNT(*) FROM claims) AS claims",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  const row = rows[0]!;
  return {
    epoch: (row["epoch"] as string | null) ?? "",
    pack: (row["pack"] as string | null) ?? "",
    claims: Number(row["claims"]),
  };
}

/** The record by which a bucket's processes judge their Redis. */
export interface BucketMeta {
  epoch: string;
  pack: string;
  /** The load came to its end. */
  complete: boolean;
  /** Why this bucket's Redis may not be used until it is rebuilt, or null. */
  fence: string | null;
  /** The epoch whose rebuild has begun and not ended, or null. */
  rebuilding: string | null;
  /** At least so many claims were issued in this epoch. */
  seen: number;
  /** Counts loads and rebuilds: 1 after the load. */
  generation: number;
}

/** Errors: those of MySQL. */
export async function readMeta(pool: Pool | Connection | PoolConnection): Promise<BucketMeta> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql: "SELECT name, value FROM meta",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  const values = new Map(rows.map((row) => [row["name"] as string, row["value"] as string]));
  return {
    epoch: values.get("epoch") ?? "",
    pack: values.get("pack") ?? "",
    complete: values.get("complete") === "1",
    fence: values.get("fence") ?? null,
    rebuilding: values.get("rebuilding") ?? null,
    seen: Number(values.get("seen") ?? 0),
    generation: Number(values.get("generation") ?? 1),
  };
}

export async function countClaims(pool: Pool | Connection): Promise<number> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql: "SELECT COUNT(*) AS claims FROM claims",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  return Number(rows[0]!["claims"]);
}

/**
 * The epoch, locked until the transaction ends. Whoever writes claims shares the lock and compares; a rebuild, which changes
 * it, waits for them and they for it.
 */
export async function lockEpoch(
  connection: Connection | PoolConnection,
  mode: "share" | "update",
): Promise<string> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: epochSql(mode),
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  return (rows[0]?.["value"] as string | undefined) ?? "";
}

/** Asks for the epoch, as `value`, and holds it for the transaction. */
export const epochSql = (mode: "share" | "update"): string =>
  `SELECT value FROM meta WHERE name = 'epoch' ${mode === "share" ? "LOCK IN SHARE MODE" : "FOR UPDATE"}`;

const WHY_LENGTH_MAX = 200;

/** Fences the bucket for every process that comes, if it still is of this epoch. The first reason stays. */
export async function writeFence(pool: Pool, epoch: string, why: string): Promise<void> {
  await pool.query({
    sql:
      "INSERT INTO meta (name, value) SELECT 'fence', ? FROM meta AS e WHERE e.name = 'epoch' AND e.value = ? " +
      "ON DUPLICATE KEY UPDATE meta.value = meta.value",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [why.replace(/[^\x20-\x7e]/g, "?").slice(0, WHY_LENGTH_MAX), epoch],
  });
}

/** Remembers how far this epoch's Redis has come, for processes that start when nobody else remembers. */
export async function writeSeen(pool: Pool, epoch: string, seq: number): Promise<void> {
  await pool.query({
    sql:
      "INSERT INTO meta (name, value) SELECT 'seen', ? FROM meta AS e WHERE e.name = 'epoch' AND e.value = ? " +
      "ON DUPLICATE KEY UPDATE meta.value = IF(meta.value + 0 < ?, ?, meta.value)",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [String(seq), epoch, seq, String(seq)],
  });
}

/** Writes a round's times beside what Redis has; older versions change nothing. Errors: those of MySQL. */
export async function recordRound(
  pool: Pool,
  round: number,
  record: { v: number; opensAtMs: number | null; closesAtMs: number | null; key: string | null },
): Promise<void> {
  await pool.query({
    sql: "UPDATE rounds SET v = ?, opens_at_ms = ?, closes_at_ms = ?, opened = GREATEST(opened, ?) WHERE round_id = ? AND v <= ?",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [record.v, record.opensAtMs, record.closesAtMs, record.key === null ? 0 : 1, round, record.v],
  });
}
