/**
 * Cutting a budget into amounts, exact to the minor unit. Pure: the same numbers in, the same amounts out.
 *
 * All amounts are whole minor units in a Uint32Array of one block (at most 65,536 prizes), so memory does not grow
 * with the round. Real numbers only decide the shape; the sum is then settled in whole units. The logarithm and
 * cosine are V8's own (a port of fdlibm), the same on every platform.
 */
import type { Split } from "./event-plan.ts";
import type { Keystream } from "./random.ts";

/** Prizes of one block. */
export const BLOCK_MAX = 65_536;

export interface Bounds {
  minMinor: number;
  maxMinor: number;
}

/** Steps of a search for a scale; each halves the interval or ends the search. */
const STEPS_MAX = 100;

/**
 * Fills a block so that its amounts lie within the bounds and sum to `budgetMinor` exactly.
 * Throws RangeError when that cannot be (the event's checks exclude it).
 */
export function fillBlock(
  amounts: Uint32Array,
  split: Exclude<Split, { method: "tiers" }>,
  budgetMinor: number,
  random: Keystream,
): void {
  switch (split.method) {
    case "none":
      amounts.fill(0);
      return;
    case "equal": {
      const share = Math.floor(budgetMinor / amounts.length);
      amounts.fill(share);
      settle(amounts, budgetMinor, { minMinor: share, maxMinor: share + 1 }, random);
      return;
    }
    case "lucky":
      fillLucky(amounts, budgetMinor, split, random);
      return;
    case "normal":
      fillNormal(amounts, budgetMinor, split, split.deviationMinor, random);
      return;
  }
}

/**
 * Lucky draw: min plus shares in proportion to exponential weights, which is the uniform distribution over all ways
 * to cut the rest (Devroye, Non-Uniform Random Variate Generation, V.2), with what exceeds max shared over the others.
 */
function fillLucky(amounts: Uint32Array, budgetMinor: number, bounds: Bounds, random: Keystream): void {
  const count = amounts.length;
  const weights = new Float64Array(count);
  for (let i = 0; i < count; i++) weights[i] = -Math.log(random.unit());
  const room = bounds.maxMinor - bounds.minMinor;
  const scale = luckyScale(weights, room, budgetMinor - count * bounds.minMinor);
  for (let i = 0; i < count; i++) {
    amounts[i] = bounds.minMinor + Math.floor(Math.min(room, scale * weights[i]!));
  }
  settle(amounts, budgetMinor, bounds, random);
}

/**
 * The scale s with sum(min(room, s × weight)) = rest. Prizes that reach the room are set aside and the rest is shared
 * over the others, until none is added; each step only ever adds, so it ends (water filling).
 */
function luckyScale(weights: Float64Array, room: number, rest: number): number {
  let scale = 0;
  let fullBefore = -1;
  for (let step = 0; step < STEPS_MAX; step++) {
    let full = 0;
    let weight = 0;
    for (const each of weights) {
      if (each * scale >= room && step > 0) full++;
      else weight += each;
    }
    if (full === fullBefore || weight === 0) break;
    scale = Math.max(scale, (rest - full * room) / weight);
    fullBefore = full;
  }
  return scale;
}

/** Bell curve: amounts around a middle, cut at the bounds; the middle is searched so that the sum fits. */
function fillNormal(
  amounts: Uint32Array,
  budgetMinor: number,
  bounds: Bounds,
  deviationMinor: number,
  random: Keystream,
): void {
  const count = amounts.length;
  const offsets = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    // Box and Muller (1958): two uniform numbers make two normal ones.
    const radius = deviationMinor * Math.sqrt(-2 * Math.log(random.unit()));
    const angle = 2 * Math.PI * random.unit();
    offsets[i] = radius * Math.cos(angle);
    if (i + 1 < count) offsets[i + 1] = radius * Math.sin(angle);
  }
  const clamp = (value: number): number => Math.max(bounds.minMinor, Math.min(bounds.maxMinor, value));
  // No offset is beyond 9 deviations (sqrt(-2 ln 2^-54)), so these middles give all min and all max.
  let low = bounds.minMinor - 9 * deviationMinor;
  let high = bounds.maxMinor + 9 * deviationMinor;
  let middle = budgetMinor / count;
  for (let step = 0; step < STEPS_MAX && high - low > 1e-9 * high; step++) {
    let sum = 0;
    for (const offset of offsets) sum += clamp(middle + offset);
    if (Math.abs(sum - budgetMinor) < 0.5) break;
    if (sum < budgetMinor) low = middle;
    else high = middle;
    middle = (low + high) / 2;
  }
  for (let i = 0; i < count; i++) amounts[i] = Math.floor(clamp(middle + offsets[i]!));
  settle(amounts, budgetMinor, bounds, random);
}

/**
 * Moves the sum to the budget by single minor units, to or from prizes chosen at random among those with room.
 * Rounding down loses less than one unit a prize, so one pass is the rule.
 */
export function settle(amounts: Uint32Array, budgetMinor: number, bounds: Bounds, random: Keystream): void {
  let missing = budgetMinor;
  for (const amount of amounts) missing -= amount;
  while (missing !== 0) {
    const step = missing > 0 ? 1 : -1;
    const bound = step > 0 ? bounds.maxMinor : bounds.minMinor;
    const open = new Uint32Array(amounts.length);
    let count = 0;
    for (let i = 0; i < amounts.length; i++) if (amounts[i] !== bound) open[count++] = i;
    if (count === 0) throw new RangeError(`${missing} minor units do not fit between the bounds`);
    const moves = Math.min(count, Math.abs(missing));
    // The first steps of a shuffle (Fisher and Yates): each open prize at most once a pass.
    for (let i = 0; i < moves; i++) {
      const chosen = i + random.below(count - i);
      const index = open[chosen]!;
      open[chosen] = open[i]!;
      amounts[index]! += step;
    }
    missing -= moves * step;
  }
}

/**
 * Fixed tiers in random order over a whole round, block after block: each prize takes a tier with the chance of what
 * is left of it (selection sampling; Knuth, TAOCP 2, 3.4.2), so the counts come out exactly.
 */
export class TierDraw {
  readonly #amounts: number[];
  readonly #left: number[];
  readonly #random: Keystream;
  #total: number;

  constructor(tiers: { amountMinor: number; count: number }[], random: Keystream) {
    // The most frequent first: the search then ends after a step or two.
    const sorted = tiers.toSorted((a, b) => b.count - a.count);
    this.#amounts = sorted.map((tier) => tier.amountMinor);
    this.#left = sorted.map((tier) => tier.count);
    this.#total = this.#left.reduce((sum, count) => sum + count, 0);
    this.#random = random;
  }

  /** Fills a block; returns its sum. Throws RangeError when the tiers hold fewer prizes. */
  fill(amounts: Uint32Array): number {
    if (amounts.length > this.#total) throw new RangeError("the tiers hold fewer prizes than the round");
    let sum = 0;
    for (let i = 0; i < amounts.length; i++) {
      let at = this.#random.below(this.#total);
      let tier = 0;
      while (at >= this.#left[tier]!) at -= this.#left[tier++]!;
      this.#left[tier]!--;
      this.#total--;
      amounts[i] = this.#amounts[tier]!;
      sum += amounts[i]!;
    }
    return sum;
  }
}
