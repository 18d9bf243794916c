/** The user rules in MySQL: so that payout and a service that starts obey them with the controller away. */
import type { Connection, Pool, PoolConnection, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { UserRules, type UserRule, type UserRuleSet } from "../users/rules.ts";
import { mysqlPolicy } from "./connect.ts";
import { inTransaction } from "./transaction.ts";

const timeout = mysqlPolicy.queryTimeoutMs;

/** The version that stands there. `lock`: nobody changes the rules before the transaction ends. */
export async function rulesVersion(
  connection: Connection | Pool,
  { lock }: { lock: boolean },
): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: `SELECT v FROM user_rules_version WHERE id = 1${lock ? " LOCK IN SHARE MODE" : ""}`,
    timeout,
  });
  return Number(rows[0]?.["v"] ?? 0);
}

/** The rules with their version. Errors: those of MySQL. */
export async function readRules(connection: Connection | Pool): Promise<UserRuleSet> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql:
      "SELECT v, user_id, round_id, rule FROM user_rules_version LEFT JOIN user_rules ON TRUE WHERE id = 1 " +
      "ORDER BY user_id, round_id",
    timeout,
  });
  return {
    v: Number(rows[0]?.["v"] ?? 0),
    rules: rows.flatMap((row) =>
      row["user_id"] === null
        ? []
        : [
            {
              user: row["user_id"] as string,
              round: row["round_id"] as number,
              rule: row["rule"] as UserRule["rule"],
            },
          ],
    ),
  };
}

/**
 * Writes a newer set, and holds and releases payouts as it says, all in one transaction: payout reads the version under a lock
 * in each of its own, so no payout falls between two sets. An older set changes nothing. Errors: those of MySQL.
 */
export async function writeRules(pool: Pool, set: UserRuleSet): Promise<"written" | "older"> {
  return inTransaction(pool, async (connection) => {
    const [rows] = await connection.query<RowDataPacket[]>({
      sql: "SELECT v FROM user_rules_version WHERE id = 1 FOR UPDATE",
      timeout,
    });
    if (Number(rows[0]?.["v"] ?? 0) >= set.v) return "older";
    await connection.query({ sql: "DELETE FROM user_rules", timeout });
    if (set.rules.length > 0) {
      await connection.query({
        sql: "INSERT INTO user_rules (user_id, round_id, rule) VALUES ?",
        timeout,
        values: [set.rules.map(({ user, round, rule }) => [user, round, rule])],
      });
    }
    await connection.query({
      sql: "UPDATE user_rules_version SET v = ? WHERE id = 1",
      timeout,
      values: [set.v],
    });
    const rules = new UserRules();
    rules.take(set);
    await hold(connection, rules);
    await release(connection, rules);
    return "written";
  });
}

/** Pending payouts of denied users. One that is on its way to its target may still come back as paid. */
async function hold(connection: PoolConnection, rules: UserRules): Promise<void> {
  if (rules.users.length === 0) return;
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: "SELECT prize_id, user_id, round_id FROM claims WHERE user_id IN (?)",
    timeout,
    values: [rules.users],
  });
  const ids = rows.flatMap((row) =>
    rules.denies(row["user_id"] as string, row["round_id"] as number) ? [row["prize_id"] as number] : [],
  );
  if (ids.length === 0) return;
  await connection.query<ResultSetHeader>({
    sql: "UPDATE payouts SET state = 'held', next_at = NULL WHERE state = 'pending' AND prize_id IN (?)",
    timeout,
    values: [ids],
  });
}

/** Held payouts of users that are not denied any more; they are due at once. */
async function release(connection: PoolConnection, rules: UserRules): Promise<void> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: "SELECT p.prize_id, c.user_id, c.round_id FROM payouts p JOIN claims c ON c.prize_id = p.prize_id WHERE p.state = 'held'",
    timeout,
  });
  const ids = rows.flatMap((row) =>
    rules.denies(row["user_id"] as string, row["round_id"] as number) ? [] : [row["prize_id"] as number],
  );
  if (ids.length === 0) return;
  await connection.query<ResultSetHeader>({
    sql: "UPDATE payouts SET state = 'pending', reason = NULL, next_at = UTC_TIMESTAMP(3) WHERE state = 'held' AND prize_id IN (?)",
    timeout,
    values: [ids],
  });
}
