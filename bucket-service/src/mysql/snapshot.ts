import type { Connection } from "mysql2/promise";

/** Everything that `read` asks this connection is of one moment. Errors: those of MySQL and of `read`. */
export async function inSnapshot<T>(mysql: Connection, read: () => Promise<T>): Promise<T> {
  await mysql.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
  await mysql.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
  try {
    return await read();
  } finally {
    // It has written nothing, so there is nothing to lose when the connection broke.
    await mysql.query("COMMIT").catch(() => undefined);
  }
}
