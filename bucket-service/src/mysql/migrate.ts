import { readFileSync, readdirSync } from "node:fs";
import type { Connection, RowDataPacket } from "mysql2/promise";
import { databaseName } from "./connect.ts";

const folder = new URL("./migrations/", import.meta.url);

/**
 * Creates the event's database if need be and applies the numbered files in migrations/ that it has not seen, in order.
 * A lock on the server keeps two loaders apart. Errors: those of MySQL.
 */
export async function migrate(connection: Connection, event: string): Promise<void> {
  const database = databaseName(event);
  await connection.query(`CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4`);
  await connection.query(`USE \`${database}\``);
  await connection.query("SELECT GET_LOCK(?, 30)", [`${database}.migrate`]);
  try {
    await connection.query(
      "CREATE TABLE IF NOT EXISTS migrations (name VARCHAR(64) NOT NULL PRIMARY KEY) ENGINE = InnoDB",
    );
    const [rows] = await connection.query<RowDataPacket[]>("SELECT name FROM migrations");
    const applied = new Set(rows.map((row) => row["name"] as string));
    for (const name of readdirSync(folder).sort()) {
      if (!name.endsWith(".sql") || applied.has(name)) continue;
      for (const statement of statements(readFileSync(new URL(name, folder), "utf8")))
        await connection.query(statement);
      await connection.query("INSERT INTO migrations (name) VALUES (?)", [name]);
    }
  } finally {
    await connection.query("SELECT RELEASE_LOCK(?)", [`${database}.migrate`]);
  }
}

/** The statements of a migration file: comment lines out, split at semicolons that end a line. */
function statements(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => !line.startsWith("--"))
    .join("\n")
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}
