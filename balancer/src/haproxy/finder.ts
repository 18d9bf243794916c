/** Looks for discovered services again and again, and gives HAProxy their places without a restart. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Topology } from "@hongbao/preprocess";
import { FOUND, readIfThere, writeWhole } from "./files.ts";
import type { Runtime } from "./runtime.ts";
import { fillSlots, SlotKeeper, type Discover, type Slots } from "./slots.ts";
import { agentsOf } from "./spoe.ts";

/** A million calls cost a dollar; a service that starts needs longer than this. */
const LOOK_MS = 1_000;
/** HAProxy's places are compared at least so often, whatever was found. */
const COMPARE_MS = 5_000;

export interface FinderParts {
  dir: string;
  topology: Pick<Topology, "buckets">;
  withAgents: boolean;
  /** Null while HAProxy is not running. */
  runtime: () => Runtime | null;
  onTrouble: (what: string, error: unknown) => void;
  discover?: Discover;
}

export class Finder {
  readonly #parts: FinderParts;
  readonly #keeper: SlotKeeper;
  readonly #stopping = new AbortController();
  #comparedAtMs = -Infinity;
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: FinderParts) {
    this.#parts = parts;
    const names = parts.topology.buckets.flatMap(({ id, services }): [string, string][] =>
      Array.isArray(services) ? [] : [[id, services.discover]],
    );
    this.#keeper = new SlotKeeper(new Map(names), readIfThere(parts.dir, FOUND), parts.discover);
  }

  get slots(): ReadonlyMap<string, Slots> {
    return this.#keeper.slots;
  }

  /** Whether every bucket's services were found once, in this life or the one before. */
  get knows(): boolean {
    return this.#keeper.knows;
  }

  /** One look before HAProxy starts, then more until stop(). Without discovered buckets it does nothing. */
  async start(): Promise<void> {
    if (this.slots.size === 0) return;
    await this.#look();
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** After HAProxy started or reloaded. */
  compareSoon(): void {
    this.#comparedAtMs = -Infinity;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#look();
    }
  }

  async #look(): Promise<void> {
    const { dir, onTrouble } = this.#parts;
    const { changed, failures } = await this.#keeper.look(performance.now());
    for (const failure of failures) onTrouble("looking for services", failure);
    try {
      if (changed) writeWhole(dir, FOUND, this.#keeper.snapshot());
      if (changed || performance.now() - this.#comparedAtMs >= COMPARE_MS) await this.#fill();
    } catch (error) {
      this.compareSoon();
      onTrouble("giving services their places", error);
    }
  }

  async #fill(): Promise<void> {
    const runtime = this.#parts.runtime();
    if (runtime === null) return;
    this.#comparedAtMs = performance.now();
    for (const [bucket, slots] of this.slots) {
      await fillSlots(runtime, `bucket_${bucket}`, slots);
      if (this.#parts.withAgents) await fillSlots(runtime, agentsOf(bucket), slots);
    }
  }
}
