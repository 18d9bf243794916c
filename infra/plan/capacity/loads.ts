/** What each part of a cluster has to do under a demand, as formulas; sizes and limits are both reckoned from them. Pure. */
import { batchOf, callsBound } from "./coalescing.ts";
import { PAGE, type Demand, type Phase } from "./demand.ts";
import { ASSUMED, OURS } from "./facts.ts";
import type { Figures } from "./figures.ts";
import type { Stretch } from "./press.ts";
import type { MysqlClass, Prices, RedisNode } from "./prices.ts";

export interface Policy {
  /** Part of every limit that stays free at the planned load. */
  headroom: number;
  zones: number;
  journalMax: number;
  redisRoundTripMs: number;
  mysqlCommitMs: number;
  /** What a core there does, to one where it was measured. */
  coreFactor: number;
}

export interface World {
  figures: Figures;
  policy: Policy;
  prices: Prices;
}
const SLOTS = 1024;
export const MIB = 1024 ** 2;
export const GIB = 1024 ** 3;

/** What the fullest bucket has to carry. */
export interface Share {
  grabs: number;
  roundPrizes: number;
  prizes: number;
  results: number;
  wins: number;
}

export function shareOf(demand: Demand, buckets: number): Share {
  // Slots are cut in whole ones, and users do not fall into them evenly.
  const share = Math.min(
    1,
    (Math.ceil(SLOTS / buckets) / SLOTS) * (buckets === 1 ? 1 : 1 + ASSUMED.imbalance.value),
  );
  return {
    grabs: demand.grabs * share,
    roundPrizes: demand.roundPrizes * share,
    prizes: demand.shape.prizes * share,
    results: demand.results * share,
    wins: demand.wins * share,
  };
}

export const cores = (us: number, { policy }: World): number => us / 1e6 / policy.coreFactor;

export function balancerPhases(
  demand: Demand,
  world: World,
): { before: number; opening: number; after: number } {
  const { figures } = world;
  const { handshakes } = demand;
  return {
    before: cores(
      handshakes.before * figures.handshakeHaproxyUs.value + demand.sessions * figures.tokenHaproxyUs.value,
      world,
    ),
    opening: cores(
      demand.grabs * figures.grabHaproxyUs.value + handshakes.opening * figures.handshakeHaproxyUs.value,
      world,
    ),
    after: cores(
      demand.grabs * figures.endedHaproxyUs.value +
        demand.results * figures.resultHaproxyUs.value +
        demand.wins * figures.winsHaproxyUs.value,
      world,
    ),
  };
}

/** HAProxy's cores over time, seconds from an opening: early connects, the grabs, then those who are told `ended` and look. */
export function balancerTimeline(
  demand: Demand,
  world: World,
): (Stretch & { phase: Phase; cores: number })[] {
  const { before, opening, after } = balancerPhases(demand, world);
  const { endedHaproxyUs } = world.figures;
  const ends = demand.presses.at(-1)?.toSeconds ?? 0;
  const isSoldOut = demand.sellOutSeconds < ends;
  const pressed = demand.presses.flatMap(({ fromSeconds, toSeconds, perSecond }) => {
    const cut = Math.min(Math.max(fromSeconds, demand.sellOutSeconds), toSeconds);
    return [
      {
        fromSeconds,
        toSeconds: cut,
        perSecond,
        phase: "opening" as const,
        cores: (opening * perSecond) / demand.grabs,
      },
      {
        fromSeconds: cut,
        toSeconds,
        perSecond,
        phase: "after" as const,
        cores: cores(perSecond * endedHaproxyUs.value, world),
      },
    ];
  });
  const looking = after - cores(demand.grabs * endedHaproxyUs.value, world);
  const from = isSoldOut ? demand.sellOutSeconds + 1 : ends + 1;
  return [
    {
      fromSeconds: -PAGE.connectSeconds - 2,
      toSeconds: -2,
      perSecond: demand.handshakes.before,
      phase: "before" as const,
      cores: before,
    },
    ...pressed,
    {
      fromSeconds: from,
      toSeconds: from + PAGE.resultSeconds,
      perSecond: demand.results,
      phase: "after" as const,
      cores: looking,
    },
  ].filter((stretch) => stretch.toSeconds > stretch.fromSeconds);
}

/** What the balancer is sized for: every grab of the peak may be a win. */
export function balancerCores(demand: Demand, world: World): number {
  return Math.max(...Object.values(balancerPhases(demand, world)));
}

export function balancerBytes(connections: number, { figures }: World): number {
  return figures.haproxyBytes.value + connections * figures.idleConnectionBytes.value;
}

export function serviceBytes({ shape }: Demand, { figures }: World): number {
  const prizes = Math.max(0, shape.prizes - figures.packPrizes.value) * figures.prizeBytes.value;
  const users = Math.max(0, shape.users - figures.packUsers.value) * ASSUMED.userBytes.value;
  return figures.serviceBytes.value + prizes + users + ASSUMED.heapBytes.value;
}

/** Part of its one core that a service process uses. */
export function serviceCore(share: Share, count: number, balancers: number, world: World): number {
  const { figures } = world;
  const perSecond = share.grabs / count;
  const turns = perSecond / batchOf(perSecond);
  const opening = perSecond * figures.serviceClaimUs.value + turns * figures.serviceTurnUs.value;
  const after =
    (share.results * figures.resultServiceUs.value + share.wins * figures.winsServiceUs.value) / count;
  const checks = balancers * OURS.checksPerSecond * figures.checkUs.value;
  return cores(Math.max(opening, after) + checks, world);
}

export function redisCpu(share: Share, services: number, world: World): number {
  const { figures } = world;
  const calls = share.grabs / batchOf(share.grabs / services);
  const opening = share.grabs * figures.redisClaimUs.value + calls * figures.redisCallUs.value;
  const after = share.results * figures.resultRedisUs.value + share.wins * figures.winsRedisUs.value;
  return cores(Math.max(opening, after) * ASSUMED.redisTlsFactor.value, world);
}

export function redisMemory(share: Share, node: RedisNode, { figures, policy }: World): number {
  const journalBytes = Math.min(share.prizes, policy.journalMax) * ASSUMED.journalBytes.value;
  const bytes = share.prizes * figures.redisClaimBytes.value + journalBytes;
  return bytes / (node.memoryGib * GIB * ASSUMED.redisMemoryShare.value);
}

export function roundTrips(share: Share, services: number, { policy }: World): number {
  return share.grabs / services / callsBound(policy.redisRoundTripMs);
}

/** Claims a second that go to MySQL for long: a full transaction takes its work and its commit. */
function persistRate({ figures, policy }: World): number {
  const work = OURS.persistClaimsMax / (figures.persistPerSecond.value * policy.coreFactor);
  return OURS.persistClaimsMax / (work + policy.mysqlCommitMs / 1000);
}

/** How full the journal gets, when a round's prizes go at the peak's pace. */
export function journal(share: Share, world: World): number {
  const behind = share.grabs <= 0 ? 0 : Math.max(0, 1 - persistRate(world) / share.grabs);
  const gathering = Math.min(share.roundPrizes, share.grabs * OURS.persistGatherSeconds);
  return Math.min(share.roundPrizes, share.roundPrizes * behind + gathering) / world.policy.journalMax;
}

function persisted(share: Share, world: World): number {
  return Math.min(share.grabs, persistRate(world));
}

export function mysqlCores(share: Share, world: World): number {
  const { figures } = world;
  const opening = persisted(share, world) * figures.mysqlClaimUs.value;
  const after = share.results * figures.resultMysqlUs.value + share.wins * figures.winsMysqlUs.value;
  return cores(Math.max(opening, after), world);
}

export function mysqlWritten(share: Share, world: World): number {
  return persisted(share, world) * ASSUMED.mysqlWrittenBytes.value;
}

/** Prizes and claims should fit the buffer pool, three quarters of the memory. */
export function mysqlMemory(share: Share, { memoryGib }: MysqlClass): number {
  return (share.prizes * ASSUMED.mysqlBytes.value) / (0.75 * memoryGib * GIB);
}
