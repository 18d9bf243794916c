import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
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
