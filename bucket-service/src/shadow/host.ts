/**
 * A process's shadow: beside its event it serves a rehearsal's for as long as somebody renews the lease.
 *
 *     none ──PUT (a lease)──> starting ──> on ──no renewal, a real round opens, DELETE──> none
 *
 * It lives in memory alone: a process that is started again knows nothing of it until it is told again, and a rehearsal whose
 * command was killed ends everywhere within a lease. What it left in the stores is the next one's, or `rehearse --wipe`'s, to wipe.
 */
import type { RequestListener } from "node:http";
import { Router } from "@koa/router";
import { shadowPack, shadowRoundId, shadowSpecSchema, type ShadowSpec } from "@hongbao/preprocess";
import { z } from "zod";
import { AdminError, readJson } from "../admin/server.ts";
import type { GrabDesk } from "../doors/grab-desk.ts";
import type { Frame } from "../frame.ts";
import type { BucketView } from "../grab/bucket-view.ts";
import { phaseOf } from "../redis/scripts.ts";

/** Bounds of a shadow. */
export const shadowPolicy = {
  leaseMsMax: 30_000,
  lookMs: 250,
  /** Before a real opening the doors are the real round's alone. */
  clearMs: 30_000,
} as const;

/** What serves the shadow in one process. */
export interface ShadowPart {
  listener: RequestListener | null;
  desk: Pick<GrabDesk, "grab" | "busy"> | null;
  /** The routes of the bucket's admin port, for the shadow. */
  routes: (router: Router) => void;
  stop(): Promise<void>;
}

const orderSchema = z.object({
  spec: shadowSpecSchema,
  leaseMs: z.int().min(1).max(shadowPolicy.leaseMsMax),
});

interface Running {
  spec: ShadowSpec;
  part: ShadowPart;
  router: Router;
}

type Desk = Pick<GrabDesk, "grab" | "busy">;

/** @param start makes the part out of the frame with the shadow's pack in it. */
export function shadowOf(
  frame: Frame,
  view: BucketView,
  start: (frame: Frame) => Promise<ShadowPart>,
): ShadowHost {
  return new ShadowHost(frame, view, start);
}

class ShadowHost {
  readonly #frame: Frame;
  readonly #view: BucketView;
  readonly #start: (frame: Frame) => Promise<ShadowPart>;
  readonly #round: number | null;
  readonly #prefix: string;
  #running: Running | null = null;
  #untilMs = 0;
  #timer: NodeJS.Timeout | null = null;
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(frame: Frame, view: BucketView, start: (frame: Frame) => Promise<ShadowPart>) {
    this.#frame = frame;
    this.#view = view;
    this.#start = start;
    const { manifest } = frame.pack;
    this.#round = manifest.rounds.length < 99 ? shadowRoundId(manifest) : null;
    this.#prefix = `/v1/rounds/${String(this.#round)}/`;
  }

  /** Where the shadow's admin routes are, while there is one. */
  get router(): Router | null {
    return this.#running?.router ?? null;
  }

  /** The HTTP door with the shadow's calls taken out. */
  listener(own: RequestListener): RequestListener {
    return (request, response) => {
      const shadow = this.#running?.part.listener;
      if (shadow && request.url?.startsWith(this.#prefix)) shadow(request, response);
      else own(request, response);
    };
  }

  /** The SPOP door's desk with the shadow's grabs taken out. */
  desk(own: Desk): Desk {
    const deskOf = (round: number): Desk =>
      this.#running !== null && round === this.#round ? (this.#running.part.desk ?? own) : own;
    return {
      grab: (ask, teller) => deskOf(ask.round).grab(ask, teller),
      busy: (ask) => deskOf(ask.round).busy(ask),
    };
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
      await this.drop("it was told to");
      context.body = {};
    });
  }

  async drop(why: string): Promise<void> {
    await this.#inTurn(() => this.#drop(why));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #put(spec: ShadowSpec, leaseMs: number): Promise<void> {
    const why = this.#realRound();
    if (why !== null) throw new AdminError(409, `no rehearsal now: ${why}`);
    if (this.#running?.spec.run !== spec.run) {
      await this.#drop("another rehearsal begins");
      const frame = { ...this.#frame, pack: shadowPack(this.#frame.pack, spec) };
      const part = await this.#start(frame);
      const router = new Router({ prefix: "/shadow/admin" });
      part.routes(router);
      this.#running = { spec, part, router };
      this.#frame.logger.warn({ run: spec.run, round: this.#round }, "a rehearsal begins");
      this.#timer = setInterval(() => this.#look(), shadowPolicy.lookMs);
    }
    this.#untilMs = performance.now() + leaseMs;
  }

  #look(): void {
    const why = performance.now() > this.#untilMs ? "nobody renewed it" : this.#realRound();
    if (why !== null && this.#running !== null) void this.drop(why);
  }

  /** Why the doors are a real round's now, or null. */
  #realRound(): string | null {
    const nowMs = this.#view.nowMs();
    for (const round of this.#view.state?.rounds ?? []) {
      if (phaseOf(round, nowMs) === "open") return `round ${round.round} is open`;
      const { opensAtMs } = round;
      const soon = opensAtMs !== null && opensAtMs > nowMs && opensAtMs - nowMs < shadowPolicy.clearMs;
      if (soon) return `round ${round.round} is about to open`;
    }
    return null;
  }

  async #drop(why: string): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#frame.logger.warn({ run: running.spec.run, why }, "the rehearsal ends");
    await running.part.stop();
  }
}
