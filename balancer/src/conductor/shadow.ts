/**
 * A controller's shadow: a second conductor, for a rehearsal's event, for as long as somebody renews the lease
 * (bucket-service/src/shadow/lease.ts). It has its own records, and its buckets are the shadows in the buckets' processes.
 */
import { Router } from "@koa/router";
import { adminClient, AdminError, readJson, ShadowLease, shadowPolicy } from "@hongbao/bucket-service";
import type { Logger } from "@hongbao/monitoring";
import { shadowPack, SHADOW_EVENT, type Pack, type ShadowSpec } from "@hongbao/preprocess";
import { z } from "zod";
import type { ControlStore } from "../control/store.ts";
import { BucketWatch } from "./bucket-watch.ts";
import { Conductor } from "./conductor.ts";
import { isOver } from "./decide.ts";
import { eventStore, randomKey, Records } from "./records.ts";
import { closeNow, openNow } from "./requests.ts";

const ADMIN_MS_MAX = 700;

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

export class ShadowDesk {
  readonly #parts: ShadowDeskParts;
  readonly #router: Router;
  readonly #lease: ShadowLease<Conductor>;

  constructor(parts: ShadowDeskParts) {
    this.#parts = parts;
    this.#router = this.#makeRouter();
    this.#lease = new ShadowLease({
      begin: (spec) => this.#begin(spec),
      end: (conductor) => conductor.stop(),
      forbidden: () => realRound(parts.conductor.world()),
      logger: parts.logger,
    });
  }

  get router(): Router | null {
    return this.#lease.held === null ? null : this.#router;
  }

  /** What HAProxy is told of the rehearsal; null without one. */
  news(): ReturnType<Conductor["news"]> {
    return this.#lease.held?.news() ?? null;
  }

  /** The rounds whose start files there are. */
  get rounds(): number[] {
    return this.#lease.held?.roundIds ?? [];
  }

  startFile(round: number): string | null {
    return this.#lease.held?.startFile(round) ?? null;
  }

  stop(): Promise<void> {
    return this.#lease.drop("the controller ends");
  }

  routes(router: Router): void {
    this.#lease.routes(router);
  }

  #begin(spec: ShadowSpec): Conductor {
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
    conductor.start();
    return conductor;
  }

  /** The little that a rehearsal is told: open, close, how it goes. */
  #makeRouter(): Router {
    const router = new Router({ prefix: "/shadow/admin" });
    router.get("/state", (context) => {
      const conductor = this.#lease.held!;
      const world = conductor.world();
      const [round] = conductor.roundIds;
      const record = world.records.get(round!);
      context.body = {
        spec: this.#lease.spec,
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
        const conductor = this.#lease.held!;
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
