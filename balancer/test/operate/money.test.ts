import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { startTestCluster, tryHongbao, waitUntil, type TestCluster } from "@hongbao/infra";
import { bucketOf, readSecrets, signToken } from "@hongbao/preprocess";
import { csvLine, sumPayouts } from "../../src/operate/payout.ts";

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

async function json(cluster: TestCluster, args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await cluster.hongbao([...args, "--json"]);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${code} ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

function asUser(
  cluster: TestCluster,
): (user: string, method: string, path: string) => Promise<Record<string, unknown>> {
  const { token } = readSecrets(cluster.topology, ["token"]);
  return async (user, method, path) => {
    const authorization = `Bearer ${signToken(user, token[0]!, Math.floor(Date.now() / 1000) + 3600)}`;
    const response = await fetch(`${cluster.url}${path}`, { method, headers: { authorization } });
    return (await response.json()) as Record<string, unknown>;
  };
}

async function key(cluster: TestCluster): Promise<string> {
  let found = "";
  await waitUntil(
    async () => {
      const text = await (await fetch(`${cluster.url}/start/1.js`)).text();
      found = /"key":"([^"]+)"/.exec(text)?.[1] ?? "";
      return found !== "";
    },
    { what: "the key", timeoutMsMax: 30_000 },
  );
  return found;
}

t.test("deny and allow are live everywhere, payouts are paid, held, told and exported", async (t) => {
  const cluster = await startTestCluster(t, { opensIn: 1 });
  const call = asUser(cluster);
  const k = await key(cluster);
  const grab = async (user: string): Promise<unknown> =>
    (await call(user, "POST", `/v1/rounds/1/grab?k=${k}`))["result"];
  // One in each bucket.
  const [cheater, honest] = [0, 1].map((bucket) =>
    Array.from({ length: 100 }, (_, n) => `u${n + 1}`).find(
      (user) => bucketOf(cluster.topology, user) === bucket,
    ),
  );
  t.match(await json(cluster, ["user", "deny", cheater!, "--by", "ann", "--why", "bots"]), {
    user: cheater,
    rule: "deny",
    live: 6,
    behind: [],
  });
  t.equal(await grab(cheater!), "not_eligible");
  t.equal(await grab("late-joiner"), "not_eligible");
  await json(cluster, ["user", "allow", "late-joiner"]);
  t.equal(await grab("late-joiner"), "won");
  t.match((await json(cluster, ["user", "list"]))["rules"], [
    { user: "late-joiner", rule: "allow" },
    { user: cheater, rule: "deny" },
  ]);
  t.match((await cluster.hongbao(["user", "list", "late-joiner"])).stdout, /late-joiner +b\d +all +allow/);
  const { stdout: log } = await cluster.hongbao(["log"]);
  t.match(log, new RegExp(`ann .*denied user ${cheater} \\(bots\\)`));

  await json(cluster, ["user", "allow", cheater!]);
  t.equal(await grab(cheater!), "won");
  t.equal(await grab(honest!), "won");
  const payout = async (user: string): Promise<string[]> =>
    ((await call(user, "GET", "/v1/wins"))["wins"] as { payout: string }[]).map((win) => win.payout);
  for (const user of [cheater!, honest!, "late-joiner"]) {
    await waitUntil(async () => (await payout(user)).join() === "paid", {
      what: `${user} paid`,
      timeoutMsMax: 10_000,
    });
  }
  t.match(await json(cluster, ["payout", "status"]), {
    total: { paid: { count: 3 }, pending: { count: 0 }, dead: { count: 0 }, held: { count: 0 } },
    ledger: { credits: 3, balanced: true },
  });
  t.match((await cluster.hongbao(["payout", "status"])).stdout, /ledger: 3 credits, .* balanced/);

  const { stdout } = await cluster.hongbao(["payout", "export"]);
  const lines = stdout.trim().split("\n");
  t.equal(lines[0], "bucket,prize,round,user,n,amount,currency,claimed_at,state,attempts,paid_at,reason");
  t.equal(lines.length, 4);
  t.ok(
    lines.slice(1).every((line) => /^b\d,\d+,1,[a-z0-9-]+,1,\d+\.\d\d,CNY,[^,]+Z,paid,0,[^,]+Z,$/.test(line)),
    stdout,
  );
  const out = join(cluster.state, "payouts.csv");
  t.equal((await cluster.hongbao(["payout", "export", "--out", out, "--only-state", "dead"])).code, 0);
  t.equal(readFileSync(out, "utf8").trim(), lines[0]);

  t.match(await json(cluster, ["payout", "retry", "--why", "the wallet is back"]), { retried: 0 });
  t.match(
    (await cluster.hongbao(["log"])).stdout,
    /retried 0 of all dead payouts in buckets b0, b1 \(the wallet is back\)/,
  );
  await isRefused(t, cluster);
  await survives(t, cluster, grab);
  t.match(await json(cluster, ["status"]), {
    state: "ready",
    buckets: [{ payout: [{ id: "pay0", state: "ok" }] }, { payout: [{ id: "pay0", state: "ok" }] }],
  });
});

async function isRefused(t: Test, cluster: TestCluster): Promise<void> {
  const refused = async (args: string[], message: RegExp): Promise<void> => {
    const { code, stderr } = await cluster.hongbao(args);
    t.equal(code, 2, args.join(" "));
    t.match(stderr, message);
  };
  await refused(["user", "deny", "no blanks"], /user: found "no blanks", expected 1 to 64/);
  await refused(["user", "deny", "u1", "--round", "7"], /--round: found 7, expected one of 1/);
  await refused(["payout", "retry", "--bucket", "b9"], /--bucket: found "b9", expected one of b0, b1/);
  await refused(["payout", "retry", "--prize", "x"], /--prize: found "x"/);
  await refused(["payout", "export", "--only-state", "lost"], /--only-state: found "lost"/);
  await refused(["payout", "export", "--out", join(cluster.state, "none", "x.csv")], /--out: found/);
  t.notOk(existsSync(join(cluster.state, "none")));
}

/** A rule that was given before is obeyed by a service that starts while no controller runs. */
async function survives(
  t: Test,
  cluster: TestCluster,
  grab: (user: string) => Promise<unknown>,
): Promise<void> {
  const user = "late-joiner";
  await cluster.hongbao(["user", "deny", user]);
  const { processes } = cluster.now();
  for (const pid of Object.values(processes.controllers)) process.kill(pid, "SIGSTOP");
  try {
    const killed = { ...processes.services };
    for (const pid of Object.values(killed)) process.kill(pid, "SIGKILL");
    await waitUntil(
      async () => Object.entries(cluster.now().processes.services).every(([id, pid]) => pid !== killed[id]),
      { what: "new services", timeoutMsMax: 30_000 },
    );
    await waitUntil(async () => (await grab(user)) === "not_eligible", {
      what: "the rule in a new service",
      timeoutMsMax: 30_000,
    });
    t.pass("obeyed without a controller");
  } finally {
    for (const pid of Object.values(processes.controllers)) process.kill(pid, "SIGCONT");
  }
  await waitUntil(async () => (await json(cluster, ["status"]))["state"] === "ready", {
    what: "all processes",
    timeoutMsMax: 30_000,
  });
}

t.test("buckets are added up", async (t) => {
  const sum = (count: number, amount: number) => ({ count, amount });
  const bucket = (id: string, paid: number) => ({
    bucket: id,
    rounds: [{ round: 1, paid: sum(paid, paid * 5), pending: sum(1, 5), dead: sum(2, 10), held: sum(0, 0) }],
    ledger: { credits: paid, paidMinor: paid * 5, entriesMinor: 0, balancesMinor: 0, companyMinor: paid * 5 },
    reasons: [{ state: "dead", reason: id, count: paid }],
  });
  const report = sumPayouts([bucket("b0", 3), bucket("b1", 4)]);
  t.match(report, {
    rounds: [
      { round: 1, paid: sum(7, 35), pending: sum(2, 10), buckets: [{ bucket: "b0" }, { bucket: "b1" }] },
    ],
    total: { paid: sum(7, 35), dead: sum(4, 20) },
    ledger: { credits: 7, amount: 35, balanced: true },
    reasons: [{ bucket: "b1", count: 4 }, { bucket: "b0" }],
  });
  const odd = bucket("b0", 3);
  odd.ledger.balancesMinor = 1;
  t.equal(sumPayouts([odd]).ledger.balanced, false);
});

t.test("a reason may hold anything", async (t) => {
  const row = {
    prize: 7,
    round: 1,
    user: "u",
    n: 1,
    amount: 1234,
    claimedAt: "2027-02-05T12:00:00.000Z",
    state: "dead" as const,
    attempts: 3,
    paidAt: null,
    reason: 'answered 422 {"a":1},\nx',
  };
  t.equal(
    csvLine("b0", "CNY", row),
    'b0,7,1,u,1,12.34,CNY,2027-02-05T12:00:00.000Z,dead,3,,"answered 422 {""a"":1}, x"\n',
  );
});

t.test("without a cluster", async (t) => {
  const dir = t.testdir({});
  t.equal((await tryHongbao(["payout", "status", "--state", dir])).code, 3);
});
