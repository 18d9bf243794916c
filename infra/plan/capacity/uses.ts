/** How full each limit of a sized cluster is under a demand, the planned one or another. Pure. */
import { callsBound } from "./coalescing.ts";
import type { Demand } from "./demand.ts";
import { ASSUMED, connectionsOfTask, GP3, LOAD_BALANCER } from "./facts.ts";
import type { Figures } from "./figures.ts";
import * as loads from "./loads.ts";
import type { World } from "./loads.ts";
import type { Sizes } from "./sizing.ts";

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
  const share = loads.shareOf(demand, sizes.buckets);
  const phases = loads.balancerPhases(demand, world);
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
      loads.balancerCores(demand, world),
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
      loads.balancerBytes(Math.min(perTask, connectionsOfTask(sizes.buckets)), world) / loads.MIB,
      balancer.memoryMib,
      "MiB",
      "the task is killed and its users connect again",
      of("idleConnectionBytes", "haproxyBytes"),
    ),
    use(
      "service-cpu",
      "service",
      "service process: its core",
      loads.serviceCore(share, grab.count, balancer.count, world),
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
      loads.serviceBytes(demand, world) / loads.MIB,
      grab.memoryMib,
      "MiB",
      "the process is killed; its bucket's others serve",
      of("serviceBytes", "prizeBytes"),
    ),
    use(
      "redis-cpu",
      "redis",
      "Redis: its core",
      loads.redisCpu(share, grab.count, world),
      1,
      "cores",
      "calls get long; past 500 ms the bucket is `busy` until it answers",
      [...of("redisClaimUs", "resultRedisUs", "winsRedisUs"), ASSUMED.redisTlsFactor.from],
    ),
    use(
      "redis-memory",
      "redis",
      "Redis: memory",
      loads.redisMemory(share, sizes.redis, world) * sizes.redis.memoryGib * ASSUMED.redisMemoryShare.value,
      sizes.redis.memoryGib * ASSUMED.redisMemoryShare.value,
      "GiB",
      "claims are refused as `busy` (noeviction)",
      [...of("redisClaimBytes"), ASSUMED.redisMemoryShare.from],
    ),
    use(
      "journal",
      "mysql",
      "journal: claims that wait for MySQL",
      loads.journal(share, world) * policy.journalMax,
      policy.journalMax,
      "",
      "`busy` until MySQL has caught up (journalMax of the event file)",
      of("persistPerSecond"),
    ),
    use(
      "mysql-cpu",
      "mysql",
      "MySQL: CPU",
      loads.mysqlCores(share, world),
      sizes.mysql.vcpus,
      "cores",
      "the journal grows, then `busy`",
      of("mysqlClaimUs", "resultMysqlUs", "winsMysqlUs"),
    ),
    use(
      "mysql-disk",
      "mysql",
      "MySQL: bytes written",
      loads.mysqlWritten(share, world) / 1e6,
      (sizes.mysql.storageGb < GP3.largeGb ? GP3.smallBytesPerSecond : GP3.largeBytesPerSecond) / 1e6,
      "MB/s",
      "the journal grows, then `busy`",
      [ASSUMED.mysqlWrittenBytes.from],
    ),
  ];
}

/** Until all is paid into the built-in ledger, in the fullest bucket. */
export function payoutSeconds(sizes: Sizes, demand: Demand, world: World): number {
  const share = loads.shareOf(demand, sizes.buckets);
  return share.roundPrizes / (world.figures.payoutPerSecond.value * world.policy.coreFactor);
}
