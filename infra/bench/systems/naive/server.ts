/**
 * What one writes first: Koa, a flag and a counter in Redis, one INSERT a request, and only then the answer. Without
 * tricks, but not made to look bad: connections are kept and pooled, and commands are pipelined by the client's option.
 * It trusts the HAProxy in front of it with the token, as such services do.
 *
 * Environment: NAIVE_PORT, NAIVE_ADMIN_PORT, NAIVE_REDIS_PORT, NAIVE_MYSQL (URL with the password and the database).
 * A crash between the flag and the INSERT loses the winner's prize: that is what the comparison leaves unsaid.
 */
import { createServer } from "node:http";
import { Router } from "@koa/router";
import { Redis } from "ioredis";
import Koa from "koa";
import mysql, { type RowDataPacket } from "mysql2/promise";

const POOL_SIZE = 32;
const KEEP_ALIVE_MS = 120_000;

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

function userOf(authorization: string): string {
  const payload = authorization.slice("Bearer ".length).split(".")[1] ?? "";
  return (JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { sub: string }).sub;
}

const redis = new Redis(Number(setting("NAIVE_REDIS_PORT")), { enableAutoPipelining: true });
const pool = mysql.createPool({ uri: setting("NAIVE_MYSQL"), connectionLimit: POOL_SIZE });

async function prizeOf(round: string, user: string): Promise<number> {
  const [rows] = await pool.execute<RowDataPacket[]>(
    "SELECT prize_id FROM claims WHERE round_id = ? AND user_id = ?",
    [round, user],
  );
  return (rows[0]?.["prize_id"] as number | undefined) ?? 0;
}

/** Returns the prize ID, 0 when there is none left. */
async function grab(round: string, user: string): Promise<number> {
  const isFirst = await redis.set(`taken:${round}:${user}`, 1, "NX");
  if (isFirst === null) return prizeOf(round, user);
  const left = await redis.decr(`left:${round}`);
  if (left < 0) return 0;
  await pool.execute("INSERT INTO claims (round_id, prize_id, user_id, amount_minor) VALUES (?, ?, ?, ?)", [
    round,
    left + 1,
    user,
    888,
  ]);
  return left + 1;
}

const app = new Koa();
const router = new Router();
router.post("/v1/rounds/:round/grab", async (context) => {
  const round = context.params["round"] ?? "";
  const id = await grab(round, userOf(context.get("authorization")));
  context.body =
    id === 0
      ? { result: "ended", round: Number(round) }
      : {
          result: "won",
          round: Number(round),
          n: 1,
          prize: { id: String(id), kind: "envelope", amount: 888, currency: "CNY" },
        };
});
app.use(router.routes());

// eslint-disable-next-line @typescript-eslint/no-misused-promises -- Koa's callback answers by itself and never rejects.
const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, app.callback());
server.listen({ host: "127.0.0.1", port: Number(setting("NAIVE_PORT")), backlog: 4096 });
// HAProxy asks on another port whether we are well, as it does with our own services.
createServer((_request, response) => response.end("ok\n")).listen(
  Number(setting("NAIVE_ADMIN_PORT")),
  "127.0.0.1",
);
