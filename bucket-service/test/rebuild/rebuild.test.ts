import { setTimeout as sleep } from "node:timers/promises";
import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket, type BucketAudit } from "../../src/audit/audit.ts";
import { loadPack } from "../../src/provision/load.ts";
import { countOf } from "../../src/moves/runs.ts";
import { planBurn } from "../../src/rebuild/burn-plan.ts";
import { scene, type Scene } from "./scene.ts";

async function audited({ w }: Scene): Promise<BucketAudit> {
  return auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
}

/**
 * 120 wins in MySQL, 24 more that were told and are in the hands of two persist processes, one of which is frozen; then
 * Redis goes back to `change`.
 */
async function lossWithFrozenPersist(
  t: Test,
  change: "delete" | "older copy",
): Promise<{ s: Scene; wake: () => void; first: string[]; last: string[] }> {
  const s = await scene(t);
  const { w } = s;
  const frozen = await s.startPersistChild();
  await s.startPersist("p1");
  await w.open(1, "k");
  const first = w.users.slice(0, 120);
  for (let from = 0; from < 60; from += 20) await s.grabs(first.slice(from, from + 20));
  await s.persisted();
  const copy = s.copyData();
  for (let from = 60; from < 120; from += 20) await s.grabs(first.slice(from, from + 20));
  await s.persisted();
  // Both read entries and cannot write them.
  w.mysql[0]!.kill("SIGSTOP");
  const last = w.users.slice(120, 144);
  for (let from = 0; from < 24; from += 2) await s.grabs(last.slice(from, from + 2));
  await sleep(300);
  frozen.kill("SIGSTOP");
  t.equal(s.told.size, 144);
  await s.lose(change === "delete" ? "delete" : { copy });
  w.mysql[0]!.kill("SIGCONT");
  return { s, wake: () => frozen.kill("SIGCONT"), first, last };
}

for (const change of ["delete", "older copy"] as const) {
  t.test(
    `Redis lost (${change}) with a persist process frozen: fenced, rebuilt, nothing twice`,
    async (t) => {
      const { s, wake, first, last } = await lossWithFrozenPersist(t, change);
      const { w, told } = s;
      const why = await s.fenced();
      t.match(why, change === "delete" ? /empty|mark/ : /Redis (shows|has issued) \d+|mark/);
      t.same(await s.grabs(w.users.slice(300, 310)), { busy: 10 }, "nobody gets anything");
      await t.rejects(
        loadPack({ pack: w.pack, topology: w.topology, secrets: w.secrets }),
        /only rebuild may fill it/,
      );

      const preview = await s.operator.preview({ maybeOpened: [] });
      t.equal(preview.state, "lost");
      const report = await s.rebuild();
      t.equal(report.outcome, "rebuilt");
      const [one, two] = report.rounds;
      const held = await s.claims();
      const ids = new Set(held.values());
      const range = w.pack.manifest.ranges[0]!;
      const expected = planBurn([range], (id) => ids.has(id), 60, true);
      t.equal(one!.holes.count, countOf(expected.holes));
      t.equal(one!.beyond.count, 60);
      t.equal(one!.left.count, 400 - ids.size - one!.holes.count - 60);
      t.match(two, { round: 2, holes: { count: 0 }, beyond: { count: 0 }, left: { count: 50 } });
      for (const user of first) t.equal(held.get(user), told.get(user)!.prize);

      t.match(await s.rebuild(), { outcome: "whole" }, "asked again, nothing happens");
      await w.open(1, "k");
      await waitUntil(async () => (await s.admin.state()).fenced === null, {
        what: "no fence",
        timeoutMsMax: 5000,
      });
      t.same((await audited(s)).violations, []);

      wake();
      const [mine, receipts] = [last.slice(0, 12), last.slice(12)];
      const answers = await s.sendReceipts(receipts);
      t.ok(
        answers.every(({ result }) => result !== "refused"),
        JSON.stringify(answers),
      );
      await s.sendReceipts(mine.slice(0, 3));
      await s.sendReceipts(mine);
      const before = new Map([...told].map(([user, { prize }]) => [user, prize]));
      await s.grabs(w.users.slice(0, 250));
      for (const [user, prize] of before) t.equal(told.get(user)!.prize, prize, "the same prize again");
      t.equal(new Set([...told.values()].map(({ prize }) => prize)).size, told.size, "no ID twice");
      await s.persisted();
      const after = await s.claims();
      for (const { user, prize } of told.values()) t.equal(after.get(user), prize);
      const { rounds, violations } = await audited(s);
      t.same(violations, []);
      t.equal(rounds[0]!.issued.count, told.size);
      const burned = one!.holes.count + 60;
      const persistedAtRebuild = 400 - one!.left.count - burned;
      t.equal(rounds[0]!.burned.count, burned - (before.size - persistedAtRebuild), "but for the restored");
    },
  );
}

t.test("the frozen process's own entries come back without any receipt", async (t) => {
  const { s, wake, last } = await lossWithFrozenPersist(t, "delete");
  await s.fenced();
  await s.rebuild();
  await s.w.open(1, "k");
  // Until it wakes, the other process has brought back what it had in its own hands.
  await sleep(500);
  const held = await s.claims();
  const missing = last.filter((user) => !held.has(user));
  wake();
  await waitUntil(async () => (await s.claims()).size > held.size, {
    what: "late entries",
    timeoutMsMax: 30_000,
  });
  const after = await s.claims();
  const back = missing.filter((user) => after.has(user));
  t.ok(back.length > 0);
  for (const user of back) t.equal(after.get(user), s.told.get(user)!.prize);
  const others = missing.filter((user) => !after.has(user));
  t.ok((await s.sendReceipts(others)).every(({ result }) => result === "restored"));
  t.ok((await s.sendReceipts(back)).every(({ result }) => result === "known"));
  await s.persisted();
  t.same((await audited(s)).violations, []);
});

t.test("a doubt of one process fences the others, although MySQL alone would see nothing", async (t) => {
  const s = await scene(t, { services: 2 });
  const persist = await s.startPersist("p1");
  await s.w.open(1, "k");
  await s.grabs(s.w.users.slice(0, 30));
  await s.persisted();
  const copy = s.copyData();
  await persist.stop();
  await s.grabs(s.w.users.slice(30, 60));
  // MySQL knows of 30 claims, as the copy does: only those who saw 60 issued know better.
  await sleep(600);
  await s.lose({ copy });
  await s.fenced();
  for (const service of [0, 1]) {
    await waitUntil(async () => (await s.w.admin(0, service).state()).fenced !== null, {
      what: "every process",
      timeoutMsMax: 5000,
    });
  }
  await s.inStores(async ({ store }) =>
    t.match((await store.state()).epoch, /^fenced:/, "Redis says so itself"),
  );
  t.match(await s.operator.preview({ maybeOpened: [] }), { state: "lost" });
});

t.test("before anything was given, load may fill an emptied Redis, and takes the fence away", async (t) => {
  const s = await scene(t);
  const { w } = s;
  const load = async () => loadPack({ pack: w.pack, topology: w.topology, secrets: w.secrets });
  await s.lose("delete");
  await s.fenced();
  t.match(await load(), { unchanged: false });
  await waitUntil(async () => (await s.admin.state()).fenced === null, {
    what: "no fence",
    timeoutMsMax: 5000,
  });
  await w.open(1, "k");
  t.same(await s.grabs(w.users.slice(0, 5)), { won: 5 });
  t.same((await audited(s)).violations, []);
  await s.lose("delete");
  await s.fenced();
  await t.rejects(load(), /only rebuild may fill it/);
});

t.test("a round that was never opened keeps all its IDs, unless the conductor knows better", async (t) => {
  const s = await scene(t);
  const preview = async (maybeOpened: number[]) => (await s.operator.preview({ maybeOpened })).rounds[1];
  await s.lose("delete");
  await s.fenced();
  t.match(await preview([]), { round: 2, holes: { count: 0 }, beyond: { count: 0 }, left: { count: 50 } });
  t.match(await preview([2]), { round: 2, beyond: { count: 50 }, left: { count: 0 } });
});
