/** What a cluster that was killed may leave for a moment: its children are dying, and must be gone before we start. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterFile } from "@hongbao/preprocess";
import { waitUntil } from "../processes/wait.ts";

const GONE_MS_MAX = 10_000;

/**
 * Waits until the processes that the last cluster.json names are gone. They were told to die with their parent, so
 * nothing is killed here: a number in an old file may belong to somebody else by now.
 */
export async function endRemains(home: string): Promise<void> {
  const pids = lastPids(home).filter((pid) => runsIn(pid, home));
  if (pids.length === 0) return;
  await waitUntil(async () => !pids.some((pid) => runsIn(pid, home)), {
    what: `the end of the processes ${pids.join(", ")} of an earlier cluster in ${home}`,
    timeoutMsMax: GONE_MS_MAX,
  });
}

function lastPids(home: string): number[] {
  try {
    const { processes } = JSON.parse(readFileSync(join(home, "cluster.json"), "utf8")) as ClusterFile;
    const { controllers, balancer, services, persist, payout, redis, mysql, monitoring = {} } = processes;
    const stores = [...Object.values(redis), ...Object.values(mysql)].map(({ pid }) => pid);
    const own = [controllers, services, persist, payout, monitoring].flatMap((kind) => Object.values(kind));
    return [...stores, ...own, ...(balancer === null ? [] : [balancer])];
  } catch {
    return [];
  }
}

/** Ours are recognised by the directory in their command line. */
function runsIn(pid: number, home: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(home);
  } catch {
    return false;
  }
}
