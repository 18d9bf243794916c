import { countOf, type Run } from "../moves/runs.ts";

/** What a rebuild makes of one round's stock. Runs are issued from their highest ID down, in this order. */
export interface BurnPlan {
  /** Positions that were skipped: not persisted, although a later one is. Whose they are is not known. */
  holes: Run[];
  /** Positions after the last persisted one that may have been issued. */
  beyond: Run[];
  /** What can certainly still be given. */
  left: Run[];
}

/**
 * Which IDs of a round may have been given to someone without MySQL knowing. Pure.
 *
 * A bucket issues its ranges in their order, each from the highest ID down, so that every ID has a position. At most
 * journalMax claims are ever on their way to MySQL; so what was issued ends at most that far after the last persisted
 * position, and whatever stands before it without a claim may be a win that was told and lost.
 *
 * @param ranges the round's stock of this epoch in issue order, with what was issued since it began.
 * @param isClaimed whether MySQL holds a claim on the ID.
 * @param mayHaveOpened whether something may have been issued although MySQL holds no claim.
 */
export function planBurn(
  ranges: readonly Run[],
  isClaimed: (id: number) => boolean,
  journalMax: number,
  mayHaveOpened: boolean,
): BurnPlan {
  const last = lastClaimed(ranges, isClaimed);
  const plan: BurnPlan = { holes: [], beyond: [], left: [] };
  if (last === -1 && !mayHaveOpened) return { ...plan, left: ranges.filter(({ count }) => count > 0) };
  let first = 0;
  for (const range of ranges) {
    const end = first + range.count;
    // Positions of this range: up to `last`, then up to the bound, then the rest.
    const before = clamp(last + 1, first, end) - first;
    const doubtful = clamp(last + 1 + journalMax, first, end) - first;
    for (let offset = 0; offset < before; offset += 1) {
      const id = range.lo + range.count - 1 - offset;
      if (!isClaimed(id)) extendDown(plan.holes, id);
    }
    push(plan.beyond, range.lo + range.count - doubtful, doubtful - before);
    push(plan.left, range.lo, range.count - doubtful);
    first = end;
  }
  return plan;
}

/** Every ID of some runs, in issue order. */
export function* idsOf(runs: readonly Run[]): Generator<number> {
  for (const { lo, count } of runs) for (let id = lo + count - 1; id >= lo; id -= 1) yield id;
}

/** IDs in rising order as the fewest runs. */
export function runsOf(risingIds: Iterable<number>): Run[] {
  const runs: Run[] = [];
  for (const id of risingIds) {
    const last = runs.at(-1);
    if (last !== undefined && last.lo + last.count === id) last.count += 1;
    else runs.push({ lo: id, count: 1 });
  }
  return runs;
}

/** The last position with a claim, or -1. */
function lastClaimed(ranges: readonly Run[], isClaimed: (id: number) => boolean): number {
  let end = countOf(ranges);
  for (let index = ranges.length - 1; index >= 0; index -= 1) {
    const { lo, count } = ranges[index]!;
    for (let id = lo; id < lo + count; id += 1) if (isClaimed(id)) return end - 1 - (id - lo);
    end -= count;
  }
  return -1;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function push(runs: Run[], lo: number, count: number): void {
  if (count > 0) runs.push({ lo, count });
}

function extendDown(runs: Run[], id: number): void {
  const last = runs.at(-1);
  if (last === undefined || last.lo !== id + 1) return void runs.push({ lo: id, count: 1 });
  last.lo = id;
  last.count += 1;
}
