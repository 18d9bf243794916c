/** Preflight on a whole cluster: clean it is a go; each check is made to fail by breaking what it looks at. */
import { execFile } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTls } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import {
  ensurePackages,
  freePort,
  runHongbao,
  spawnChild,
  startTestCluster,
  temporaryState,
  waitUntil,
  type Child,
  type TestCluster,
} from "@hongbao/infra";
import { readSecrets, SHADOW_EVENT } from "@hongbao/preprocess";
import { judge, type CheckReport, type PreflightReport } from "../../src/operate/preflight/command.ts";
import { CHECKS } from "../../src/operate/preflight/list.ts";
import { lookAround, type PreflightOptions } from "../../src/operate/preflight/scene.ts";

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

const run = promisify(execFile);

const EVENT = `event: looked-at
title: { zh: 检查, en: Looked at }
currency: CNY
timezone: Asia/Shanghai
budget: 100.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1h, closesAt: +10m, count: 40, budget: 40.00, split: { method: equal } }
  - { id: 2, kind: envelope, opensAt: manual, closesAt: +10m, count: 20, budget: 20.00, split: { method: equal } }
`;

async function startCluster(t: Test): Promise<TestCluster> {
  const dir = temporaryState(t);
  const users = Array.from({ length: 60 }, (_, n) => `u${n},u${n},staff`);
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("\n")}\n`);
  writeFileSync(join(dir, "event.yaml"), EVENT);
  return startTestCluster(t, { event: join(dir, "event.yaml"), buckets: 2, services: 1 });
}

/** Runs only the checks that are named. */
async function look(
  cluster: TestCluster,
  ids: readonly string[],
  options: Partial<PreflightOptions> = {},
): Promise<Record<string, CheckReport>> {
  const scene = await lookAround({
    topology: cluster.topology.path,
    state: cluster.state,
    alertTest: true,
    ...options,
  });
  try {
    const { checks } = await judge(
      scene,
      CHECKS.filter(({ id }) => ids.includes(id)),
    );
    return Object.fromEntries(checks.map((check) => [check.id, check]));
  } finally {
    scene.pack.close();
  }
}

/** Holds a no-go with this in its words, and a mend that says what to do. */
function isNoGo(t: Test, found: CheckReport | undefined, what: RegExp, mend: RegExp): void {
  const check = found!;
  t.match(check, { state: "no-go" }, `${check.id} notices`);
  const fault = check.faults.find((each) => what.test(each.what));
  t.ok(fault, `${check.id} says what it found: ${JSON.stringify(check.faults)}`);
  t.match(fault?.mend, mend, `${check.id} says what to do`);
}

t.test("a clean cluster is a go; whatever is broken is a no-go with the command that mends it", async (t) => {
  await ensurePackages(["faketime", "prometheus-alertmanager"]);
  const cluster = await startCluster(t);
  const { state, topology } = cluster;
  const secrets = readSecrets(topology);
  const redis = (bucket: number, ...words: string[]): Promise<unknown> =>
    run("redis-cli", ["-u", topology.buckets[bucket]!.redis.url, ...words], {
      env: { ...process.env, REDISCLI_AUTH: secrets.redis },
    });
  const sql = (bucket: number, text: string): Promise<unknown> => {
    const socket = join(state, "mysql", `b${bucket}`, "data", "mysql.sock");
    const at = ["--no-defaults", `--socket=${socket}`, "--user=root", "--database=hongbao_looked_at"];
    return run("mariadb", [...at, "--execute", text]);
  };
  const order = async (path: string, body: object): Promise<void> => {
    const response = await fetch(`http://${topology.controllers[0]!.admin}/admin${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${secrets.operator}` },
      body: JSON.stringify({ by: "test", ...body }),
    });
    if (!response.ok) throw new Error(await response.text());
  };

  await t.test("clean: go", async (t) => {
    const { code, stdout, stderr } = await cluster.hongbao(["preflight", "--json", "--state", state]);
    t.equal(code, 0, stderr);
    const report = JSON.parse(stdout) as PreflightReport;
    t.equal(report.go, true, JSON.stringify(report.checks.filter((check) => check.state === "no-go")));
    t.same(
      report.checks.filter((check) => check.state === "skipped").map(({ id }) => id),
      ["certificates", "alerts", "firing", "quotas", "subscriptions"],
    );
    t.same(
      report.checks.map(({ id }) => id),
      CHECKS.map(({ id }) => id),
    );
  });

  await t.test("Redis: its way to disk, a range", async (t) => {
    await redis(0, "config", "set", "appendfsync", "everysec");
    const key = "{hongbao:looked-at:b1}:round:1";
    await redis(1, "hincrby", key, "lo", "1");
    const found = await look(cluster, ["redis", "ranges"]);
    await redis(1, "hincrby", key, "lo", "-1");
    isNoGo(
      t,
      found["redis"],
      /b0: appendfsync is everysec, expected always/,
      /config set appendfsync always/,
    );
    isNoGo(
      t,
      found["ranges"],
      /bucket b1: round 1: Redis issues from/,
      /hongbao preprocess load .*rebuild --bucket b1/,
    );
    const code = (await cluster.hongbao(["preflight", "--state", state])).code;
    t.equal(code, 1, "a no-go ends with 1");
    await redis(0, "config", "set", "appendfsync", "always");
  });

  await t.test("MySQL: a row, its way to disk, its connections", async (t) => {
    await sql(0, "CREATE TABLE kept AS SELECT * FROM prizes LIMIT 1; DELETE FROM prizes LIMIT 1");
    await sql(1, "SET GLOBAL innodb_flush_log_at_trx_commit = 2; SET GLOBAL max_connections = 20");
    const found = await look(cluster, ["mysql", "pools", "ranges"]);
    await sql(0, "INSERT INTO prizes SELECT * FROM kept; DROP TABLE kept");
    await sql(1, "SET GLOBAL innodb_flush_log_at_trx_commit = 1; SET GLOBAL max_connections = 200");
    isNoGo(t, found["ranges"], /bucket b0: round 1: MySQL holds 1?\d prizes/, /preprocess load/);
    isNoGo(t, found["mysql"], /b1: innodb_flush_log_at_trx_commit is 2/, /SET GLOBAL innodb_flush/);
    isNoGo(t, found["pools"], /bucket b1 takes 20 connections/, /SET GLOBAL max_connections = \d+/);
  });

  await t.test("the books, the journal, a switch", async (t) => {
    await redis(0, "decr", "{hongbao:looked-at:b0}:left:1");
    await redis(1, "hincrby", "{hongbao:looked-at:b1}:meta", "acked", "-3");
    await order("/switches", { name: "lend", value: "off", bucket: "b1" });
    await redis(0, "set", `{hongbao:${SHADOW_EVENT}:b0}:meta`, "left");
    const found = await look(cluster, ["budget", "journal", "switches", "rehearsal"]);
    await redis(0, "del", `{hongbao:${SHADOW_EVENT}:b0}:meta`);
    await redis(0, "incr", "{hongbao:looked-at:b0}:left:1");
    await redis(1, "hincrby", "{hongbao:looked-at:b1}:meta", "acked", "3");
    await order("/switches", { name: "lend", value: null, bucket: "b1" });
    isNoGo(t, found["rehearsal"], /1 key of bucket b0 is left of a rehearsal/, /rehearse --wipe/);
    isNoGo(t, found["budget"], /promise 6, round 1, bucket b0/, /hongbao audit/);
    isNoGo(t, found["journal"], /3 claims of bucket b1 wait/, /JournalNotDraining/);
    isNoGo(t, found["switches"], /switch lend is off in bucket b1/, /hongbao switch clear lend --bucket b1/);
  });

  await t.test("frozen processes", async (t) => {
    const { services, controllers } = cluster.now().processes;
    const pids = [services["b1/s0"]!, ...Object.values(controllers)];
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    try {
      const ids = ["processes", "controllers", "haproxy", "start-files", "schedule"];
      let found = await look(cluster, ids);
      // HAProxy notices after some checks of its own.
      const noticed = async (): Promise<boolean> => {
        found = await look(cluster, ids);
        return found["haproxy"]!.faults.some(({ what }) => what.includes("b1/s0"));
      };
      await waitUntil(noticed, { what: "HAProxy's notice", timeoutMsMax: 60_000 });
      isNoGo(
        t,
        found["processes"],
        /service b1\/s0 does not answer/,
        /hongbao bucket --bucket b1 --service s0/,
      );
      isNoGo(t, found["controllers"], /controller c1 does not answer/, /hongbao controller --id c1/);
      isNoGo(t, found["haproxy"], /does not reach b1\/s0 at the HTTP door/, /hongbao status/);
      isNoGo(t, found["start-files"], /\/start\/1\.js/, /BalancerDown/);
      isNoGo(t, found["schedule"], /no controller tells the schedule/, /hongbao round list/);
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    }
  });

  await t.test(
    "a service of another pack, with few files and a wrong clock; a topology that is wrong",
    async (t) => {
      const path = await wrongTopology(t, cluster);
      const ids = ["pack", "files", "clocks", "tokens", "certificates", "payout", "disks"];
      const found = await look(cluster, ids, { topology: path });
      isNoGo(
        t,
        found["pack"],
        /service b0\/s9 runs with pack/,
        /start service b0\/s9 again with the topology's pack/,
      );
      isNoGo(t, found["files"], /service b0\/s9 may open 256 files, expected 4096/, /ulimit -n/);
      isNoGo(t, found["clocks"], /the clock of service b0\/s9 is 3\d\d\d\.\d s ahead/, /chronyc/);
      isNoGo(t, found["tokens"], /answered 401 unauthorized, expected 403/, /secret token/);
      isNoGo(t, found["certificates"], /certificate .*old\.pem has expired/, /renew it/);
      isNoGo(
        t,
        found["payout"],
        /wallet at http.* cannot be reached: .*ECONNREFUSED/,
        /call whoever runs it/,
      );
      isNoGo(t, found["disks"], /the disk under \/proc has 0 MiB/, /make room/);
    },
  );

  await t.test("a certificate that is served: its dates, its name", async (t) => {
    const at = oldCertificate(state);
    const server = createTls({ key: readFileSync((await at).key), cert: readFileSync((await at).cert) });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const served = variant(cluster, "served.yaml", (text) =>
      text.replace(/url: "http:\/\/127\.0\.0\.1:\d+"/, `url: "https://127.0.0.1:${port}"`),
    );
    const { certificates } = await look(cluster, ["certificates"], { topology: served });
    isNoGo(t, certificates, /at 127\.0\.0\.1:\d+ has expired/, /renew it/);
    isNoGo(t, certificates, /is for .*old\.example\.com, expected 127\.0\.0\.1/, /renew it/);
  });

  await t.test("alerts: delivered, one that fires, nobody there", async (t) => {
    const { url, child } = await startAlertmanager(t);
    const good = await look(cluster, ["alerts", "firing"], { alertmanager: url });
    t.match(good["alerts"], { state: "go", seen: "phone (webhook)" });
    t.match(good["firing"], { state: "go" });
    const body = JSON.stringify([
      { labels: { alertname: "DiskNearlyFull" }, annotations: { summary: "full" } },
    ]);
    const headers = { "content-type": "application/json" };
    await fetch(`${url}/api/v2/alerts`, { method: "POST", headers, body });
    const { firing } = await look(cluster, ["firing"], { alertmanager: url });
    isNoGo(t, firing, /DiskNearlyFull fires: full/, /runbook\.md, DiskNearlyFull/);
    await child.stop();
    const gone = await look(cluster, ["alerts", "firing"], { alertmanager: url });
    isNoGo(t, gone["alerts"], /does not answer/, /alert test/);
    isNoGo(t, gone["firing"], /does not answer/, /ExporterDown/);
  });

  await t.test("mended it is a go again; with nothing to come it is not", async (t) => {
    const all = CHECKS.map(({ id }) => id);
    const mended = async (): Promise<boolean> => {
      const checks = Object.values(await look(cluster, all));
      return checks.every((check) => check.state !== "no-go");
    };
    await waitUntil(mended, { what: "a go", timeoutMsMax: 60_000 });
    for (const round of [1, 2]) await order(`/rounds/${round}/close`, {});
    const { schedule } = await look(cluster, ["schedule"]);
    isNoGo(t, schedule, /every round is closed/, /hongbao round list/);
  });
});

t.test("without a cluster there is nothing to say: exit code 3", async (t) => {
  const dir = temporaryState(t);
  await t.rejects(lookAround({ state: dir, alertTest: false }), { message: /no cluster is running/ });
});

/** The cluster's topology file with something changed, beside it. */
function variant(cluster: TestCluster, name: string, change: (text: string) => string): string {
  const path = join(cluster.state, name);
  writeFileSync(path, change(readFileSync(cluster.topology.path, "utf8")));
  return path;
}

/** A topology that names another service process, token secret, certificate, wallet and control store. */
async function wrongTopology(t: Test, cluster: TestCluster): Promise<string> {
  const { state } = cluster;
  const at = async (): Promise<string> => `127.0.0.1:${await freePort()}`;
  const [http, spop, admin, closed] = [await at(), await at(), await at(), await at()];
  const { cert } = await oldCertificate(state);
  writeFileSync(join(state, "secrets", "other-token"), "another-token-another-token-another\n");
  writeFileSync(join(state, "secrets", "wallet"), "wallet-secret-wallet-secret\n");
  const service = (text: string): string =>
    text.replace(/- \{ id: s0, .*\}/, `- { id: s9, http: "${http}", spop: "${spop}", admin: "${admin}" }`);
  const withPack = variant(cluster, "other.yaml", (text) =>
    service(text).replace("pack: pack", "pack: pack2"),
  );
  const dir = join(state, "event2");
  mkdirSync(dir);
  writeFileSync(
    join(dir, "users.csv"),
    "id,name,group\nu1,u1,staff\nu2,u2,staff\nu3,u3,staff\nu4,u4,staff\n",
  );
  writeFileSync(join(dir, "event.yaml"), EVENT);
  const made = ["preprocess", "generate", join(dir, "event.yaml"), "--topology", withPack];
  await runHongbao([...made, "--out", join(state, "pack2")]);
  const child = await spawnChild({
    name: "the other service",
    command: "/bin/sh",
    args: [
      "-c",
      // Not by the program faketime, which would stay between us and it.
      `ulimit -n 256; export LD_PRELOAD="$1" FAKETIME=+1h; exec ./hongbao bucket --bucket b0 --service s9 --roles grab --topology "$0"`,
      withPack,
      globSync("/usr/lib/*/faketime/libfaketimeMT.so.1")[0]!,
    ],
    env: { FAKETIME_DONT_FAKE_MONOTONIC: "1", HONGBAO_LOG: "silent" },
    cwd: join(import.meta.dirname, "..", "..", ".."),
    logPath: join(state, "other.log"),
  });
  t.teardown(() => child.stop());
  const answers = async (): Promise<boolean> => (await fetch(`http://${admin}/livez`)).ok;
  await waitUntil(() => answers().catch(() => false), {
    what: "the other service",
    timeoutMsMax: 60_000,
    child,
  });
  return variant(cluster, "wrong.yaml", (text) =>
    service(text)
      .replace("control: control", "control: /proc")
      .replace("secrets/token", "secrets/other-token")
      .replace("balancer:\n", `balancer:\n  tls: { cert: "${cert}" }\n`)
      .replace(
        "secrets:\n",
        `wallet: { url: "http://${closed}/", secret: { file: secrets/wallet } }\nsecrets:\n`,
      ),
  );
}

/** A certificate of long ago, for another name. */
async function oldCertificate(state: string): Promise<{ key: string; cert: string }> {
  const [key, cert] = [join(state, "old.key"), join(state, "old.pem")];
  const name = ["-subj", "/CN=old.example.com", "-addext", "subjectAltName=DNS:old.example.com"];
  const words = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "30",
  ];
  await run("faketime", ["2020-01-01", "openssl", ...words, ...name, "-keyout", key, "-out", cert]);
  return { key, cert };
}

async function startAlertmanager(t: Test): Promise<{ url: string; child: Child }> {
  const dir = temporaryState(t);
  const hook = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  t.teardown(() => (hook.closeAllConnections(), void hook.close()));
  const { port } = hook.address() as AddressInfo;
  const config = join(dir, "alertmanager.yml");
  const route = "route: { receiver: phone, group_wait: 0s, group_interval: 1s }";
  const receiver = `receivers:\n  - name: phone\n    webhook_configs:\n      - url: "http://127.0.0.1:${port}/"\n`;
  writeFileSync(config, `${route}\n${receiver}`);
  const listen = `127.0.0.1:${await freePort()}`;
  const child = await spawnChild({
    name: "alertmanager",
    command: "prometheus-alertmanager",
    args: [
      `--config.file=${config}`,
      `--storage.path=${dir}`,
      `--web.listen-address=${listen}`,
      "--cluster.listen-address=",
    ],
    logPath: join(dir, "log"),
  });
  t.teardown(() => child.stop());
  const ready = async (): Promise<boolean> => (await fetch(`http://${listen}/-/ready`)).ok;
  await waitUntil(() => ready().catch(() => false), { what: "alertmanager", timeoutMsMax: 30_000, child });
  return { url: `http://${listen}`, child };
}
