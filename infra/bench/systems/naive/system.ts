/** The naive reference: as many Koa processes as wanted, one Redis, one MySQL, behind whatever stands in front. */
import { join } from "node:path";
import { Redis } from "ioredis";
import mysql, { type Pool, type RowDataPacket } from "mysql2/promise";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnChild, type Child } from "../../../src/processes/child.ts";
import { freePort } from "../../../src/processes/ports.ts";
import { waitUntil } from "../../../src/processes/wait.ts";
import { startMysql } from "../../../src/servers/mysql.ts";
import { startRedis } from "../../../src/servers/redis.ts";
import { winFaults } from "../../measure/sample.ts";
import type { Started } from "../floors.ts";

export interface NaiveBackend {
  /** `host:port` each. */
  http: string;
  admin: string;
}

/** What stands between clients and the processes. */
export interface Front {
  url: string;
  pids: number[];
  stop: () => Promise<void>;
}

export interface NaiveOptions {
  dir: string;
  /** Tokens, one a line. */
  tokensFile: string;
  stock: number;
  connections: number;
  processes?: number;
  /** Without one, the first process is asked directly. */
  front?: (backends: NaiveBackend[]) => Promise<Front>;
}

const DATABASE = "hongbao_naive";
const READY_MS_MAX = 15_000;
const CREATE = `CREATE TABLE IF NOT EXISTS ${DATABASE}.claims (
  prize_id BIGINT UNSIGNED NOT NULL, round_id INT UNSIGNED NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, amount_minor BIGINT UNSIGNED NOT NULL,
  claimed_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (round_id, prize_id), UNIQUE KEY (round_id, user_id)) ENGINE = InnoDB`;

export async function startNaive(options: NaiveOptions): Promise<Started> {
  const { dir, stock } = options;
  // The INSERT is what makes a win durable here, so Redis need not sync at every write.
  await using begun = new AsyncDisposableStack();
  const redisServer = await startRedis({ dir: join(dir, "redis"), appendfsync: "no", name: "redis (naive)" });
  begun.defer(() => redisServer.stop());
  const mysqlServer = await startMysql({
    dir: join(dir, "mysql"),
    name: "mysql (naive)",
    password: "naive-reference",
  });
  begun.defer(() => mysqlServer.stop());
  const pool = mysql.createPool({ uri: mysqlServer.url, connectionLimit: 1 });
  begun.defer(() => pool.end());
  await pool.query(`CREATE DATABASE IF NOT EXISTS ${DATABASE}`);
  await pool.query(CREATE);
  const redis = new Redis(redisServer.port, { lazyConnect: true });
  begun.defer(() => redis.disconnect());
  await redis.connect();
  const backends: { place: NaiveBackend; child: Child }[] = [];
  for (let index = 0; index < (options.processes ?? 1); index++) {
    const backend = await startBackend(dir, index, redisServer.port, `${mysqlServer.url}/${DATABASE}`);
    begun.defer(async () => void (await backend.child.stop()));
    backends.push(backend);
  }
  const direct = `http://${backends[0]!.place.http}`;
  const front = await options.front?.(backends.map(({ place }) => place));
  if (front) begun.defer(() => front.stop());
  const running = begun.move();
  let round = 0;
  return {
    id: "naive",
    what: "Koa + ioredis DECR + one INSERT a request, behind the same HAProxy",
    processes: () => ({
      haproxy: front?.pids ?? [],
      service: backends.map(({ child }) => child.pid),
      redis: [redisServer.pid],
      mysql: [mysqlServer.pid],
    }),
    begin: async () => {
      round += 1;
      await redis.flushdb();
      await redis.set(`left:${round}`, stock);
      return {
        url: front?.url ?? direct,
        method: "POST",
        paths: [`/v1/rounds/${round}/grab`],
        identities: { file: options.tokensFile, header: "Authorization: Bearer " },
      };
    },
    settle: async (wrk) => {
      const books = await untilQuiet(() => readBooks(pool, redis, round, stock));
      const faults = winFaults(wrk, books.claims, options.connections);
      if (books.taken !== books.claims) {
        faults.push(`the counter went down by ${books.taken}, MySQL has ${books.claims} claims`);
      }
      if (books.users !== books.claims) faults.push("a user has two claims");
      await pool.query(`TRUNCATE TABLE ${DATABASE}.claims`);
      return { wins: books.claims, faults };
    },
    stop: () => running.disposeAsync(),
  };
}

interface NaiveBooks {
  claims: number;
  users: number;
  taken: number;
}

async function readBooks(pool: Pool, redis: Redis, round: number, stock: number): Promise<NaiveBooks> {
  const [rows] = await pool.query<RowDataPacket[]>(
    `SELECT COUNT(*) AS found, COUNT(DISTINCT user_id) AS users FROM ${DATABASE}.claims WHERE round_id = ?`,
    [round],
  );
  const taken = stock - Math.max(0, Number(await redis.get(`left:${round}`)));
  return { claims: Number(rows[0]!["found"]), users: Number(rows[0]!["users"]), taken };
}

const QUIET_MS = 100;
const QUIET_TRIES_MAX = 50;

/** Requests that were under way when wrk left are still being served: reads until nothing changes any more, bounded. */
async function untilQuiet(read: () => Promise<NaiveBooks>): Promise<NaiveBooks> {
  let books = await read();
  for (let tries = 0; tries < QUIET_TRIES_MAX; tries++) {
    await sleep(QUIET_MS);
    const before = books;
    books = await read();
    const isSame = books.claims === before.claims && books.taken === before.taken;
    if (isSame && books.claims === books.taken) break;
  }
  return books;
}

async function startBackend(
  dir: string,
  index: number,
  redisPort: number,
  mysqlUrl: string,
): Promise<{ place: NaiveBackend; child: Child }> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const child = await spawnChild({
    name: `naive ${index}`,
    command: process.execPath,
    args: ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "server.ts")],
    env: {
      NODE_ENV: "production",
      NAIVE_PORT: String(port),
      NAIVE_ADMIN_PORT: String(adminPort),
      NAIVE_REDIS_PORT: String(redisPort),
      NAIVE_MYSQL: mysqlUrl,
    },
    logPath: join(dir, `naive-${index}.log`),
  });
  const answers = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok;
  await waitUntil(answers, { what: child.name, timeoutMsMax: READY_MS_MAX, child });
  return { place: { http: `127.0.0.1:${port}`, admin: `127.0.0.1:${adminPort}` }, child };
}
