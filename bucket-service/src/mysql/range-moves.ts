import type { Connection, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

/** All moves of prize IDs into and out of this bucket's rounds; what was burned and released was its own all the time. Errors: those of MySQL. */
export async function movedRuns(
  connection: Connection,
): Promise<{ direction: "in" | "out"; round: number; lo: number; count: number; amountMinor: number }[]> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: "SELECT direction, round_id, lo, id_count, amount_minor FROM range_moves WHERE kind <> 'release' ORDER BY round_id, lo",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  return rows.map((row) => ({
    direction: row["direction"] as "in" | "out",
    round: row["round_id"] as number,
    lo: row["lo"] as number,
    count: row["id_count"] as number,
    amountMinor: Number(row["amount_minor"]),
  }));
}
