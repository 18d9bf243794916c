import type { RowDataPacket } from "mysql2/promise";
import t from "tap";
import type { Test } from "tap";
import { rebuildClient } from "../../src/admin/rebuild-client.ts";
import { auditBucket } from "../../src/audit/audit.ts";
import { mysqlPool } from "../../src/mysql/connect.ts";
import { Mover, type InOrder, type OutOrder } from "../../src/moves/mover.ts";
import { recordIn, recordOut, type PricedNote } from "../../src/moves/record.ts";
import type { Run } from "../../src/moves/runs.ts";
import { openStore } from "../../src/stores.ts";
import { world, type World } from "../world.ts";

const rounds = `
  - { id: 1, kind: envelope, opensAt: now+0s, closesAt: now+1h, count: 200, budget: 200.00, split: { method: lucky, min: 0.01, max: 9.00 } }
  - { id: 2, kind: envelope, opensAt: manual, closesAt: +1h, count: 20, budget: 20.00, split: { method: equal } }
  - { id: 3, kind: item, item: { sku: A, title: { zh: 甲, en: A }, price: 1.00 }, opensAt: manual, closesAt: +1h, count: 2 }
`;
const w: World = await world(t, { buckets: 2, users: 60, rounds, budget: "220.00" });
await w.open(1, "k");

async function openBucket(index: number) {
  const bucket = w.topology.buckets[index]!;
  const store = await openStore({ bucket, secrets: w.secrets, name: "mover" }, "world", [1, 2, 3]);
  const pool = mysqlPool(bucket, w.secrets.mysql, "world");
  t.teardown(async () => {
    store.client.disconnect();
    await pool.end();
  });
  const rows = async (sql: string): Promise<RowDataPacket[]> => (await pool.query<RowDataPacket[]>(sql))[0];
  const ranges = async (round: number): Promise<Run[]> =>
    (await rows(`SELECT lo, id_count FROM ranges WHERE round_id = ${round} ORDER BY ordinal`)).map((row) => ({
      lo: Number(row["lo"]),
      count: Number(row["id_count"]),
    }));
  const inRedis = async (round: number): Promise<Run[]> => {
    const found = (await store.state()).rounds.find((each) => each.round === round)!;
    return [{ lo: found.lo, count: found.left }, ...found.waitingRanges];
  };
  const mover = new Mover({ bucket: bucket.id, pack: w.pack, store, pool, seq: () => 0 });
  const epoch = (await store.state()).epoch;
  return { id: bucket.id, store, pool, rows, ranges, inRedis, mover, epoch };
}
const b0 = await openBucket(0);
const b1 = await openBucket(1);
const generated = (bucket: string, round: number): Run => {
  const { lo, count } = w.pack.manifest.ranges.find(
    (range) => range.bucket === bucket && range.round === round,
  )!;
  return { lo, count };
};

const loan = (id: string, count: number | null, fields: Partial<OutOrder> = {}): OutOrder => ({
  id,
  kind: "lend",
  round: 1,
  peerBucket: "b0",
  peerRound: 1,
  epoch: b1.epoch,
  count,
  ...fields,
});
const arrival = (id: string, runs: Run[], fields: Partial<InOrder> = {}): InOrder => ({
  id,
  kind: "lend",
  round: 1,
  peerBucket: "b1",
  peerRound: 1,
  runs,
  ...fields,
});

async function audited(t: Test): Promise<void> {
  for (const bucket of ["b0", "b1"]) {
    const { violations } = await auditBucket({ topology: w.topology, bucket, pack: w.pack });
    t.same(violations, []);
  }
}

t.test("a loan, step by step, each of them asked twice", async (t) => {
  const mine = generated("b1", 1);
  const { runs } = await b1.mover.out(loan("m1", 30));
  t.same(runs, [{ lo: mine.lo, count: 30 }]);
  const rest = { lo: mine.lo + 30, count: mine.count - 30 };
  t.same(await b1.ranges(1), [rest]);
  t.same(await b1.inRedis(1), [rest]);
  t.same((await b1.mover.out(loan("m1", 30))).runs, runs);
  t.same(
    (await b1.mover.out(loan("m1", 30, { epoch: "another" }))).runs,
    runs,
    "known is known in any epoch",
  );
  await audited(t);
  t.same(await b0.mover.in(arrival("m1", runs)), { stock: 2, moves: 1 });
  t.same(await b0.mover.in(arrival("m1", runs)), { stock: 2, moves: 1 });
  t.same(await b0.ranges(1), [generated("b0", 1), ...runs]);
  t.same(await b0.inRedis(1), [generated("b0", 1), ...runs]);
  t.match(await b0.rows("SELECT * FROM range_moves"), [
    { move_id: "m1", direction: "in", kind: "lend", peer_bucket: "b1", lo: runs[0]!.lo, id_count: 30 },
  ]);
  await audited(t);
});

t.test("what came can be given, lent on and lent back", async (t) => {
  const winners = await Promise.all(
    w.users.filter((user) => w.bucketOf(user) === 0).map((user) => w.grab(user)),
  );
  t.ok(winners.every(({ body }) => body["result"] === "won"));
  const { runs } = await b0.mover.out(loan("m2", 40, { peerBucket: "b1", epoch: b0.epoch }));
  t.equal(runs[0]!.lo, generated("b1", 1).lo, "the borrowed ones are the last, and go first");
  await b1.mover.in(arrival("m2", runs, { peerBucket: "b0" }));
  await audited(t);
  const { rounds: figures } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.match(figures[0], { borrowed: { count: 30 }, lentOut: { count: 40 }, issued: { count: winners.length } });
});

t.test("interrupted between its two stores, asking again finishes it", async (t) => {
  const note = {
    id: "m3",
    direction: "out" as const,
    kind: "lend" as const,
    round: 1,
    peerBucket: "b0",
    peerRound: 1,
  };
  const call = { epoch: b1.epoch, seq: 0, countMax: 5, runsMax: 100, closed: false };
  const left = await b1.store.leave(note, call);
  await audited(t);
  const { runs } = await b1.mover.out(loan("m3", 5));
  t.same(runs, left!.note.runs);
  const priced: PricedNote = {
    ...note,
    direction: "in",
    peerBucket: "b1",
    runs,
    amountsMinor: runs.map(({ lo, count }) => {
      let sum = 0;
      for (let id = lo; id < lo + count; id += 1) sum += w.pack.amountOf(id);
      return sum;
    }),
  };
  t.equal(await recordIn(b0.pool, priced), b0.epoch);
  await audited(t);
  const before = await b0.inRedis(1);
  await b0.mover.in(arrival("m3", runs));
  t.same(await b0.inRedis(1), [...before, ...runs]);
  await audited(t);
});

t.test("moves that are recorded in another order than they left or came stay right", async (t) => {
  const note = (id: string) => ({
    id,
    direction: "out" as const,
    kind: "lend" as const,
    round: 1,
    peerBucket: "b0",
    peerRound: 1,
  });
  const call = { epoch: b1.epoch, seq: 0, countMax: 7, runsMax: 100, closed: false };
  const first = (await b1.store.leave(note("m4"), call))!.note;
  const second = (await b1.store.leave(note("m5"), call))!.note;
  for (const left of [second, first]) {
    const { runs } = await b1.mover.out(loan(left.id, 7));
    t.same(runs, left.runs);
    t.match(
      await recordOut(b1.pool, "stale", { ...left, amountsMinor: [] }, null),
      { runs },
      "known already",
    );
  }
  const total = async (): Promise<number> => (await b1.ranges(1)).reduce((sum, { count }) => sum + count, 0);
  const issued = (await b1.store.state()).rounds[0]!.issued;
  t.equal(await total(), (await b1.inRedis(1)).reduce((sum, { count }) => sum + count, 0) + issued);
  // Recorded first, entered last: Redis gets both, in MySQL's order.
  const amountsMinor = (runs: Run[]): number[] =>
    runs.map(({ lo, count }) =>
      Array.from({ length: count }, (_, index) => w.pack.amountOf(lo + index)).reduce((a, b) => a + b, 0),
    );
  const came = {
    ...first,
    direction: "in" as const,
    peerBucket: "b1",
    amountsMinor: amountsMinor(first.runs),
  };
  await recordIn(b0.pool, came);
  const before = await b0.inRedis(1);
  await b0.mover.in(arrival("m5", second.runs));
  t.same(await b0.inRedis(1), [...before, ...first.runs, ...second.runs]);
  await b0.mover.in(arrival("m4", first.runs));
  t.same(await b0.inRedis(1), [...before, ...first.runs, ...second.runs]);
  await audited(t);
});

t.test(
  "what may not be: another epoch, another move of the same name, foreign or too many prizes",
  async (t) => {
    await t.rejects(b1.mover.out(loan("m6", 1, { epoch: "old" })), /EPOCH this bucket is of epoch/);
    await t.rejects(b1.mover.out(loan("m1", 1, { peerRound: 2 })), /a rollover goes to another round/);
    await t.rejects(
      b1.mover.out(loan("m1", 1, { peerBucket: "b7" })),
      /move m1 is known as lend of round 1 with bucket b0/,
    );
    await t.rejects(b0.mover.in(arrival("m1", [{ lo: 1_000_001, count: 1 }])), /move m1 is known as/);
    await t.rejects(b0.mover.in(arrival("m7", [{ lo: 7, count: 1 }])), /prizes 7 to 7 are not of this event/);
    const envelope = [{ lo: generated("b1", 1).lo, count: 1 }];
    await t.rejects(b0.mover.in(arrival("m7", envelope, { round: 3, peerRound: 3 })), /round 3 gives items/);
    const all = w.pack.manifest.ranges.filter(({ bucket, count }) => bucket === "b1" && count > 0);
    const much = [...all, ...all]
      .map(({ lo, count }) => ({ lo, count }))
      .filter((run) => w.pack.roundOf(run.lo) !== 3);
    await t.rejects(
      b0.mover.in(arrival("m7", much)),
      /would own prizes worth \d+, the event's budget is 22000/,
    );
    t.notOk(await b1.store.client.hexists(b1.store.keys.moves, "m6/out"));
    await audited(t);
  },
);

const roll: OutOrder = {
  id: "r1",
  kind: "roll",
  round: 1,
  peerBucket: "b1",
  peerRound: 2,
  epoch: b1.epoch,
  count: null,
};

t.test("a rollover waits for the close and for prizes that are worth what was generated", async (t) => {
  await t.rejects(b1.mover.out(roll), /round 1 has not closed in bucket b1 yet/);
  await w.close(1);
  const before = await b1.inRedis(1);
  const { lo } = before[0]!;
  const change = (by: number) =>
    b1.rows(`UPDATE prizes SET amount_minor = amount_minor + ${by} WHERE prize_id = ${lo}`);
  await change(1);
  await t.rejects(
    b1.mover.out(roll),
    /MySQL holds \d+ worth \d+, expected \d+ worth \d+ as generated; nothing is moved/,
  );
  t.same(await b1.inRedis(1), before, "nothing has left");
  await change(-1);
  const { runs } = await b1.mover.out(roll);
  t.equal(
    runs.reduce((sum, { count }) => sum + count, 0),
    before.reduce((sum, { count }) => sum + count, 0),
  );
  t.same(await b1.ranges(2), [generated("b1", 2), ...runs], "recorded in both rounds at once");
  await audited(t);
  const come = { id: "r1", kind: "roll" as const, round: 2, peerBucket: "b1", peerRound: 1, runs };
  t.match(await b1.mover.in(come), { stock: 2 });
  t.match(await b1.mover.in(come), { stock: 2 });
  t.same((await b1.mover.out(roll)).runs, runs);
  await audited(t);
  const { rounds: figures } = await auditBucket({ topology: w.topology, bucket: "b1", pack: w.pack });
  t.same(figures[0]!.rolledOut, figures[1]!.rolledIn);
  t.ok(figures[1]!.rolledIn.amount > 0);
});

t.test("a Redis from before a loan is not used again", async (t) => {
  const { fenced } = await w.admin(1).state();
  t.equal(fenced, null);
  await b1.store.client.hdel(b1.store.keys.moves, "m1/out");
  const { violations } = await auditBucket({ topology: w.topology, bucket: "b1", pack: w.pack });
  t.ok(violations.some(({ what }) => /move m1 left by MySQL's word, but not so in Redis/.test(what)));
  // One connection that ends and is back at once, with nobody asking meanwhile, is enough.
  await b1.store.client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  let why: string | null = null;
  while (why === null) why = (await w.admin(1).state()).fenced;
  t.match(why, /MySQL says that move m1 left this bucket, Redis still has its prizes/);
  const order = loan("m8", 1);
  await t.rejects(w.admin(1).moveOut(order), /may not move prizes: MySQL says/);
  const [place] = w.topology.buckets[1]!.services as { admin: string }[];
  const operator = rebuildClient({ ...place!, operatorSecret: w.secrets.operator, timeoutMs: 10_000 });
  await operator.start({ maybeOpened: [] });
  while ((await operator.job()).state === "running");
  t.match(await operator.job(), { state: "done", report: { outcome: "rebuilt" } });
  while ((await w.admin(1).state()).fenced !== null);
  t.ok(await b1.store.client.hexists(b1.store.keys.moves, "m1/out"), "it knows of its moves again");
  await audited(t);
});

t.test("the ledger is held against the pack", async (t) => {
  await b1.rows("UPDATE range_moves SET amount_minor = amount_minor + 5 WHERE move_id = 'm1'");
  const { violations } = await auditBucket({ topology: w.topology, bucket: "b1", pack: w.pack });
  t.match(violations, [{ promise: 4, round: 1, what: /move m1 \(out\) is written down as worth/ }]);
  await b1.rows("UPDATE range_moves SET amount_minor = amount_minor - 5 WHERE move_id = 'm1'");
  await audited(t);
});
