/** The whole way in with real processes: HAProxy asks the services by SPOE, and what breaks meanwhile costs nobody a win. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t, { type Test } from "tap";
import { runHongbao, startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";
import { writeFileSync } from "node:fs";

const USERS = 2_000;
const CLIENTS = 48;

/** More prizes than users: every answer of every user is the same win, whatever happened to the question before. */
async function startPressed(t: Test): Promise<{ cluster: TestCluster; tokens: string[]; path: string }> {
  const dir = temporaryState(t);
  await runHongbao(["preprocess", "sample", "--users", String(USERS), "--out", dir]);
  const round =
    "{ id: 1, kind: envelope, opensAt: now+1h, closesAt: +10m, count: 3000, budget: 3000.00, split: { method: lucky, min: 0.01, max: 5.00 } }";
  const event = [
    "event: doors",
    "title: { zh: 门, en: Doors }",
    "currency: CNY",
    "timezone: Asia/Shanghai",
    "budget: 3000.00",
    "users: users.csv",
    "rounds:",
    `  - ${round}`,
    "",
  ];
  writeFileSync(join(dir, "doors.yaml"), event.join("\n"));
  const cluster = await startTestCluster(t, { event: join(dir, "doors.yaml"), buckets: 1, opensIn: 1 });
  const file = join(dir, "tokens");
  const { code, stderr } = await cluster.hongbao(["token", "--all", "--out", file]);
  if (code !== 0) throw new Error(stderr);
  const tokens = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split("\t")[1]!);
  let key: string | undefined;
  const opened = async (): Promise<boolean> => {
    const text = await (await fetch(`${cluster.url}/start/1.js`)).text();
    key = /"key":"([^"]+)"/.exec(text)?.[1];
    return key !== undefined;
  };
  await waitUntil(opened, { what: "the opening", timeoutMsMax: 60_000 });
  return { cluster, tokens, path: `/v1/rounds/1/grab?k=${key}` };
}

interface Pressed {
  /** By status and result, or the error. */
  tally: Map<string, number>;
  /** What each user was told, by place in the list of tokens. */
  told: Map<number, string>;
  /** Users who were told two different things. */
  changed: number[];
}

/** People who press again and again over kept connections, until stopped. */
function press(url: string, path: string, tokens: readonly string[]): { stop(): Promise<Pressed> } {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const result: Pressed = { tally: new Map(), told: new Map(), changed: [] };
  let next = 0;
  let on = true;
  const one = (user: number): Promise<string> =>
    new Promise((resolve) => {
      const headers = { authorization: `Bearer ${tokens[user]!}` };
      const call = request(url + path, { method: "POST", agent, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          const word = (JSON.parse(text) as { result: string }).result;
          if (word === "won") {
            const before = result.told.get(user);
            if (before !== undefined && before !== text) result.changed.push(user);
            result.told.set(user, text);
          }
          resolve(`${response.statusCode} ${word}`);
        });
      });
      call.on("error", (error) => resolve(`error ${error.message}`));
      call.end();
    });
  const loops = Array.from({ length: CLIENTS }, async () => {
    while (on) {
      const answer = await one(next++ % tokens.length);
      result.tally.set(answer, (result.tally.get(answer) ?? 0) + 1);
    }
  });
  return {
    async stop() {
      on = false;
      await Promise.all(loops);
      agent.destroy();
      return result;
    },
  };
}

async function answersBy(cluster: TestCluster, door: "http" | "spop"): Promise<number> {
  const { services } = cluster.topology.buckets[0]!;
  let sum = 0;
  for (const { admin } of services as { admin: string }[]) {
    const text = await (await fetch(`http://${admin}/metrics`)).text();
    for (const line of text.split("\n")) {
      const isIt = line.startsWith("hongbao_http_requests_total") && line.includes(`door="${door}"`);
      if (isIt && line.includes('route="grab"')) sum += Number(line.slice(line.lastIndexOf(" ")));
    }
  }
  return sum;
}

const pidOf = (cluster: TestCluster, service: string): number => cluster.now().processes.services[service]!;

async function reload(cluster: TestCluster): Promise<void> {
  const secret = readFileSync(join(cluster.state, "secrets", "operator"), "utf8").trim();
  const response = await fetch(`http://${cluster.topology.balancer.admin}/admin/reload`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}` },
  });
  if (!response.ok) throw new Error(await response.text());
}

const others = ({ tally }: Pressed): [string, number][] => [...tally].filter(([word]) => word !== "200 won");

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

t.test("agents that die, drain or come back, and HAProxy reloading, cost nobody an answer", async (t) => {
  const { cluster, tokens, path } = await startPressed(t);
  const url = cluster.url;
  const load = press(url, path, tokens);
  await sleep(1_000);
  t.ok((await answersBy(cluster, "spop")) > 100, "HAProxy asks the agents");
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const victim = pidOf(cluster, "b0/s0");
    process.kill(victim, signal);
    const isBack = async (): Promise<boolean> => {
      const { services } = cluster.now().processes;
      return services["b0/s0"] !== undefined && services["b0/s0"] !== victim;
    };
    await waitUntil(isBack, { what: "the next process", timeoutMsMax: 60_000 });
    await sleep(1_000);
  }
  for (let n = 0; n < 3; n += 1) {
    await reload(cluster);
    await sleep(300);
  }
  const calm = await load.stop();
  t.same(others(calm), [], "every answer was the win");
  t.same(calm.changed, [], "and each time the same one");
  t.equal(calm.told.size, tokens.length);

  const again = press(url, path, tokens);
  await sleep(500);
  for (const service of ["b0/s0", "b0/s1"]) process.kill(pidOf(cluster, service), "SIGKILL");
  await sleep(4_000);
  const rough = await again.stop();
  t.same(rough.changed, [], "no other prize after all of them died at once");
  for (const [user, text] of rough.told) t.equal(calm.told.get(user), text);
  // A connection that dies with its question may be closed without an answer; whoever asks again is told.
  const words = others(rough).filter(
    ([word]) => !/^(503 busy|error (socket hang up|read ECONNRESET))$/.test(word),
  );
  t.same(words, [], "busy in between, and no other word");
  const audit = await cluster.hongbao(["audit", "--json"]);
  t.equal(audit.code, 0, audit.stdout + audit.stderr);
});
