/** What one cluster costs for an event, line by line. Pure. */
import { sum, type Demand } from "./demand.ts";
import { DISCOVERIES_PER_SECOND, ENDPOINTS, FIXED_TASKS, OURS, PAYOUT_TASK, PERSIST_TASK } from "./facts.ts";
import type { World } from "./loads.ts";
import type { Sizes } from "./sizing.ts";

export interface CostLine {
  what: string;
  /** How it was reckoned. */
  from: string;
  amount: number;
}

export interface Cost {
  lines: CostLine[];
  total: number;
  perHour: number;
}

const HOURS_OF_A_MONTH = 730;
const GB = 1e9;
/** A load balancer's unit: new connections a second, connections at once, bytes an hour. */
const UNIT = { newPerSecond: 800, active: 100_000, bytesPerHour: GB };

export function costOf(sizes: Sizes, demand: Demand, hours: number, { prices, policy }: World): Cost {
  const { perHour, perGb, perMillion, perGbMonth } = prices;
  const { buckets, balancer, grab, redis, mysql } = sizes;
  const task = (count: number, each: { vcpus: number; memoryMib: number }): number =>
    count * (each.vcpus * perHour.fargateVcpu + (each.memoryMib / 1024) * perHour.fargateGb);
  const hourly = (what: string, from: string, perHourSum: number): CostLine & { perHour: number } => ({
    what,
    from,
    amount: perHourSum * hours,
    perHour: perHourSum,
  });
  const fixed = sum(FIXED_TASKS.map((each) => task(each.count, each)));
  // What is asked beyond the account's quota is refused, and not billed.
  const looksPerSecond = Math.min(DISCOVERIES_PER_SECOND, balancer.count * buckets * OURS.looksPerSecond);
  const looks = looksPerSecond * hours * 3600;
  const running = [
    hourly(
      "HAProxy",
      `${balancer.count} tasks of ${balancer.vcpus} vCPU, ${balancer.memoryMib} MiB`,
      task(balancer.count, balancer),
    ),
    hourly(
      "services",
      `${buckets} x ${grab.count} tasks of ${grab.vcpus} vCPU, ${grab.memoryMib} MiB`,
      task(buckets * grab.count, grab),
    ),
    hourly(
      "persist and payout",
      `${buckets} tasks of each`,
      task(buckets, PERSIST_TASK) + task(buckets, PAYOUT_TASK),
    ),
    hourly(
      "controllers, monitoring, commands",
      FIXED_TASKS.map((each) => `${each.count} ${each.what}`).join(", "),
      fixed,
    ),
    hourly("Redis", `${buckets} x 2 ${redis.type}`, buckets * 2 * redis.perHour),
    hourly(
      "MySQL",
      `${buckets} ${mysql.type} in two zones, ${mysql.storageGb} GB each`,
      buckets * (mysql.perHour + (mysql.storageGb * perGbMonth.mysqlStorageTwoZones) / HOURS_OF_A_MONTH),
    ),
    hourly(
      "network",
      `${policy.zones} NAT gateways, ${ENDPOINTS} endpoints in ${policy.zones} zones`,
      policy.zones * (perHour.natGateway + ENDPOINTS * perHour.endpointInZone),
    ),
    hourly("load balancer", "by the hour", perHour.loadBalancer),
  ];
  const byUse: CostLine[] = [
    {
      what: "load balancer's units",
      from: "the hour of the peak",
      amount: unitsOfAnHour(demand) * perHour.loadBalancerUnit,
    },
    { what: "out of the API", from: `${gb(demand.apiBytes)} GB`, amount: (demand.apiBytes / GB) * perGb.out },
    {
      what: "CDN",
      from: `${gb(demand.cdn.bytes)} GB, ${(demand.cdn.requests / 1e6).toFixed(1)} million requests`,
      amount: (demand.cdn.bytes / GB) * perGb.cdn + (demand.cdn.requests / 1e6) * perMillion.cdnRequests,
    },
    {
      what: "service discovery",
      from: `${(looks / 1e6).toFixed(1)} million calls`,
      amount: (looks / 1e6) * perMillion.discoveries,
    },
  ];
  const lines: CostLine[] = [...running.map(({ what, from, amount }) => ({ what, from, amount })), ...byUse];
  return {
    lines,
    total: sum(lines.map(({ amount }) => amount)),
    perHour: sum(running.map((line) => line.perHour)),
  };
}

/** The dearest of the three ways in which a unit can be used up. */
function unitsOfAnHour({ handshakes, connections, apiBytes }: Demand): number {
  const perSecond = Math.max(handshakes.before, handshakes.opening);
  return Math.max(perSecond / UNIT.newPerSecond, connections / UNIT.active, apiBytes / UNIT.bytesPerHour);
}

function gb(bytes: number): string {
  return (bytes / GB).toFixed(bytes < 10 * GB ? 1 : 0);
}
