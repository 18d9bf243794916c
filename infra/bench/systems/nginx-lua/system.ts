/** The reference to beat: nginx + Lua + Redis with the same promises for one grab, asked directly, without a token check. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { setTimeout as sleep } from "node:timers/promises";
import { startRedis } from "../../../src/servers/redis.ts";
import { winFaults } from "../../measure/sample.ts";
import type { Started } from "../floors.ts";
import { startNginx } from "../nginx.ts";

export interface ReferenceOptions {
  dir: string;
  /** User IDs, one a line. */
  usersFile: string;
  /** Prizes of each run. */
  stock: number;
  connections: number;
  /** How many processes serve requests. */
  processes?: number;
}

const QUIET_MS = 200;

export async function startNginxLua(options: ReferenceOptions): Promise<Started> {
  await using begun = new AsyncDisposableStack();
  const server = await startRedis({ dir: join(options.dir, "redis"), name: "redis (nginx + Lua)" });
  begun.defer(() => server.stop());
  const redis = new Redis(server.port, { lazyConnect: true });
  begun.defer(() => redis.disconnect());
  await redis.connect();
  const script = readFileSync(join(import.meta.dirname, "claim.lua"), "utf8");
  const sha = (await redis.script("LOAD", script)) as string;
  const nginx = await startNginx({
    dir: join(options.dir, "nginx"),
    processes: options.processes ?? 1,
    lua: true,
    http: [
      "init_by_lua_block {",
      `  claim_sha, redis_port, redis_keys = "${sha}", ${server.port}, {}`,
      `  redis_pool = { pool = "redis", pool_size = ${options.connections} }`,
      "}",
    ],
    server: [
      "location ~ ^/v1/rounds/(?<round>[0-9]+)/grab$ {",
      `  content_by_lua_file ${join(import.meta.dirname, "grab.lua")};`,
      "}",
    ],
  });
  begun.defer(() => nginx.stop());
  const running = begun.move();
  let round = 0;
  const key = (name: string): string => `{bench}:${name}:${round}`;
  return {
    id: "nginx-lua",
    what: "nginx + Lua + Redis, one script a request, asked directly without a token check",
    processes: () => ({ nginx: nginx.pids, redis: [server.pid] }),
    begin: async () => {
      // What the run before left would only make this one dearer.
      await redis.unlink(key("claims"), key("journal"), key("left"));
      round += 1;
      await redis.set(key("left"), options.stock);
      return {
        url: nginx.url,
        method: "POST",
        paths: [`/v1/rounds/${round}/grab`],
        identities: { file: options.usersFile, header: "X-User: " },
      };
    },
    settle: async (wrk) => {
      // Requests that were under way when wrk left are still being served.
      await sleep(QUIET_MS);
      const [left, claims, journal] = [
        Number(await redis.get(key("left"))),
        await redis.hlen(key("claims")),
        await redis.xlen(key("journal")),
      ];
      const faults = winFaults(wrk, claims, options.connections);
      const taken = options.stock - left;
      if (taken !== claims) faults.push(`the counter went down by ${taken}, ${claims} users have a claim`);
      if (journal !== claims) faults.push(`${journal} journal entries for ${claims} claims`);
      return { wins: claims, faults };
    },
    stop: () => running.disposeAsync(),
  };
}
