/**
 * From a demand to one cluster's sizes, for a given number of buckets; and how full each limit is then. Pure. The same
 * functions size a cluster and say at which load it breaks.
 */
import { batchOf, callsBound } from "./coalescing.ts";
import { PAGE, type Demand, type Phase } from "./demand.ts";
import { ASSUMED, connectionsOfTask, FARGATE, GP3, LOAD_BALANCER, OURS } from "./facts.ts";
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

export interface Task {
  count: number;
  vcpus: number;
  memoryMib: number;
}

export interface Sizes {
  buckets: number;
  balancer: Task;
  /** Of each bucket. */
  grab: Task;
  redis: RedisNode;
  mysql: MysqlClass & { storageGb: number };
}

export interface World {
  figures: Figures;
  policy: Policy;
  prices: Prices;
}

/** A process on one core gets no more done with two; below this it does not need a second for its helpers, either. */
const LIGHT = 0.25;
/** HAProxy tasks of the next size are taken when this many of the smaller one would not do; four threads are the most. */
const TASKS_OF_A_SIZE = 12;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const SLOTS = 1024;

/** Why a cluster of so many buckets cannot be built. */
export interface Impossible {
  limit: string;
}

export function isPossible(sizes: Sizes | Impossible): sizes is Sizes {
  return "buckets" in sizes;
}

export function sizeFor(demand: Demand, buckets: number, world: World): Sizes | Impossible {
  const balancer = sizeBalancer(demand, buckets, world);
  if (balancer === null) return { limit: "memory of a HAProxy task" };
  const grab = sizeGrab(demand, buckets, balancer.count, world);
  if (grab === null) return { limit: `service processes of a bucket (${OURS.servicesMax} at most)` };
  const share = shareOf(demand, buckets, world);
  const redis = cheapest(world.prices.redisNodes, (node) => redisMemory(share, node, world) <= free(world));
  if (redis === null) return { limit: "Redis memory of a bucket" };
  if (redisCpu(share, grab.count, world) > free(world)) return { limit: "Redis CPU of a bucket (one core)" };
  if (journal(share, world) > free(world)) return { limit: "journalMax: claims that wait for MySQL" };
  const mysql = sizeMysql(share, world);
  if (mysql === null) return { limit: "MySQL of a bucket" };
  return { buckets, balancer, grab, redis, mysql };
}

const free = ({ policy }: World): number => 1 - policy.headroom;

/** So many that each has room to spare, and that those who are left when a zone goes can still carry everything. */
function countFor(need: number, min: number, { policy }: World): number {
  let count = Math.max(min, Math.ceil(need / (1 - policy.headroom) - 1e-9));
  while (need > count - Math.ceil(count / policy.zones) + 1e-9) count += 1;
  return count;
}

function sizeBalancer(demand: Demand, buckets: number, world: World): Task | null {
  const cores = balancerCores(demand, world);
  const { connections } = demand;
  const places = Math.min(connectionsOfTask(buckets), LOAD_BALANCER.connectionsOfTarget);
  const options = FARGATE.flatMap(({ vcpus, memoryMib }, index): Task[] => {
    const forCores = countFor(cores / vcpus, 2, world);
    if (forCores > TASKS_OF_A_SIZE && index < FARGATE.length - 1) return [];
    const count = Math.max(forCores, countFor(connections / places, 2, world));
    // It must be able to hold all connections that it lets in.
    const bytes = balancerBytes(connectionsOfTask(buckets), world);
    const memory = memoryFor(bytes / free(world), memoryMib);
    return memory === null ? [] : [{ count, vcpus, memoryMib: memory }];
  });
  const { perHour } = world.prices;
  return cheapest(
    options.map((task) => ({
      ...task,
      perHour: task.count * (task.vcpus * perHour.fargateVcpu + (task.memoryMib / 1024) * perHour.fargateGb),
    })),
    () => true,
  );
}

function balancerBytes(connections: number, { figures }: World): number {
  return figures.haproxyBytes.value + connections * figures.idleConnectionBytes.value;
}

function sizeGrab(demand: Demand, buckets: number, balancers: number, world: World): Task | null {
  const share = shareOf(demand, buckets, world);
  const isEnough = (count: number): boolean =>
    serviceCore(share, count, balancers, world) <= free(world) &&
    serviceCore(share, count - Math.ceil(count / world.policy.zones), balancers, world) <= 1 &&
    roundTrips(share, count, world) <= free(world);
  let count = 2;
  while (count <= OURS.servicesMax && !isEnough(count)) count += 1;
  if (count > OURS.servicesMax) return null;
  const isLight = serviceCore(share, count, balancers, world) <= LIGHT && buckets === 1;
  const { vcpus, memoryMib } = FARGATE[isLight ? 0 : 1]!;
  const memory = memoryFor(serviceBytes(demand, world) / free(world), memoryMib);
  return memory === null ? null : { count, vcpus, memoryMib: memory };
}

function serviceBytes({ shape }: Demand, { figures }: World): number {
  const prizes = Math.max(0, shape.prizes - figures.packPrizes.value) * figures.prizeBytes.value;
  const users = Math.max(0, shape.users - figures.packUsers.value) * ASSUMED.userBytes.value;
  return figures.serviceBytes.value + prizes + users + ASSUMED.heapBytes.value;
}

function memoryFor(
  bytes: number,
  { min, max, step }: { min: number; max: number; step: number },
): number | null {
  const mib = Math.max(min, Math.ceil(bytes / MIB / step) * step);
  return mib <= max ? mib : null;
}

function sizeMysql(share: Share, world: World): Sizes["mysql"] | null {
  const dataGb = (share.prizes * ASSUMED.mysqlBytes.value) / 1e9;
  const written = mysqlWritten(share, world);
  const bound = (storageGb: number): number =>
    storageGb < GP3.largeGb ? GP3.smallBytesPerSecond : GP3.largeBytesPerSecond;
  const wanted = Math.ceil((2 * dataGb + ASSUMED.storageSpareGb.value) / 10) * 10;
  const storageGb = written / bound(wanted) <= free(world) ? wanted : Math.max(wanted, GP3.largeGb);
  if (written / bound(storageGb) > free(world)) return null;
  const chosen = cheapest(
    world.prices.mysqlClasses,
    (each) => mysqlCores(share, world) / each.vcpus <= free(world) && mysqlMemory(share, each) <= free(world),
  );
  return chosen === null ? null : { ...chosen, storageGb };
}

function cheapest<T extends { perHour: number }>(
  options: readonly T[],
  fits: (option: T) => boolean,
): T | null {
  return options
    .filter(fits)
    .reduce<T | null>((best, each) => (best === null || each.perHour < best.perHour ? each : best), null);
}

/** What the fullest bucket has to carry. */
interface Share {
  grabs: number;
  roundPrizes: number;
  prizes: number;
  results: number;
  wins: number;
}

function shareOf(demand: Demand, buckets: number, _world: World): Share {
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

const cores = (us: number, { policy }: World): number => us / 1e6 / policy.coreFactor;

function balancerPhases(demand: Demand, world: World): { before: number; opening: number; after: number } {
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

/** Part of its one core that a service process uses. */
function serviceCore(share: Share, count: number, balancers: number, world: World): number {
  const { figures } = world;
  const perSecond = share.grabs / count;
  const turns = perSecond / batchOf(perSecond);
  const opening = perSecond * figures.serviceClaimUs.value + turns * figures.serviceTurnUs.value;
  const after =
    (share.results * figures.resultServiceUs.value + share.wins * figures.winsServiceUs.value) / count;
  const checks = balancers * OURS.checksPerSecond * figures.checkUs.value;
  return cores(Math.max(opening, after) + checks, world);
}

function redisCpu(share: Share, services: number, world: World): number {
  const { figures } = world;
  const calls = share.grabs / batchOf(share.grabs / services);
  const opening = share.grabs * figures.redisClaimUs.value + calls * figures.redisCallUs.value;
  const after = share.results * figures.resultRedisUs.value + share.wins * figures.winsRedisUs.value;
  return cores(Math.max(opening, after) * ASSUMED.redisTlsFactor.value, world);
}

function redisMemory(share: Share, node: RedisNode, { figures, policy }: World): number {
  const journalBytes = Math.min(share.prizes, policy.journalMax) * ASSUMED.journalBytes.value;
  const bytes = share.prizes * figures.redisClaimBytes.value + journalBytes;
  return bytes / (node.memoryGib * GIB * ASSUMED.redisMemoryShare.value);
}

function roundTrips(share: Share, services: number, { policy }: World): number {
  return share.grabs / services / callsBound(policy.redisRoundTripMs);
}

/** Claims a second that go to MySQL for long: a full transaction takes its work and its commit. */
function persistRate({ figures, policy }: World): number {
  const work = OURS.persistClaimsMax / (figures.persistPerSecond.value * policy.coreFactor);
  return OURS.persistClaimsMax / (work + policy.mysqlCommitMs / 1000);
}

/** How full the journal gets, when a round's prizes go at the peak's pace. */
function journal(share: Share, world: World): number {
  const behind = share.grabs <= 0 ? 0 : Math.max(0, 1 - persistRate(world) / share.grabs);
  const gathering = Math.min(share.roundPrizes, share.grabs * OURS.persistGatherSeconds);
  return Math.min(share.roundPrizes, share.roundPrizes * behind + gathering) / world.policy.journalMax;
}

function persisted(share: Share, world: World): number {
  return Math.min(share.grabs, persistRate(world));
}

function mysqlCores(share: Share, world: World): number {
  const { figures } = world;
  const opening = persisted(share, world) * figures.mysqlClaimUs.value;
  const after = share.results * figures.resultMysqlUs.value + share.wins * figures.winsMysqlUs.value;
  return cores(Math.max(opening, after), world);
}

function mysqlWritten(share: Share, world: World): number {
  return persisted(share, world) * ASSUMED.mysqlWrittenBytes.value;
}

/** Prizes and claims should fit the buffer pool, three quarters of the memory. */
function mysqlMemory(share: Share, { memoryGib }: MysqlClass): number {
  return (share.prizes * ASSUMED.mysqlBytes.value) / (0.75 * memoryGib * GIB);
}

/** How full one limit is, and what it means when it is full. */
export interface Use {
  id: string;
  layer: "balancer" | "service" | "redis" | "mysql";
  what: string;
  amount: number;
  limit: number;
  unit: string;
  /** amount / limit. */
  used: number;
  /** What users see beyond it. */
  beyond: string;
  from: string[];
}

export function usesOf(sizes: Sizes, demand: Demand, world: World): Use[] {
  const { figures, policy } = world;
  const { balancer, grab } = sizes;
  const share = shareOf(demand, sizes.buckets, world);
  const phases = balancerPhases(demand, world);
  const [phase] = Object.entries(phases).reduce((a, b) => (b[1] > a[1] ? b : a));
  const perTask = demand.connections / balancer.count;
  const use = (
    id: string,
    layer: Use["layer"],
    what: string,
    amount: number,
    limit: number,
    unit: string,
    beyond: string,
    from: string[],
  ): Use => ({ id, layer, what, amount, limit, unit, used: amount / limit, beyond, from });
  const of = (...names: (keyof Figures)[]): string[] => [...new Set(names.map((name) => figures[name].from))];
  const policyFile = "balancer/src/haproxy/policy.ts, connectionsFor, with 65,535 files";
  return [
    use(
      "balancer-cpu",
      "balancer",
      `HAProxy: CPU (${phase === "before" ? "early handshakes" : phase === "opening" ? "grabs and late handshakes" : "ended, results, wins"})`,
      balancerCores(demand, world),
      balancer.count * balancer.vcpus,
      "cores",
      "everybody waits: HAProxy itself cannot say `busy` any faster",
      of("grabHaproxyUs", "handshakeHaproxyUs", "endedHaproxyUs", "resultHaproxyUs", "winsHaproxyUs"),
    ),
    use(
      "balancer-connections",
      "balancer",
      "HAProxy: connections of a task",
      perTask,
      connectionsOfTask(sizes.buckets),
      "",
      "newcomers wait in the kernel until somebody leaves",
      [policyFile],
    ),
    use(
      "balancer-ports",
      "balancer",
      "load balancer: ports for one target, at once and a minute",
      perTask,
      LOAD_BALANCER.connectionsOfTarget,
      "",
      "connections are refused (PortAllocationErrorCount)",
      ["AWS: 55,000 connections for a target without client addresses"],
    ),
    use(
      "balancer-memory",
      "balancer",
      "HAProxy: memory of a task",
      balancerBytes(Math.min(perTask, connectionsOfTask(sizes.buckets)), world) / MIB,
      balancer.memoryMib,
      "MiB",
      "the task is killed and its users connect again",
      of("idleConnectionBytes", "haproxyBytes"),
    ),
    use(
      "service-cpu",
      "service",
      "service process: its core",
      serviceCore(share, grab.count, balancer.count, world),
      1,
      "cores",
      "those beyond it are told `busy` in a millisecond; who was let in is served",
      of("serviceClaimUs", "resultServiceUs", "winsServiceUs", "checkUs"),
    ),
    use(
      "service-calls",
      "service",
      "service process: its calls to Redis",
      share.grabs / grab.count,
      callsBound(policy.redisRoundTripMs),
      "1/s",
      "grabs wait for a call, then `busy`",
      [`bucket-service/src/grab/grab-core.ts, grabPolicy; --redis-rtt-ms ${policy.redisRoundTripMs}`],
    ),
    use(
      "service-memory",
      "service",
      "service process: memory",
      serviceBytes(demand, world) / MIB,
      grab.memoryMib,
      "MiB",
      "the process is killed; its bucket's others serve",
      of("serviceBytes", "prizeBytes"),
    ),
    use(
      "redis-cpu",
      "redis",
      "Redis: its core",
      redisCpu(share, grab.count, world),
      1,
      "cores",
      "calls get long; past 500 ms the bucket is `busy` until it answers",
      [...of("redisClaimUs", "resultRedisUs", "winsRedisUs"), ASSUMED.redisTlsFactor.from],
    ),
    use(
      "redis-memory",
      "redis",
      "Redis: memory",
      redisMemory(share, sizes.redis, world) * sizes.redis.memoryGib * ASSUMED.redisMemoryShare.value,
      sizes.redis.memoryGib * ASSUMED.redisMemoryShare.value,
      "GiB",
      "claims are refused as `busy` (noeviction)",
      [...of("redisClaimBytes"), ASSUMED.redisMemoryShare.from],
    ),
    use(
      "journal",
      "mysql",
      "journal: claims that wait for MySQL",
      journal(share, world) * policy.journalMax,
      policy.journalMax,
      "",
      "`busy` until MySQL has caught up (journalMax of the event file)",
      of("persistPerSecond"),
    ),
    use(
      "mysql-cpu",
      "mysql",
      "MySQL: CPU",
      mysqlCores(share, world),
      sizes.mysql.vcpus,
      "cores",
      "the journal grows, then `busy`",
      of("mysqlClaimUs", "resultMysqlUs", "winsMysqlUs"),
    ),
    use(
      "mysql-disk",
      "mysql",
      "MySQL: bytes written",
      mysqlWritten(share, world) / 1e6,
      (sizes.mysql.storageGb < GP3.largeGb ? GP3.smallBytesPerSecond : GP3.largeBytesPerSecond) / 1e6,
      "MB/s",
      "the journal grows, then `busy`",
      [ASSUMED.mysqlWrittenBytes.from],
    ),
  ];
}

/** Until all is paid into the built-in ledger, in the fullest bucket. */
export function payoutSeconds(sizes: Sizes, demand: Demand, world: World): number {
  const share = shareOf(demand, sizes.buckets, world);
  return share.roundPrizes / (world.figures.payoutPerSecond.value * world.policy.coreFactor);
}
