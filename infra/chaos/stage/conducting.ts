/** When prizes could not move: no controller answered that reached its store, every bucket and every bucket's MySQL. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ChaosCluster } from "./cluster.ts";
import type { Span } from "./strain.ts";

const LOOK_MS = 250;
/** Between two good looks: a shorter pause is none. */
const PAUSE_MS_MAX = 1_000;

interface ControllerState {
  store: string;
  buckets: { reachable: boolean; fenced: string | null; mysql: string }[];
}

export class Conducting {
  readonly outages: Span[] = [];
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(cluster: ChaosCluster, nowMs: () => number) {
    this.#done = this.#watch(cluster, nowMs);
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #watch(cluster: ChaosCluster, nowMs: () => number): Promise<void> {
    let goodMs = nowMs();
    while (!this.#stop.signal.aborted) {
      const isGood = await canMove(cluster);
      if (isGood) {
        const fromMs = goodMs;
        goodMs = nowMs();
        if (goodMs - fromMs > PAUSE_MS_MAX) this.outages.push({ fromMs, toMs: goodMs });
      }
      await sleep(LOOK_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
    if (nowMs() - goodMs > PAUSE_MS_MAX) this.outages.push({ fromMs: goodMs, toMs: nowMs() });
  }
}

/** Asks all of them at once: one may be frozen. */
async function canMove(cluster: ChaosCluster): Promise<boolean> {
  const answers = cluster.topology.controllers.map(async ({ admin }) => {
    const { store, buckets } = await cluster.admin<ControllerState>(admin, "/state");
    const isWhole = buckets.every(
      ({ reachable, fenced, mysql }) => reachable && fenced === null && mysql === "ok",
    );
    if (store !== "ok" || !isWhole) throw new Error("it does not reach everything");
  });
  return Promise.any(answers).then(
    () => true,
    () => false,
  );
}
