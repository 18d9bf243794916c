/** Runs of prize IDs, lo … lo + count - 1: arithmetic without any store. */
export interface Run {
  lo: number;
  count: number;
}

export function countOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}

/** What the IDs of some runs are worth together, in minor units; flat memory. */
export function worthOf(runs: readonly Run[], amountOf: (id: number) => number): number {
  let sum = 0;
  for (const { lo, count } of runs) for (let id = lo; id < lo + count; id += 1) sum += amountOf(id);
  return sum;
}

/**
 * How often IDs came in more often than they went out: 1 is owned, 0 is not, anything else is a fault of the books. The
 * runs of each level but 0, in the order of IDs; neighbours of one level are one run.
 */
export function balanceOf(came: readonly Run[], went: readonly Run[]): (Run & { level: number })[] {
  const steps = new Map<number, number>();
  const step = (at: number, by: number): void => void steps.set(at, (steps.get(at) ?? 0) + by);
  for (const { lo, count } of came) {
    step(lo, 1);
    step(lo + count, -1);
  }
  for (const { lo, count } of went) {
    step(lo, -1);
    step(lo + count, 1);
  }
  const found: (Run & { level: number })[] = [];
  let level = 0;
  let from = 0;
  for (const [at, by] of [...steps].sort(([a], [b]) => a - b)) {
    if (by === 0) continue;
    if (level !== 0) found.push({ lo: from, count: at - from, level });
    level += by;
    from = at;
  }
  return found;
}

/** Which of some runs, sorted by lo and disjoint, holds the ID; -1 for none. */
export function runWith(runs: readonly Run[], id: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const { lo, count } = runs[middle]!;
    if (id < lo) high = middle - 1;
    else if (id >= lo + count) low = middle + 1;
    else return middle;
  }
  return -1;
}
