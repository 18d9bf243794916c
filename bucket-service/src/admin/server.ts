import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import { Router } from "@koa/router";
import Koa from "koa";
import type { Registry } from "@hongbao/monitoring";

/** A body longer than this is not one of ours. */
const BODY_BYTES_MAX = 65_536;

export interface AdminParts {
  operatorSecret: string;
  registry: Registry;
  /** Whether the process can do its work; the text says what it waits for. */
  ready: () => { ready: boolean; why: string };
  /** What anybody who reaches the port may see: no data and no secret. */
  pages?: (router: Router) => void;
  /** The operator's routes; the secret has been checked when they run. */
  routes?: (router: Router) => void;
  /** The operator's routes of a rehearsal, under /shadow/admin; null while there is none. */
  shadow?: () => Router | null;
  onError?: (error: unknown) => void;
}

/**
 * The admin port of any bucket process: /livez, /readyz and /metrics for the machines, /admin/* with the operator secret.
 * It listens on loopback or a private network only and is never reachable through the public port.
 */
export function adminServer(parts: AdminParts): Server {
  const app = new Koa();
  app.on("error", (error: unknown) => parts.onError?.(error));
  const open = new Router();
  open.get("/livez", (context) => {
    context.body = "ok\n";
  });
  open.get("/readyz", (context) => {
    const { ready, why } = parts.ready();
    context.status = ready ? 200 : 503;
    context.body = `${ready ? "ok" : why}\n`;
  });
  open.get("/metrics", async (context) => {
    context.set("content-type", parts.registry.contentType);
    context.body = await parts.registry.text();
  });
  parts.pages?.(open);
  const guarded = new Router({ prefix: "/admin" });
  parts.routes?.(guarded);
  app.use(open.routes());
  app.use(async (context, next) => {
    if (!isOperator(context.get("authorization"), parts.operatorSecret)) {
      context.status = 401;
      context.body = { error: "the operator secret is needed" };
      return;
    }
    try {
      await next();
    } catch (error) {
      parts.onError?.(error);
      context.status = error instanceof AdminError ? error.status : 503;
      context.body = { error: error instanceof Error ? error.message : String(error) };
    }
  });
  app.use(guarded.routes());
  app.use(async (context, next) => {
    const routes = parts.shadow?.()?.routes();
    if (routes === undefined) await next();
    else await routes(context as Parameters<typeof routes>[0], next);
  });
  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- Koa's callback answers by itself and never rejects.
  return createServer(app.callback());
}

/** What an admin route throws when the caller is to blame. */
export class AdminError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Reads a JSON object. Errors: AdminError 400 and 413. */
export async function readJson(context: Koa.Context): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of context.req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new AdminError(413, `body: found more than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Told below, together with what is not an object.
  }
  throw new AdminError(400, "body: expected a JSON object");
}

function isOperator(header: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header), digest(`Bearer ${secret}`));
}
