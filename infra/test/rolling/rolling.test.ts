/**
 * A rolling restart of every part under a rehearsal's load, in the order of docs/operations.md ("Deploys and restarts"): two HAProxy
 * with TLS and the proxy protocol behind a stand-in for the load balancer, and people who keep their connections.
 *
 * Larger by hand: HONGBAO_ROLLING_USERS=50000 HONGBAO_ROLLING_BUCKETS=2 node infra/test/rolling/rolling.test.ts
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServicePlace } from "@hongbao/preprocess";
import t, { type Test } from "tap";
import {
  freePort,
  runHongbao,
  spawnChild,
  startTestCluster,
  temporaryState,
  tryHongbao,
  waitUntil,
  type Child,
  type TestCluster,
} from "@hongbao/infra";
import { hongbaoWords } from "../../src/cluster/hongbao.ts";
import type { RehearseReport } from "../../src/rehearse/rehearse.ts";
import { Front } from "./front.ts";
import { startPeople } from "./people.ts";

const USERS = Number(process.env["HONGBAO_ROLLING_USERS"] ?? 1_500);
const BUCKETS = Number(process.env["HONGBAO_ROLLING_BUCKETS"] ?? 1);
/** Of the list's end, for the people whose connections are kept. */
const KEEPERS = 500;
const PER_USER = 2;
const FINE = ["won", "repeat", "ended", "busy", "limited"];
/** Seconds that a HAProxy may drain; it ends when its last connection has. On AWS 100. */
const DRAIN_SECONDS = 60;
/** How long the load balancer leaves a target that drains alone before it is stopped; on AWS 60 s. */
const DEREGISTRATION_MS = 500;
const WAIT = { timeoutMsMax: 90_000 };

// A whole cluster on a machine that may be busy.
t.setTimeout(600_000);

t.test("every part is restarted in the documented order under load, and nobody notices", async (t) => {
  const begin = performance.now();
  const dir = temporaryState(t);
  const cluster = await startTestCluster(t, { event: await writeEvent(dir), buckets: BUCKETS, opensIn: 1 });
  const entry = await startEntry(t, cluster, dir);
  const key = await keyOf(cluster);
  const file = join(dir, "tokens");
  await runHongbao(["token", "--all", "--out", file, "--topology", entry.topology]);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const people = startPeople({
    url: entry.url,
    path: `/v1/rounds/1/grab?k=${key}`,
    tokens: lines.slice(-KEEPERS).map((line) => line.split("\t")[1]!),
    ca: entry.ca,
    pressers: 24,
    idlers: 8,
  });
  const rehearsal = rehearseUntilStopped(entry.topology);

  const took: Record<string, number> = { start: Math.round(performance.now() - begin) / 1000 };
  const part = async (name: string, restart: () => Promise<void>): Promise<void> => {
    const began = performance.now();
    await restart();
    took[name] = Math.round((performance.now() - began) / 100) / 10;
  };
  const { controllers, buckets } = cluster.topology;
  for (const { id, admin } of controllers) {
    await part(id, () => restarted(cluster, (now) => now.processes.controllers[id], admin));
  }
  for (const bucket of buckets) {
    const restart = (kind: "persist" | "payout" | "services", places: { id: string; admin: string }[]) =>
      places.map(({ id, admin }) => () => {
        const name = `${bucket.id}/${id}`;
        return part(name, () => restarted(cluster, (now) => now.processes[kind][name], admin));
      });
    // These two do not know of each other; services go one after the other.
    const side = [...restart("persist", bucket.persist), ...restart("payout", bucket.payout)];
    await Promise.all(side.map((begin) => begin()));
    for (const begin of restart("services", bucket.services as ServicePlace[])) await begin();
  }
  await part("new HAProxys", async () => void (await Promise.all([entry.start("A2"), entry.start("B2")])));
  for (const old of ["A", "B"]) await part(`HAProxy ${old}`, () => entry.end(old));

  const reports = await rehearsal.stop();
  const pressed = await people.stop();
  t.comment(JSON.stringify({ tookSeconds: took, people: Object.fromEntries(pressed.words) }));
  for (const report of reports) {
    const { answers, errors, told, peakPerSecond } = report;
    t.comment(JSON.stringify({ answers, errors, told, peakPerSecond }));
    t.same(
      Object.keys(answers).filter((word) => !FINE.includes(word)),
      [],
      "no other word",
    );
    t.same(
      errors,
      { connect: 0, read: 0, write: 0, timeout: 0, unanswered: 0 },
      "every request was answered",
    );
    t.equal(told.missing, 0, "no win was lost");
    t.equal(report.audit.ok, true, "the audit under load is clean");
  }
  t.ok(reports.length > 0, `${reports.length} rehearsals`);
  t.same(
    [...pressed.words.keys()].filter((word) => !FINE.includes(word)),
    [],
    "no connection was cut",
  );
  t.same(pressed.changed, [], "whoever asked again was told the same");
  t.equal(pressed.told.size, KEEPERS, "everybody had a prize");
  t.equal(entry.refused(), 0, "the load balancer met no closed door");
  const audit = await cluster.hongbao(["audit", "--json"]);
  t.equal(audit.code, 0, audit.stdout + audit.stderr);
});

/** A prize for everybody, so that every answer of everybody is known. */
async function writeEvent(dir: string): Promise<string> {
  await runHongbao(["preprocess", "sample", "--users", String(USERS + KEEPERS), "--out", dir]);
  const count = PER_USER * (USERS + KEEPERS);
  const path = join(dir, "rolling.yaml");
  writeFileSync(
    path,
    `event: rolling
title: { zh: 滚动, en: Rolling }
currency: CNY
timezone: Asia/Shanghai
budget: ${count}.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1h, closesAt: +60m, count: ${count}, budget: ${count}.00, perUser: ${PER_USER}, split: { method: equal } }
`,
  );
  return path;
}

interface Entry {
  url: string;
  topology: string;
  ca: Buffer;
  refused: () => number;
  /** Resolves when it is ready and is given connections. */
  start: (name: string) => Promise<void>;
  /** It gets no new connections, then it is stopped and ends by itself. */
  end: (name: string) => Promise<void>;
}

async function startEntry(t: Test, cluster: TestCluster, dir: string): Promise<Entry> {
  const ca = writeCertificate(dir);
  const front = new Front();
  const port = await freePort();
  const running = new Map<string, { child: Child; port: number }>();
  t.teardown(async () => {
    await front.close();
    await Promise.all(Array.from(running.values(), ({ child }) => child.stop()));
  });
  const start = async (name: string): Promise<void> => {
    const own = { listen: await freePort(), admin: await freePort() };
    const path = topologyFor(cluster, dir, name, { front: port, ...own });
    const words = ["balancer", "run", "--threads", "1", "--drain", String(DRAIN_SECONDS)];
    const child = await spawnChild({
      name: `HAProxy ${name}`,
      ...hongbaoWords([...words, "--topology", path, "--dir", join(dir, `haproxy-${name}`)]),
      logPath: join(dir, `haproxy-${name}.log`),
      graceMsMax: 10_000,
    });
    running.set(name, { child, port: own.listen });
    await waitUntil(() => isReady(`127.0.0.1:${own.admin}`), { what: `HAProxy ${name}`, child, ...WAIT });
    front.add(own.listen);
  };
  await Promise.all([start("A"), start("B")]);
  await front.listen(port);
  return {
    url: `https://127.0.0.1:${port}`,
    topology: join(cluster.state, "topology-A.yaml"),
    ca,
    refused: () => front.refused,
    start,
    end: async (name) => {
      const old = running.get(name)!;
      front.drain(old.port);
      await sleep(DEREGISTRATION_MS);
      // It is still asked by those who are connected, and takes its time.
      if (front.openOf(old.port) === 0) throw new Error(`nobody was connected to HAProxy ${name}`);
      old.child.kill("SIGTERM");
      const { code } = await old.child.exited;
      if (code !== 0) throw new Error(`HAProxy ${name} ended with ${code}`);
      running.delete(name);
    },
  };
}

/** The cluster's, with an entry of its own: behind the load balancer, with TLS. Beside the first, as its paths are relative. */
function topologyFor(
  cluster: TestCluster,
  dir: string,
  name: string,
  ports: { front: number; listen: number; admin: number },
): string {
  const { balancer, path } = cluster.topology;
  const text = readFileSync(path, "utf8")
    .replace(`listen: "${balancer.listen}"`, `listen: "127.0.0.1:${ports.listen}"`)
    .replace(`url: "${balancer.url}"`, `url: "https://127.0.0.1:${ports.front}"`)
    .replace(
      `admin: "${balancer.admin}"`,
      `admin: "127.0.0.1:${ports.admin}"\n  proxyProtocol: true\n  tls: { cert: ${JSON.stringify(join(dir, "tls.pem"))} }`,
    );
  const own = join(cluster.state, `topology-${name}.yaml`);
  writeFileSync(own, text);
  return own;
}

function writeCertificate(dir: string): Buffer {
  const [key, certificate] = [join(dir, "key.pem"), join(dir, "certificate.pem")];
  const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const name = ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", [...words, ...name, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  writeFileSync(join(dir, "tls.pem"), readFileSync(certificate, "utf8") + readFileSync(key, "utf8"));
  // For the commands that this test runs.
  process.env["NODE_EXTRA_CA_CERTS"] = certificate;
  return readFileSync(certificate);
}

async function keyOf(cluster: TestCluster): Promise<string> {
  let key: string | undefined;
  const isOpen = async (): Promise<boolean> => {
    const text = await (await fetch(`${cluster.url}/start/1.js`)).text();
    key = /"key":"([^"]+)"/.exec(text)?.[1];
    return key !== undefined;
  };
  await waitUntil(isOpen, { what: "the opening", ...WAIT });
  return key!;
}

/** One rehearsal after the other: each asks every user, looks for every win, and ends with an audit. */
function rehearseUntilStopped(topology: string): { stop: () => Promise<RehearseReport[]> } {
  const stopping = new AbortController();
  const { signal } = stopping;
  const words = ["--users", String(USERS), "--round", "1", "--threads", "1", "--connections", "32", "--json"];
  const loop = (async () => {
    const reports: RehearseReport[] = [];
    for (;;) {
      // The one that is under way at the end is let go, but for the first.
      const run = tryHongbao(
        ["rehearse", ...words, "--topology", topology],
        reports.length ? signal : undefined,
      );
      const outcome = await run.catch(() => null);
      if (outcome === null) return reports;
      if (outcome.code > 1) throw new Error(`rehearse: ${outcome.code}: ${outcome.stderr}`);
      reports.push(JSON.parse(outcome.stdout) as RehearseReport);
      if (signal.aborted) return reports;
    }
  })();
  // It is awaited at the end; a failure in between must not end the test without its words.
  loop.catch(() => undefined);
  return {
    stop: () => {
      stopping.abort();
      return loop;
    },
  };
}

/** Stopped politely, started again by its keeper, ready. */
async function restarted(
  cluster: TestCluster,
  pidIn: (now: ReturnType<TestCluster["now"]>) => number | undefined,
  admin: string,
): Promise<void> {
  const before = pidIn(cluster.now())!;
  process.kill(before, "SIGTERM");
  const isBack = async (): Promise<boolean> => {
    const pid = pidIn(cluster.now());
    return pid !== undefined && pid !== before && (await isReady(admin));
  };
  await waitUntil(isBack, { what: `the one after ${before}`, ...WAIT });
}

function isReady(admin: string): Promise<boolean> {
  return fetch(`http://${admin}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
}
