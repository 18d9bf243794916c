import type { Pool, PoolConnection } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

/**
 * A process that is frozen in the middle of a transaction would keep its locks for as long as it sleeps, and with them everybody
 * else: the server ends a connection that is silent for so long. Only between transactions it may be silent for longer.
 */
const SILENT_SECONDS_MAX = 10;

/**
 * Runs `work` in one READ COMMITTED transaction: without gap locks, so that taking from the front of a queue never waits for those
 * who add at its end. Whatever fails closes the connection, which rolls back what it had begun. Errors: those of MySQL and of `work`.
 */
export async function inTransaction<T>(
  pool: Pool,
  work: (connection: PoolConnection) => Promise<T>,
): Promise<T> {
  const connection = await pool.getConnection();
  const say = (sql: string) => connection.query({ sql, timeout: mysqlPolicy.queryTimeoutMs });
  try {
    await say(`SET SESSION wait_timeout = ${SILENT_SECONDS_MAX}`);
    await say("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    await say("START TRANSACTION");
    const result = await work(connection);
    await say("COMMIT");
    await say("SET SESSION wait_timeout = DEFAULT");
    connection.release();
    return result;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
