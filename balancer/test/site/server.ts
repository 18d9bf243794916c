/**
 * A small server that plays the edge and the API for the page: the static folder, rounds.json, the start file and the
 * calls of a user. A test says how it answers; it keeps what was asked. It checks what HAProxy would check of the page:
 * the cookie, the Origin of a POST, and that the grab needs no preflight.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buildSite } from "../../src/conductor/site-files.ts";

/** As a controller and a CDN serve it, headers included. */
const SITE = buildSite();

export interface Reply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** "hang" never answers; "cut" closes the connection in the middle. */
export type Answer = Reply | "hang" | "cut";

export interface Round {
  id: number;
  opensAtMs: number | null;
  closesAtMs: number;
  key: string | null;
  kind?: "envelope" | "item";
  title?: Record<string, string>;
  item?: { sku: string; title: Record<string, string>; price: number };
  count?: number;
  perUser?: number;
  state?: string;
}

export interface World {
  rounds: Round[];
  /** How a grab is answered; `nth` counts the grabs from 1. */
  grab: (round: number, n: number, nth: number) => Answer;
  result: (round: number) => Answer;
  wins: () => Answer;
  session: () => Answer;
  receipts: () => Answer;
  /** False plays a browser that does not keep the cookie. */
  cookies: boolean;
  /** True plays an edge whose schedule and start file do not come. */
  broken: boolean;
  /** How far the server's clock is ahead of this machine's. */
  aheadMs: number;
  /** How long every answer takes. */
  delayMs: number;
}

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  /** What was sent, as far as it has come. */
  body: string;
}

/** A token with this subject; its signature is nothing, because only the page reads it here. */
export function tokenOf(user: string, expiresAtMs = Date.now() + 3_600_000): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part({ sub: user, exp: Math.floor(expiresAtMs / 1000) })}.c2ln`;
}

export function envelope(round: number, n: number, amount: number, more: object = {}): object {
  const prize = {
    id: `${1000000 + round * 100 + n}`,
    kind: "envelope",
    amount,
    currency: "CNY",
    greeting: "马到成功",
  };
  return { result: "won", round, n, prize, receipt: `r-${round}-${n}-3f9c2d`, ...more };
}

export const word = (status: number, result: string, headers: Record<string, string> = {}): Reply => ({
  status,
  body: { result },
  headers,
});

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function roundJson(round: Round, nowMs: number): object {
  const opened = round.opensAtMs !== null && round.opensAtMs <= nowMs && round.key !== null;
  return {
    kind: "envelope",
    title: { zh: "开门红", en: "Opening round" },
    count: 100000,
    perUser: 1,
    spreadMs: 100,
    commitment: "0".repeat(64),
    state: round.closesAtMs <= nowMs ? "closed" : opened ? "open" : "scheduled",
    ...round,
    opensAt: iso(round.opensAtMs),
    closesAt: iso(round.closesAtMs),
    key: undefined,
  };
}

function scheduleJson(world: World): object {
  const nowMs = Date.now() + world.aheadMs;
  const title = { zh: "新春红包", en: "Spring Festival red envelopes" };
  const rounds = world.rounds.map((round) => roundJson(round, nowMs));
  return { event: "spring", title, currency: "CNY", serverTime: iso(nowMs), rounds };
}

function startScript(round: Round, nowMs: number): string {
  const { opensAtMs, closesAtMs, key } = round;
  const body = {
    round: round.id,
    key,
    opensAt: iso(opensAtMs),
    closesAt: iso(closesAtMs),
    serverTime: iso(nowMs),
  };
  return `hongbaoStart(${JSON.stringify(body)});`;
}

function send(response: ServerResponse, answer: Answer): void {
  if (answer === "hang") return;
  if (answer === "cut") {
    response.destroy();
    return;
  }
  const { status, body, headers } = answer;
  const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store", ...headers });
  response.end(text);
}

function sendFile(response: ServerResponse, path: string): void {
  const file = SITE.files.get(path);
  const headers = { ...SITE.headers, "cache-control": file?.caching ?? "no-store" };
  response.writeHead(file === undefined ? 404 : 200, {
    ...headers,
    "content-type": file?.type ?? "text/plain",
  });
  response.end(file?.body);
}

const GRAB = /^\/v1\/rounds\/(\d+)\/grab$/;
const RESULT = /^\/v1\/rounds\/(\d+)\/result$/;
const START = /^\/start\/(\d+)\.js$/;

/** Starts the server; `world` may be changed while it runs. */
export async function playServer(changes: Partial<World>) {
  const world: World = {
    rounds: [],
    grab: () => word(200, "ended"),
    result: (round) => ({ status: 200, body: { round, wins: [] } }),
    wins: () => ({ status: 200, body: { wins: [] } }),
    session: () => ({ status: 204, body: "" }),
    receipts: () => ({ status: 200, body: { receipts: [] } }),
    cookies: true,
    broken: false,
    aheadMs: 0,
    delayMs: 0,
    ...changes,
  };
  const asked: Asked[] = [];
  let grabs = 0;

  const mayCall = ({ headers, method }: Asked): boolean => {
    if ((headers.authorization ?? "").startsWith("Bearer ")) return true;
    if (!(headers.cookie ?? "").includes("hongbao=")) return false;
    return method === "GET" || headers.origin === `http://${headers.host}`;
  };

  const api = (call: Asked): Answer => {
    if (call.path === "/v1/session") {
      const token = call.headers.authorization ?? "";
      if (!token.startsWith("Bearer ")) return word(401, "unauthorized");
      const answer = world.session();
      const cookie = `hongbao=${token.slice(7)}; Path=/v1; HttpOnly; SameSite=Strict`;
      if (typeof answer === "string" || answer.status >= 300 || !world.cookies) return answer;
      return { ...answer, headers: { "set-cookie": cookie } };
    }
    if (!mayCall(call)) return word(401, "unauthorized");
    const round = Number(GRAB.exec(call.path)?.[1] ?? RESULT.exec(call.path)?.[1] ?? 0);
    if (GRAB.test(call.path)) {
      const known = world.rounds.find((one) => one.id === round);
      if (call.method !== "POST" || known?.key !== call.query.get("k")) return word(403, "not_open");
      return world.grab(round, Number(call.query.get("n") ?? 1), (grabs += 1));
    }
    if (RESULT.test(call.path)) return world.result(round);
    if (call.path === "/v1/receipts") return world.receipts();
    return call.path === "/v1/wins" ? world.wins() : word(404, "no_such_path");
  };

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const nowMs = Date.now() + world.aheadMs;
    response.setHeader("date", new Date(nowMs).toUTCString());
    const url = new URL(request.url ?? "/", "http://page");
    const { pathname: path, searchParams: query } = url;
    const call: Asked = { method: request.method ?? "", path, query, headers: request.headers, body: "" };
    request.setEncoding("utf8").on("data", (text: string) => (call.body += text));
    asked.push(call);
    const start = world.rounds.find((round) => round.id === Number(START.exec(path)?.[1]));
    if (path === "/" || path.startsWith("/assets/")) sendFile(response, path);
    else if (world.broken && !path.startsWith("/v1/"))
      send(response, { status: 504, body: "<h1>Gateway Timeout</h1>" });
    else if (path === "/rounds.json") send(response, { status: 200, body: scheduleJson(world) });
    else if (start !== undefined) {
      send(response, {
        status: 200,
        body: startScript(start, nowMs),
        headers: { "content-type": "text/javascript" },
      });
    } else send(response, path.startsWith("/v1/") ? api(call) : word(404, "no_such_path"));
  };
  const server = createServer((request, response) => {
    if (world.delayMs === 0) answer(request, response);
    else setTimeout(() => answer(request, response), world.delayMs);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    world,
    asked,
    url: `http://127.0.0.1:${port}/`,
    grabs: () => asked.filter((call) => GRAB.test(call.path)),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type PlayServer = Awaited<ReturnType<typeof playServer>>;
