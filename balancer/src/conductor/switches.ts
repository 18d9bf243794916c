/**
 * The switches: the set `switches`, pushed to every process of every bucket, which keep it in a file of their own; HAProxy's keepers
 * pull it with their news and say with each pull what they obey. What has had its time leaves the record by itself; whoever
 * obeys it does not wait for that, but looks at the clock.
 */
import {
  BadInput,
  clearSwitch,
  dropExpired,
  isSwitchName,
  NO_SWITCHES,
  setSwitch,
  SWITCH_NAMES,
  SWITCHES,
  switchPolicy,
  switchSetSchema,
  switchTrouble,
  valuesOf,
  type SwitchName,
  type SwitchSet,
  type SwitchSetting,
} from "@hongbao/preprocess";
import { PushedSet, type ObedientProcess, type PushedSetParts, type SetChange } from "./pushed-set.ts";

const kind = {
  record: "switches",
  schema: switchSetSchema,
  none: NO_SWITCHES,
  noun: "switches",
  list: "switch list",
};

/** A balancer that has said nothing for so long is not one of ours any more. */
const BALANCER_MS_MAX = 30_000;
/** It pulls several times a second. */
const BALANCER_SILENT_MS = 3_000;
const BALANCERS_MAX = 100;

export interface SwitchWish {
  name: string;
  bucket: string | null;
  by: string;
  why: string;
}

export interface BalancerWord {
  id: string;
  /** The version that its HAProxy obeys; null: HAProxy does not run, or was not heard lately. */
  v: number | null;
  /** Requests of the last second. */
  requestsPerS: number;
}

export class SwitchDesk {
  readonly #set: PushedSet<SwitchSet>;
  readonly #parts: PushedSetParts<SwitchSet> & { buckets: readonly string[] };
  readonly #balancers = new Map<string, BalancerWord & { atMs: number }>();

  constructor(parts: PushedSetParts<SwitchSet> & { buckets: readonly string[] }) {
    this.#parts = parts;
    this.#set = new PushedSet(kind, parts, (set) => this.#returned(set));
  }

  start(): void {
    this.#set.start();
  }
  stop(): Promise<void> {
    return this.#set.stop();
  }
  setProcesses(processes: readonly ObedientProcess<SwitchSet>[]): void {
    this.#set.setProcesses(processes);
  }
  get set(): SwitchSet {
    return this.#set.set;
  }

  /** What is set, and who obeys which version. */
  state(): SwitchSet & {
    nowMs: number;
    processes: { bucket: string; id: string; v: number | null }[];
    balancers: BalancerWord[];
  } {
    return {
      ...this.live(),
      nowMs: Math.round(this.#parts.nowMs()),
      processes: this.#set.processes,
      balancers: this.balancers(),
    };
  }

  /** Without what has just had its time and is still in the record. */
  live(): SwitchSet {
    const nowMs = this.#parts.nowMs();
    const { v, settings } = this.#set.set;
    return { v, settings: settings.filter(({ untilMs }) => untilMs > nowMs) };
  }

  balancers(): BalancerWord[] {
    const nowMs = this.#parts.monotonicMs();
    for (const [id, { atMs }] of this.#balancers)
      if (nowMs - atMs > BALANCER_MS_MAX) this.#balancers.delete(id);
    return Array.from(this.#balancers.values(), ({ atMs, id, v, requestsPerS }) =>
      nowMs - atMs > BALANCER_SILENT_MS ? { id, v: null, requestsPerS: 0 } : { id, v, requestsPerS },
    );
  }

  /** A keeper of HAProxy has pulled. */
  heard(word: BalancerWord): void {
    if (this.#balancers.size >= BALANCERS_MAX && !this.#balancers.has(word.id)) return;
    this.#balancers.set(word.id, { ...word, atMs: this.#parts.monotonicMs() });
  }

  /** Whether a bucket lends and borrows by itself. */
  lends(bucket: string): boolean {
    const { settings } = this.#set.set;
    return settings.length === 0 || valuesOf(settings, bucket, this.#parts.nowMs()).lend;
  }

  /** An operator's word. Throws BadInput and Unreachable. */
  async order(wish: SwitchWish & { value: string; forMs: number }): Promise<SwitchSet> {
    const { value, bucket, forMs, by, why } = wish;
    const name = this.#check(wish);
    const trouble = switchTrouble(name, value, bucket);
    if (trouble !== null) throw new BadInput(trouble);
    const { forMsMin, forMsMax } = switchPolicy;
    if (!(forMs >= forMsMin && forMs <= forMsMax))
      throw new BadInput(`--for: found ${forMs} ms, expected 1s to 7d`);
    return this.#set.change((set) => {
      const atMs = Math.round(this.#parts.nowMs());
      const untilMs = atMs + Math.round(forMs);
      const setting: SwitchSetting = { name, bucket, value, untilMs, atMs, by, why };
      try {
        const until = new Date(untilMs).toISOString();
        return { set: setSwitch(set, setting), what: `${placed(setting)} set to ${value} until ${until}` };
      } catch (error) {
        if (error instanceof RangeError) throw new BadInput(error.message);
        throw error;
      }
    }, wish);
  }

  /** Back to the default: in one bucket, or (null) wherever it is set. Throws BadInput and Unreachable. */
  async clear(wish: SwitchWish): Promise<{ v: number; gone: SwitchSetting[] }> {
    const name = this.#check(wish);
    let all: SwitchSetting[] = [];
    const { v } = await this.#set.change((set) => {
      const { set: next, gone } = clearSwitch(set, name, wish.bucket);
      all = gone;
      return gone.length === 0 ? null : { set: next, what: `cleared: ${gone.map(valued).join(", ")}` };
    }, wish);
    return { v, gone: all };
  }

  #returned(set: SwitchSet): SetChange<SwitchSet> | null {
    const { set: next, gone } = dropExpired(set, this.#parts.nowMs());
    if (gone.length === 0) return null;
    return { set: next, what: `returned by itself: ${gone.map(valued).join(", ")}` };
  }

  #check({ name, bucket }: SwitchWish): SwitchName {
    if (!isSwitchName(name))
      throw new BadInput(`switch: found "${name}", expected one of ${SWITCH_NAMES.join(", ")}`);
    const { buckets } = this.#parts;
    if (bucket !== null && !buckets.includes(bucket))
      throw new BadInput(`--bucket: found "${bucket}", expected one of ${buckets.join(", ")}`);
    return name;
  }
}

const placed = ({ name, bucket }: SwitchSetting): string =>
  `switch ${name}${bucket === null ? "" : ` of bucket ${bucket}`}`;

function valued(setting: SwitchSetting): string {
  const { value, by, name } = setting;
  return `${placed(setting)} (was ${value}, by ${by}; now ${SWITCHES[name].standard})`;
}
