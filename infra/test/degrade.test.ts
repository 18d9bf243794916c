/** What breaks in one bucket: what its users are told, that nobody else notices, and that it comes back by itself. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t, { type Test } from "tap";
import { bucketOf } from "@hongbao/preprocess";
import { runHongbao, startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";

const USERS = 400;
/** As promised; on a busy machine it takes a quarter of a second. */
const BACK_MS_MAX = 2_000;
/** Far below every time-out on the way. */
const AT_ONCE_MS = 400;

interface Told {
  status: number;
  word: string;
  wins: number;
  ms: number;
}

interface Scene {
  cluster: TestCluster;
  /** Somebody of this bucket, each time another one: who presses again and again is limited. */
  someone: (bucket: number) => string;
  grab: (user: string) => Promise<Told>;
  get: (user: string, path: string) => Promise<Told>;
  /** Stops the clocks of processes; they go on with what is returned, or at the test's end. */
  freeze(...names: string[]): () => void;
}

async function startScene(t: Test): Promise<Scene> {
  const dir = temporaryState(t);
  await runHongbao(["preprocess", "sample", "--users", String(USERS), "--out", dir]);
  const round =
    "{ id: 1, kind: envelope, opensAt: now+1h, closesAt: +1h, count: 1000, budget: 1000.00, split: { method: lucky, min: 0.01, max: 5.00 }, perUser: 20 }";
  const head = "title: { zh: 坏, en: Broken }\ncurrency: CNY\ntimezone: Asia/Shanghai\nbudget: 1000.00";
  writeFileSync(
    join(dir, "e.yaml"),
    `event: degrade\n${head}\nusers: users.csv\nack: journal\nrounds:\n  - ${round}\n`,
  );
  const cluster = await startTestCluster(t, { event: join(dir, "e.yaml"), buckets: 2, opensIn: 1 });
  await cluster.hongbao(["token", "--all", "--out", join(dir, "tokens")]);
  const tokens = new Map(
    readFileSync(join(dir, "tokens"), "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split("\t") as [string, string]),
  );
  const fresh = [0, 1].map((bucket) =>
    [...tokens.keys()].filter((user) => bucketOf(cluster.topology, user) === bucket),
  );
  let key: string | undefined;
  const ask = async (user: string, method: string, path: string): Promise<Told> => {
    const began = performance.now();
    const headers = { authorization: `Bearer ${tokens.get(user)!}` };
    const response = await fetch(cluster.url + path, { method, headers });
    const { result, wins } = (await response.json()) as { result?: string; wins?: unknown[] };
    const ms = Math.round(performance.now() - began);
    return { status: response.status, word: result ?? "", wins: wins?.length ?? 0, ms };
  };
  const opened = async (): Promise<boolean> => {
    key = /"key":"([^"]+)"/.exec(await (await fetch(`${cluster.url}/start/1.js`)).text())?.[1];
    return key !== undefined;
  };
  await waitUntil(opened, { what: "the opening", timeoutMsMax: 60_000 });
  return {
    cluster,
    someone: (bucket) => {
      const next = fresh[bucket]!.shift()!;
      fresh[bucket]!.push(next);
      return next;
    },
    grab: (user) => ask(user, "POST", `/v1/rounds/1/grab?k=${key}`),
    get: (user, path) => ask(user, "GET", path),
    freeze(...names) {
      const pids = names.map((name) => pidOf(cluster, name));
      const go = (): void => {
        for (const pid of pids) process.kill(pid, "SIGCONT");
      };
      for (const pid of pids) process.kill(pid, "SIGSTOP");
      t.teardown(() => {
        try {
          go();
        } catch {
          // It has ended, as it should have.
        }
      });
      return go;
    },
  };
}

/** "services b0/s0" → its pid. */
function pidOf(cluster: TestCluster, name: string): number {
  const [kind, id] = name.split(" ") as ["services" | "redis" | "mysql" | "controllers", string];
  const found = cluster.now().processes[kind][id];
  const pid = typeof found === "object" ? found.pid : found;
  if (pid === undefined) throw new Error(`${name} is not among the processes of cluster.json`);
  return pid;
}

async function until(what: string, look: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  await waitUntil(look, { what, timeoutMsMax: 30_000 });
  return Math.round(performance.now() - began);
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[numbers.length >> 1]!;

t.setTimeout(300_000);

t.test("what breaks is told as busy in its own bucket, and comes back by itself", async (t) => {
  const scene = await startScene(t);
  const { cluster, someone, grab, get } = scene;
  const wins = async (user: string): Promise<boolean> => (await grab(user)).word === "won";
  await until("the first win", () => wins(someone(0)));

  /** Whatever is asked now, the bucket is busy at once and the other one works. */
  const isBusyAlone = async (t: Test): Promise<void> => {
    const answers: Told[] = [];
    for (let n = 0; n < 15; n += 1) answers.push(await grab(someone(0)));
    t.same([...new Set(answers.map(({ status, word }) => `${status} ${word}`))], ["503 busy"]);
    const ms = median(answers.map((answer) => answer.ms));
    t.ok(ms < AT_ONCE_MS, `at once: ${ms} ms`);
    t.match(await grab(someone(1)), { word: "won" }, "the other bucket does not notice");
  };
  const isBack = async (t: Test, what: string): Promise<void> => {
    const ms = await until(`${what} is back`, () => wins(someone(0)));
    t.ok(ms < BACK_MS_MAX, `back after ${ms} ms`);
  };

  await t.test("Redis frozen", async (t) => {
    const go = scene.freeze("redis b0");
    const ms = await until("busy", async () => (await grab(someone(0))).word === "busy");
    t.comment(`the first busy after ${ms} ms`);
    await sleep(1_000);
    await isBusyAlone(t);
    go();
    await isBack(t, "Redis");
  });

  await t.test("Redis killed", async (t) => {
    process.kill(pidOf(cluster, "redis b0"), "SIGKILL");
    await isBack(t, "Redis");
    t.match(await grab(someone(1)), { word: "won" });
  });

  await t.test("MySQL frozen: grabs go on; what was won is told, what is not known is not", async (t) => {
    const go = scene.freeze("mysql b0");
    const winner = someone(0);
    t.match(await grab(winner), { word: "won" });
    const stranger = someone(0);
    for (const path of ["/v1/rounds/1/result", "/v1/wins"]) {
      await until("MySQL is known to be away", async () => (await get(stranger, path)).ms < AT_ONCE_MS);
      t.match(await get(stranger, path), { status: 503, word: "busy" });
      t.match(await get(winner, path), { status: 200, wins: 1 });
    }
    t.match(await grab(someone(0)), { word: "won" });
    go();
    const ms = await until("MySQL is back", async () => (await get(stranger, "/v1/wins")).status === 200);
    t.ok(ms < BACK_MS_MAX, `back after ${ms} ms`);
  });

  await t.test("a service frozen: the other one answers", async (t) => {
    const go = scene.freeze("services b0/s0");
    await until("the other one takes over", async () => {
      const { word, ms } = await grab(someone(0));
      return word === "won" && ms < AT_ONCE_MS;
    });
    await sleep(2_500);
    const answers: Told[] = [];
    for (let n = 0; n < 15; n += 1) answers.push(await grab(someone(0)));
    t.ok(answers.every(({ word }) => word === "won"));
    t.ok(median(answers.map(({ ms }) => ms)) < AT_ONCE_MS);
    go();
    await isBack(t, "the service");
  });

  await t.test("all services of a bucket frozen", async (t) => {
    const go = scene.freeze("services b0/s0", "services b0/s1");
    await until("busy at once", async () => {
      const { word, ms } = await grab(someone(0));
      return word === "busy" && ms < AT_ONCE_MS;
    });
    await isBusyAlone(t);
    go();
    await isBack(t, "a service");
  });

  await t.test("the controllers frozen: nobody who grabs notices", async (t) => {
    const go = scene.freeze(
      ...Object.keys(cluster.now().processes.controllers).map((id) => `controllers ${id}`),
    );
    await sleep(1_500);
    t.match(await grab(someone(0)), { word: "won" });
    t.match(await grab(someone(1)), { word: "won" });
    go();
  });

  const audit = await cluster.hongbao(["audit", "--json"]);
  t.equal(audit.code, 0, "the audit is clean");
});
