/**
 * The dashboards without Grafana: a page that draws the panels of monitoring/dashboards out of a Prometheus. It only reads, and only
 * what a dashboard needs of Prometheus' API; it belongs on loopback or a private network, like Prometheus itself.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const PAGE = join(ROOT, "page");
const DASHBOARDS = join(ROOT, "dashboards");
const ASK_MS_MAX = 10_000;
const URL_LENGTH_MAX = 16_384;

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  json: "application/json; charset=utf-8",
};
/** What is asked of Prometheus on behalf of the page. */
const ASKED = /^\/api\/v1\/(query|query_range|alerts|label\/[a-z_]+\/values)$/;
const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'",
} as const;

/** @param prometheus its URL. */
export function dashboardsServer(prometheus: string): Server {
  const files = new Map<string, string>();
  for (const name of readdirSync(PAGE)) files.set(`/${name}`, readFileSync(join(PAGE, name), "utf8"));
  const dashboards = readdirSync(DASHBOARDS)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => readFileSync(join(DASHBOARDS, name), "utf8"));
  files.set("/dashboards.json", `[${dashboards.join(",")}]`);
  return createServer((request, response) => {
    const { pathname, search } = addressOf(request);
    if (request.method !== "GET" && request.method !== "HEAD") return send(response, 405, "json", "{}");
    if (ASKED.test(pathname)) return void ask(prometheus, pathname + search, response);
    // A dashboard's address is Grafana's: links in panels lead there in both.
    const name = pathname === "/" || /^\/d\/[\w-]+$/.test(pathname) ? "/index.html" : pathname;
    const text = files.get(name);
    if (text === undefined) return send(response, 404, "json", '{"error":"not found"}');
    send(response, 200, name.slice(name.lastIndexOf(".") + 1), text);
  });
}

function addressOf(request: IncomingMessage): { pathname: string; search: string } {
  const url = (request.url ?? "/").slice(0, URL_LENGTH_MAX);
  return URL.canParse(url, "http://page") ? new URL(url, "http://page") : { pathname: "", search: "" };
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { ...HEADERS, "content-type": TYPES[type] ?? "text/plain; charset=utf-8" });
  response.end(text);
}

async function ask(prometheus: string, path: string, response: ServerResponse): Promise<void> {
  try {
    const answer = await fetch(new URL(path, prometheus), { signal: AbortSignal.timeout(ASK_MS_MAX) });
    send(response, answer.status, "json", await answer.text());
  } catch (error) {
    const message = `Prometheus does not answer: ${(error as Error).message}`;
    send(response, 502, "json", JSON.stringify({ status: "error", error: message }));
  }
}
