/** AWS quotas that a cluster of this size meets: what it needs, and what an account has by default. Pure. */
import type { Demand } from "./demand.ts";
import { DISCOVERIES_PER_SECOND, FIXED_TASKS, OURS, PAYOUT_TASK, PERSIST_TASK } from "./facts.ts";
import { sum } from "./demand.ts";
import type { Sizes } from "./sizing.ts";

export interface Quota {
  id: string;
  what: string;
  needs: number;
  /** Of a new account. */
  standard: number;
  exceeded: boolean;
  from: string;
}

/** While a deployment runs, half as many tasks of a service come on top (terraform/modules/task, maximum_percent). */
const ROLLING = 1.5;

/** @param copies clusters of this size in the same account and region. */
export function quotasOf(sizes: Sizes, demand: Demand, zones: number, copies: number): Quota[] {
  const { buckets, balancer, grab } = sizes;
  const tasks = balancer.count + buckets * (grab.count + 2) + sum(FIXED_TASKS.map(({ count }) => count));
  const vcpus =
    ROLLING * balancer.count * balancer.vcpus +
    buckets * (ROLLING * grab.count * grab.vcpus + PERSIST_TASK.vcpus + PAYOUT_TASK.vcpus) +
    sum(FIXED_TASKS.map((each) => each.count * each.vcpus));
  const quota = (id: string, what: string, needs: number, standard: number, from: string): Quota => ({
    id,
    what,
    needs: Math.ceil(needs),
    standard,
    exceeded: needs > standard,
    from,
  });
  return [
    quota(
      "fargate-vcpus",
      "Fargate on-demand vCPUs, with a deployment under way",
      copies * vcpus,
      6,
      "Service Quotas, Fargate; 6 in a new account",
    ),
    quota("redis-nodes", "ElastiCache nodes", copies * buckets * 2, 300, "Service Quotas, ElastiCache"),
    quota("mysql-instances", "RDS instances", copies * buckets, 40, "Service Quotas, RDS"),
    quota("elastic-ips", "Elastic IP addresses", copies * zones, 5, "Service Quotas, EC2"),
    quota(
      "targets",
      "targets of a load balancer with cross-zone balancing",
      balancer.count * ROLLING,
      500,
      "Network Load Balancer quotas",
    ),
    quota(
      "security-rules",
      "rules of a security group (operator, out)",
      3 * buckets + 6,
      60,
      "VPC quotas; terraform/modules/bucket makes 3 a bucket for operators and for HAProxy",
    ),
    quota(
      "discovery-calls",
      "DiscoverInstances calls a second",
      copies * balancer.count * buckets * OURS.looksPerSecond,
      DISCOVERIES_PER_SECOND,
      "Cloud Map: 1,000 a second for long, 2,000 at once",
    ),
    quota(
      "interfaces",
      "network interfaces of a region",
      copies * (tasks + buckets * 3),
      5_000,
      "VPC quotas",
    ),
    quota(
      "cdn-requests",
      "CloudFront requests a second of a distribution",
      demand.cdn.perSecond,
      250_000,
      "CloudFront quotas",
    ),
    quota(
      "cdn-gbps",
      "CloudFront Gbit/s of a distribution",
      demand.cdn.bitsPerSecond / 1e9,
      150,
      "CloudFront quotas",
    ),
  ];
}
