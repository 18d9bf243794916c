/** The audit is right while burned IDs come back: by receipts, by release, and while people go on grabbing. */
import type { RowDataPacket } from "mysql2/promise";
import t from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket, type Violation } from "../../src/audit/audit.ts";
import { burnedAtCut, type BurnedRecord } from "../../src/audit/burned.ts";
import type { MoveNote } from "../../src/moves/note.ts";
import { scene, type Scene } from "./scene.ts";

/** The service notices within a poll that its Redis is whole again. */
async function trusted(s: Scene): Promise<void> {
  await waitUntil(async () => (await s.admin.state()).fenced === null, {
    what: "a bucket without a fence",
    timeoutMsMax: 20_000,
  });
}

function release(id: string, lo: number, count: number): MoveNote {
  return {
    id,
    direction: "in",
    kind: "release",
    round: 1,
    peerBucket: "b0",
    peerRound: 1,
    runs: [{ lo, count }],
  };
}

t.test("what was burned at the cut, by MySQL's word of before and the marks of Redis", (t) => {
  const burned: BurnedRecord["burned"] = [10, 11, 12, 13, 14].map((prizeId) => ({ round: 1, prizeId }));
  const nothing = { moves: [], restores: [] };
  const at = (record: Partial<BurnedRecord>, cut: Partial<Parameters<typeof burnedAtCut>[1]>) => {
    const books = burnedAtCut({ burned, releases: [], ...record }, { ...nothing, ...cut }, 1);
    return books.burned.flatMap(({ lo, count }) => Array.from({ length: count }, (_, i) => lo + i));
  };
  t.same(at({}, {}), [10, 11, 12, 13, 14]);
  t.same(at({}, { restores: [{ prizeId: 12, round: null }] }), [10, 11, 13, 14], "won back");
  t.same(at({}, { restores: [{ prizeId: 12, round: 1 }] }), [10, 11, 12, 13, 14], "on its way back");
  t.same(
    at({ burned: burned.slice(1) }, { restores: [{ prizeId: 10, round: 1 }] }),
    [10, 11, 12, 13, 14],
    "in MySQL already, not yet counted by Redis",
  );
  t.same(at({ burned: burned.slice(1) }, { restores: [{ prizeId: 10, round: null }] }), [11, 12, 13, 14]);
  t.same(at({}, { moves: [release("r1", 11, 2)] }), [10, 13, 14], "released since");
  t.same(
    at({ burned: burned.slice(3), releases: [release("r1", 10, 3)] }, {}),
    [10, 11, 12, 13, 14],
    "released, and not yet stock in Redis",
  );
  const old = release("r0", 10, 5);
  t.same(
    at({ releases: [old] }, { moves: [old] }),
    [10, 11, 12, 13, 14],
    "burned again since an older release",
  );
  t.same(burnedAtCut({ burned, releases: [] }, nothing, 2).burned, []);
  t.end();
});

t.test("receipts, grabs and a release go on, and every audit is clean", async (t) => {
  const s = await scene(t);
  const { w, operator } = s;
  await w.open(1, "k");
  const first = w.users.slice(0, 120);
  await s.grabs(first.slice(0, 40));
  await s.startPersist("p1");
  await s.persisted();
  for (let from = 40; from < 120; from += 20) {
    await s.grabs(first.slice(from, from + 20));
    await s.persisted();
  }
  await s.lose("delete");
  await s.fenced();
  const report = await s.rebuild();
  t.ok(report.rounds[0]!.beyond.count > 0, "burned beyond the last persisted one");
  await trusted(s);
  await w.open(1, "k");
  const found: Violation[] = [];
  let audits = 0;
  const auditing = async (until: Promise<unknown>): Promise<void> => {
    let isDone = false;
    void until.finally(() => (isDone = true));
    while (!isDone) {
      const { violations } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
      found.push(...violations);
      audits += 1;
    }
    await until;
  };
  const later = w.users.slice(120, 300);
  const work = async (): Promise<void> => {
    for (const user of later) await s.grabs([user]);
  };
  await auditing(work());
  await auditing(operator.release(1));
  await auditing(s.grabs(w.users.slice(300)));
  t.same(found, []);
  t.ok(audits >= 3);
  await s.persisted();
  const { violations, rounds } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.same(violations, []);
  t.equal(rounds[0]!.burned.count, 0);
  t.equal(rounds[0]!.issued.count + rounds[0]!.left.count, 400);
});

t.test("while lost wins are brought back one by one, every audit is clean", async (t) => {
  const s = await scene(t);
  const { w } = s;
  await w.open(1, "k");
  const lost = w.users.slice(0, 60);
  await s.grabs(lost);
  await s.lose("delete");
  await s.fenced();
  const report = await s.rebuild();
  t.equal(report.rounds[0]!.beyond.count, 60);
  await trusted(s);
  let isDone = false;
  const work = (async () => {
    for (const user of lost) t.match(await s.sendReceipts([user]), [{ result: "restored" }]);
  })().finally(() => (isDone = true));
  const found: Violation[] = [];
  let last = 0;
  while (!isDone) {
    const { violations, rounds } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
    found.push(...violations);
    t.ok(rounds[0]!.issued.count >= last && rounds[0]!.issued.count + rounds[0]!.burned.count === 60);
    last = rounds[0]!.issued.count;
  }
  await work;
  t.same(found, []);
  const { violations, rounds } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.same(violations, []);
  t.match(rounds[0], { issued: { count: 60 }, burned: { count: 0 }, claimed: { count: 60 } });
  const fed = await s.inStores(async ({ mysql }) => {
    const [rows] = await mysql.query<RowDataPacket[]>("SELECT SUM(id_count) AS ids FROM payout_feed");
    return Number(rows[0]!["ids"]);
  });
  t.equal(fed, 60, "payout hears of them as of any claim");
});
