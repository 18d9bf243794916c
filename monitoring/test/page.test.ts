import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { dashboardsServer } from "../src/page/server.ts";

interface Format {
  format: (value: number | null, unit: string, decimals?: number) => string;
  ticks: (max: number, unit: string) => number[];
}
const PAGE = new URL("../page/format.js", import.meta.url);
const { format, ticks } = (await import(PAGE.href)) as Format;

async function listen(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

t.test("the page, its parts and all dashboards", async (t) => {
  const url = await listen(t, dashboardsServer("http://127.0.0.1:1"));
  for (const path of ["/", "/d/hongbao-bucket?range=5m"]) {
    const response = await fetch(url + path);
    t.equal(response.status, 200);
    t.match(response.headers.get("content-security-policy"), /default-src 'none'/);
    t.match(await response.text(), /<main id="panels">/);
  }
  for (const part of ["/page.js", "/charts.js", "/format.js", "/style.css"])
    t.equal((await fetch(url + part)).status, 200, part);
  const list = (await (await fetch(`${url}/dashboards.json`)).json()) as { uid: string }[];
  t.equal(list.length, 6);
  t.equal(list[0]?.uid, "hongbao-overview");
});

t.test("Prometheus is asked for what a dashboard needs, and for nothing else", async (t) => {
  const asked: string[] = [];
  const prometheus = await listen(
    t,
    createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end('{"status":"success","data":{}}');
    }),
  );
  const url = await listen(t, dashboardsServer(prometheus));
  const statusOf = async (path: string, method = "GET") => (await fetch(url + path, { method })).status;
  t.equal(await statusOf("/api/v1/query?query=up%3D%3D0"), 200);
  t.equal(await statusOf("/api/v1/label/bucket/values"), 200);
  t.same(asked, ["GET /api/v1/query?query=up%3D%3D0", "GET /api/v1/label/bucket/values"]);
  for (const path of [
    "/api/v1/admin/tsdb/snapshot",
    "/-/quit",
    "/api/v1/status/config",
    "/../package.json",
    "/d/../../x",
  ])
    t.equal(await statusOf(path), 404, path);
  t.equal(await statusOf("/api/v1/query?query=up", "POST"), 405);
  t.equal(asked.length, 2);
});

t.test("without Prometheus the page says so", async (t) => {
  const url = await listen(t, dashboardsServer("http://127.0.0.1:1"));
  const response = await fetch(`${url}/api/v1/alerts`);
  t.equal(response.status, 502);
  t.match(await response.json(), { status: "error", error: /^Prometheus does not answer/ });
});

t.test("numbers are written for people", async (t) => {
  const cases: [string, number | null, string, number?][] = [
    ["–", null, "s"],
    ["0 s", 0, "s"],
    ["250 µs", 0.00025, "s"],
    ["4.2 ms", 0.0042, "s"],
    ["1.5 s", 1.5, "s"],
    ["14 d", 1_209_600, "s"],
    ["99.5 %", 0.995, "percentunit", 1],
    ["1.5 MiB/s", 1_572_864, "Bps"],
    ["12.3 k/s", 12_345, "reqps"],
    ["1,234,567.80", 1_234_567.8, "short", 2],
    ["5,000", 5_000, "short"],
    ["1.5 M", 1_500_000, "short"],
  ];
  for (const [shown, value, unit, decimals] of cases) t.equal(format(value, unit, decimals), shown);
  t.same(ticks(950, "short"), [0, 250, 500, 750, 1000]);
  t.same(ticks(0, "short"), [0, 1]);
});
