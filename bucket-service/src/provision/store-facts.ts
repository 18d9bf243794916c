/** How a bucket's stores are set up and how full they are: what `hongbao preflight` judges. Changes nothing. */
import { readdirSync } from "node:fs";
import type { Connection, RowDataPacket } from "mysql2/promise";
import type { BucketPlace, Secrets } from "@hongbao/preprocess";
import { databaseName, mysqlConnection, mysqlErrorCode, mysqlPolicy } from "../mysql/connect.ts";
import { connectRedis, type RedisClient } from "../redis/connect.ts";

export interface RedisFacts {
  /** How far the server's clock is ahead of ours. */
  clockAheadMs: number;
  /** Null: the server lets nobody read its settings, as managed ones do. */
  appendOnly: boolean | null;
  appendFsync: string | null;
  /** Whether the last write of the append-only file went well. */
  lastWriteOk: boolean;
  evictionPolicy: string;
  usedBytes: number;
  /** 0: no bound of its own. */
  bytesMax: number;
  connections: number;
  connectionsMax: number;
}

export interface MysqlFacts {
  clockAheadMs: number;
  version: string;
  readOnly: boolean;
  /** 1: every commit is on disk when it is answered. */
  flushAtCommit: number;
  strict: boolean;
  connections: number;
  connectionsMax: number;
  /** Migrations of ours that the event's database has not seen; null: there is no such database. */
  migrationsMissing: string[] | null;
  /** Connections that each of our processes may open. */
  poolSizeMax: number;
}

/** Errors: those of Redis. */
export async function redisFacts(bucket: BucketPlace, secrets: Pick<Secrets, "redis">): Promise<RedisFacts> {
  const client = connectRedis(bucket, secrets.redis, { name: "preflight" });
  try {
    await client.connect();
    const began = Date.now();
    const [seconds, micros] = (await client.call("TIME")) as [string, string];
    const halfwayMs = (began + Date.now()) / 2;
    const info = infoFields(String(await client.call("INFO")));
    const number = (name: string): number => Number(info.get(name) ?? 0);
    const appendOnly = await setting(client, "appendonly");
    return {
      clockAheadMs: Math.round(Number(seconds) * 1000 + Number(micros) / 1000 - halfwayMs),
      appendOnly: appendOnly === null ? null : appendOnly === "yes",
      appendFsync: await setting(client, "appendfsync"),
      lastWriteOk: (info.get("aof_last_write_status") ?? "ok") === "ok",
      evictionPolicy: info.get("maxmemory_policy") ?? "",
      usedBytes: number("used_memory"),
      bytesMax: number("maxmemory"),
      connections: number("connected_clients"),
      connectionsMax: number("maxclients"),
    };
  } finally {
    client.disconnect();
  }
}

function infoFields(text: string): Map<string, string> {
  const lines = text.split("\r\n").filter((line) => line.includes(":") && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}

/** Null where CONFIG is not for us. */
async function setting(client: RedisClient, name: string): Promise<string | null> {
  const found = (await client.call("CONFIG", "GET", name).catch(() => null)) as string[] | null;
  return found?.[1] ?? null;
}

const MIGRATIONS = new URL("../mysql/migrations/", import.meta.url);

/** Errors: Unreachable, and those of MySQL. */
export async function mysqlFacts(
  bucket: BucketPlace,
  secrets: Pick<Secrets, "mysql">,
  event: string,
): Promise<MysqlFacts> {
  const mysql = await mysqlConnection(bucket, secrets.mysql);
  try {
    const began = Date.now();
    const [time] = await rows(mysql, "SELECT UNIX_TIMESTAMP(NOW(3)) * 1000 AS ms, VERSION() AS version");
    const halfwayMs = (began + Date.now()) / 2;
    const variables = new Map(
      (
        await rows(
          mysql,
          "SHOW GLOBAL VARIABLES WHERE Variable_name IN " +
            "('read_only', 'innodb_flush_log_at_trx_commit', 'sql_mode', 'max_connections')",
        )
      ).map((row) => [row["Variable_name"] as string, String(row["Value"])]),
    );
    const [threads] = await rows(mysql, "SHOW GLOBAL STATUS LIKE 'Threads_connected'");
    return {
      clockAheadMs: Math.round(Number(time!["ms"]) - halfwayMs),
      version: String(time!["version"]),
      readOnly: variables.get("read_only") === "ON",
      flushAtCommit: Number(variables.get("innodb_flush_log_at_trx_commit")),
      strict: /STRICT_(TRANS|ALL)_TABLES/.test(variables.get("sql_mode") ?? ""),
      connections: Number(threads?.["Value"] ?? 0),
      connectionsMax: Number(variables.get("max_connections")),
      migrationsMissing: await migrationsMissing(mysql, event),
      poolSizeMax: mysqlPolicy.poolSizeMax,
    };
  } finally {
    await mysql.end().catch(() => undefined);
  }
}

async function migrationsMissing(mysql: Connection, event: string): Promise<string[] | null> {
  const ours = readdirSync(MIGRATIONS).filter((name) => name.endsWith(".sql"));
  try {
    const applied = await rows(mysql, `SELECT name FROM \`${databaseName(event)}\`.migrations`);
    const names = applied.map((row) => row["name"] as string);
    return ours.filter((name) => !names.includes(name));
  } catch (error) {
    const code = mysqlErrorCode(error);
    if (code === "ER_BAD_DB_ERROR" || code === "ER_NO_SUCH_TABLE" || code === "ER_DBACCESS_DENIED_ERROR")
      return null;
    throw error;
  }
}

async function rows(mysql: Connection, sql: string): Promise<RowDataPacket[]> {
  return (await mysql.query<RowDataPacket[]>({ sql, timeout: mysqlPolicy.queryTimeoutMs }))[0];
}
