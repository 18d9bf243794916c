/** A rehearsal against a shadow round, on a whole cluster: it goes the real way, pays nobody, and leaves nothing. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";
import { readSecrets, SHADOW_EVENT, signToken } from "@hongbao/preprocess";
import { hongbaoWords } from "../src/cluster/hongbao.ts";
import { dieWithParent } from "../src/processes/child.ts";
import type { RehearseReport } from "../src/rehearse/rehearse.ts";

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

const USERS = 300;
const PRIZES = 200;
/** The highest number that the event has not. */
const SHADOW_ROUND = 99;

const EVENT = `event: real
title: { zh: 真, en: Real }
currency: CNY
timezone: Asia/Shanghai
budget: 100.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1h, closesAt: +10m, count: 100, budget: 100.00, split: { method: equal } }
`;

async function start(t: Test): Promise<TestCluster> {
  const dir = temporaryState(t);
  const users = Array.from({ length: USERS }, (_, n) => `u${n},u${n},staff`);
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("\n")}\n`);
  writeFileSync(join(dir, "event.yaml"), EVENT);
  return startTestCluster(t, { event: join(dir, "event.yaml"), buckets: 2, services: 1 });
}

/** `hongbao shadow hold`, as `rehearse` runs it. */
function hold(t: Test, cluster: TestCluster): { child: ChildProcess; said: () => string } {
  const { command, args, env } = hongbaoWords(["shadow", "hold", "--topology", cluster.topology.path]);
  const words = dieWithParent(command, args);
  const child = spawn(words.command, words.args, { stdio: "pipe", env: { ...process.env, ...env } });
  t.teardown(() => child.kill("SIGKILL"));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  return { child, said: () => said };
}

t.test("a shadow round", async (t) => {
  const cluster = await start(t);
  const { url, topology } = cluster;
  const secrets = readSecrets(topology, ["token", "operator"]);
  const grab = async (user: string, round: number, key: string) => {
    const token = signToken(user, secrets.token[0]!, Math.floor(Date.now() / 1000) + 600);
    const response = await fetch(`${url}/v1/rounds/${round}/grab?k=${key}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    return (await response.json()) as { result: string; prize?: { id: string; amount: number } };
  };
  const asOperator = async (path: string, body?: object): Promise<string> => {
    const response = await fetch(`http://${topology.controllers[0]!.admin}/admin${path}`, {
      headers: { authorization: `Bearer ${secrets.operator}` },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    return response.text();
  };
  const keyOf = async (round: number): Promise<string | undefined> =>
    /"key":"([^"]+)"/.exec(await (await fetch(`${url}/start/${round}.js`)).text())?.[1];
  const real = async (): Promise<{ issued: number; ok: boolean; rounds: number }> => {
    const { stdout } = await cluster.hongbao(["audit", "--json"]);
    const report = JSON.parse(stdout) as RehearseReport["audit"];
    return { ok: report.ok, issued: report.rounds[0]!.issued.count, rounds: report.rounds.length };
  };
  const isGone = async (t: Test, what: string): Promise<void> => {
    const noWay = async (): Promise<boolean> => {
      const file = await fetch(`${url}/start/${SHADOW_ROUND}.js`);
      await file.arrayBuffer();
      return file.status === 404 && (await grab("u0", SHADOW_ROUND, "k")).result === "no_such_round";
    };
    await waitUntil(noWay, { what: `no way in to the shadow ${what}`, timeoutMsMax: 60_000 });
    t.pass(`neither start file nor round ${what}`);
  };

  await t.test("is refused when a real one is near, and options that do not fit are bad input", async (t) => {
    const near = await cluster.hongbao(["rehearse", "--shadow", "--users", "10", "--clear", "2h"]);
    t.equal(near.code, 2);
    t.match(near.stderr, /no rehearsal now: round 1 opens at .*, within 2h/);
  });

  await t.test("goes the real way and is gone afterwards", async (t) => {
    const words = ["rehearse", "--shadow", "--users", String(USERS), "--prizes", String(PRIZES), "--json"];
    const { code, stdout, stderr } = await cluster.hongbao(words);
    t.equal(code, 0, stderr);
    const report = JSON.parse(stdout) as RehearseReport;
    t.match(report, { event: SHADOW_EVENT, round: SHADOW_ROUND, finished: true, soldOut: true });
    t.match(report.told, { wins: PRIZES, missing: 0 });
    t.match(report.audit, { ok: true, violations: [] });
    t.match(report.audit.rounds, [
      { generated: { count: PRIZES, amount: 0 }, issued: { count: PRIZES, amount: 0 } },
    ]);
    await isGone(t, "after it");
    const { stdout: left } = await cluster.hongbao(["shadow", "wipe"]);
    t.match(left, /nothing was left of a rehearsal/);
    t.same(await real(), { ok: true, issued: 0, rounds: 1 }, "the event has given nothing");
  });

  await t.test("killed half-way: everybody forgets it, and what is left is wiped", async (t) => {
    const { child, said } = hold(t, cluster);
    await waitUntil(async () => (await keyOf(SHADOW_ROUND)) !== undefined, {
      what: "its key",
      timeoutMsMax: 60_000,
    });
    const key = (await keyOf(SHADOW_ROUND))!;
    const won = await grab("u1", SHADOW_ROUND, key);
    t.match(won, { result: "won", prize: { amount: 0 } }, said());
    t.ok(Number(won.prize?.id) > 1_000_100, "an ID beyond the event's");
    t.equal((await grab("u1", 1, key)).result, "not_open", "its key opens no real round");
    child.kill("SIGKILL");
    await once(child, "close");
    await isGone(t, "after the lease");
    const { stdout } = await cluster.hongbao(["rehearse", "--wipe", "--json"]);
    const { found } = JSON.parse(stdout) as { found: string[] };
    t.match(found.join(), /database of b0.*keys of b0.*database of b1.*control records/);
  });

  await t.test("a real round that opens ends it, and is not touched by it", async (t) => {
    const { child, said } = hold(t, cluster);
    await waitUntil(async () => (await keyOf(SHADOW_ROUND)) !== undefined, {
      what: "its key",
      timeoutMsMax: 60_000,
    });
    const ended = once(child, "close") as Promise<[number]>;
    await asOperator("/rounds/1/open", { by: "test" });
    const [code] = await ended;
    t.equal(code, 3, said());
    t.match(said(), /the rehearsal was ended: .*round 1 is open/);
    await isGone(t, "after the opening");
    await waitUntil(async () => (await keyOf(1)) !== undefined, {
      what: "the real key",
      timeoutMsMax: 60_000,
    });
    t.match(await grab("u1", 1, (await keyOf(1))!), { result: "won", prize: { amount: 100 } });
    const refused = await cluster.hongbao(["shadow", "hold"]);
    t.equal(refused.code, 2);
    t.match(refused.stderr, /no rehearsal now: round 1 is open/);
    t.same(await real(), { ok: true, issued: 1, rounds: 1 });
    const log = await asOperator("/log?limit=100");
    t.match(log, /a rehearsal begins: round 99/);
    t.match(log, /the rehearsal is over and wiped/);
  });
});
