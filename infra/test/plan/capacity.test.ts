/** The model behind `hongbao capacity`: it never asks for less under more load, and keeps every limit. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { connectionsFor } from "../../../balancer/src/haproxy/policy.ts";
import { SLOTS_MAX } from "../../../balancer/src/haproxy/slots.ts";
import { breatherPolicy } from "../../../bucket-service/src/grab/breather.ts";
import { grabPolicy } from "../../../bucket-service/src/grab/grab-core.ts";
import { persistPolicy } from "../../../bucket-service/src/persist/persist.ts";
import { batchOf, BREATHER, CALLS } from "../../plan/capacity/coalescing.ts";
import { COMMITTED } from "../../plan/capacity/command.ts";
import { demandOf, PAGE, type EventShape } from "../../plan/capacity/demand.ts";
import { connectionsOfTask, OURS } from "../../plan/capacity/facts.ts";
import { readMeasured } from "../../plan/capacity/figures.ts";
import type { Policy, World } from "../../plan/capacity/loads.ts";
import { planFor, type Plan, type PlanOptions } from "../../plan/capacity/plan.ts";
import { pressPeak, pressRates, whenPressed } from "../../plan/capacity/press.ts";
import { readPrices } from "../../plan/capacity/prices.ts";
import { usesOf } from "../../plan/capacity/uses.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const { figures } = readMeasured(COMMITTED);
const prices = readPrices(COMMITTED.prices);
const POLICY: Policy = {
  headroom: 0.4,
  zones: 3,
  journalMax: 200_000,
  redisRoundTripMs: 5,
  mysqlCommitMs: 10,
  coreFactor: 1,
};
const worldOf = (policy: Partial<Policy> = {}): World => ({
  figures,
  prices,
  policy: { ...POLICY, ...policy },
});

function shapeOf(users: number, prizes: number, perSecond: number): EventShape {
  const rest = { rounds: 1, lateShare: 0.1, arrivalSeconds: 600, mediaBytes: 0 };
  return { users, prizes, peak: { perSecond }, ...rest };
}

function planOf(shape: EventShape, policy: Partial<Policy> = {}, more: Partial<PlanOptions> = {}): Plan {
  return planFor({ shape, hours: 12, buckets: null, ...more }, worldOf(policy));
}

/** From one to millions, small ones as often as large ones. */
const size = (max: number): fc.Arbitrary<number> =>
  fc.double({ min: 0, max: Math.log10(max), noNaN: true }).map((power) => Math.round(10 ** power));
const anyEvent = fc.record({ users: size(2e7), prizes: size(1e8), perSecond: size(1.2e7) });
const anyFactor = fc.double({ min: 1, max: 20, noNaN: true });
const RUNS = { numRuns: 150 };

t.test("more users, prizes or grabs never cost less", async () => {
  fc.assert(
    fc.property(anyEvent, anyFactor, anyFactor, anyFactor, ({ users, prizes, perSecond }, a, b, c) => {
      const less = planOf(shapeOf(users, prizes, perSecond));
      const more = planOf(shapeOf(Math.ceil(users * a), Math.ceil(prizes * b), perSecond * c));
      return more.costOfAll >= less.costOfAll * (1 - 1e-9);
    }),
    RUNS,
  );
});

t.test("every limit is kept with the head-room asked for, and without a zone nothing is over", async () => {
  const anyPolicy = fc.record({
    headroom: fc.double({ min: 0, max: 0.8, noNaN: true }),
    zones: fc.constantFrom(2, 3),
    mysqlCommitMs: fc.integer({ min: 0, max: 100 }),
    journalMax: fc.constantFrom(20_000, 200_000, 5_000_000),
    coreFactor: fc.double({ min: 0.3, max: 3, noNaN: true }),
  });
  fc.assert(
    fc.property(anyEvent, anyPolicy, ({ users, prizes, perSecond }, policy) => {
      const { sizes, demand, uses } = planOf(shapeOf(users, prizes, perSecond), policy);
      const kept = uses.every(({ used }) => used <= 1 - policy.headroom + 1e-6);
      const left = (count: number): number => count - Math.ceil(count / policy.zones);
      const without = {
        ...sizes,
        balancer: { ...sizes.balancer, count: left(sizes.balancer.count) },
        grab: { ...sizes.grab, count: left(sizes.grab.count) },
      };
      const carried = usesOf(without, demand, worldOf(policy)).filter(({ id }) => /cpu|connections/.test(id));
      return kept && carried.every(({ used }) => used <= 1 + 1e-6);
    }),
    RUNS,
  );
});

t.test(
  "what is sized for a large crowd carries a smaller one, and less head-room is not dearer",
  async () => {
    fc.assert(
      fc.property(anyEvent, anyFactor, ({ users, prizes, perSecond }, by) => {
        const { sizes, demand } = planOf(shapeOf(users, prizes, perSecond));
        const { shape } = demand;
        const smaller = demandOf(shapeOf(shape.users / by, shape.prizes / by, demand.grabs / by), figures);
        return usesOf(sizes, smaller, worldOf()).every(({ used }) => used <= 0.6 + 1e-6);
      }),
      RUNS,
    );
    fc.assert(
      fc.property(anyEvent, ({ users, prizes, perSecond }) => {
        const shape = shapeOf(users, prizes, perSecond);
        return (
          planOf(shape, { headroom: 0.1 }).costOfAll <= planOf(shape, { headroom: 0.5 }).costOfAll + 1e-9
        );
      }),
      { numRuns: 50 },
    );
  },
);

t.test("what breaks first is just full at the load that is told", async (t) => {
  const plan = planOf(shapeOf(150_000, 1_000_000, 110_000));
  const times = plan.uses.map((use) => use.times ?? Infinity);
  t.same(
    times,
    times.toSorted((a, b) => a - b),
    "in the order of breaking",
  );
  for (const use of plan.uses.filter((each) => each.times !== null)) {
    const shape = shapeOf(150_000 * use.times!, 1_000_000, 110_000 * use.times!);
    const there = usesOf(plan.sizes, demandOf(shape, figures), worldOf()).find(({ id }) => id === use.id)!;
    t.ok(there.used >= 1 && there.used < 1.02, `${use.id}: ${there.used} at ${use.times} x`);
  }
  t.ok(
    plan.uses.every(({ from }) => from.length > 0 && from.every((each) => each.length > 5)),
    "each says its source",
  );
});

t.test("the article's event, a hundred of it, and one user", async (t) => {
  const article = planOf(shapeOf(150_000, 1_000_000, 110_000));
  t.match({ clusters: article.clusters, why: article.whySeveral }, { clusters: 1, why: null });
  t.equal(article.sizes.buckets, 10, "a broken bucket touches a tenth of the users");
  t.match(exceeded(article), ["fargate-vcpus", "cdn-requests"]);

  const hundred = planOf(shapeOf(15_000_000, 100_000_000, 11_000_000));
  t.ok(hundred.clusters > 1, "more than one cluster may hold");
  t.match(hundred.whySeveral, /with 64 buckets/);
  t.ok(hundred.sizes.buckets <= OURS.bucketsMax && hundred.sizes.grab.count <= OURS.servicesMax);
  t.ok(exceeded(hundred).includes("mysql-instances") && exceeded(hundred).includes("discovery-calls"));
  t.ok(hundred.costOfAll > 20 * article.costOfAll);

  const one = planOf(shapeOf(1, 1, 1));
  t.match(one, {
    clusters: 1,
    sizes: { buckets: 1, balancer: { count: 2, vcpus: 1 }, grab: { count: 2, vcpus: 1 } },
  });
  t.ok(one.costOfAll < article.costOfAll / 4);
  t.equal(planOf(shapeOf(1, 1, 1), {}, { buckets: 7 }).sizes.buckets, 7, "--buckets");
  t.ok(planOf(shapeOf(20, 10, 10), {}, { hours: 24 }).costOfAll > planOf(shapeOf(20, 10, 10)).costOfAll);
});

const exceeded = (plan: Plan): string[] => plan.quotas.filter((quota) => quota.exceeded).map(({ id }) => id);

t.test("a journal that MySQL cannot empty in time asks for more buckets", async (t) => {
  const shape = { ...shapeOf(100_000, 3_000_000, 1_000_000), lateShare: 0 };
  const quick = planOf(shape, { journalMax: 100_000_000 });
  const slow = planOf(shape, { journalMax: 20_000, mysqlCommitMs: 500 });
  t.ok(slow.sizes.buckets > quick.sizes.buckets, `${slow.sizes.buckets} > ${quick.sizes.buckets}`);
  t.match(slow.whyBuckets, /journalMax/);
});

t.test("presses add up to everybody's, and the peak is their highest step", async (t) => {
  const anyPattern = fc.record({
    shares: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
    seconds: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 5, maxLength: 5 }),
    presses: fc.integer({ min: 1, max: 6 }),
    againSeconds: fc.double({ min: 0.1, max: 20, noNaN: true }),
  });
  fc.assert(
    fc.property(anyPattern, size(1e6), ({ shares, seconds, presses, againSeconds }, users) => {
      const all = shares.reduce((a, b) => a + b, 0);
      const parts = shares.map((share, index) => ({ share: share / all, seconds: seconds[index]! }));
      const rates = pressRates({ parts, presses, againSeconds }, users);
      const total = rates.reduce(
        (a, { fromSeconds, toSeconds, perSecond }) => a + (toSeconds - fromSeconds) * perSecond,
        0,
      );
      const peak = pressPeak({ parts, presses, againSeconds }, users);
      const half = whenPressed(rates, total / 2);
      return (
        Math.abs(total / (users * presses) - 1) < 1e-6 &&
        rates.every(({ perSecond }) => perSecond <= peak) &&
        Number.isFinite(half)
      );
    }),
    RUNS,
  );
  const pattern = {
    parts: [
      { share: 0.7, seconds: 2 },
      { share: 0.3, seconds: 30 },
    ],
    presses: 2,
    againSeconds: 1,
  };
  // 0 to 1 s: 35 + 1; 1 to 2 s: all of it twice.
  t.equal(Math.round(pressPeak(pattern, 100)), 72);
  t.equal(whenPressed(pressRates(pattern, 100), 36).toFixed(3), "1.000");
  t.equal(whenPressed(pressRates(pattern, 100), 201), Infinity);
});

t.test("limits of our own are those of the code and of Terraform", async (t) => {
  const text = (path: string): string => readFileSync(join(ROOT, path), "utf8");
  t.equal(OURS.servicesMax, SLOTS_MAX);
  for (const buckets of [1, 10, 64]) {
    t.equal(connectionsOfTask(buckets), connectionsFor(OURS.files, buckets * SLOTS_MAX + 1));
  }
  t.match(text("terraform/modules/task/main.tf"), `hardLimit = ${OURS.files}`);
  t.match(text("terraform/event/variables.tf"), `length(var.buckets) <= ${OURS.bucketsMax}`);
  t.match(
    text("balancer/src/haproxy/finder.ts"),
    `LOOK_MS = ${(1000 / OURS.looksPerSecond).toLocaleString("en-US").replace(",", "_")};`,
  );
  t.match(text("balancer/src/haproxy/policy.ts"), `checkMs: ${1000 / OURS.checksPerSecond},`);
  t.match(BREATHER, { gatherWanted: breatherPolicy.gatherWanted, restMsMax: breatherPolicy.restMsMax });
  t.match(CALLS, { batchMax: grabPolicy.batchMax, underWayMax: grabPolicy.callsUnderWayMax });
  t.match(OURS, {
    persistClaimsMax: persistPolicy.claimsMax,
    persistGatherSeconds: persistPolicy.gatherMs / 1000,
  });
  t.ok(batchOf(1) === 1 && batchOf(1e6) === BREATHER.gatherWanted);

  const page = text("balancer/site/schedule.js");
  t.match(page, `SCHEDULE_EVERY_MS = ${PAGE.scheduleEverySeconds} * SECOND_MS`);
  t.match(page, `{ fromMs: MINUTE_MS, everyMs: ${PAGE.startEverySeconds} * SECOND_MS }`);
  t.match(page, "POLL_OPENING_MS = SECOND_MS");
  t.match(page, `CONNECT_NOT_WITHIN_MS = ${60 - PAGE.connectSeconds} * SECOND_MS`);
  t.match(text("balancer/site/machine.js"), "RESULT_AFTER_MS = Object.freeze({ min: 1_000, max: 10_000 })");
  t.match(text("balancer/site/app.js"), "WINS_LATER_MS = { min: 8_000, max: 25_000 }");
});
