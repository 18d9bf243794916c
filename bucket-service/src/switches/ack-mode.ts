/**
 * When a win is told, which an operator may change while people grab:
 *
 *      journal ──ack: database──> settling ──what was told before is in MySQL──> database
 *         ^───────ack: journal───────┴───────────────ack: journal────────────────────┘
 *
 * Grabs wait for MySQL from the first moment of `settling`. But what was told without waiting, by this process or by one that
 * heard of the change a moment later, may not be in MySQL yet: until it is, `/result` must not deny it, and it must not tell
 * what nobody was told either (grab/wins.ts). A process that starts does not know what was told before, so it settles, too,
 * unless the event says `database` and no switch was ever set.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { LiveSwitches, SwitchValues } from "@hongbao/preprocess";
import type { DurableWait } from "../grab/durable-wait.ts";
import type { BucketStore } from "../redis/scripts.ts";

export type AckState = "journal" | "settling" | "database";

export const ackPolicy = {
  /** Longer than a change takes to reach every process that can be reached. */
  settleMs: 2_000,
  retryMs: 250,
} as const;

export interface AckModeParts {
  switches: LiveSwitches;
  /** What the event says; counts while no switch is set. */
  event: "journal" | "database";
  /** Resolves with true once everything that is in the journal by now is in MySQL; false: not in time, or unknown. */
  committed: () => Promise<boolean>;
  /** Begins to hear of commits, until stop(); what nobody waits for need not be heard. */
  hear: () => { stop: () => void };
}

export class AckMode {
  readonly #parts: AckModeParts;
  #state: AckState = "journal";
  #hearing: { stop: () => void } | null = null;
  /** Counts changes: a settling that was overtaken ends. */
  #change = 0;

  constructor(parts: AckModeParts) {
    this.#parts = parts;
    this.#obey(parts.switches.current);
    if (this.waits && parts.switches.set.v === 0) {
      this.#change += 1;
      this.#state = "database";
    }
    parts.switches.onChange((values) => this.#obey(values));
  }

  get state(): AckState {
    return this.#state;
  }
  /** Whether a grab's answer waits for MySQL. */
  get waits(): boolean {
    return this.#state !== "journal";
  }

  stop(): void {
    this.#change += 1;
    this.#hearing?.stop();
  }

  #obey({ ack }: SwitchValues): void {
    const waits = (ack === "event" ? this.#parts.event : ack) === "database";
    if (waits === this.waits) return;
    this.#change += 1;
    this.#state = waits ? "settling" : "journal";
    this.#hearing?.stop();
    this.#hearing = waits ? this.#parts.hear() : null;
    if (waits) void this.#settle(this.#change);
  }

  async #settle(change: number): Promise<void> {
    await sleep(ackPolicy.settleMs, undefined, { ref: false });
    while (change === this.#change) {
      const isCommitted = await this.#parts.committed().catch(() => false);
      if (change !== this.#change) return;
      if (isCommitted) this.#state = "database";
      if (isCommitted) return;
      await sleep(ackPolicy.retryMs, undefined, { ref: false });
    }
  }
}

/** Whether all that is in the journal by now comes to MySQL in time. Errors: those of Redis. */
export async function journalCommitted(
  { client, keys }: Pick<BucketStore, "client" | "keys">,
  durable: DurableWait,
): Promise<boolean> {
  const end = (await client.xrevrange(keys.journal, "+", "-", "COUNT", 1))[0]?.[0];
  return end === undefined || new Promise((resolve) => durable.wait(end, resolve));
}
