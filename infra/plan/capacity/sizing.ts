/** From a demand to one cluster's sizes, for a given number of buckets. Pure. */
import type { Demand } from "./demand.ts";
import { ASSUMED, connectionsOfTask, FARGATE, GP3, LOAD_BALANCER, OURS } from "./facts.ts";
import * as loads from "./loads.ts";
import type { World } from "./loads.ts";
import type { MysqlClass, RedisNode } from "./prices.ts";

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

/** A process on one core gets no more done with two; below this it does not need a second for its helpers, either. */
const LIGHT = 0.25;
/** Larger HAProxy tasks are taken when so many small ones would not do; none has more threads than were measured, two. */
const TASKS_OF_A_SIZE = 12;

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
  const share = loads.shareOf(demand, buckets);
  const redis = cheapest(
    world.prices.redisNodes,
    (node) => loads.redisMemory(share, node, world) <= free(world),
  );
  if (redis === null) return { limit: "Redis memory of a bucket" };
  if (loads.redisCpu(share, grab.count, world) > free(world))
    return { limit: "Redis CPU of a bucket (one core)" };
  if (loads.journal(share, world) > free(world)) return { limit: "journalMax: claims that wait for MySQL" };
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
  const cores = loads.balancerCores(demand, world);
  const { connections } = demand;
  const places = Math.min(connectionsOfTask(buckets), LOAD_BALANCER.connectionsOfTarget);
  const options = FARGATE.flatMap(({ vcpus, memoryMib }, index): Task[] => {
    const forCores = countFor(cores / vcpus, 2, world);
    if (forCores > TASKS_OF_A_SIZE && index < FARGATE.length - 1) return [];
    const count = Math.max(forCores, countFor(connections / places, 2, world));
    // It must be able to hold all connections that it lets in.
    const bytes = loads.balancerBytes(connectionsOfTask(buckets), world);
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

function sizeGrab(demand: Demand, buckets: number, balancers: number, world: World): Task | null {
  const share = loads.shareOf(demand, buckets);
  const isEnough = (count: number): boolean =>
    loads.serviceCore(share, count, balancers, world) <= free(world) &&
    loads.serviceCore(share, count - Math.ceil(count / world.policy.zones), balancers, world) <= 1 &&
    loads.roundTrips(share, count, world) <= free(world);
  let count = 2;
  while (count <= OURS.servicesMax && !isEnough(count)) count += 1;
  if (count > OURS.servicesMax) return null;
  const isLight = loads.serviceCore(share, count, balancers, world) <= LIGHT && buckets === 1;
  const { vcpus, memoryMib } = FARGATE[isLight ? 0 : 1]!;
  const memory = memoryFor(loads.serviceBytes(demand, world) / free(world), memoryMib);
  return memory === null ? null : { count, vcpus, memoryMib: memory };
}

function memoryFor(
  bytes: number,
  { min, max, step }: { min: number; max: number; step: number },
): number | null {
  const mib = Math.max(min, Math.ceil(bytes / loads.MIB / step) * step);
  return mib <= max ? mib : null;
}

function sizeMysql(share: loads.Share, world: World): Sizes["mysql"] | null {
  const dataGb = (share.prizes * ASSUMED.mysqlBytes.value) / 1e9;
  const written = loads.mysqlWritten(share, world);
  const bound = (storageGb: number): number =>
    storageGb < GP3.largeGb ? GP3.smallBytesPerSecond : GP3.largeBytesPerSecond;
  const wanted = Math.ceil((2 * dataGb + ASSUMED.storageSpareGb.value) / 10) * 10;
  const storageGb = written / bound(wanted) <= free(world) ? wanted : Math.max(wanted, GP3.largeGb);
  if (written / bound(storageGb) > free(world)) return null;
  const chosen = cheapest(
    world.prices.mysqlClasses,
    (each) =>
      loads.mysqlCores(share, world) / each.vcpus <= free(world) &&
      loads.mysqlMemory(share, each) <= free(world),
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
