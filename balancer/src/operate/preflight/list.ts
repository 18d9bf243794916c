/** All checks, in the order in which people read them: what is down first, because it explains the rest. */
import { alerts, firing } from "./alerts.ts";
import { quotas, subscriptions } from "./aws.ts";
import type { Check } from "./check.ts";
import { certificates, haproxy, startFiles, tokens } from "./entry.ts";
import { disks, payout, schedule, switches } from "./plan.ts";
import { clocks, controllers, files, journal, packs, processes } from "./processes.ts";
import { rehearsal } from "./rehearsal.ts";
import { budget, mysql, pools, ranges, redis } from "./stores.ts";

export const CHECKS: readonly Check[] = [
  processes,
  controllers,
  haproxy,
  redis,
  mysql,
  pools,
  packs,
  ranges,
  budget,
  journal,
  clocks,
  files,
  disks,
  schedule,
  switches,
  rehearsal,
  startFiles,
  tokens,
  certificates,
  payout,
  alerts,
  firing,
  quotas,
  subscriptions,
];
