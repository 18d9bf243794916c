import { createServer } from "node:http";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { freePort } from "@hongbao/infra";
import { readPages, siteHandler, startSite, type SiteNews } from "../../src/conductor/site.ts";
import { closeServer, listenOn } from "../../src/listen.ts";
import { ask } from "../haproxy/harness.ts";

const folder = mkdtempSync(join(tmpdir(), "hongbao-site-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, "img"));
writeFileSync(join(folder, "index.html"), "<!doctype html><title>page</title>");
writeFileSync(join(folder, "app.js"), "export {};");
writeFileSync(join(folder, "style-0123abcd.css"), "body{}");
writeFileSync(join(folder, "img", "a.png"), "png");
writeFileSync(join(folder, "secret.key"), "not a page");

const news: SiteNews = {
  roundsJson: () => '{"event":"x"}',
  startFile: (round) => (round === 1 ? "hongbaoStart({});" : null),
  nowMs: () => Date.parse("2027-02-05T12:00:00Z"),
};

async function serve(t: Test, with_: Partial<SiteNews> = {}): Promise<number> {
  const port = await freePort();
  const server = createServer(siteHandler(readPages(folder), { ...news, ...with_ }));
  await listenOn(server, `127.0.0.1:${port}`);
  t.teardown(() => closeServer(server));
  return port;
}

t.test("the page and its assets, with sane caching", async (t) => {
  const port = await serve(t);
  const page = await ask(port, "/");
  t.match(page, {
    status: 200,
    text: /<title>page/,
    headers: {
      "content-type": /^text\/html/,
      "cache-control": "no-cache",
      "content-security-policy": /default-src 'self'/,
      "x-content-type-options": "nosniff",
    },
  });
  t.match(page.headers.date, "Fri, 05 Feb 2027 12:00:00 GMT", "the buckets' time, which clients go by");
  t.match(await ask(port, "/", { headers: { "if-none-match": page.headers.etag! } }), {
    status: 304,
    text: "",
  });
  t.match(await ask(port, "/", { method: "HEAD" }), { status: 200, text: "" });
  t.match(await ask(port, "/assets/app.js"), {
    status: 200,
    headers: { "content-type": /^text\/javascript/, "cache-control": "no-cache" },
  });
  t.match(await ask(port, "/assets/style-0123abcd.css"), { headers: { "cache-control": /immutable/ } });
  t.match(await ask(port, "/assets/img/a.png"), {
    status: 200,
    text: "png",
    headers: { "content-type": "image/png" },
  });
});

t.test("nothing but the known names", async (t) => {
  const port = await serve(t);
  for (const path of [
    "/index.html",
    "/secret.key",
    "/assets/secret.key",
    "/assets/../index.html",
    "/assets/%2e%2e/index.html",
    "/assets/",
    "/start/0.js",
    "/start/2.js",
    "/start/1.js/",
    "/admin/state",
  ]) {
    t.match(await ask(port, path), { status: 404, json: { result: "not_found" } }, path);
  }
  t.match(await ask(port, "/", { method: "POST" }), { status: 404 });
});

t.test("schedule and start file are made anew for everyone and kept by nobody", async (t) => {
  let count = 0;
  const port = await serve(t, { roundsJson: () => `{"count":${(count += 1)}}` });
  t.match(await ask(port, "/rounds.json?x=1"), {
    status: 200,
    json: { count: 1 },
    headers: { "cache-control": "no-store", "content-type": /^application\/json/ },
  });
  t.match(await ask(port, "/rounds.json"), { json: { count: 2 } });
  t.match(await ask(port, "/start/1.js?123"), {
    status: 200,
    text: "hongbaoStart({});",
    headers: { "cache-control": "no-store", "content-type": /^text\/javascript/ },
  });
});

t.test("before anything is known it is busy, not empty", async (t) => {
  const port = await serve(t, { roundsJson: () => null, startFile: () => null });
  t.match(await ask(port, "/rounds.json"), {
    status: 503,
    json: { result: "busy" },
    headers: { "retry-after": "1" },
  });
  t.match(await ask(port, "/start/1.js"), { status: 503 });
  t.match(await ask(port, "/"), { status: 200 });
});

t.test("of two controllers one has the port; the other takes it over", async (t) => {
  const address = `127.0.0.1:${await freePort()}`;
  const handler = siteHandler(readPages(folder), news);
  const first = startSite(address, handler);
  while (!first.serving) await new Promise((resolve) => setTimeout(resolve, 10));
  const second = startSite(address, handler);
  t.teardown(() => second.stop());
  await new Promise((resolve) => setTimeout(resolve, 400));
  t.notOk(second.serving);
  await first.stop();
  while (!second.serving) await new Promise((resolve) => setTimeout(resolve, 10));
  t.match(await ask(Number(address.split(":")[1]), "/"), { status: 200 });
});
