import fc from "fast-check";
import t from "tap";
import { BLOCK_MAX, fillBlock, TierDraw } from "../src/amounts.ts";
import { commitmentOf, drawRound, Keystream, PURPOSE, roundSeed, shareOut } from "../src/index.ts";
import type { PackRange, PackRound, Split } from "../src/index.ts";

const SEED = Buffer.alloc(32, 7);

const stream = (seed = SEED, block = 0): Keystream => new Keystream(seed, PURPOSE.amounts, 0, block);

interface Case {
  count: number;
  budgetMinor: number;
  split: Exclude<Split, { method: "tiers" }>;
  min: number;
  max: number;
}

/** Any round of one block that an event may ask for; small counts and tight bounds come often. */
const anyCase: fc.Arbitrary<Case> = fc
  .record({
    method: fc.constantFrom("lucky" as const, "normal" as const, "equal" as const),
    count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 600 })),
    min: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1_000_000 })),
    room: fc.oneof(
      fc.constant(0),
      fc.constant(1),
      fc.nat({ max: 1_000_000 }),
      fc.constant(0xffff_ffff - 1_000_000),
    ),
    part: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    deviation: fc.integer({ min: 1, max: 1_000_000 }),
  })
  .map(({ method, count, min, room, part, deviation }) => {
    const budgetMinor = count * min + Math.floor(part * count * room);
    const bounds = { minMinor: min, maxMinor: min + room };
    const share = Math.floor(budgetMinor / count);
    if (method === "equal") {
      return { count, budgetMinor, split: { method }, min: share, max: Math.ceil(budgetMinor / count) };
    }
    const split: Case["split"] =
      method === "lucky" ? { method, ...bounds } : { method, ...bounds, deviationMinor: deviation };
    return { count, budgetMinor, split, min, max: min + room };
  });

t.test("lucky, normal and equal: exact sum, within bounds, the same again from the same seed", async () => {
  fc.assert(
    fc.property(anyCase, fc.uint8Array({ minLength: 32, maxLength: 32 }), (each, seed) => {
      const amounts = new Uint32Array(each.count);
      fillBlock(amounts, each.split, each.budgetMinor, stream(Buffer.from(seed)));
      const again = new Uint32Array(each.count);
      fillBlock(again, each.split, each.budgetMinor, stream(Buffer.from(seed)));
      const sum = amounts.reduce((all, amount) => all + amount, 0);
      return (
        sum === each.budgetMinor &&
        amounts.every((amount) => amount >= each.min && amount <= each.max) &&
        Buffer.from(amounts.buffer).equals(Buffer.from(again.buffer))
      );
    }),
    { numRuns: 500 },
  );
});

t.test("tiers: every tier as often as it says, over any cut into blocks", async () => {
  const tiers = fc.array(
    fc.record({
      amountMinor: fc.integer({ min: 1, max: 0xffff_ffff }),
      count: fc.integer({ min: 1, max: 50 }),
    }),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(tiers, fc.integer({ min: 1, max: 60 }), (tiers, block) => {
      const total = tiers.reduce((sum, tier) => sum + tier.count, 0);
      const draw = new TierDraw(tiers, stream());
      const drawn: number[] = [];
      while (drawn.length < total) {
        const amounts = new Uint32Array(Math.min(block, total - drawn.length));
        draw.fill(amounts);
        drawn.push(...amounts);
      }
      const wanted = tiers.flatMap((tier) => new Array<number>(tier.count).fill(tier.amountMinor));
      return drawn.sort((a, b) => a - b).join() === wanted.sort((a, b) => a - b).join();
    }),
  );
});

t.test("a draw beyond the tiers and a budget beyond the bounds are faults", async (t) => {
  const draw = new TierDraw([{ amountMinor: 1, count: 2 }], stream());
  t.throws(() => draw.fill(new Uint32Array(3)), RangeError);
  const split: Split = { method: "lucky", minMinor: 1, maxMinor: 2 };
  t.throws(() => fillBlock(new Uint32Array(2), split, 5, stream()), RangeError);
  t.throws(() => fillBlock(new Uint32Array(2), split, 1, stream()), RangeError);
});

const ROUND: PackRound = {
  id: 1,
  kind: "envelope",
  count: 0,
  budgetMinor: 0,
  split: { method: "equal" },
  perUser: 1,
  groups: null,
  leftovers: "next",
  spreadMs: 0,
  commitment: "",
};

/** All amounts of a round over three buckets, the second of which is empty. */
function drawAll(split: Split, count: number, budgetMinor: number, seed = SEED) {
  const topology = { buckets: ["b0", "b1", "b2"].map((id) => ({ id, slots: [] })) };
  const counts = shareOut(count, [3, 0, 2]);
  const budgets = shareOut(budgetMinor, counts);
  const planned: PackRange[] = topology.buckets.map(({ id }, i) => ({
    round: 1,
    bucket: id,
    lo: 1,
    count: counts[i]!,
    amountMinor: budgets[i]!,
  }));
  const round = { ...ROUND, count, budgetMinor, split };
  const amounts: number[] = [];
  const ranges: PackRange[] = [];
  for (const block of drawRound(round, planned, topology, seed, 8)) {
    for (const amount of block.amounts) amounts.push(amount);
    if (block.range) ranges.push(block.range);
  }
  return { amounts, ranges };
}

const sumOf = (amounts: number[]): number => amounts.reduce((sum, amount) => sum + amount, 0);

t.test("a round over buckets and block borders sums to its budget, and its ranges with it", async (t) => {
  const borders = [1, 2, 3, BLOCK_MAX, BLOCK_MAX + 1, Math.ceil((BLOCK_MAX * 5) / 3) + 1, 3 * BLOCK_MAX];
  for (const count of borders) {
    const budget = count * 500 + (count > 2 ? 1 : 0);
    const half = Math.floor(count / 2);
    const splits: Split[] = [
      { method: "lucky", minMinor: 1, maxMinor: 20_000 },
      { method: "lucky", minMinor: 499, maxMinor: 501 },
      { method: "normal", minMinor: 1, maxMinor: 1000, deviationMinor: 100 },
      { method: "equal" },
    ];
    for (const split of splits) {
      const { amounts, ranges } = drawAll(split, count, budget);
      const bounds = "minMinor" in split ? [split.minMinor, split.maxMinor] : [500, 501];
      t.equal(amounts.length, count);
      t.equal(sumOf(amounts), budget, `${split.method} × ${count}`);
      t.ok(amounts.every((amount) => amount >= bounds[0]! && amount <= bounds[1]!));
      t.equal(ranges.length, 3);
      t.equal(sumOf(ranges.map((range) => range.amountMinor)), budget);
    }
    const tiers: Split = {
      method: "tiers",
      tiers: [
        { amountMinor: 300, count: half },
        { amountMinor: 700, count: count - half },
      ],
    };
    const { amounts, ranges } = drawAll(tiers, count, half * 300 + (count - half) * 700);
    t.equal(sumOf(amounts), half * 300 + (count - half) * 700);
    t.equal(amounts.filter((amount) => amount === 300).length, half);
    t.equal(sumOf(ranges.map((range) => range.amountMinor)), sumOf(amounts));
  }
});

t.test("another seed gives other amounts, the same seed the same", async (t) => {
  const split: Split = { method: "lucky", minMinor: 1, maxMinor: 20_000 };
  t.same(drawAll(split, 1000, 500_000).amounts, drawAll(split, 1000, 500_000).amounts);
  t.notSame(
    drawAll(split, 1000, 500_000).amounts,
    drawAll(split, 1000, 500_000, Buffer.alloc(32, 8)).amounts,
  );
});

t.test("amounts follow their curve, and the order of IDs says nothing about them", async (t) => {
  const count = 50_000;
  const lucky = drawAll({ method: "lucky", minMinor: 1, maxMinor: 20_000 }, count, count * 500).amounts;
  // Of exponential shares with this mean 1 - 1/e, some 63 %, are below the mean.
  const below = lucky.filter((amount) => amount < 500).length / count;
  t.ok(below > 0.61 && below < 0.65, `${below} below the mean`);
  const normal = drawAll(
    { method: "normal", minMinor: 1, maxMinor: 1000, deviationMinor: 100 },
    count,
    count * 500,
  ).amounts;
  const within = normal.filter((amount) => Math.abs(amount - 500) <= 100).length / count;
  t.ok(within > 0.66 && within < 0.7, `${within} within a deviation`);
  for (const amounts of [lucky, normal]) {
    t.ok(Math.abs(correlation(amounts)) < 0.02, "no trend along the IDs");
    t.ok(Math.abs(correlation(amounts.slice(1), amounts)) < 0.02, "no echo of the neighbour");
  }
});

/** Pearson's correlation of values with their position, or with other values. */
function correlation(values: number[], others?: number[]): number {
  const count = values.length;
  const x = others ? others.slice(0, count) : values.map((_value, index) => index);
  const mean = (list: number[]): number => sumOf(list) / count;
  const [mx, my] = [mean(x), mean(values)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    xy += (x[i]! - mx) * (values[i]! - my);
    xx += (x[i]! - mx) ** 2;
    yy += (values[i]! - my) ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}

t.test("seeds of rounds come from the master seed alone and differ", async (t) => {
  const master = Buffer.from("5eed".repeat(16), "hex");
  // HMAC-SHA256 and SHA-256 as any other tool computes them.
  t.equal(roundSeed(master, 1).length, 32);
  t.notSame(roundSeed(master, 1), roundSeed(master, 11));
  t.match(commitmentOf(roundSeed(master, 1)), /^[0-9a-f]{64}$/);
});

t.test("a keystream is AES-256 in counter mode, apart for every purpose, part and block", async (t) => {
  const first = (seed: Buffer, purpose: number, part: number, block: number): number[] => {
    const keys = new Keystream(seed, purpose, part, block);
    return [keys.word(), keys.word(), keys.word(), keys.word()];
  };
  const streams = [first(SEED, 1, 0, 0), first(SEED, 2, 0, 0), first(SEED, 1, 1, 0), first(SEED, 1, 0, 1)];
  t.equal(new Set(streams.map((words) => words.join())).size, streams.length);
  t.throws(() => first(Buffer.alloc(16), 1, 0, 0), RangeError);
  // NIST SP 800-38A has no vector with our counter; all zero bytes are AES-256's known answer (FIPS 197 tools).
  const known = first(Buffer.alloc(32), 0, 0, 0);
  const bytes = Buffer.from(new Uint32Array(known).buffer).toString("hex");
  t.equal(bytes, "dc95c078a2408989ad48a21492842087");
});

t.test("numbers below n are all hit, and only they", async (t) => {
  const keys = stream();
  const seen = new Set<number>();
  for (let i = 0; i < 1000; i++) seen.add(keys.below(7));
  t.same([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
});
