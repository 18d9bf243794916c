/**
 * The operator's page on the controller's admin port: a few static files without any data or secret in them. The page asks for
 * the operator secret and sends it with each call, so nothing here needs to know who looks.
 */
import { join } from "node:path";
import type { Router } from "@koa/router";
import { buildSite } from "./site-files.ts";

const ADMIN_FOLDER = join(import.meta.dirname, "..", "..", "site-admin");
const HEADERS = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

export function adminPages(): (router: Router) => void {
  const { files, headers } = buildSite(ADMIN_FOLDER);
  return (router) => {
    for (const { url, type, body, etag, caching } of files.values()) {
      router.get(url, (context) => {
        context.set({ ...headers, ...HEADERS, etag });
        context.set("cache-control", url === "/" ? "no-cache" : caching);
        if (context.get("if-none-match") === etag) {
          context.status = 304;
          return;
        }
        context.type = type;
        context.body = body;
      });
    }
  };
}
