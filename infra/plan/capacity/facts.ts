/**
 * Limits that are written somewhere else: in our own code and Terraform modules (a test holds them against those files) or in AWS'
 * documents; and what is assumed because nobody has measured it. Everything a person may want to doubt is here or an option.
 */
import type { Figure } from "./figures.ts";

/** Of our own making. */
export const OURS = Object.freeze({
  /** terraform/event/variables.tf: buckets of a cluster. */
  bucketsMax: 64,
  /** balancer/src/haproxy/slots.ts, SLOTS_MAX: places for services of a bucket in HAProxy. */
  servicesMax: 64,
  /** balancer/src/haproxy/finder.ts, LOOK_MS: each HAProxy asks for each bucket's services. */
  looksPerSecond: 1,
  /** balancer/src/haproxy/policy.ts, checkMs. */
  checksPerSecond: 2,
  /** terraform/modules/task: nofile. */
  files: 65_535,
  /** balancer/src/haproxy/policy.ts, connectionsFor. */
  filesAside: 200,
  connectionsMax: 100_000,
  /** bucket-service/src/persist/persist.ts, persistPolicy: claims in a transaction, and what gathers first. */
  persistClaimsMax: 8_192,
  persistGatherSeconds: 0.04,
});

/** Connections of clients that one HAProxy lets in, as balancer/src/haproxy/policy.ts reckons them from its file limit. */
export function connectionsOfTask(buckets: number): number {
  const servers = buckets * OURS.servicesMax + 1;
  const fits = Math.floor((OURS.files - OURS.filesAside - 2 * servers) / 2);
  return Math.max(100, Math.min(OURS.connectionsMax, fits));
}

const assumed = (value: number, unit: string, why: string): Figure => ({
  value,
  unit,
  from: `assumed: ${why}`,
});

export const ASSUMED = Object.freeze({
  imbalance: assumed(
    0.1,
    "",
    "the fullest bucket has so much more than its slots' share (three deviations of 1,000 users)",
  ),
  redisTlsFactor: assumed(1.3, "", "Redis behind TLS; HAProxy's own factor is 1.28 (bench, row tls-grab)"),
  redisMemoryShare: assumed(0.75, "", "ElastiCache keeps a quarter of a node's memory for itself"),
  journalBytes: assumed(60, "bytes", "a claim in the journal (preprocess plan)"),
  mysqlBytes: assumed(220, "bytes", "a prize and its claim with indexes (preprocess plan)"),
  mysqlWrittenBytes: assumed(1_000, "bytes", "what a claim makes MySQL write: redo, binlog, pages"),
  userBytes: assumed(30, "bytes", "a user in a service's memory"),
  heapBytes: assumed(512 * 1024 * 1024, "bytes", "a busy process of Node beyond its pack"),
  storageSpareGb: assumed(20, "GB", "binlogs, system tables, and the alarm at 5 GB"),
});

/** MySQL on gp3: below 400 GB, and from there. */
export const GP3 = Object.freeze({ largeGb: 400, smallBytesPerSecond: 125e6, largeBytesPerSecond: 500e6 });

/** Without client addresses kept (terraform/modules/balancer) a load balancer has so many ports for one target. */
export const LOAD_BALANCER = Object.freeze({ connectionsOfTarget: 55_000 });

/** Fargate: MiB that each size may have. */
export const FARGATE = Object.freeze([
  { vcpus: 1, memoryMib: { min: 2_048, max: 8_192, step: 1_024 } },
  { vcpus: 2, memoryMib: { min: 4_096, max: 16_384, step: 1_024 } },
]);

/** Sizes of what every cluster has (terraform/event/variables.tf). */
export const FIXED_TASKS = Object.freeze([
  { what: "controllers", count: 2, vcpus: 1, memoryMib: 2_048 },
  { what: "monitoring", count: 1, vcpus: 2, memoryMib: 8_192 },
  { what: "operator's commands", count: 1, vcpus: 2, memoryMib: 8_192 },
]);
export const PERSIST_TASK = Object.freeze({ vcpus: 1, memoryMib: 2_048 });
export const PAYOUT_TASK = Object.freeze({ vcpus: 0.5, memoryMib: 1_024 });
/** terraform/event/variables.tf, interface_endpoints. */
export const ENDPOINTS = 6;
/** Cloud Map: DiscoverInstances of an account and region, for long. */
export const DISCOVERIES_PER_SECOND = 1_000;
