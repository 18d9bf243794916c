/**
 * Services that only service discovery knows. HAProxy's configuration has a fixed number of places for each bucket's services;
 * a service that appears is given a free place over the runtime socket, one that disappears drains and leaves its place.
 * What was found last is kept on disk: a registry that does not answer changes nothing, and a HAProxy that starts has it.
 *
 *     free ──found──> taken ──not found any more──> leaving ──LEAVE_MS──> free
 *                       ^──────────found again───────┘
 */
import {
  discoverInstances,
  type DiscoveredServices,
  type Instance,
  type ServicePlace,
} from "@hongbao/preprocess";
import type { Runtime } from "./runtime.ts";

/** Service processes of a bucket at most; a place that is free costs nothing. */
export const SLOTS_MAX = 64;
/** Longer than a service takes to drain (bucket-service, doorPolicy). */
const LEAVE_MS = 10_000;

export interface Slot {
  host: string;
  leavingSinceMs: number | null;
}

/** Every place of a bucket, null where it is free. */
export type Slots = readonly (Slot | null)[];

export const noSlots = (): Slots => Array<Slot | null>(SLOTS_MAX).fill(null);

/** Who is found keeps its place or gets a free one; those beyond SLOTS_MAX get none. Pure. */
export function placeInSlots(before: Slots, found: readonly string[], nowMs: number): Slots {
  const slots = before.map((slot): Slot | null => {
    if (slot === null) return null;
    if (found.includes(slot.host)) return { host: slot.host, leavingSinceMs: null };
    const leavingSinceMs = slot.leavingSinceMs ?? nowMs;
    return nowMs - leavingSinceMs >= LEAVE_MS ? null : { host: slot.host, leavingSinceMs };
  });
  for (const host of found) {
    if (slots.some((slot) => slot?.host === host)) continue;
    const free = slots.indexOf(null);
    if (free < 0) break;
    slots[free] = { host, leavingSinceMs: null };
  }
  return slots;
}

/** A bucket's services as the configuration names them: a place without a service has an address that nobody answers at. */
export function slotServices(
  { http, spop, admin }: DiscoveredServices,
  slots: Slots,
): (ServicePlace & { free: boolean })[] {
  return slots.map((slot, index) => {
    const host = slot?.host ?? "0.0.0.0";
    return {
      id: `s${index}`,
      http: `${host}:${http}`,
      spop: `${host}:${spop}`,
      admin: `${host}:${admin}`,
      free: slot === null,
    };
  });
}

const ADMIN_MAINTENANCE = 0x01;
const ADMIN_DRAIN = 0x08;

/** Tells HAProxy what of its places differs, asking it first, so that restarts are nothing special. Errors: Unreachable. */
export async function fillSlots(runtime: Runtime, backend: string, slots: Slots): Promise<number> {
  const commands: string[] = [];
  const lines = (await runtime.command(`show servers state ${backend}`)).split("\n");
  const columns =
    lines
      .find((line) => line.startsWith("# "))
      ?.slice(2)
      .split(" ") ?? [];
  for (const line of lines) {
    const words = line.split(" ");
    const of = (column: string): string => words[columns.indexOf(column)] ?? "";
    const index = /^s(\d+)$/.exec(of("srv_name"))?.[1];
    if (line.startsWith("#") || index === undefined) continue;
    const slot = slots[Number(index)] ?? null;
    const server = `${backend}/s${index}`;
    const admin = Number(of("srv_admin_state"));
    const state = admin & ADMIN_MAINTENANCE ? "maint" : admin & ADMIN_DRAIN ? "drain" : "ready";
    const wanted = slot === null ? "maint" : slot.leavingSinceMs === null ? "ready" : "drain";
    if (slot !== null && of("srv_addr") !== slot.host)
      commands.push(`set server ${server} addr ${slot.host}`);
    if (state !== wanted) commands.push(`set server ${server} state ${wanted}`);
  }
  for (const command of commands) await runtime.command(command);
  return commands.length;
}

export type Discover = (name: string) => Promise<Instance[]>;

/** Places of all discovered buckets, by bucket. */
export class SlotKeeper {
  readonly #discover: Discover;
  readonly #names: Map<string, string>;
  #slots: Map<string, Slots>;
  /** Buckets that nothing was ever heard of. */
  readonly #unheard: Set<string>;

  /** @param kept what snapshot() said before, perhaps in another process. */
  constructor(names: Map<string, string>, kept: string | null, discover: Discover = discoverInstances) {
    this.#names = names;
    this.#discover = discover;
    const known = new Map(kept === null ? [] : (JSON.parse(kept) as [string, Slots][]));
    this.#slots = new Map([...names.keys()].map((bucket) => [bucket, known.get(bucket) ?? noSlots()]));
    this.#unheard = new Set([...names.keys()].filter((bucket) => !known.has(bucket)));
  }

  /** Whether discovery has answered for every bucket, now or before; that it named nobody is an answer. */
  get knows(): boolean {
    return this.#unheard.size === 0;
  }

  get slots(): ReadonlyMap<string, Slots> {
    return this.#slots;
  }

  snapshot(): string {
    return JSON.stringify([...this.#slots]);
  }

  /** Asks for every bucket; what failed stays as it was. Answers whether anything changed, and what failed. */
  async look(nowMs: number): Promise<{ changed: boolean; failures: unknown[] }> {
    const before = this.snapshot();
    const failures: unknown[] = [];
    await Promise.all(
      Array.from(this.#names, async ([bucket, name]) => {
        try {
          const found = await this.#discover(name);
          this.#unheard.delete(bucket);
          this.#slots.set(
            bucket,
            placeInSlots(
              this.#slots.get(bucket)!,
              found.map(({ host }) => host),
              nowMs,
            ),
          );
        } catch (error) {
          failures.push(error);
        }
      }),
    );
    return { changed: this.snapshot() !== before, failures };
  }
}
