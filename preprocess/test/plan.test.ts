import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { countUsers, planEvent, planRanges, readEvent, readTopology, readUsers } from "../src/index.ts";
import { planText } from "../src/plan-command.ts";
import type { RoundFields } from "./fixtures.ts";
import {
  bucketText,
  eventText,
  ITEM,
  temporaryDir,
  usersText,
  writeEvent,
  writeTopology,
} from "./fixtures.ts";

async function setUp(t: Test, rounds: RoundFields[], users = 300, buckets?: string[]) {
  const dir = temporaryDir(t);
  const event = readEvent(writeEvent(dir, { event: eventText(rounds), users: usersText(users) }));
  const topology = readTopology(writeTopology(dir, {}, buckets));
  return { event, topology, users: await readUsers(join(dir, "users.csv")) };
}

t.test("prizes are shared by eligible users, budgets by prizes", async (t) => {
  const { event, topology, users } = await setUp(t, [
    { count: "3000", budget: "9000.00" },
    { id: "2", count: "500", groups: "[family]" },
  ]);
  const counts = countUsers(users, topology);
  t.equal(
    counts.ofBucket.reduce((sum, count) => sum + count),
    300,
  );
  const ranges = planRanges(event, users, counts);
  for (const [index, range] of ranges.slice(0, 2).entries()) {
    t.equal(range.count, counts.ofBucket[index]! * 10, "3,000 prizes for 300 users: ten each");
    t.equal(range.amountMinor, range.count * 300);
  }
  const family = counts.ofGroup.map((groups) => groups[users.groups.indexOf("family")]!);
  t.same(
    ranges.slice(2).map(({ count }) => count),
    family.map((count) => count * 5),
  );
  t.same(
    ranges.map(({ lo }) => lo - 1_000_001),
    [0, ranges[0]!.count, 3000, 3000 + ranges[2]!.count],
  );
});

t.test("a bucket without eligible users gets nothing", async (t) => {
  const { event, topology, users } = await setUp(t, [{ count: "1", budget: "1.00" }], 1);
  t.same(
    planRanges(event, users, countUsers(users, topology))
      .map(({ count }) => count)
      .sort(),
    [0, 1],
  );
});

t.test("the report holds rounds × buckets, sizes and what deserves a second look", async (t) => {
  const tiers = "{ method: tiers, tiers: [{ amount: 10.00, count: 10 }] }";
  const { event, topology, users } = await setUp(t, [
    { count: "1000" },
    { ...ITEM, count: "100" },
    { id: "4", split: tiers },
  ]);
  const report = planEvent(event, users, topology);
  t.match(report, {
    event: "party",
    users: 300,
    prizes: 1110,
    budgetMinor: 100_000_000,
    unspentMinor: 99_980_000,
  });
  t.same(
    report.rounds.map(({ round, eligible, amountsExact }) => [round, eligible, amountsExact]),
    [
      [1, 300, true],
      [3, 300, true],
      [4, 300, false],
    ],
  );
  t.equal(
    report.buckets.reduce((sum, bucket) => sum + bucket.prizes, 0),
    1110,
  );
  t.ok(report.sizes.packBytes > 1110 * 6 && report.sizes.redisBytes > 0 && report.sizes.mysqlBytes > 0);
  t.same(report.warnings, ["round 1: 1000 prizes, but 300 users × 1 can take 300 at most"]);
  const text = planText(report);
  t.match(text, /^ +1 +envelope +all +300 +1000 +100\.00$/m);
  t.match(text, /^ +b0 +\d+ +\d+ +~\d+\.\d\d$/m, "amounts of tiers are expected ones");
  t.match(text, /Note: round 1: 1000 prizes/);
});

t.test("without a topology the report has totals only", async (t) => {
  const { event, users } = await setUp(t, [{}]);
  const report = planEvent(event, users, null);
  t.same([report.buckets, report.rounds[0]?.buckets], [[], []]);
  t.match(report, { users: 300, prizes: 10 });
  t.match(planText(report), /Give --topology FILE/);
});

t.test("shares do not depend on where the stores are, only on buckets and slots", async (t) => {
  const moved = [bucketText(3, "[[0, 511]]", { id: "b0" }), bucketText(4, "[[512, 1023]]", { id: "b1" })];
  const [here, there] = [await setUp(t, [{}]), await setUp(t, [{}], 300, moved)];
  t.same(
    planRanges(here.event, here.users, countUsers(here.users, here.topology)),
    planRanges(there.event, there.users, countUsers(there.users, there.topology)),
  );
});
