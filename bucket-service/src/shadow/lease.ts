/**
 * What a process has beside its event for a rehearsal, for as long as somebody renews the lease.
 *
 *     none ──PUT (a lease)──> beginning ──> held ──no renewal, a real round opens, DELETE──> none
 *
 * It lives in memory alone: a process that is started again knows nothing of it until it is told again, and a rehearsal whose
 * command was killed ends everywhere within a lease. What it left in the stores is the next one's, or `rehearse --wipe`'s, to wipe.
 */
import type { Router } from "@koa/router";
import type { Logger } from "@hongbao/monitoring";
import { shadowSpecSchema, type ShadowSpec } from "@hongbao/preprocess";
import { z } from "zod";
import { AdminError, readJson } from "../admin/server.ts";

/** Bounds of a shadow. */
export const shadowPolicy = {
  leaseMsMax: 30_000,
  lookMs: 250,
  /** Before a real opening the doors are the real round's alone. */
  clearMs: 30_000,
} as const;

const orderSchema = z.object({
  spec: shadowSpecSchema,
  leaseMs: z.int().min(1).max(shadowPolicy.leaseMsMax),
});

export interface ShadowLeaseParts<Held> {
  begin: (spec: ShadowSpec) => Held | Promise<Held>;
  end: (held: Held) => Promise<void>;
  /** Why there can be no rehearsal at this moment, or null. */
  forbidden: () => string | null;
  logger: Logger;
}

export class ShadowLease<Held> {
  readonly #parts: ShadowLeaseParts<Held>;
  #running: { spec: ShadowSpec; held: Held; timer: NodeJS.Timeout } | null = null;
  #untilMs = 0;
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ShadowLeaseParts<Held>) {
    this.#parts = parts;
  }

  get held(): Held | null {
    return this.#running?.held ?? null;
  }

  get spec(): ShadowSpec | null {
    return this.#running?.spec ?? null;
  }

  /** GET, PUT and DELETE of `/shadow`. */
  routes(router: Router): void {
    router.get("/shadow", (context) => {
      context.body = { spec: this.spec };
    });
    router.put("/shadow", async (context) => {
      const order = orderSchema.safeParse(await readJson(context));
      if (!order.success) throw new AdminError(400, z.prettifyError(order.error));
      const { spec, leaseMs } = order.data;
      await this.#inTurn(() => this.#put(spec, leaseMs));
      context.body = { spec };
    });
    router.delete("/shadow", async (context) => {
      await this.drop("it was told to");
      context.body = {};
    });
  }

  drop(why: string): Promise<void> {
    return this.#inTurn(() => this.#drop(why));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #put(spec: ShadowSpec, leaseMs: number): Promise<void> {
    const why = this.#parts.forbidden();
    if (why !== null) throw new AdminError(409, `no rehearsal now: ${why}`);
    if (this.spec?.run !== spec.run) {
      await this.#drop("another rehearsal begins");
      const held = await this.#parts.begin(spec);
      const timer = setInterval(() => this.#look(), shadowPolicy.lookMs);
      this.#running = { spec, held, timer };
      this.#parts.logger.warn({ run: spec.run }, "a rehearsal begins");
    }
    this.#untilMs = performance.now() + leaseMs;
  }

  #look(): void {
    const why = performance.now() > this.#untilMs ? "nobody renewed it" : this.#parts.forbidden();
    if (why !== null && this.#running !== null) void this.drop(why);
  }

  async #drop(why: string): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    clearInterval(running.timer);
    this.#parts.logger.warn({ run: running.spec.run, why }, "the rehearsal ends");
    await this.#parts.end(running.held);
  }
}
