import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { runHongbao, startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";
import type { RehearseReport } from "../src/rehearse/rehearse.ts";

const USERS = 12_000;
const PRIZES = 9_000;

/** An event in which everybody comes and not everybody gets one. */
async function writeEvent(dir: string): Promise<string> {
  await runHongbao(["preprocess", "sample", "--users", String(USERS), "--out", dir]);
  const path = join(dir, "few.yaml");
  writeFileSync(
    path,
    `event: few
title: { zh: 少, en: Few }
currency: CNY
timezone: Asia/Shanghai
budget: 90001.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1h, closesAt: +10m, count: ${PRIZES}, budget: 90000.00, split: { method: equal } }
  - { id: 2, kind: envelope, opensAt: manual, closesAt: +10m, count: 1, budget: 1.00, split: { method: equal } }
`,
  );
  return path;
}

/** Kills a service process of each bucket, one after the other, while the load is on. */
async function killServices(cluster: TestCluster): Promise<void> {
  for (const name of ["b0/s0", "b1/s1"]) {
    await sleep(300);
    process.kill(cluster.now().processes.services[name]!, "SIGKILL");
  }
}

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

t.test("a rehearsal in which services are killed loses no win", async (t) => {
  const event = await writeEvent(temporaryState(t));
  const cluster = await startTestCluster(t, { event, opensIn: 4 });
  const before = await cluster.hongbao(["rehearse", "--users", String(USERS), "--round", "2", "--wait", "0"]);
  t.equal(before.code, 3, "a round that nobody opens");
  t.match(before.stderr, /round 2 did not open/);
  const tooMany = await cluster.hongbao(["rehearse", "--users", String(USERS + 1), "--round", "1"]);
  t.equal(tooMany.code, 2);
  t.match(tooMany.stderr, /--users: found 12001, expected at most 12000/);

  const open = async () => (await (await fetch(`${cluster.url}/start/1.js`)).text()).includes('"key":"');
  const killing = waitUntil(open, { what: "the opening", timeoutMsMax: 60_000 }).then(() =>
    killServices(cluster),
  );
  const outcome = await cluster.hongbao(["rehearse", "--users", String(USERS), "--json"]);
  await killing;
  t.equal(outcome.code, 0, outcome.stderr);
  const report = JSON.parse(outcome.stdout) as RehearseReport;
  t.match(report, { event: "few", round: 1, users: USERS, finished: true, soldOut: true });
  t.equal(report.told.missing, 0);
  t.ok(report.told.wins <= PRIZES, "never more wins than prizes");
  t.ok(report.told.verified > 0);
  t.equal(report.audit.ok, true);
  t.match(report.audit.rounds[0], {
    issued: { count: PRIZES, amount: 9_000_000 },
    left: { count: 0, amount: 0 },
  });

  const again = await cluster.hongbao(["rehearse", "--users", "100", "--no-verify"]);
  t.equal(again.code, 0, again.stderr);
  t.match(again.stdout, /audit +clean/);

  // People who press by the clock: most of them have a prize already, which is told again.
  const people = await cluster.hongbao(["rehearse", "--users", "200", "--spread", "1", "--json"]);
  t.equal(people.code, 0, people.stderr);
  const pressed = JSON.parse(people.stdout) as RehearseReport;
  t.match(pressed, { spreadSeconds: 1, finished: true, errors: { unanswered: 0 } });
  const { won = 0, ended = 0, ...others } = pressed.answers;
  t.equal(won + ended, 200, JSON.stringify(others));
  t.equal(pressed.told.verified, won);
  t.equal(
    pressed.buckets.reduce((sum, { users }) => sum + users, 0),
    200,
  );
  t.match(pressed.buckets, [
    { bucket: "b0", left: 0 },
    { bucket: "b1", left: 0 },
  ]);
});
