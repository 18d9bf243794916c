import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Router } from "@koa/router";
import Koa from "koa";
import { answerTable, type AnswerWord, type AnswerWriter } from "../grab/answers.ts";
import type { GrabCore } from "../grab/grab-core.ts";
import type { UserLimits } from "../grab/limits.ts";
import type { RecentAttempts } from "../grab/recent.ts";
import type { WinsReader, WinsFound } from "../grab/wins.ts";
import { RECEIPTS_MAX, type ReceiptAnswer } from "../receipts/desk.ts";
import { GrabDesk } from "./grab-desk.ts";
import type { Identity } from "./identity.ts";

/** The header that tells HAProxy which stock of a round it has seen the end of; clients never see it. */
export const STOCK_HEADER = "x-hongbao-stock";
/** The header by which a service that has too much to do tells HAProxy how many requests it bears at once. */
export const WINDOW_HEADER = "x-hongbao-window";
/** The header by which a service tells HAProxy of a user who had asked a moment before. */
export const OFTEN_HEADER = "x-hongbao-often";
/** Set by HAProxy on a request that another door may have handled already; the clients' own are stripped there. */
export const SECOND_PASS_HEADER = "x-hongbao-second-pass";

export interface HttpDoorParts {
  core: Pick<GrabCore, "has" | "grab" | "window">;
  writer: AnswerWriter;
  identity: Identity;
  limits: UserLimits;
  wins: WinsReader;
  /** Whether an operator has denied the user; then nothing is paid. */
  isDenied?: (user: string, round: number) => boolean;
  receipts: {
    take: (receipts: readonly string[], user: string) => Promise<ReceiptAnswer[]>;
    /** Whether this bucket's stores may be asked. */
    ready: () => boolean;
  };
  /** When a round opens, ms since 1970, as far as the bucket knows. */
  opensAtMs: (round: number) => number | null;
  /** @param milliseconds since the request came; only a grab's are measured. */
  onAnswer?: (
    route: "grab" | "result" | "wins" | "receipts",
    word: AnswerWord | "ok",
    milliseconds: number,
  ) => void;
  recent?: RecentAttempts;
  /** @param about what the request was, for the log; never who asked. */
  onError?: (error: unknown, about?: { request?: string; round?: number }) => void;
}

/**
 * The HTTP door of a service process. The grab is recognised ahead of Koa, because nothing that Koa offers is needed for
 * it; every other route is Koa's. Requests that wait are bounded by the core.
 */
export function httpDoor(parts: HttpDoorParts): RequestListener {
  const rest = restOfApi(parts).callback();
  const desk = new GrabDesk(parts);
  return (request, response) => {
    const route = grabRoute(request.url ?? "");
    if (route !== null && request.method === "POST") grab(parts, desk, route, request, response);
    else void rest(request, response);
  };
}

interface GrabRoute {
  round: number;
  key: string;
  n: number;
}

const GRAB_PATH = /^\/v1\/rounds\/(\d{1,2})\/grab(?:\?(.*))?$/;
/** What nearly every query looks like: nothing in it is encoded. */
const PLAIN_QUERY = /^k=([A-Za-z0-9_-]*)(?:&n=([1-9]\d{0,5}))?$/;

/** The parts of a grab's URL, or null when it is another URL. n is NaN when it is not a whole number. */
function grabRoute(url: string): GrabRoute | null {
  const match = GRAB_PATH.exec(url);
  if (match === null) return null;
  const round = Number(match[1]);
  const plain = PLAIN_QUERY.exec(match[2] ?? "");
  if (plain !== null) return { round, key: plain[1]!, n: Number(plain[2] ?? 1) };
  const query = new URLSearchParams(match[2] ?? "");
  const n = query.get("n") ?? "1";
  return { round, key: query.get("k") ?? "", n: /^[1-9]\d{0,5}$/.test(n) ? Number(n) : Number.NaN };
}

function grab(
  parts: HttpDoorParts,
  desk: GrabDesk,
  route: GrabRoute,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { onAnswer } = parts;
  const beganMs = onAnswer === undefined ? 0 : performance.now();
  // A grab takes no body; whatever was sent is read past.
  request.resume();
  const { round, n, key } = route;
  const user = parts.core.has(round) ? parts.identity.userOf(request.headers) : null;
  const secondPass = request.headers[SECOND_PASS_HEADER] !== undefined;
  const ask = { round, user: user ?? "", n, key, secondPass, often: false };
  desk.grab(ask, {
    tell(word, body, stock) {
      onAnswer?.("grab", word, performance.now() - beganMs);
      if (!response.writableEnded) send(response, word, body, stock, parts.core.window, ask.often);
    },
  });
}

const JSON_HEADERS = ["content-type", "application/json; charset=utf-8", "cache-control", "no-store"];

/** @param body UTF-8 bytes, one a character. */
function send(
  response: ServerResponse,
  word: AnswerWord,
  body: string,
  stock: number,
  window: number,
  often: boolean,
): void {
  const entry: { status: number; retryAfterSeconds?: number } = answerTable[word];
  // Names and values in turn: it spares Node an object to take apart.
  const headers = [...JSON_HEADERS, "content-length", String(body.length)];
  if (entry.retryAfterSeconds !== undefined) headers.push("retry-after", String(entry.retryAfterSeconds));
  if (stock > 0) headers.push(STOCK_HEADER, String(stock));
  if (window > 0) headers.push(WINDOW_HEADER, String(window));
  if (often) headers.push(OFTEN_HEADER, "1");
  response.writeHead(entry.status, headers);
  response.end(body, "latin1");
}

/** Everything but the grab. */
function restOfApi(parts: HttpDoorParts): Koa {
  const { core, writer, identity, limits, wins, isDenied } = parts;
  const app = new Koa();
  app.on("error", (error: unknown) => parts.onError?.(error));
  const router = new Router();
  const list = (user: string, found: WinsFound): string[] =>
    found.wins.map(({ round, n, prizeId }) => writer.won(round, user, n, prizeId));
  const allows = (context: Koa.Context, user: string): boolean => {
    const isAllowed = limits.allows(user);
    if (limits.askedOften) context.set(OFTEN_HEADER, "1");
    return isAllowed;
  };

  router.get("/v1/rounds/:round/result", async (context) => {
    const round = /^\d{1,2}$/.test(context.params["round"] ?? "") ? Number(context.params["round"]) : -1;
    if (!core.has(round))
      return answer(context, parts, "result", "no_such_round", writer.other("no_such_round"));
    const user = identity.userOf(context.headers);
    if (user === null)
      return answer(context, parts, "result", "unauthorized", writer.other("unauthorized", { round }));
    if (!allows(context, user))
      return answer(context, parts, "result", "limited", writer.other("limited", { round }));
    const found = await wins.of(user, round);
    // Half a truth would hide the win of whoever asks because an answer got lost.
    if (!found.complete) return answer(context, parts, "result", "busy", writer.other("busy", { round }));
    answer(context, parts, "result", "ok", `{"round":${round},"wins":[${list(user, found).join(",")}]}`);
  });

  router.get("/v1/wins", async (context) => {
    const user = identity.userOf(context.headers);
    if (user === null) return answer(context, parts, "wins", "unauthorized", writer.other("unauthorized"));
    if (!allows(context, user)) return answer(context, parts, "wins", "limited", writer.other("limited"));
    const found = await wins.of(user);
    if (found.wins.length === 0 && !found.complete)
      return answer(context, parts, "wins", "busy", writer.other("busy"));
    const bodies = list(user, found).map((body, index) => {
      const { round, payout = "pending" } = found.wins[index]!;
      const shown = payout === "pending" && isDenied?.(user, round) === true ? "held" : payout;
      return `${body.slice(0, -1)},"payout":"${shown}"}`;
    });
    answer(context, parts, "wins", "ok", `{"wins":[${bodies.join(",")}]}`);
  });

  router.post("/v1/receipts", async (context) => {
    const user = identity.userOf(context.headers);
    if (user === null)
      return answer(context, parts, "receipts", "unauthorized", writer.other("unauthorized"));
    if (!allows(context, user)) return answer(context, parts, "receipts", "limited", writer.other("limited"));
    const list = await readReceipts(context.req);
    if (list === null) {
      const message = `expected a JSON list of up to ${RECEIPTS_MAX} receipts`;
      return answer(context, parts, "receipts", "bad_request", writer.other("bad_request", { message }));
    }
    if (!parts.receipts.ready()) return answer(context, parts, "receipts", "busy", writer.other("busy"));
    const receipts = await parts.receipts.take(list, user);
    answer(context, parts, "receipts", "ok", JSON.stringify({ receipts }));
  });

  // A fault of ours is never shown as one: whoever asks is told to come again.
  app.use(async (context, next) => {
    try {
      await next();
      if (context.status === 404 && !context.body) plain(context, "not_found", writer.other("not_found"));
      else if (context.status === 405 || context.status === 501)
        plain(context, "not_found", writer.other("not_found"));
    } catch (error) {
      parts.onError?.(error, aboutRequest(context));
      plain(context, "busy", writer.other("busy"));
    }
  });
  app.use(router.routes());
  return app;
}

function answer(
  context: Koa.Context,
  parts: HttpDoorParts,
  route: "result" | "wins" | "receipts",
  word: AnswerWord | "ok",
  body: string,
): void {
  parts.onAnswer?.(route, word, 0);
  plain(context, word, body);
}

function aboutRequest({ method, path }: Koa.Context): { request: string; round?: number } {
  const round = /^\/v1\/rounds\/(\d{1,2})\//.exec(path)?.[1];
  return { request: `${method} ${path}`, ...(round === undefined ? {} : { round: Number(round) }) };
}

const RECEIPT_BYTES_MAX = 65_536;

/** The list in a request's body, or null when it is too long or something else. */
async function readReceipts(request: IncomingMessage): Promise<string[] | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Who sends too much is still told so: the stream stays whole when it is left.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > RECEIPT_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const isList = Array.isArray(value) && value.length <= RECEIPTS_MAX;
    return isList && value.every((each) => typeof each === "string") ? value : null;
  } catch {
    return null;
  }
}

function plain(context: Koa.Context, word: AnswerWord | "ok", body: string): void {
  const entry: { status: number; retryAfterSeconds?: number } =
    word === "ok" ? { status: 200 } : answerTable[word];
  context.status = entry.status;
  context.set("content-type", "application/json; charset=utf-8");
  context.set("cache-control", "no-store");
  if (entry.retryAfterSeconds !== undefined) context.set("retry-after", String(entry.retryAfterSeconds));
  context.body = body;
}
