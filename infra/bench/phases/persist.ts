/** Persist: a burst of claims waits in one bucket's journal; how fast does it come into MySQL? */
import { setTimeout as sleep } from "node:timers/promises";
import { cpuUs } from "../measure/proc.ts";
import { runWrk } from "../measure/wrk.ts";
import type { Sizes } from "../sizes.ts";
import type { Cluster } from "../systems/hongbao/cluster.ts";
import { bookFaults } from "../systems/hongbao/books.ts";
import { grabPath } from "../systems/hongbao/system.ts";
import { AUTHORIZATION, type World } from "../systems/hongbao/world.ts";
import { firstLines } from "./files.ts";

export interface PersistFacts {
  burst: number;
  seconds: number;
  perSecond: number;
  cpuUsPerClaim: { persist: number; mysql: number; redis: number };
  faults: string[];
}

const BUCKET = "b0";
const BURST_SECONDS_MAX = 60;
const POLL_MS = 25;
const DRAIN_MS_MAX = 60_000;

/**
 * The bucket's persist process is stopped while its users win, so that the burst is made by the grab path itself, with
 * the batches that it makes; then it goes on, alone on the machine.
 */
export async function measurePersist(
  cluster: Cluster,
  world: World,
  sizes: Sizes,
  round: number,
  balancer: string,
): Promise<PersistFacts> {
  const persist = cluster.persist(BUCKET);
  const tokens = firstLines(world.firstBucketTokensFile, sizes.burst);
  const key = await cluster.key(round);
  const metrics = `http://127.0.0.1:${cluster.persistAdminPort(BUCKET)}/metrics`;
  const from = (await persisted(metrics)) ?? 0;
  persist.kill("SIGSTOP");
  try {
    await runWrk(
      {
        url: cluster.url(balancer),
        method: "POST",
        paths: [grabPath(round, key)],
        identities: { file: tokens, header: AUTHORIZATION },
        ends: "stop",
      },
      { seconds: BURST_SECONDS_MAX, connections: sizes.connections, threads: 1 },
    );
    await sleep(500);
    const { issued } = await cluster.books.read(round);
    const roles = cluster.processes(balancer);
    const cpu = (): number[] => [cpuUs([persist.pid]), cpuUs(roles["mysql"]!), cpuUs(roles["redis"]!)];
    const before = cpu();
    const began = performance.now();
    persist.kill("SIGCONT");
    const { rows, atMs } = await untilPersisted(metrics, from, issued);
    const seconds = (atMs - began) / 1000;
    const after = cpu();
    const books = await cluster.books.settled(round);
    const each = (index: number): number => (after[index]! - before[index]!) / Math.max(1, rows);
    const faults = bookFaults(cluster.rounds.find(({ id }) => id === round)!.count, books);
    if (issued < sizes.burst * 0.9) faults.push(`the burst came to ${issued} claims of ${sizes.burst}`);
    return {
      burst: issued,
      seconds,
      perSecond: rows / seconds,
      cpuUsPerClaim: { persist: each(0), mysql: each(1), redis: each(2) },
      faults,
    };
  } finally {
    persist.kill("SIGCONT");
  }
}

/** Rows that the process has written since its start; null when it does not say. */
async function persisted(metricsUrl: string): Promise<number | null> {
  const response = await fetch(metricsUrl, { signal: AbortSignal.timeout(DRAIN_MS_MAX) });
  let rows: number | null = null;
  for (const line of (await response.text()).split("\n")) {
    if (line.startsWith("hongbao_persist_rows_total{"))
      rows = (rows ?? 0) + Number(line.slice(line.lastIndexOf(" ")));
  }
  return rows;
}

async function untilPersisted(
  url: string,
  from: number,
  wanted: number,
): Promise<{ rows: number; atMs: number }> {
  const end = performance.now() + DRAIN_MS_MAX;
  let last = { rows: 0, atMs: performance.now() };
  while (last.rows < wanted && performance.now() < end) {
    last = { rows: ((await persisted(url)) ?? 0) - from, atMs: performance.now() };
    if (last.rows < wanted) await sleep(POLL_MS);
  }
  return last;
}
