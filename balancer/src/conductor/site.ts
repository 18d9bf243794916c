/**
 * The site: the page's folder, the schedule and the start files. Whichever controller gets the port serves it; the other
 * one waits for the port to be free. Everything that may be served is known by name, so no path can lead out of the folder.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Router } from "@koa/router";
import { SITE_HEADER } from "../haproxy/site-backend.ts";
import { closeServer, listenOn } from "../listen.ts";
import type { SiteFile, SiteFiles } from "./site-files.ts";

/** What the conductor knows, as texts made at the moment of asking; null: not known (yet). */
export interface SiteNews {
  roundsJson(): string | null;
  startFile(round: number): string | null;
  nowMs(): number;
}

export interface Site {
  /** Whether this process has the port. */
  readonly serving: boolean;
  stop(): Promise<void>;
}

const RETRY_MS = 250;
/** HAProxy is the one that closes idle connections. */
export const SITE_KEEP_ALIVE_MS = 120_000;
const JSON_TYPE = "application/json; charset=utf-8";
const SCRIPT_TYPE = "text/javascript; charset=utf-8";

/** Answers requests for the site. */
export function siteHandler(
  { files, headers }: SiteFiles,
  news: SiteNews,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0]!;
    // Clients reckon the time from Date and Age, so it is the buckets' time and not this machine's.
    response.setHeader("date", new Date(news.nowMs()).toUTCString());
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 404, "not_found");
    if (path === "/rounds.json") return fresh(response, JSON_TYPE, news.roundsJson());
    const round = /^\/start\/([1-9]\d?)\.js$/.exec(path)?.[1];
    if (round !== undefined) return start(response, news, Number(round));
    const file = files.get(path);
    if (file === undefined) return refuse(response, 404, "not_found");
    sendFile(request, response, file);
  };
}

/** On an admin port: the site for who comes with HAProxy's mark, and nothing of the operator's. */
export function sitePages(handler: ReturnType<typeof siteHandler>): (router: Router) => void {
  return (router) => {
    router.all(/.*/, (context, next) => {
      if (context.get(SITE_HEADER) === "") return next();
      context.respond = false;
      handler(context.req, context.res);
    });
  };
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: SiteFile): void {
  response.setHeader("etag", file.etag);
  response.setHeader("cache-control", file.caching);
  response.setHeader("vary", "accept-encoding");
  if (request.headers["if-none-match"] === file.etag) return void response.writeHead(304).end();
  const gzip = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "") ? file.gzip : null;
  const body = gzip ?? file.body;
  if (gzip !== null) response.setHeader("content-encoding", "gzip");
  response.writeHead(200, { "content-type": file.type, "content-length": body.length });
  response.end(body);
}

function start(response: ServerResponse, news: SiteNews, round: number): void {
  const text = news.startFile(round);
  // Before the first schedule is known nobody can say that there is no such round.
  if (text === null && news.roundsJson() !== null) return refuse(response, 404, "not_found");
  fresh(response, SCRIPT_TYPE, text);
}

/** Browsers never keep it; an edge in front may for a second (it strips our word and sets its own). */
function fresh(response: ServerResponse, type: string, text: string | null): void {
  if (text === null) return refuse(response, 503, "busy");
  response.writeHead(200, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "access-control-allow-origin": "*",
  });
  response.end(text);
}

function refuse(response: ServerResponse, status: number, result: string): void {
  const body = JSON.stringify({ result });
  response.writeHead(status, {
    "content-type": JSON_TYPE,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    ...(status === 503 ? { "retry-after": "1" } : {}),
  });
  response.end(body);
}

/** Serves at `host:port` as soon as the port is free, until stop(). */
export function startSite(
  address: string,
  handler: ReturnType<typeof siteHandler>,
  onServing?: () => void,
): Site {
  const stopping = new AbortController();
  let server: Server | null = null;
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      const candidate = createServer({ keepAliveTimeout: SITE_KEEP_ALIVE_MS }, handler);
      const listens = await listenOn(candidate, address).then(
        () => true,
        () => false,
      );
      if (listens) {
        server = candidate;
        onServing?.();
        return;
      }
      await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    get serving() {
      return server !== null;
    },
    async stop() {
      stopping.abort();
      await loop;
      if (server !== null) await closeServer(server);
    },
  };
}
