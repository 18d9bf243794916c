/**
 * An opening with two real controllers, one of which is killed, or frozen and woken, at each of its steps: every bucket
 * opens with one and the same key. Real processes and a real control store; the buckets are models.
 */
import { fork, type ChildProcess } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { RoundRecord } from "@hongbao/bucket-service";
import { openDirectoryStore } from "../../src/control/directory-store.ts";
import { eventually, layOutCluster, operatorAsks, type Cluster } from "../cluster.ts";
import { ask } from "../haproxy/harness.ts";
import type { Fall } from "./fall-at.ts";

process.env.HONGBAO_LOG = "silent";
const HOUR = 3_600_000;
/** From the order to the opening. */
const LEAD_MS = 100;

type Step = { what: string; at: Omit<Fall, "signal"> | "asked" | "taken" };

/** The steps of an opening (decide.ts), and both sides of each. */
function steps(round: number): Step[] {
  const record = `/rounds/${round}.record/`;
  const key = `/keys/${round}.record/`;
  const [opens, publishes] = ['"state":"open"', '"published":true'];
  return [
    { what: "before it says that the round is open", at: { path: record, text: opens, when: "before" } },
    { what: "after that", at: { path: record, text: opens, when: "after" } },
    { what: "before it writes the key", at: { path: key, text: "", when: "before" } },
    { what: "after it wrote the key, which nobody has seen", at: { path: key, text: "", when: "after" } },
    { what: "while it asks the first bucket, which does not hear it", at: "asked" },
    { what: "when one bucket has taken the key", at: "taken" },
    { what: "before it publishes the key", at: { path: record, text: publishes, when: "before" } },
    { what: "after it published the key", at: { path: record, text: publishes, when: "after" } },
  ];
}
const STEPS = steps(0).length;
/** Killed before a step and killed after the last one leave the same behind; and each needs a process of its own. */
const KILLS = [1, 3, 5, 6];
const AWAY = STEPS + KILLS.length + 1;

const ROUNDS = Array.from(
  { length: AWAY },
  (_, index) =>
    `id: ${index + 1}\n    kind: envelope\n    opensAt: now+1h\n    closesAt: +1h\n    count: 20\n    budget: 20.00\n    split: { method: equal }\n    leftovers: hold`,
);

interface Stage {
  cluster: Cluster;
  /** Where the victim reads when to fall. */
  orders: string;
  twin: ChildProcess;
}

function start(t: Test, { cluster, orders }: Pick<Stage, "cluster" | "orders">, id: string): ChildProcess {
  const child = fork(
    join(import.meta.dirname, "..", "..", "..", "hongbao.ts"),
    ["controller", "--id", id, "--topology", cluster.topology],
    {
      execArgv: [
        "--disable-warning=ExperimentalWarning",
        ...(id === "c0" ? [`--import=${join(import.meta.dirname, "fall-at.ts")}`] : []),
      ],
      env: { ...process.env, FALL_AT: orders },
      silent: true,
    },
  );
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

const isUp = async (cluster: Cluster, index: number): Promise<boolean> => {
  const { admin } = cluster.controllers[index]!;
  const state = await operatorAsks(admin, "/admin/state").catch(() => null);
  return (state?.json as { rounds: unknown[] } | undefined)?.rounds.length === ROUNDS.length;
};

function hasFallen({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (signal === "SIGKILL") return exitCode !== null || signalCode !== null;
  return /\) T /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Lets the victim, alone, fall at this step of the round's opening; then the twin goes on from there. */
async function fallAt(
  { cluster, orders, twin }: Stage,
  victim: ChildProcess,
  round: number,
  { what, at }: Step,
  signal: NodeJS.Signals,
): Promise<void> {
  twin.kill("SIGSTOP");
  if (typeof at === "object") writeFileSync(orders, JSON.stringify({ ...at, signal }));
  const restore = typeof at === "object" ? null : fallAtInstall(cluster, victim, round, at, signal);
  const order = { by: "test", why: what, opensAtMs: Date.now() + LEAD_MS };
  // It may fall before it has answered.
  const move = `/admin/rounds/${round}/move`;
  const moved = await Promise.race([
    operatorAsks(cluster.controllers[0]!.admin, move, order).catch(() => null),
    eventually(() => hasFallen(victim, signal)),
  ]);
  if (moved && moved.status !== 200) throw new Error(JSON.stringify(moved));
  await eventually(() => hasFallen(victim, signal));
  restore?.();
  rmSync(orders, { force: true });
  twin.kill("SIGCONT");
}

/** The first bucket that is given the key lets the victim fall, before it takes it or after that. */
function fallAtInstall(
  { buckets }: Cluster,
  victim: ChildProcess,
  round: number,
  at: "asked" | "taken",
  signal: NodeJS.Signals,
): () => void {
  const puts = buckets.map((bucket) => bucket.put.bind(bucket));
  let fell = false;
  for (const [index, bucket] of buckets.entries()) {
    bucket.put = (id: number, order: RoundRecord) => {
      if (id !== round || order.key === null) return puts[index]!(id, order);
      // A call to the other bucket may be on its way already; it comes to nothing.
      if (fell) throw new Error("nobody hears it");
      fell = true;
      victim.kill(signal);
      if (at === "asked") throw new Error("nobody hears it");
      return puts[index]!(id, order);
    };
  }
  return () => buckets.forEach((bucket, index) => (bucket.put = puts[index]!));
}

const keyInFile = async (cluster: Cluster, round: number): Promise<string | null> =>
  /"key":"([^"]+)"/.exec((await ask(cluster.sitePort, `/start/${round}.js`)).text)?.[1] ?? null;

/** Every key that any bucket was ever given for the round, and the one that people see. */
async function keysOf(cluster: Cluster, round: number): Promise<string[]> {
  const found = new Set<string>();
  for (const { history } of cluster.buckets) {
    for (const [version, content] of history) {
      const key = (JSON.parse(content) as [unknown, unknown, string | null])[2];
      if (version.startsWith(`${round} `) && key !== null) found.add(key);
    }
  }
  found.add((await keyInFile(cluster, round)) ?? "none in the start file");
  return [...found];
}

const isOpenFor = (cluster: Cluster, round: number): boolean =>
  cluster.buckets.every((bucket) => bucket.phase(round) === "open");

t.setTimeout(180_000);

t.test("whichever step a controller falls at, all buckets open with one key", async (t) => {
  const cluster = await layOutCluster(t, ROUNDS);
  const farMs = Date.now() + HOUR;
  for (const bucket of cluster.buckets)
    for (const index of ROUNDS.keys()) bucket.load(index + 1, farMs, farMs + HOUR);
  const orders = join(cluster.dir, "fall.json");
  // The twin is first, so it has the site's port: a start file is seen while the other one is frozen.
  const stage: Stage = { cluster, orders, twin: start(t, { cluster, orders }, "c1") };
  await eventually(
    async () => (await ask(cluster.sitePort, "/rounds.json").catch(() => null))?.status === 200,
  );
  const keys = await openDirectoryStore(join(cluster.dir, "control"));
  const isDecided = async (round: number): Promise<boolean> =>
    (await keys.list("")).some((name) => name.endsWith(`/keys/${round}`));

  const opened = async (round: number, what: string): Promise<string | null> => {
    await eventually(async () => isOpenFor(cluster, round) && (await keyInFile(cluster, round)) !== null);
    const found = await keysOf(cluster, round);
    t.equal(found.length, 1, `${what}: one key in both buckets and the start file`);
    return found[0]!;
  };
  const all = new Set<string>();

  await t.test("killed", async (t) => {
    for (const [index, step] of KILLS.entries()) {
      const round = STEPS + index + 1;
      const victim = start(t, stage, "c0");
      await eventually(() => isUp(cluster, 0));
      t.notOk(await isDecided(round), "there is no key before");
      const fall = steps(round)[step]!;
      await fallAt(stage, victim, round, fall, "SIGKILL");
      all.add((await opened(round, `killed ${fall.what}`))!);
    }
  });

  await t.test("killed, with a bucket away that takes the same key when it is back", async (t) => {
    const victim = start(t, stage, "c0");
    await eventually(() => isUp(cluster, 0));
    const [near, away] = cluster.buckets;
    away!.redis = "down";
    await fallAt(stage, victim, AWAY, steps(AWAY)[3]!, "SIGKILL");
    await eventually(async () => (await keyInFile(cluster, AWAY)) !== null);
    t.equal(near!.phase(AWAY), "open");
    t.equal(away!.rounds.get(AWAY)!.key, null);
    away!.redis = "ok";
    all.add((await opened(AWAY, "back"))!);
  });

  await t.test("frozen, and woken when its twin has finished", async (t) => {
    const victim = start(t, stage, "c0");
    await eventually(() => isUp(cluster, 0));
    for (const [index, step] of steps(0).entries()) {
      const round = index + 1;
      t.notOk(await isDecided(round), "there is no key before");
      await fallAt(stage, victim, round, steps(round)[index]!, "SIGSTOP");
      const key = await opened(round, `frozen ${step.what}`);
      const versions = cluster.buckets.map((bucket) => bucket.rounds.get(round)!.v);
      victim.kill("SIGCONT");
      // What it was about to do it does now; then it looks again, and it tells what it sees.
      await eventually(async () => {
        const state = await operatorAsks(cluster.controllers[0]!.admin, "/admin/state").catch(() => null);
        const rounds = (state?.json as { rounds: { round: number; published: boolean }[] } | undefined)
          ?.rounds;
        return rounds?.find((each) => each.round === round)?.published === true;
      });
      t.same(await keysOf(cluster, round), [key], `woken ${step.what}: the same key`);
      t.same(
        cluster.buckets.map((bucket) => bucket.rounds.get(round)!.v),
        versions,
        "and nothing was told anew",
      );
      t.ok(isOpenFor(cluster, round));
      all.add(key!);
    }
  });
  t.equal(all.size, ROUNDS.length, "each round has a key of its own");
});
