/**
 * The site: the page's folder, the schedule and the start files. Whichever controller gets the port serves it; the other
 * one waits for the port to be free. Everything that may be served is known by name, so no path can lead out of the folder.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { closeServer, listenOn } from "../listen.ts";

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

interface Page {
  type: string;
  body: Buffer;
  etag: string;
  caching: string;
}

const RETRY_MS = 250;
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
  ".mp4": "video/mp4",
  ".txt": "text/plain; charset=utf-8",
};
/** A name with a digest in it never changes its content. */
const HASHED = /[.-][0-9a-f]{8,}\.[a-z0-9]+$/;
const FOR_EVER = "public, max-age=31536000, immutable";
/** Kept, but asked for again each time: a new page counts at once. */
const ASK_AGAIN = "no-cache";
/** What the page may do; it talks to its own origin and to the API's. */
const POLICY = [
  "default-src 'self'",
  "img-src 'self' data:",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self' https:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** `index.html` is `/`, every other file is `/assets/…`. */
export function readPages(folder: string): Map<string, Page> {
  const pages = new Map<string, Page>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length).replace(/^\/+/, "");
    const body = readFileSync(path);
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    const url = name === "index.html" ? "/" : `/assets/${name.replace(/^assets\//, "")}`;
    pages.set(url, { type, body, etag, caching: HASHED.test(name) ? FOR_EVER : ASK_AGAIN });
  }
  return pages;
}

/** Answers requests for the site. */
export function siteHandler(
  pages: Map<string, Page>,
  news: SiteNews,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0]!;
    // Clients reckon the time from Date and Age, so it is the buckets' time and not this machine's.
    response.setHeader("date", new Date(news.nowMs()).toUTCString());
    response.setHeader("x-content-type-options", "nosniff");
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 404, "not_found");
    if (path === "/rounds.json") return fresh(response, TYPES[".json"]!, news.roundsJson());
    const round = /^\/start\/([1-9]\d?)\.js$/.exec(path)?.[1];
    if (round !== undefined) return start(response, news, Number(round));
    const page = pages.get(path);
    if (page === undefined) return refuse(response, 404, "not_found");
    response.setHeader("etag", page.etag);
    response.setHeader("cache-control", page.caching);
    response.setHeader("content-security-policy", POLICY);
    response.setHeader("referrer-policy", "no-referrer");
    if (request.headers["if-none-match"] === page.etag) return void response.writeHead(304).end();
    response.writeHead(200, { "content-type": page.type, "content-length": page.body.length });
    response.end(page.body);
  };
}

function start(response: ServerResponse, news: SiteNews, round: number): void {
  const text = news.startFile(round);
  // Before the first schedule is known nobody can say that there is no such round.
  if (text === null && news.roundsJson() !== null) return refuse(response, 404, "not_found");
  fresh(response, TYPES[".js"]!, text);
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
    "content-type": TYPES[".json"]!,
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
      const candidate = createServer({ keepAliveTimeout: 120_000 }, handler);
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
