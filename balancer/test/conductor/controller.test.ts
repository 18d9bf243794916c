/** Real controllers, a real control store, real HTTP; only the buckets are models. */
import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { startController } from "../../src/conductor/run.ts";
import { eventually, hongbao, layOutCluster, operatorAsks, type Cluster } from "../cluster.ts";
import { ask } from "../haproxy/harness.ts";

process.env.HONGBAO_LOG = "silent";
const HOUR = 3_600_000;

interface Told {
  rounds: {
    round: number;
    state: string;
    opensAtMs: number | null;
    closesAtMs: number | null;
    published: boolean;
    buckets: { current: boolean }[];
  }[];
  leading: boolean;
  serving: boolean;
}

const told = async (cluster: Cluster, index = 0): Promise<Told> =>
  (await operatorAsks(cluster.controllers[index]!.admin, "/admin/state")).json as Told;

const roundOf = async (cluster: Cluster, round: number) =>
  (await told(cluster)).rounds.find((each) => each.round === round);

async function withController(t: Test, id = "c0"): Promise<{ cluster: Cluster; stop: () => Promise<void> }> {
  const cluster = await layOutCluster(t);
  for (const bucket of cluster.buckets) {
    bucket.load(1, Date.now() + HOUR, Date.now() + HOUR + 600_000);
    bucket.load(2, null, null);
  }
  const controller = await startController({ id, topology: cluster.topology });
  let stopped: Promise<void> | null = null;
  const once = (): Promise<void> => (stopped ??= controller.stop());
  t.teardown(once);
  await eventually(async () => (await told(cluster, id === "c0" ? 0 : 1)).rounds.length === 2);
  return { cluster, stop: once };
}

const site = (cluster: Cluster, path: string) => ask(cluster.sitePort, path);
const startFile = async (cluster: Cluster, round: number): Promise<{ key: string | null }> =>
  JSON.parse(/^hongbaoStart\((.*)\);$/.exec((await site(cluster, `/start/${round}.js`)).text)![1]!) as {
    key: string | null;
  };

t.test("a round moved near opens on time: key in every bucket, then in the start file", async (t) => {
  const { cluster } = await withController(t);
  await eventually(async () => (await site(cluster, "/rounds.json").catch(() => null))?.status === 200);
  t.equal((await startFile(cluster, 1)).key, null);
  const opensAtMs = Date.now() + 1_500;
  const moved = await operatorAsks(cluster.controllers[0]!.admin, "/admin/rounds/1/move", {
    opensAtMs,
    closesAtMs: null,
    by: "up",
    why: "test",
  });
  t.match(moved, {
    status: 200,
    json: { round: { opensAtMs, closesAtMs: opensAtMs + 600_000, state: "scheduled" } },
  });
  await eventually(async () => (await startFile(cluster, 1)).key !== null);
  t.ok(Date.now() >= opensAtMs, "not before its time");
  const { key } = await startFile(cluster, 1);
  t.match(key, /^[A-Za-z0-9_-]{22,}$/);
  // How many versions that took is the controller's matter: it writes one more where a bucket had another one.
  for (const bucket of cluster.buckets) t.match(bucket.rounds.get(1), { key, opensAtMs });
  t.match(await roundOf(cluster, 1), {
    state: "open",
    published: true,
    buckets: [{ current: true }, { current: true }],
  });
  t.match((await site(cluster, "/rounds.json")).json, {
    event: "test",
    rounds: [
      { id: 1, state: "open" },
      { id: 2, state: "scheduled", opensAt: null },
    ],
  });
  t.equal((await startFile(cluster, 2)).key, null);

  const news = await operatorAsks(cluster.controllers[0]!.admin, "/admin/balancer");
  t.match(news.json, {
    event: "test",
    rounds: [{ id: 1, known: true, over: false, stocks: { b0: 1, b1: 1 } }],
  });
  for (const bucket of cluster.buckets) bucket.rounds.get(1)!.left = 0;
  await eventually(async () => {
    const { json } = await operatorAsks(cluster.controllers[0]!.admin, "/admin/balancer");
    return (json as { rounds: { over: boolean }[] }).rounds[0]!.over;
  });
  t.pass("over in every bucket, and told so");

  const closed = await operatorAsks(cluster.controllers[0]!.admin, "/admin/rounds/1/close", {
    by: "li",
    why: "enough",
  });
  t.match(closed, { status: 200, json: { round: { state: "closed" } } });
  await eventually(() => cluster.buckets.every((bucket) => bucket.phase(1) === "closed"));
  t.pass("closed in every bucket");
});

t.test("a bucket that is away does not hold an opening up, and takes it when it is back", async (t) => {
  const { cluster } = await withController(t);
  const [first, second] = cluster.buckets;
  second!.redis = "down";
  const opened = await operatorAsks(cluster.controllers[0]!.admin, "/admin/rounds/2/open", {
    by: "li",
    why: "",
  });
  t.match(opened, { status: 200, json: { round: { state: "open", closesAtMs: Number } } });
  await eventually(async () => (await roundOf(cluster, 2))?.published === true);
  t.match(first!.rounds.get(2)!.key, /^[A-Za-z0-9_-]+$/);
  t.equal(second!.rounds.get(2)!.key, null);
  second!.redis = "ok";
  await eventually(() => second!.rounds.get(2)!.key !== null);
  t.equal(second!.rounds.get(2)!.key, first!.rounds.get(2)!.key);
});

t.test("the admin port: the operator's secret, and clear words for what cannot be", async (t) => {
  const { cluster } = await withController(t);
  const { admin } = cluster.controllers[0]!;
  for (const path of ["/admin/state", "/admin/balancer", "/admin/log"]) {
    t.equal((await fetch(`http://${admin}${path}`)).status, 401, path);
  }
  t.equal((await fetch(`http://${admin}/readyz`)).status, 200);
  t.match(await (await fetch(`http://${admin}/metrics`)).text(), /hongbao_controller_leading/);
  const post = (path: string, body: unknown) => operatorAsks(admin, path, body);
  t.match(await post("/admin/rounds/9/open", { by: "li" }), {
    status: 400,
    json: { error: /found 9, expected one of 1, 2/ },
  });
  t.match(await post("/admin/rounds/x/open", { by: "li" }), { status: 400 });
  t.match(await post("/admin/rounds/1/move", { by: "li" }), {
    status: 400,
    json: { error: /nothing to move/ },
  });
  t.match(await post("/admin/rounds/1/move", { by: "li", opensAt: "soon" }), {
    status: 400,
    json: { error: /--opens-at: found "soon"/ },
  });
  t.match(await post("/admin/rounds/1/move", { opensAt: "+5m" }), { status: 400, json: { error: /by/ } });
  t.match(await post("/admin/log", { by: "li", what: "called the police", round: 1 }), { status: 200 });
  t.match((await operatorAsks(admin, "/admin/log?limit=1")).json, {
    entries: [{ by: "li", what: "called the police", round: 1, atMs: Number }],
  });
  t.match(await operatorAsks(admin, "/admin/log?limit=x"), { status: 400 });
  for (const bucket of cluster.buckets) bucket.up = false;
  await eventually(async () => (await post("/admin/rounds/1/close", { by: "li" })).status === 503);
  t.pass("no bucket within reach: nobody knows what time it is");
});

t.test("wrong ids and missing things are told in one line", async (t) => {
  const cluster = await layOutCluster(t);
  await t.rejects(startController({ id: "c9", topology: cluster.topology }), {
    exitCode: 2,
    message: /--id: found "c9", expected one of c0, c1/,
  });
  await t.rejects(startController({ id: "c0", topology: join(cluster.dir, "none.yaml") }), {
    exitCode: 3,
    message: /none\.yaml/,
  });
  t.match(await hongbao(["controller", "--id", "c9", "--topology", cluster.topology]), {
    code: 2,
    stderr: /^hongbao: --id: .*\n$/,
  });
});

function forkController(t: Test, cluster: Cluster, id: string): ChildProcess {
  const child = fork(
    join(import.meta.dirname, "..", "..", "..", "hongbao.ts"),
    ["controller", "--id", id, "--topology", cluster.topology],
    {
      execArgv: ["--disable-warning=ExperimentalWarning"],
      silent: true,
    },
  );
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

t.test(
  "two controllers, killed around the opening: one key, every bucket, and the site goes on",
  async (t) => {
    const cluster = await layOutCluster(t);
    const opensAtMs = Date.now() + 4_000;
    for (const bucket of cluster.buckets) {
      bucket.load(1, opensAtMs, opensAtMs + 600_000);
      bucket.load(2, null, null);
    }
    const children = { c0: forkController(t, cluster, "c0"), c1: forkController(t, cluster, "c1") };
    const keysSeen = new Set<string>();
    const isUp = async (): Promise<boolean> =>
      (await site(cluster, "/rounds.json").catch(() => null))?.status === 200;
    await eventually(isUp);
    t.same(
      cluster.buckets.map((bucket) => bucket.rounds.get(1)!.key),
      [null, null],
    );
    await eventually(() => Date.now() >= opensAtMs);
    // The moment of the opening: both are killed one after the other while it is under way, and started again.
    for (const id of ["c0", "c1", "c0"] as const) {
      children[id].kill("SIGKILL");
      children[id] = forkController(t, cluster, id);
      for (const bucket of cluster.buckets)
        if (bucket.rounds.get(1)!.key !== null) keysSeen.add(bucket.rounds.get(1)!.key!);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    await eventually(isUp);
    await eventually(async () => (await startFile(cluster, 1)).key !== null);
    for (const bucket of cluster.buckets) keysSeen.add(bucket.rounds.get(1)!.key!);
    keysSeen.add((await startFile(cluster, 1)).key!);
    t.equal(keysSeen.size, 1, "one key");
    await eventually(async () => {
      const leads = await Promise.all([
        told(cluster, 0).catch(() => null),
        told(cluster, 1).catch(() => null),
      ]);
      return leads.filter((each) => each?.leading).length === 1;
    });
    t.pass("one of them says that it leads");
  },
);

t.test("the commands, as an operator has them", async (t) => {
  const { cluster } = await withController(t);
  const at = ["--topology", cluster.topology];
  const list = await hongbao(["round", "list", "--json", ...at]);
  t.match(JSON.parse(list.stdout), {
    rounds: [
      { id: 1, state: "scheduled", opensAt: String },
      { id: 2, opensAt: null },
    ],
  });
  t.match(await hongbao(["round", "list", ...at]), { code: 0, stdout: /1 +scheduled .* 2 of 2/ });

  const moved = await hongbao([
    "round",
    "move",
    "1",
    "--opens-at",
    "+30m",
    "--by",
    "li",
    "--why",
    "rain",
    ...at,
  ]);
  t.match(moved, {
    code: 0,
    stdout: /^round 1 opens .*, in 2\/2 buckets\n$/,
    stderr: /Topology .*event test, buckets b0, b1\nWill move round 1/,
  });
  t.match(cluster.buckets[0]!.rounds.get(1), { v: 2, key: null });
  t.match(await hongbao(["round", "move", "1", "--opens-at", "yesterday", ...at]), {
    code: 2,
    stderr: /hongbao: --opens-at: found "yesterday"/,
  });
  t.match(await hongbao(["round", "open", "1", ...at]), { code: 2, stderr: /cannot be undone .*--yes/ });
  t.equal(cluster.buckets[0]!.rounds.get(1)!.key, null, "nothing happened");
  t.match(await hongbao(["round", "open", "1", "--yes", ...at]), {
    code: 0,
    stdout: /^round 1 is open in 2\/2 buckets/,
  });
  t.match(await hongbao(["round", "open", "1", "--yes", ...at]), { code: 2, stderr: /open already/ });
  t.match(await hongbao(["round", "close", "1", "--yes", "--json", ...at]), {
    code: 0,
    stdout: /"state": "closed"/,
  });
  t.match(await hongbao(["round", "open", "x", "--yes", ...at]), { code: 2, stderr: /round: found "x"/ });
  t.match(await hongbao(["round", "open", "7", "--yes", ...at]), {
    code: 2,
    stderr: /found 7, expected one of 1, 2/,
  });

  const log = JSON.parse((await hongbao(["log", "--json", ...at])).stdout) as {
    entries: { by: string; what: string; why: string }[];
  };
  t.match(
    log.entries.find(({ by }) => by === "li"),
    { why: "rain", what: /^moved: opens .* -> / },
  );
  t.ok(log.entries.some(({ what }) => what.startsWith("opened by command")));
  t.ok(log.entries.some(({ what }) => what.startsWith("closed by command")));
  t.match(await hongbao(["log", "--limit", "0", ...at]), { code: 2 });
  t.match(await hongbao(["log", "--limit", "4", ...at]), { code: 0, stdout: /closed by command/ });
  // What round 1 had left goes into round 2, and the log says so.
  await eventually(() => cluster.buckets.every((bucket) => bucket.rounds.get(2)!.left === 20));
  await eventually(async () => {
    const { stdout } = await hongbao(["log", "--limit", "2", ...at]);
    return /rolled 10 prizes in b0 over to round 2/.test(stdout) && /in b1 over/.test(stdout);
  });
  const lent = await hongbao([..."round lend 2 --from b1 --to b0 --count 4".split(" "), ...at]);
  t.match(lent, {
    code: 0,
    stdout: "lent 4 prizes of round 2 from b1 to b0\n",
    stderr: /Will lend up to 4 prizes/,
  });
  t.same(
    cluster.buckets.map((bucket) => bucket.rounds.get(2)!.left),
    [24, 16],
  );
  t.match(await hongbao(["round", "rollover", "2", "--yes", ...at]), {
    code: 2,
    stderr: /round 2 is scheduled/,
  });
  t.match(await hongbao(["round", "rollover", "1", ...at]), { code: 2, stderr: /give --yes/ });
});

t.test("no controller, no topology: exit 3, saying what and where", async (t) => {
  const cluster = await layOutCluster(t);
  t.match(await hongbao(["round", "list", "--topology", cluster.topology]), {
    code: 3,
    stderr: /^hongbao: controller c0 .*controller c1 /,
  });
  t.match(await hongbao(["log", "--state", cluster.dir]), {
    code: 3,
    stderr: new RegExp(`no cluster is running in ${cluster.dir}`),
  });
});
