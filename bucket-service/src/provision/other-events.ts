import type { Connection, RowDataPacket } from "mysql2/promise";
import { BadInput, SHADOW_EVENT } from "@hongbao/preprocess";
import { databaseName, mysqlErrorCode } from "../mysql/connect.ts";
import type { RedisClient } from "../redis/connect.ts";
import { bucketKeys } from "../redis/keys.ts";
import { BucketStore, phaseOf } from "../redis/scripts.ts";

/**
 * One event is live at a time: another one may be loaded into the same stores when no round is open and everybody is paid.
 * Changes nothing. Errors: BadInput, naming the event and what it waits for; those of MySQL and Redis.
 */
export async function requireNoLiveEvent(
  event: string,
  bucket: string,
  { mysql, client }: { mysql: Connection; client: RedisClient },
): Promise<void> {
  const [databases] = await mysql.query<RowDataPacket[]>({
    sql: "SHOW DATABASES LIKE 'hongbao\\_%'",
    rowsAsArray: true,
  });
  for (const [database] of databases as unknown as [string][]) {
    // What a rehearsal left behind is nobody's event; one that begins waits for open rounds only, because it pays nobody.
    if (database === databaseName(event) || database === databaseName(SHADOW_EVENT)) continue;
    const other = await eventIn(mysql, database);
    if (other === null) continue;
    const { open, waiting } = await roundsOf(mysql, client, { database, event: other, bucket });
    const unpaid = event === SHADOW_EVENT ? [] : await unpaidIn(mysql, database);
    if (waiting > 0 && event !== SHADOW_EVENT) unpaid.push(`${waiting} in the journal`);
    const found = [
      ...(open.length > 0 ? [`its rounds ${open.join(", ")} are open`] : []),
      ...(unpaid.length > 0 ? [`claims are not paid (${unpaid.join(", ")})`] : []),
    ];
    if (found.length === 0) continue;
    throw new BadInput(
      `bucket ${bucket}: event ${other} is live: ${found.join(", and ")}; expected one event at a time: ` +
        'see "hongbao round list" and "hongbao payout status" of that event',
    );
  }
}

/** The event of a database of ours; null when nothing was loaded there. */
async function eventIn(mysql: Connection, database: string): Promise<string | null> {
  const rows = await rowsOf(mysql, `SELECT value FROM \`${database}\`.meta WHERE name = 'event'`);
  return (rows[0]?.["value"] as string | undefined) ?? null;
}

/** Open rounds, by the bucket's Redis, or by MySQL's copy of the times when Redis knows nothing; and claims in the journal. */
async function roundsOf(
  mysql: Connection,
  client: RedisClient,
  { database, event, bucket }: { database: string; event: string; bucket: string },
): Promise<{ open: number[]; waiting: number }> {
  const rows = await rowsOf(
    mysql,
    `SELECT round_id, opens_at_ms, closes_at_ms, opened FROM \`${database}\`.rounds ORDER BY round_id`,
  );
  const ids = rows.map((row) => row["round_id"] as number);
  const state = await new BucketStore(client, bucketKeys(event, bucket), ids).state();
  const waiting = Math.max(0, state.seq - state.acked);
  const nowMs = Date.now();
  const isOpen = (row: RowDataPacket): boolean => {
    const known = state.rounds.find(({ round }) => round === row["round_id"]);
    if (known !== undefined) return phaseOf(known, state.timeMs) === "open";
    const [opensAtMs, closesAtMs] = [row["opens_at_ms"], row["closes_at_ms"]] as (number | null)[];
    const hasOpened = row["opened"] === 1 && opensAtMs !== null && opensAtMs! <= nowMs;
    return hasOpened && (closesAtMs === null || closesAtMs! > nowMs);
  };
  return { open: rows.filter(isOpen).map((row) => row["round_id"] as number), waiting };
}

/** Claims that are not paid, counted by what became of their payout. */
async function unpaidIn(mysql: Connection, database: string): Promise<string[]> {
  const rows = await rowsOf(
    mysql,
    `SELECT COALESCE(p.state, 'pending') AS state, COUNT(*) AS n FROM \`${database}\`.claims c ` +
      `LEFT JOIN \`${database}\`.payouts p ON p.prize_id = c.prize_id WHERE p.state IS NULL OR p.state <> 'paid' ` +
      "GROUP BY COALESCE(p.state, 'pending') ORDER BY 1",
  );
  return rows.map((row) => `${row["n"]} ${row["state"]}`);
}

/** A database whose tables are not all there yet holds nothing that could be live. */
async function rowsOf(mysql: Connection, sql: string): Promise<RowDataPacket[]> {
  try {
    return (await mysql.query<RowDataPacket[]>(sql))[0];
  } catch (error) {
    if (mysqlErrorCode(error) === "ER_NO_SUCH_TABLE") return [];
    throw error;
  }
}
