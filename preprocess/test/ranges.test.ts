import fc from "fast-check";
import t from "tap";
import { blocksOf, shareOut } from "../src/index.ts";

t.test("shares follow the weights and sum to the whole", async (t) => {
  t.same(shareOut(10, [1, 1]), [5, 5]);
  t.same(shareOut(1, [1, 1]), [1, 0], "ties go to the first");
  t.same(shareOut(10, [1, 0, 2]), [3, 0, 7]);
  t.throws(() => shareOut(10, [0, 0]), /nothing to share by/);
});

t.test("every share is the exact one rounded up or down", async () => {
  const weights = fc.array(fc.nat({ max: 2_000_000_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), weights, (total, weights) => {
      const sum = weights.reduce((all, weight) => all + BigInt(weight), 0n);
      fc.pre(sum > 0n);
      const shares = shareOut(total, weights);
      const fits = shares.every((share, i) => {
        const distance = BigInt(share) * sum - BigInt(total) * BigInt(weights[i]!);
        return distance < sum && distance > -sum;
      });
      return fits && shares.reduce((all, share) => all + BigInt(share), 0n) === BigInt(total);
    }),
  );
});

t.test("blocks sum to the range and each fits the bounds that the range fits", async () => {
  const range = fc.record({
    count: fc.integer({ min: 1, max: 500 }),
    min: fc.integer({ min: 1, max: 1000 }),
    room: fc.nat({ max: 1000 }),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    block: fc.integer({ min: 1, max: 100 }),
  });
  fc.assert(
    fc.property(range, ({ count, min, room, part, block }) => {
      const budget = count * min + Math.floor(part * count * room);
      const blocks = [...blocksOf(count, budget, block)];
      return (
        blocks.reduce((sum, each) => sum + each.count, 0) === count &&
        blocks.reduce((sum, each) => sum + each.budgetMinor, 0) === budget &&
        blocks.every((each) => each.count >= 1 && each.count <= block) &&
        blocks.every(
          (each) => each.budgetMinor >= each.count * min && each.budgetMinor <= each.count * (min + room),
        )
      );
    }),
  );
});
