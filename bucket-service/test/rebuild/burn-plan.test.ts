import fc from "fast-check";
import t from "tap";
import { countOf, type Run } from "../../src/moves/runs.ts";
import { idsOf, planBurn, runsOf } from "../../src/rebuild/burn-plan.ts";

/** Ranges that do not overlap, in any order, and how a bucket might have issued from them. */
const anyRound = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
    order: fc.infiniteStream(fc.nat()),
    issuedPart: fc.double({ min: 0, max: 1, noNaN: true }),
    journalMax: fc.integer({ min: 1, max: 40 }),
    lost: fc.infiniteStream(fc.boolean()),
  })
  .map(({ sizes, order, issuedPart, journalMax, lost }) => {
    let lo = 1000;
    const ranges = sizes.map((count): Run => {
      const range = { lo, count };
      lo += count + 3;
      return range;
    });
    const keys = ranges.map(() => order.next().value as number);
    const shuffled = ranges
      .map((range, index) => ({ range, key: keys[index]! }))
      .sort((a, b) => a.key - b.key)
      .map(({ range }) => range);
    const ids = [...idsOf(shuffled)];
    const issued = ids.slice(0, Math.round(issuedPart * ids.length));
    // At most journalMax of what was issued had not reached MySQL.
    const unpersisted = new Set<number>();
    for (const id of issued.toReversed()) {
      if (unpersisted.size === journalMax) break;
      if (lost.next().value as boolean) unpersisted.add(id);
    }
    const claimed = new Set(issued.filter((id) => !unpersisted.has(id)));
    return { ranges: shuffled, ids, issued, unpersisted, claimed, journalMax };
  });

t.test("whatever was issued and is not persisted is burned, and nothing is lost or doubled", async () => {
  fc.assert(
    fc.property(anyRound, ({ ranges, ids, unpersisted, claimed, journalMax }) => {
      const plan = planBurn(ranges, (id) => claimed.has(id), journalMax, true);
      const burned = new Set([...idsOf(plan.holes), ...idsOf(plan.beyond)]);
      const left = [...idsOf(plan.left)];
      for (const id of unpersisted) if (!burned.has(id)) return false;
      for (const id of left) if (claimed.has(id) || burned.has(id)) return false;
      // Each ID is in exactly one place, and what is left is the end of the issue order.
      const isSuffix = left.every((id, index) => id === ids[ids.length - left.length + index]);
      return isSuffix && claimed.size + burned.size + left.length === ids.length;
    }),
  );
});

t.test("not more than the bound is burned beyond the last persisted one", async () => {
  fc.assert(
    fc.property(anyRound, ({ ranges, ids, claimed, journalMax }) => {
      const plan = planBurn(ranges, (id) => claimed.has(id), journalMax, true);
      const last = ids.findLastIndex((id) => claimed.has(id));
      const holes = ids.slice(0, last + 1).filter((id) => !claimed.has(id));
      return (
        countOf(plan.beyond) === Math.min(journalMax, ids.length - last - 1) &&
        JSON.stringify([...idsOf(plan.holes)]) === JSON.stringify(holes)
      );
    }),
  );
});

t.test("a round without a claim: nothing is burned unless it may have opened", async (t) => {
  const ranges = [
    { lo: 100, count: 10 },
    { lo: 50, count: 5 },
  ];
  const none = (): boolean => false;
  t.same(planBurn(ranges, none, 12, false), { holes: [], beyond: [], left: ranges });
  t.same(planBurn(ranges, none, 12, true), {
    holes: [],
    beyond: [
      { lo: 100, count: 10 },
      { lo: 53, count: 2 },
    ],
    left: [{ lo: 50, count: 3 }],
  });
});

t.test("holes and what is beyond, by hand: two ranges, the second begun", async (t) => {
  const claimed = new Set([109, 107, 106, 54]);
  const plan = planBurn(
    [
      { lo: 106, count: 4 },
      { lo: 50, count: 5 },
      { lo: 20, count: 3 },
    ],
    (id) => claimed.has(id),
    5,
    true,
  );
  t.same(plan, {
    holes: [{ lo: 108, count: 1 }],
    beyond: [
      { lo: 50, count: 4 },
      { lo: 22, count: 1 },
    ],
    left: [{ lo: 20, count: 2 }],
  });
  t.same(runsOf([1, 2, 3, 7, 9, 10]), [
    { lo: 1, count: 3 },
    { lo: 7, count: 1 },
    { lo: 9, count: 2 },
  ]);
});
