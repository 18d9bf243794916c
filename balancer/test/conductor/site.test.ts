import { createServer } from "node:http";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { freePort } from "@hongbao/infra";
import { adminServer } from "@hongbao/bucket-service";
import { createRegistry } from "@hongbao/monitoring";
import { adminPages } from "../../src/conductor/admin-pages.ts";
import { siteHandler, sitePages, startSite, type SiteNews } from "../../src/conductor/site.ts";
import { buildSite } from "../../src/conductor/site-files.ts";
import { closeServer, listenOn } from "../../src/listen.ts";
import { ask } from "../haproxy/harness.ts";

const folder = mkdtempSync(join(tmpdir(), "hongbao-site-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, "img"));
writeFileSync(
  join(folder, "index.html"),
  '<!doctype html><title>page</title><meta name="hongbao-api" content="" /><script src="/assets/app.js"></script>',
);
writeFileSync(join(folder, "app.js"), 'import { x } from "./x.js";');
writeFileSync(join(folder, "x.js"), "export const x = 1;");
writeFileSync(join(folder, "img", "a.png"), "png");
writeFileSync(join(folder, "secret.key"), "not a page");
const built = buildSite(folder);
const urlOf = (start: string): string => [...built.files.keys()].find((url) => url.startsWith(start))!;

const news: SiteNews = {
  roundsJson: () => '{"event":"x"}',
  startFile: (round) => (round === 1 ? "hongbaoStart({});" : null),
  nowMs: () => Date.parse("2027-02-05T12:00:00Z"),
};

async function serve(t: Test, with_: Partial<SiteNews> = {}): Promise<number> {
  const port = await freePort();
  const server = createServer(siteHandler(built, { ...news, ...with_ }));
  await listenOn(server, `127.0.0.1:${port}`);
  t.teardown(() => closeServer(server));
  return port;
}

t.test("the page is asked for again each time, its assets are kept for ever", async (t) => {
  const port = await serve(t);
  const page = await ask(port, "/");
  t.match(page, {
    status: 200,
    text: /<title>page/,
    headers: {
      "content-type": /^text\/html/,
      "cache-control": "public, max-age=0, s-maxage=30, must-revalidate",
      "content-security-policy": /^default-src 'none'.*frame-ancestors 'none'/,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    },
  });
  t.notMatch(page.headers["content-security-policy"], /unsafe/);
  t.match(page.headers.date, "Fri, 05 Feb 2027 12:00:00 GMT", "the buckets' time, which clients go by");
  t.match(await ask(port, "/", { headers: { "if-none-match": page.headers.etag! } }), {
    status: 304,
    text: "",
  });
  t.match(await ask(port, "/", { method: "HEAD" }), { status: 200, text: "" });
  t.match(page.text, `src="${urlOf("/assets/app.")}"`, "the page names its assets with their digests");
  t.match(await ask(port, urlOf("/assets/app.")), {
    status: 200,
    text: `import { x } from "./${urlOf("/assets/x.").slice("/assets/".length)}";`,
    headers: {
      "content-type": /^text\/javascript/,
      "cache-control": /immutable/,
      "content-security-policy": /'none'/,
    },
  });
  t.match(await ask(port, urlOf("/assets/img/a.")), {
    status: 200,
    text: "png",
    headers: { "content-type": "image/png", "cache-control": /immutable/ },
  });
  const packed = await ask(port, urlOf("/assets/x."), { headers: { "accept-encoding": "gzip, br" } });
  t.match(packed.headers, { "content-encoding": "gzip", vary: "accept-encoding" });
});

t.test("a digest changes with what a file names, and only then", async (t) => {
  const again = buildSite(folder);
  t.same([...again.files.keys()], [...built.files.keys()]);
  writeFileSync(join(folder, "x.js"), "export const x = 2;");
  const changed = [...buildSite(folder).files.keys()];
  writeFileSync(join(folder, "x.js"), "export const x = 1;");
  t.notOk(changed.includes(urlOf("/assets/app.")), "who names a changed file is changed");
  t.ok(changed.includes(urlOf("/assets/img/a.")));
});

t.test("the API's origin stands in the page and in its policy", async (t) => {
  const { files, headers } = buildSite(folder, "https://api.example.com");
  t.match(files.get("/")?.body.toString(), 'name="hongbao-api" content="https://api.example.com"');
  t.match(headers["content-security-policy"], "connect-src 'self' https://api.example.com;");
  for (const wrong of ["api.example.com", "https://api.example.com/v1", "ftp://a", "https://a' b"]) {
    t.throws(() => buildSite(folder, wrong), { message: /--api: found .*expected an origin/ }, wrong);
  }
});

t.test("a file that is missing, or names itself, is told before anything is served", async (t) => {
  writeFileSync(join(folder, "y.js"), 'import "./gone.js";');
  t.throws(() => buildSite(folder), { message: /y\.js names gone\.js/ });
  writeFileSync(join(folder, "y.js"), 'import "./y.js";');
  t.throws(() => buildSite(folder), { message: /y\.js → y\.js is a circle/ });
  rmSync(join(folder, "y.js"));
});

t.test("the command writes the folder for a CDN, and says what it is served with", async (t) => {
  const out = join(folder, "out");
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(import.meta.dirname, "..", "..", "..", "hongbao.ts"),
    ...["balancer", "site", "--out", out, "--api", "https://api.example.com", "--json"],
  ]);
  const report = JSON.parse(stdout) as { gzipBytes: number; files: { path: string; cacheControl: string }[] };
  t.ok(report.gzipBytes < 60 * 1024);
  for (const { path } of report.files) t.ok(existsSync(join(out, path)), path);
  t.match(report.files.at(-1), { path: "index.html", cacheControl: /max-age=0/ });
  t.match(readFileSync(join(out, "index.html"), "utf8"), "https://api.example.com");
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
    "/assets/app.js",
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

t.test("on a controller's admin port HAProxy gets the site and nothing of the operator's", async (t) => {
  const port = await freePort();
  const admin = adminServer({
    operatorSecret: "operator",
    registry: createRegistry({ labels: { role: "controller", id: "c0" } }),
    ready: () => ({ ready: true, why: "" }),
    pages: (router) => {
      sitePages(siteHandler(built, news))(router);
      adminPages()(router);
    },
    routes: (router) => router.get("/state", (context) => void (context.body = "secret")),
  });
  await listenOn(admin, `127.0.0.1:${port}`);
  t.teardown(() => closeServer(admin));
  const marked = { "x-hongbao-site": "1", authorization: "Bearer operator" };
  t.match(await ask(port, "/rounds.json", { headers: marked }), { status: 200, text: '{"event":"x"}' });
  t.match(await ask(port, "/", { headers: marked }), { status: 200, text: /<title>page/ });
  for (const method of ["GET", "POST"])
    t.match(await ask(port, "/admin/state", { method, headers: marked }), { status: 404 });
  const { authorization } = marked;
  t.match(await ask(port, "/admin/state", { headers: { authorization } }), { status: 200, text: "secret" });
  t.match(await ask(port, "/"), { status: 200, text: /operator/i });
  t.match(await ask(port, "/rounds.json"), { status: 401 }, "without the mark it is not here");
});

t.test("of two controllers one has the port; the other takes it over", async (t) => {
  const address = `127.0.0.1:${await freePort()}`;
  const handler = siteHandler(built, news);
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
