import * as fc from "fast-check";
import t from "tap";
import * as plan from "../../site/schedule.js";

type Round = Parameters<typeof plan.isOver>[0];

const NOW_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;

function round(id: number, opensInMs: number | null, changes: Partial<Round> = {}): Round {
  const opensAtMs = opensInMs === null ? null : NOW_MS + opensInMs;
  return {
    id,
    kind: "envelope",
    title: null,
    opensAtMs,
    closesAtMs: opensAtMs === null ? null : opensAtMs + 10 * MINUTE_MS,
    state: "scheduled",
    count: 10,
    perUser: 1,
    spreadMs: 0,
    item: null,
    ...changes,
  };
}

function pick(rounds: Round[], about: Partial<Parameters<typeof plan.pickRound>[0]> = {}): number | null {
  const none = { rounds, nowMs: NOW_MS, shown: null, chosen: null, settled: () => false };
  return plan.pickRound({ ...none, ...about })?.id ?? null;
}

void t.test("rounds.json is read with distrust", async (t) => {
  for (const wrong of [null, 5, "x", {}, { rounds: 3 }]) t.equal(plan.readSchedule(wrong), null);
  const raw = {
    event: "spring",
    title: { zh: "新春", en: "Spring" },
    currency: "CNY",
    rounds: [
      null,
      { id: "1" },
      {
        id: 1,
        kind: "envelope",
        opensAt: "2027-02-05T20:00:00+08:00",
        closesAt: "never",
        state: "open",
        perUser: 2,
      },
      {
        id: 2,
        kind: "item",
        item: { sku: "P", title: { en: "Phone" }, price: 100 },
        perUser: 1e9,
        spreadMs: -4,
      },
    ],
  };
  const read = plan.readSchedule(raw);
  t.same(
    read?.rounds.map(({ id, opensAtMs, closesAtMs, state, perUser }) => [
      id,
      opensAtMs,
      closesAtMs,
      state,
      perUser,
    ]),
    [
      [1, Date.parse("2027-02-05T12:00:00Z"), null, "open", 2],
      [2, null, null, "scheduled", 100],
    ],
  );
  t.same(read?.rounds[1]?.item, { title: { en: "Phone" }, priceMinor: 100 });
  t.equal(read?.rounds[1]?.spreadMs, 0);
});

void t.test("the round on show", async (t) => {
  const over = round(1, -60 * MINUTE_MS);
  const open = round(2, -MINUTE_MS, { state: "open" });
  const soon = round(3, MINUTE_MS);
  const far = round(4, 60 * MINUTE_MS);
  const byHand = round(5, null);
  t.equal(pick([]), null);
  t.equal(pick([over, open, soon, far]), 2, "an open one");
  t.equal(pick([over, far, byHand]), 4, "else the next one");
  t.equal(pick([over, byHand]), 5, "one by hand comes last of those ahead");
  t.equal(pick([over]), 1, "else the last one");
  t.equal(pick([open, far], { shown: 2, settled: () => true }), 2, "a win stays on show");
  t.equal(pick([open, soon], { shown: 2, settled: () => true }), 3, "until the next one is near");
  t.equal(pick([open, far], { settled: () => true }), 2, "after a reload too");
  const other = round(6, -30_000, { state: "open" });
  t.equal(pick([open, other], { shown: 2 }), 2, "no turning away while something can be done here");
});

void t.test("what the user chose to see", async (t) => {
  const open = round(2, -MINUTE_MS, { state: "open" });
  const far = round(4, 60 * MINUTE_MS);
  const chosen = { id: 4, atMs: NOW_MS - 10_000 };
  t.equal(pick([open, far], { shown: 2, chosen }), 4, "comes first");
  const later = round(3, -5_000, { state: "open" });
  t.equal(pick([open, later, far], { shown: 4, chosen }), 3, "until another round opens after the choice");
  const near = round(3, 2 * MINUTE_MS - 5_000);
  t.equal(pick([near, far], { shown: 4, chosen }), 3, "or comes near after it");
});

void t.test("a round is over by word or by clock, not in the second of its end", async (t) => {
  const ending = round(1, -10 * MINUTE_MS);
  t.equal(plan.isOver(ending, NOW_MS + 1_000), false);
  t.equal(plan.isOver(ending, NOW_MS + 2_001), true);
  t.equal(plan.isOver(round(1, MINUTE_MS, { state: "closed" }), NOW_MS), true);
  t.equal(plan.isDue(round(1, 0), NOW_MS), true);
  t.equal(plan.isDue(round(1, 1), NOW_MS), false);
});

void t.test(
  "polls are rare before the opening, every second right after it, slower when it is late",
  async (t) => {
    const delay = (untilMs: number) => plan.pollDelayMs(NOW_MS, NOW_MS + untilMs, 0.5);
    t.same(
      [3_600_000, 300_000, 30_000, 5_000, 0, -60_000].map(delay),
      [60_000, 20_000, 10_000, 5_500, 1_000, 1_000],
    );
    t.same([-5 * MINUTE_MS, -60 * MINUTE_MS].map(delay), [5_000, 15_000]);
    t.equal(plan.pollDelayMs(NOW_MS, null, 0.5), 5_000);
  },
);

void t.test("every page asks within the second after the opening, and few times before it", async () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 86_400_000 }), random, (untilMs, chance) => {
      const delayMs = plan.pollDelayMs(NOW_MS, NOW_MS + untilMs, chance);
      // Either well before it, or in the second that follows it: never just ahead of it, in vain.
      return delayMs < untilMs ? delayMs >= 7_500 : delayMs <= untilMs + 1_000;
    }),
  );
});

void t.test("early connects lie in the last minute, spread over it", async () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: -5_000, max: 120_000 }), random, (untilMs, chance) => {
      const delayMs = plan.connectDelayMs(NOW_MS, NOW_MS + untilMs, chance);
      if (untilMs > 60_000 || untilMs <= 2_000) return delayMs === null;
      return delayMs !== null && delayMs >= 0 && delayMs <= untilMs - 2_000;
    }),
  );
});
