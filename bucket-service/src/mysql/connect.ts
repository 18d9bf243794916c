import mysql, { type Connection, type ConnectionOptions, type Pool } from "mysql2/promise";
import { Unreachable, type BucketPlace } from "@hongbao/preprocess";

/** Bounds of every MySQL connection that we open. */
export const mysqlPolicy = {
  connectTimeoutMs: 2000,
  poolSizeMax: 4,
  poolQueueMax: 1000,
  queryTimeoutMs: 5000,
  probeTimeoutMs: 1000,
} as const;

/** The database of an event: one each, so that two events never meet. */
export function databaseName(event: string): string {
  return `hongbao_${event.replaceAll("-", "_")}`;
}

function options(bucket: BucketPlace, password: string): ConnectionOptions {
  const url = new URL(bucket.mysql.url);
  return {
    host: url.hostname,
    port: Number(url.port === "" ? 3306 : url.port),
    user: decodeURIComponent(url.username),
    password,
    // mysql2 would take any certificate of a known authority, whatever name it is for.
    ...(bucket.mysql.tls ? { ssl: { minVersion: "TLSv1.2", verifyIdentity: true } } : {}),
    connectTimeout: mysqlPolicy.connectTimeoutMs,
    charset: "utf8mb4",
    timezone: "Z",
    supportBigNumbers: true,
    bigNumberStrings: false,
    decimalNumbers: true,
    multipleStatements: false,
    enableKeepAlive: true,
  };
}

/**
 * A bounded pool on the event's database. It connects when first used.
 *
 * @param multipleStatements for persist, whose texts hold nothing but what was checked letter by letter.
 */
export function mysqlPool(
  bucket: BucketPlace,
  password: string,
  event: string,
  { multipleStatements = false } = {},
): Pool {
  return mysql.createPool({
    ...options(bucket, password),
    multipleStatements,
    database: databaseName(event),
    connectionLimit: mysqlPolicy.poolSizeMax,
    queueLimit: mysqlPolicy.poolQueueMax,
    waitForConnections: true,
    maxIdle: mysqlPolicy.poolSizeMax,
  });
}

/**
 * One connection, for load, verify and audit; `event` undefined connects without a database.
 * Errors: Unreachable, which names bucket and address.
 */
export async function mysqlConnection(
  bucket: BucketPlace,
  password: string,
  event?: string,
): Promise<Connection> {
  try {
    return await mysql.createConnection({
      ...options(bucket, password),
      ...(event === undefined ? {} : { database: databaseName(event) }),
    });
  } catch (error) {
    const { host } = new URL(bucket.mysql.url);
    throw new Unreachable(
      `MySQL of bucket ${bucket.id} at ${host}: ${(error as Error).message || (error as { code?: string }).code}`,
    );
  }
}

/** The number that MySQL gives an error, or undefined when the error is not its own. */
export function mysqlErrorCode(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code;
}

/** How often a process asks whether its MySQL is there. */
const PROBE_EVERY_MS = 500;

/**
 * Asks MySQL again and again, one question at a time, and tells when the answer changes. The time for an answer includes what
 * the pool takes: where all its connections hang, MySQL is as good as away.
 */
export function mysqlProbe(
  pool: Pool,
  onChange: (up: boolean) => void,
): { up: () => boolean; stop: () => void } {
  let up = true;
  let asking = false;
  const timer = setInterval(() => {
    if (asking) return;
    asking = true;
    const late = setTimeout(() => tell(false), mysqlPolicy.probeTimeoutMs);
    const tell = (now: boolean): void => {
      clearTimeout(late);
      if (now !== up) onChange((up = now));
    };
    void pool
      .query({ sql: "SELECT 1", timeout: mysqlPolicy.probeTimeoutMs })
      .then(
        () => tell(true),
        () => tell(false),
      )
      .finally(() => (asking = false));
  }, PROBE_EVERY_MS);
  return { up: () => up, stop: () => clearInterval(timer) };
}
