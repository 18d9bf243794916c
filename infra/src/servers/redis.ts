/** A private Redis: durable by default, bound to loopback, its password in a file that only we can read. */
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { spawnChild, type Child } from "../processes/child.ts";
import { freePort } from "../processes/ports.ts";
import { waitUntil } from "../processes/wait.ts";
import { needBinary } from "./binaries.ts";
import { asServer, privateDir, type Server, type ServerOptions } from "./server.ts";

export interface RedisOptions extends ServerOptions {
  /** `always` survives power loss, `no` survives kill -9; `everysec` survives neither and is not offered. */
  appendfsync?: "always" | "no";
}

/** A big append-only file takes a while to read. */
const READY_MS_MAX = 120_000;
const ASK_MS_MAX = 2_000;

/** Starts Redis and returns when it answers. Throws Unreachable with the end of its log when it does not. */
export async function startRedis(options: RedisOptions): Promise<Server> {
  const binary = needBinary("redis-server", "redis-server");
  privateDir(options.dir);
  const port = options.port ?? (await freePort());
  const configPath = join(options.dir, "redis.conf");
  writeFileSync(configPath, redisConfig(options, port), { mode: 0o600 });
  const name = options.name ?? "redis";
  const child = await spawnChild({
    name,
    command: binary,
    args: [configPath, ...(options.extra ?? [])],
    cwd: options.dir,
    logPath: options.logPath ?? join(options.dir, "redis.log"),
  });
  await untilReady(child, port, options);
  return asServer(child, "redis", "", port, options.password);
}

async function untilReady(child: Child, port: number, { password, signal }: RedisOptions): Promise<void> {
  const wait = {
    what: child.name,
    timeoutMsMax: READY_MS_MAX,
    intervalMs: 20,
    child,
    ...(signal ? { signal } : {}),
  };
  try {
    await waitUntil(() => redisAnswers(port, password), wait);
  } catch (error) {
    await child.stop();
    throw error;
  }
}

function redisConfig(options: RedisOptions, port: number): string {
  const lines = [
    "bind 127.0.0.1",
    `port ${port}`,
    "protected-mode yes",
    "daemonize no",
    'logfile ""',
    `dir ${JSON.stringify(options.dir)}`,
    "databases 1",
    // The append-only file is the only copy: no snapshots beside it that could be taken for the truth.
    'save ""',
    "appendonly yes",
    `appendfsync ${options.appendfsync ?? "always"}`,
    "no-appendfsync-on-rewrite no",
    "auto-aof-rewrite-percentage 100",
    "auto-aof-rewrite-min-size 256mb",
    // A half-written last entry was never acknowledged and may go; damage further up must stop the start.
    "aof-load-truncated yes",
    // Dropping claims to make room would be losing money.
    "maxmemory-policy noeviction",
    "tcp-backlog 511",
    "tcp-keepalive 60",
    "timeout 0",
  ];
  if (options.password !== undefined) lines.push(`requirepass ${JSON.stringify(options.password)}`);
  return `${lines.join("\n")}\n`;
}

/** True when Redis has loaded its data and answers PING. */
export function redisAnswers(port: number, password?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: ASK_MS_MAX });
    let answer = "";
    const done = (ok: boolean) => {
      socket.destroy();
      resolve(ok);
    };
    socket.once("error", () => done(false));
    socket.once("timeout", () => done(false));
    socket.once("close", () => done(false));
    socket.once("connect", () => {
      if (password !== undefined)
        socket.write(`*2\r\n$4\r\nAUTH\r\n$${Buffer.byteLength(password)}\r\n${password}\r\n`);
      socket.write("PING\r\n");
    });
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      if (answer.includes("+PONG")) done(true);
      else if (/^-(?!NOAUTH)/m.test(answer)) done(false);
    });
  });
}
