/**
 * A controller's shadow: a second conductor, for a rehearsal's event, for as long as somebody renews the lease (compare
 * bucket-service/src/shadow/host.ts). It has its own records, and its buckets are the shadows in the buckets' processes.
 */
import { Router } from "@koa/router";
import { adminClient, AdminError, readJson, shadowPolicy } from "@hongbao/bucket-service";
import type { Logger } from "@hongbao/monitoring";
import { shadowPack, shadowSpecSchema, SHADOW_EVENT, type Pack, type ShadowSpec } from "@hongbao/preprocess";
import { z } from "zod";
import type { ControlStore } from "../control/store.ts";
import { BucketWatch } from "./bucket-watch.ts";
import { Conductor } from "./conductor.ts";
import { isOver } from "./decide.ts";
import { eventStore, randomKey, Records } from "./records.ts";
import { closeNow, openNow } from "./requests.ts";

const ADMIN_MS_MAX = 700;

const orderSchema = z.object({
  spec: shadowSpecSchema,
  leaseMs: z.int().min(1).max(shadowPolicy.leaseMsMax),
});
const bySchema = z.object({ by: z.string().min(1).max(100), why: z.string().max(1_000).default("") });

export interface ShadowDeskParts {
  id: string;
  pack: Pack;
  /** The whole control store. */
  store: ControlStore;
  /** Admin addresses by bucket, at this moment. */
  buckets: () => { id: string; admins: string[] }[];
  operatorSecret: string;
  /** The event's own: while one of its rounds is open, or about to be, there is no rehearsal. */
  conductor: Pick<Conductor, "world">;
  logger: Logger;
}

interface Running {
  spec: ShadowSpec;
  conductor: Conductor;
}

export class ShadowDesk {
  readonly #parts: ShadowDeskParts;
  readonly #router: Router;
  #running: Running | null = null;
  #untilMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ShadowDeskParts) {
    this.#parts = parts;
    this.#router = this.#makeRouter();
  }

  get router(): Router | null {
    return this.#running === null ? null : this.#router;
  }

  /** What HAProxy is told of the rehearsal; null without one. */
  news(): ReturnType<Conductor["news"]> {
    return this.#running?.conductor.news() ?? null;
  }

  /** The rounds whose start files there are. */
  get rounds(): number[] {
    return this.#running?.conductor.roundIds ?? [];
  }

  startFile(round: number): string | null {
    return this.#running?.conductor.startFile(round) ?? null;
  }

  stop(): Promise<void> {
    return this.#inTurn(() => this.#drop("the controller ends"));
  }

  routes(router: Router): void {
    router.get("/shadow", (context) => {
      context.body = { spec: this.#running?.spec ?? null };
    });
    router.put("/shadow", async (context) => {
      const order = orderSchema.safeParse(await readJson(context));
      if (!order.success) throw new AdminError(400, z.prettifyError(order.error));
      await this.#inTurn(() => this.#put(order.data.spec, order.data.leaseMs));
      context.body = { spec: order.data.spec };
    });
    router.delete("/shadow", async (context) => {
      await this.#inTurn(() => this.#drop("it was told to"));
      context.body = {};
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #put(spec: ShadowSpec, leaseMs: number): Promise<void> {
    const why = realRound(this.#parts.conductor.world());
    if (why !== null) throw new AdminError(409, `no rehearsal now: ${why}`);
    if (this.#running?.spec.run !== spec.run) {
      await this.#drop("another rehearsal begins");
      const conductor = this.#makeConductor(spec);
      conductor.start();
      this.#running = { spec, conductor };
      this.#timer = setInterval(() => this.#look(), shadowPolicy.lookMs);
      this.#parts.logger.warn({ run: spec.run }, "a rehearsal begins");
    }
    this.#untilMs = performance.now() + leaseMs;
  }

  #look(): void {
    const why =
      performance.now() > this.#untilMs ? "nobody renewed it" : realRound(this.#parts.conductor.world());
    if (why !== null && this.#running !== null) void this.#inTurn(() => this.#drop(why));
  }

  async #drop(why: string): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#parts.logger.warn({ run: running.spec.run, why }, "the rehearsal ends");
    await running.conductor.stop();
  }

  #makeConductor(spec: ShadowSpec): Conductor {
    const { id, pack, store, buckets, operatorSecret } = this.#parts;
    const { manifest, digest } = shadowPack(pack, spec);
    const monotonicMs = (): number => performance.now();
    const watches = buckets().map(
      (bucket): BucketWatch =>
        new BucketWatch({
          id: bucket.id,
          clients: bucket.admins.map((admin) =>
            adminClient({ admin: `${admin}/shadow`, operatorSecret, timeoutMs: ADMIN_MS_MAX }),
          ),
          monotonicMs,
          onInstalled: () => conductor.wake(),
        }),
    );
    const conductor: Conductor = new Conductor({
      id,
      manifest,
      closings: new Map(),
      records: new Records(eventStore(store, SHADOW_EVENT, digest)),
      buckets: watches,
      randomKey,
      monotonicMs,
      wallMs: () => Date.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    return conductor;
  }

  /** The little that a rehearsal is told: open, close, how it goes. */
  #makeRouter(): Router {
    const router = new Router({ prefix: "/shadow/admin" });
    router.get("/state", (context) => {
      const running = this.#running!;
      const world = running.conductor.world();
      const [round] = running.conductor.roundIds;
      const record = world.records.get(round!);
      context.body = {
        spec: running.spec,
        round,
        state: record?.state ?? "unknown",
        published: record?.published ?? false,
        over: isOver(world, round!),
        buckets: world.buckets.map(({ id, reachable, rounds }) => ({
          id,
          reachable,
          left: rounds.get(round!)?.left ?? null,
        })),
      };
    });
    for (const [name, plan] of [
      ["open", openNow],
      ["close", closeNow],
    ] as const) {
      router.post(`/${name}`, async (context) => {
        const who = bySchema.safeParse(await readJson(context));
        if (!who.success) throw new AdminError(400, z.prettifyError(who.error));
        const { conductor } = this.#running!;
        const record = await conductor.change(conductor.roundIds[0]!, (found, moment) =>
          plan(found, who.data, moment, null),
        );
        context.body = { state: record.state };
      });
    }
    return router;
  }
}

/** Why there can be no rehearsal: a round of the event is open, or about to be. Pure. */
export function realRound({
  nowMs,
  records,
}: Pick<ReturnType<Conductor["world"]>, "nowMs" | "records">): string | null {
  for (const { round, state, opensAtMs } of records.values()) {
    if (state === "open") return `round ${round} is open`;
    if (state !== "scheduled" || opensAtMs === null || nowMs === null) continue;
    if (opensAtMs - nowMs < shadowPolicy.clearMs) return `round ${round} is about to open`;
  }
  return null;
}
