/** Bounds of the rest between two turns. */
export const breatherPolicy = {
  /** So many requests are worth a call of their own; a rest is as long as they take to come. */
  gatherWanted: 48,
  restMsMax: 4,
  /** Where fewer than this would come in the longest rest there is none: at this pace calls cost nothing that matters. */
  gatherMin: 4,
  /** Weight of the last cycle in the pace that is expected of the next. */
  lastCycleWeight: 0.25,
} as const;

type BreatherPolicy = { readonly [K in keyof typeof breatherPolicy]: number };

const asleep = new Int32Array(new SharedArrayBuffer(4));

/**
 * Lets requests gather while the process is busy. Waking up for each frame that arrives, reading it, asking Redis and writing
 * the answer cost many times what the grab itself costs, and one turn of the event loop can serve dozens. So under load the
 * process sleeps a moment, deaf, when it has answered: what arrives meanwhile waits in the kernel and is read at once. A timer
 * would not do, because the loop would wake for every frame all the same. Network drivers do likewise (interrupt coalescing).
 */
export class Breather {
  readonly #policy: BreatherPolicy;
  readonly #nowMs: () => number;
  readonly #sleep: (ms: number) => void;
  #gathered = 0;
  #perMs = 0;
  #sinceMs = 0;

  constructor(
    parts: {
      policy?: Partial<BreatherPolicy>;
      nowMs?: () => number;
      sleep?: (ms: number) => void;
    } = {},
  ) {
    this.#policy = { ...breatherPolicy, ...parts.policy };
    this.#nowMs = parts.nowMs ?? (() => performance.now());
    this.#sleep = parts.sleep ?? ((ms) => void Atomics.wait(asleep, 0, 0, ms));
  }

  /** A request came. */
  came(): void {
    this.#gathered += 1;
  }

  /** Everything that could be answered is: sleeps as long as the next call is worth waiting for, or not at all. */
  rest(): void {
    const { lastCycleWeight, gatherWanted, restMsMax, gatherMin } = this.#policy;
    const nowMs = this.#nowMs();
    const cycleMs = Math.max(0.1, nowMs - this.#sinceMs);
    this.#perMs += lastCycleWeight * (this.#gathered / cycleMs - this.#perMs);
    this.#gathered = 0;
    this.#sinceMs = nowMs;
    if (this.#perMs * restMsMax < gatherMin) return;
    this.#sleep(Math.min(restMsMax, gatherWanted / this.#perMs));
  }
}
