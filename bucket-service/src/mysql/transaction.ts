import type { Pool, PoolConnection } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

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
    await say("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    await say("START TRANSACTION");
    const result = await work(connection);
    await say("COMMIT");
    connection.release();
    return result;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
