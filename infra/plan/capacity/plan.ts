/**
 * From an event to its cluster, or several: the cheapest sizes that respect every limit with the head-room asked for, what they cost, and
 * what breaks first. Pure.
 *
 * More load never costs less: with a given number of buckets and clusters each size only grows with the load, more load only rules
 * numbers out, and the cheapest of what is left is taken. A test holds it against random events.
 */
import { costOf, type Cost } from "./cost.ts";
import { demandOf, type Demand, type EventShape } from "./demand.ts";
import { OURS } from "./facts.ts";
import { quotasOf, type Quota } from "./quotas.ts";
import type { World } from "./loads.ts";
import { isPossible, sizeFor, type Sizes } from "./sizing.ts";
import { payoutSeconds, usesOf, type Use } from "./uses.ts";

export interface PlanOptions {
  shape: EventShape;
  hours: number;
  /** Exactly so many; null: as many as needed. */
  buckets: number | null;
}

export interface Breaking extends Use {
  /** Times the planned load at which the limit is reached; null: not within a million times. */
  times: number | null;
  /** Grabs a second then. */
  grabs: number | null;
}

export interface Plan {
  /** Clusters of the same size, each with its part of the users and an event of its own. */
  clusters: number;
  /** Why one would not do; null when it does. */
  whySeveral: string | null;
  /** Why there are not fewer buckets. */
  whyBuckets: string;
  /** Of the whole event, and of one cluster. */
  whole: Demand;
  demand: Demand;
  sizes: Sizes;
  /** Of one cluster; first what breaks first. */
  uses: Breaking[];
  quotas: Quota[];
  /** Of one cluster. */
  cost: Cost;
  costOfAll: number;
  payoutSeconds: number;
}

/** A broken bucket should touch at most so many users, or a tenth of them. */
const BLAST = { users: 10_000, buckets: 10 };
const CLUSTERS_MAX = 4_096;
/** More clusters may round to a cheaper whole; after so many in a row that are not cheaper nothing better comes. */
const DEARER_MAX = 4;
const TIMES_MAX = 1_000_000;

export class NoPlan extends Error {}

/** Throws NoPlan when no number of clusters would do. */
export function planFor(options: PlanOptions, world: World): Plan {
  const fewest = fewestClusters(options, world);
  const best = cheapestOf(fewest.clusters, options, world);
  const { clusters, demand, sizes, cost, whyBuckets } = best;
  return {
    clusters,
    whySeveral: whySeveral(clusters, fewest),
    whyBuckets,
    whole: demandOf(options.shape, world.figures),
    demand,
    sizes,
    uses: breaking(sizes, demand, world),
    quotas: quotasOf(sizes, demand, world.policy.zones, clusters),
    cost,
    costOfAll: clusters * cost.total,
    payoutSeconds: payoutSeconds(sizes, demand, world),
  };
}

/** The cheapest whole, of so many clusters or more. */
function cheapestOf(fewest: number, options: PlanOptions, world: World): Found & { clusters: number } {
  let best: (Found & { clusters: number }) | null = null;
  for (let clusters = fewest, dearer = 0; dearer < DEARER_MAX; clusters++) {
    const found = cheapestCluster(partOf(options.shape, clusters), options, world);
    const isCheaper =
      "sizes" in found && (best === null || clusters * found.cost.total < best.clusters * best.cost.total);
    if (isCheaper) best = { clusters, ...found };
    dearer = isCheaper ? 0 : dearer + 1;
  }
  return best!;
}

function whySeveral(clusters: number, fewest: { clusters: number; why: string | null }): string | null {
  if (clusters === fewest.clusters) return fewest.why;
  const fewer = `${fewest.clusters} would do and cost more`;
  return fewest.why === null ? fewer : `${fewest.why}; ${fewer}`;
}

/** The part of one of several clusters. */
function partOf(shape: EventShape, clusters: number): EventShape {
  if (clusters === 1) return shape;
  const peak = "pattern" in shape.peak ? shape.peak : { perSecond: shape.peak.perSecond / clusters };
  return {
    ...shape,
    users: Math.ceil(shape.users / clusters),
    prizes: Math.ceil(shape.prizes / clusters),
    peak,
  };
}

function fewestClusters(options: PlanOptions, world: World): { clusters: number; why: string | null } {
  let why: string | null = null;
  const fits = (clusters: number): boolean => {
    const found = cheapestCluster(partOf(options.shape, clusters), options, world);
    if ("sizes" in found) return true;
    if (clusters === 1) why = found.limit;
    else why ??= found.limit;
    return false;
  };
  let enough = 1;
  while (!fits(enough)) {
    enough *= 2;
    if (enough > CLUSTERS_MAX) throw new NoPlan(`${why}: not even ${CLUSTERS_MAX} clusters would do`);
  }
  let tooFew = enough >> 1;
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1;
    if (fits(middle)) enough = middle;
    else tooFew = middle;
  }
  return { clusters: enough, why };
}

interface Found {
  demand: Demand;
  sizes: Sizes;
  cost: Cost;
  whyBuckets: string;
}

function cheapestCluster(shape: EventShape, options: PlanOptions, world: World): Found | { limit: string } {
  const demand = demandOf(shape, world.figures);
  const blast = Math.min(BLAST.buckets, Math.max(1, Math.ceil(shape.users / BLAST.users)));
  const [first, last] =
    options.buckets === null ? [blast, OURS.bucketsMax] : [options.buckets, options.buckets];
  let best: Found | null = null;
  let limit = "";
  for (let buckets = first; buckets <= last; buckets++) {
    const sizes = sizeFor(demand, buckets, world);
    if (!isPossible(sizes)) {
      limit = sizes.limit;
      continue;
    }
    const cost = costOf(sizes, demand, options.hours, world);
    const whyBuckets = options.buckets !== null ? "--buckets" : reason(limit, buckets === first, blast);
    if (best === null) best = { demand, sizes, cost, whyBuckets };
    else if (cost.total < best.cost.total) best = { demand, sizes, cost, whyBuckets: "cheaper than fewer" };
  }
  return best ?? { limit: `${limit}, with ${last} buckets` };
}

function reason(limit: string, isFirst: boolean, blast: number): string {
  if (!isFirst) return `fewer would not do: ${limit}`;
  if (blast === 1) return "one is enough";
  return `a broken bucket touches ${blast === BLAST.buckets ? "a tenth of the users" : `${BLAST.users} users at most`}`;
}

/** The same cluster under more and more of the same crowd. */
function breaking(sizes: Sizes, demand: Demand, world: World): Breaking[] {
  const usedAt = (times: number): Map<string, number> => {
    const scaled = demandOf(timesShape(demand.shape, times), world.figures);
    return new Map(usesOf(sizes, scaled, world).map(({ id, used }) => [id, used]));
  };
  const all = usesOf(sizes, demand, world).map((use): Breaking => {
    let [low, high] = [0, TIMES_MAX];
    if (usedAt(high).get(use.id)! < 1) return { ...use, times: null, grabs: null };
    while (high - low > 0.001 * high) {
      const middle = low === 0 ? high / 2 : (low + high) / 2;
      if (usedAt(middle).get(use.id)! < 1) low = middle;
      else high = middle;
    }
    return { ...use, times: high, grabs: high * demand.grabs };
  });
  return all.sort((a, b) => (a.times ?? Infinity) - (b.times ?? Infinity));
}

function timesShape(shape: EventShape, times: number): EventShape {
  const peak = "pattern" in shape.peak ? shape.peak : { perSecond: shape.peak.perSecond * times };
  return { ...shape, users: shape.users * times, peak };
}
