/** Switches on a whole cluster: each is set, seen from outside, and returns. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { startTestCluster, waitUntil, type TestCluster } from "@hongbao/infra";
import { bucketOf, readSecrets, signToken, type ServicePlace } from "@hongbao/preprocess";
import { openRuntime } from "../../src/haproxy/runtime.ts";

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

const EVENT = `event: switched
title: { zh: 开关, en: Switches }
currency: CNY
timezone: Asia/Shanghai
budget: 140.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1s, closesAt: +1h, count: 1000, budget: 100.00, split: { method: equal } }
  - { id: 2, kind: envelope, opensAt: now+1s, closesAt: +1h, count: 40, budget: 40.00, split: { method: equal } }
`;

interface Scene {
  cluster: TestCluster;
  /** A user of a bucket who was not given out before. */
  user(bucket: number): string;
  /** The word, or the payout state after a win. */
  grab(user: string, round?: number): Promise<string>;
  get: (user: string, path: string) => Promise<Record<string, unknown>>;
  /** The word of a service's own HTTP door. */
  door(bucket: number, user: string): Promise<string>;
  operator: (admin: string, path: string, body?: object) => Promise<Record<string, unknown>>;
  /** Sets or clears (value null) without a command's start-up time. */
  set(name: string, value: string | null, fields?: { bucket?: string; forMs?: number }): Promise<void>;
  json(args: string[]): Promise<Record<string, unknown>>;
}

const soon = (what: string, is: () => Promise<boolean>): Promise<unknown> =>
  waitUntil(() => is().catch(() => false), { what, timeoutMsMax: 30_000 });

async function scene(t: Test): Promise<Scene> {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-switches-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const users = Array.from({ length: 400 }, (_, n) => `u${n}`);
  writeFileSync(
    join(dir, "users.csv"),
    `id,name,group\n${users.map((id) => `${id},${id},staff`).join("\n")}\n`,
  );
  writeFileSync(join(dir, "event.yaml"), EVENT);
  const cluster = await startTestCluster(t, {
    event: join(dir, "event.yaml"),
    buckets: 2,
    services: 1,
    opensIn: 1,
  });
  const { topology, url } = cluster;
  const { token, operator } = readSecrets(topology, ["token", "operator"]);
  const pools = [0, 1].map((bucket) => users.filter((user) => bucketOf(topology, user) === bucket));
  const keys = new Map<number, string>();
  for (const round of [1, 2]) {
    await soon(`the key of round ${round}`, async () => {
      const key = /"key":"([^"]+)"/.exec(await (await fetch(`${url}/start/${round}.js`)).text())?.[1];
      if (key !== undefined) keys.set(round, key);
      return key !== undefined;
    });
  }
  const call = async (at: string, user: string, method: string, path: string) => {
    const authorization = `Bearer ${signToken(user, token[0]!, Math.floor(Date.now() / 1000) + 3600)}`;
    const response = await fetch(`${at}${path}`, { method, headers: { authorization } });
    return (await response.json()) as Record<string, unknown>;
  };
  const grabAt = async (at: string, user: string, round: number): Promise<string> =>
    String((await call(at, user, "POST", `/v1/rounds/${round}/grab?k=${keys.get(round)}`))["result"]);
  const asOperator: Scene["operator"] = async (admin, path, body) => {
    const response = await fetch(`http://${admin}${path}`, {
      headers: { authorization: `Bearer ${operator}` },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
  return {
    cluster,
    user: (bucket) => pools[bucket]!.pop()!,
    grab: (user, round = 1) => grabAt(url, user, round),
    get: (user, path) => call(url, user, "GET", path),
    door: (bucket, user) => grabAt(`http://${serviceOf(cluster, bucket).http}`, user, 1),
    operator: asOperator,
    async set(name, value, { bucket, forMs } = {}) {
      const { admin } = topology.controllers[0]!;
      const { v } = await asOperator(admin, "/admin/switches", { name, value, bucket, forMs, by: "ann" });
      await soon(`${name} ${value} everywhere`, async () => {
        const { processes, balancers } = (await asOperator(admin, "/admin/switches")) as {
          processes: { v: number | null }[];
          balancers: { v: number | null }[];
        };
        const all = [...processes, ...balancers];
        return balancers.length === 1 && all.every((each) => each.v !== null && each.v >= (v as number));
      });
    },
    async json(args) {
      const { code, stdout, stderr } = await cluster.hongbao([...args, "--json"]);
      if (code !== 0) throw new Error(`${args.join(" ")}: ${code} ${stderr}`);
      return JSON.parse(stdout) as Record<string, unknown>;
    },
  };
}

const serviceOf = ({ topology }: TestCluster, bucket: number): ServicePlace =>
  (topology.buckets[bucket]!.services as ServicePlace[])[0]!;

async function valuesOf(s: Scene, bucket: number): Promise<Record<string, unknown>> {
  const { values } = await s.operator(serviceOf(s.cluster, bucket).admin, "/admin/switches");
  return values as Record<string, unknown>;
}

async function balancerPid({ cluster, operator }: Scene): Promise<number> {
  return (await operator(cluster.topology.balancer.admin, "/admin/state"))["pid"] as number;
}

async function variable(s: Scene, name: string): Promise<number> {
  const runtime = openRuntime(() => join(s.cluster.state, "balancer", "runtime.sock"));
  return Number(/<(\d+)>/.exec(await runtime.command(`get var proc.${name}`))?.[1]);
}

t.test("each switch is set, seen from outside, and returns", async (t) => {
  const s = await scene(t);
  t.equal(await s.grab(s.user(0)), "won");
  await grabOff(t, s);
  await ended(t, s);
  await payout(t, s);
  await ack(t, s);
  await lend(t, s);
  await numbers(t, s);
  await lostRecord(t, s);
  await allAway(t, s);
  await isRefused(t, s);
  const { ok, violations } = await s.json(["audit"]);
  t.same([ok, violations], [true, []]);
});

async function grabOff(t: Test, s: Scene): Promise<void> {
  const winner = s.user(0);
  t.equal(await s.grab(winner), "won");
  const words = "switch set grab off --bucket b0 --for 6s --by ann --why".split(" ");
  const set = await s.json([...words, "redis is slow"]);
  // Two services, two persist, two payout processes, one HAProxy.
  t.match(set, { switch: "grab", value: "off", bucket: "b0", until: /Z$/, live: 7, behind: [] });
  const waiting = s.user(0);
  t.equal(await s.grab(waiting), "busy");
  t.equal(await s.door(0, waiting), "busy", "the service too");
  t.equal(await s.grab(s.user(1)), "won", "the other bucket goes on");
  t.match((await s.get(winner, "/v1/rounds/1/result"))["wins"], [{ n: 1 }], "what was won can be looked up");
  for (const { id, admin } of s.cluster.topology.controllers)
    t.match(await s.operator(admin, "/admin/switches"), { v: 1, settings: [{ by: "ann" }] }, id);
  t.match(await s.json(["status"]), {
    switches: [{ name: "grab", bucket: "b0", value: "off", by: "ann", why: "redis is slow" }],
  });
  await soon("the return", async () => (await s.grab(waiting)) === "won");
  await soon("the log", async () =>
    /controller c\d .*returned by itself: switch grab of bucket b0 \(was off, by ann; now on\)/.test(
      (await s.cluster.hongbao(["log"])).stdout,
    ),
  );
  await s.set("grab", "off");
  t.same([await s.grab(s.user(0)), await s.grab(s.user(1))], ["busy", "busy"], "everywhere");
  const { stdout, stderr } = await s.cluster.hongbao("switch clear grab --by ann".split(" "));
  t.match(
    stderr,
    /Topology .*event switched.*Will clear switch grab \(off in all buckets, by ann\); the default is on/s,
  );
  t.match(stdout, "switch grab: cleared in all buckets, live in 6 of 6 processes and 1 of 1 HAProxies");
  t.equal(await s.grab(s.user(0)), "won");
}

async function ended(t: Test, s: Scene): Promise<void> {
  await s.set("ended", "on");
  const bare = await fetch(`${s.cluster.url}/v1/rounds/1/grab`, { method: "POST" });
  t.same(
    [bare.status, await bare.json()],
    [200, { result: "ended", round: 1 }],
    "nobody needs a token for that",
  );
  const user = s.user(1);
  t.equal(await s.door(1, user), "ended");
  await s.set("ended", "off", { bucket: "b1" });
  t.equal(await s.grab(user), "won", "a bucket's own word counts first");
  t.equal(await s.grab(s.user(0)), "ended");
  await s.set("ended", null);
  t.equal(await s.grab(s.user(0)), "won");
}

async function payout(t: Test, s: Scene): Promise<void> {
  const state = async (user: string): Promise<string> =>
    ((await s.get(user, "/v1/wins"))["wins"] as { payout: string }[])[0]?.payout ?? "";
  await s.set("payout", "off", { bucket: "b0" });
  const [held, paid] = [s.user(0), s.user(1)];
  t.same([await s.grab(held), await s.grab(paid)], ["won", "won"]);
  await soon("the other bucket pays", async () => (await state(paid)) === "paid");
  t.equal(await state(held), "pending");
  await s.set("payout", null);
  await soon("the payment", async () => (await state(held)) === "paid");
}

async function ack(t: Test, s: Scene): Promise<void> {
  await s.set("ack", "database");
  t.equal(await s.grab(s.user(0)), "won");
  const mysql = s.cluster.now().processes.mysql["b0"]!.pid;
  process.kill(mysql, "SIGSTOP");
  const user = s.user(0);
  t.equal(await s.grab(user), "busy", "not told before MySQL has it");
  t.equal(await s.grab(s.user(1)), "won", "the other bucket's MySQL works");
  await s.set("ack", "journal");
  await soon("told without MySQL", async () => (await s.grab(user)) === "won");
  process.kill(mysql, "SIGCONT");
  await s.set("ack", null);
}

async function lend(t: Test, s: Scene): Promise<void> {
  await s.set("lend", "off", { bucket: "b0" });
  let late = "";
  await soon("the end", async () => (await s.grab((late = s.user(0)), 2)) === "ended");
  t.equal(await s.grab(s.user(1), 2), "won", "the other bucket has some");
  await s.set("lend", null);
  await soon("a loan", async () => (await s.grab(late, 2)) === "won");
}

/** What others' rules read. */
async function numbers(t: Test, s: Scene): Promise<void> {
  await s.set("limit.user", "77");
  await s.set("limit.user", "99", { bucket: "b0" });
  await s.set("limit.ip", "off");
  await s.set("gate", "3");
  await s.set("shed", "ended", { forMs: 1_500 });
  t.match(await valuesOf(s, 0), { limitUser: 99, limitIp: 0, gate: 3, shed: "ended" });
  t.match(await valuesOf(s, 1), { limitUser: 77 });
  t.equal(await variable(s, "limit_user"), 99, "no bucket is limited more than it says");
  t.equal(await variable(s, "limit_ip"), 0);
  await s.operator(s.cluster.topology.balancer.admin, "/admin/reload", {});
  await soon("after a reload too", async () => (await variable(s, "limit_user")) === 99);
  await soon("the return", async () => (await variable(s, "shed_ended")) === 0);
  for (const name of ["limit.user", "limit.ip", "gate"]) await s.set(name, null);
  t.equal(await variable(s, "limit_user"), 5);
  t.match(await valuesOf(s, 0), { limitUser: 5, limitIp: 50, gate: 0, shed: "busy" });
}

async function lostRecord(t: Test, s: Scene): Promise<void> {
  await s.set("gate", "7");
  const control = join(s.cluster.state, "control");
  const record = readdirSync(control, { recursive: true, encoding: "utf8" }).find((path) =>
    path.endsWith("/switches.record"),
  );
  rmSync(join(control, record!), { recursive: true });
  await soon("the record", async () => {
    const { switches } = (await s.json(["switch", "list"])) as {
      switches: { name: string; value: string }[];
    };
    return switches.length === 1 && switches[0]!.name === "gate" && switches[0]!.value === "7";
  });
  t.match(await valuesOf(s, 0), { gate: 7 }, "never lost where it counts");
}

/** Nobody can be asked: no controller, and neither store of the bucket. */
async function allAway(t: Test, s: Scene): Promise<void> {
  const { processes } = s.cluster.now();
  await s.set("ended", "on", { forMs: 3_600_000 });
  await s.set("shed", "ended", { forMs: 2_000 });
  const stopped = [
    ...Object.values(processes.controllers),
    processes.redis["b0"]!.pid,
    processes.mysql["b0"]!.pid,
  ];
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  t.teardown(() => {
    for (const pid of stopped) {
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // It has ended since.
      }
    }
  });
  const user = s.user(0);
  const haproxy = await balancerPid(s);
  process.kill(processes.services["b0/s0"]!, "SIGKILL");
  process.kill(haproxy, "SIGKILL");
  let first = "";
  await soon("HAProxy", async () => {
    first = await s.grab(user);
    return true;
  });
  t.equal(first, "ended", "the first word of a new HAProxy");
  await soon("another HAProxy", async () => (await balancerPid(s)) !== haproxy);
  await soon("the service", async () => (await s.door(0, user)) === "ended");
  t.not(s.cluster.now().processes.services["b0/s0"], processes.services["b0/s0"], "it is another process");
  await soon("HAProxy's return by itself", async () => (await variable(s, "shed_ended")) === 0);
  await soon("the service's return by itself", async () => (await valuesOf(s, 1))["shed"] === "busy");
  for (const pid of stopped) process.kill(pid, "SIGCONT");
  await soon(
    "the controllers",
    async () => (await s.cluster.hongbao(["switch", "clear", "ended"])).code === 0,
  );
  await soon("all is well", async () => (await s.grab(user)) === "won");
}

async function isRefused(t: Test, s: Scene): Promise<void> {
  const refused = async (line: string, message: RegExp): Promise<void> => {
    const { code, stderr } = await s.cluster.hongbao(line.split(" "));
    t.equal(code, 2, line);
    t.match(stderr.trim().split("\n").at(-1), message);
  };
  await Promise.all([
    refused("switch set grap off", /switch: found "grap", expected one of grab, ended, ack/),
    refused("switch set grab", /grab: found no value, expected on or off/),
    refused("switch set grab maybe", /grab: found "maybe", expected on or off/),
    refused("switch set grab off --bucket b9", /--bucket: found "b9", expected one of b0, b1/),
    refused("switch set grab off --for ever", /--for: found "ever", expected 1s to 7d/),
    refused("switch set limit.ip 9 --bucket b0", /limit\.ip: found bucket b0, expected none/),
  ]);
  const { stdout } = await s.cluster.hongbao(["switch", "list"]);
  t.match(stdout, /gate +7 +all +29 min \d+ s left +ann/);
  t.match(stdout, /grab +on +default/);
}
