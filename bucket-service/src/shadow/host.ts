/** A bucket process's shadow: beside its event it serves a rehearsal's, at its own doors (lease.ts says how long). */
import type { RequestListener } from "node:http";
import { Router } from "@koa/router";
import { shadowPack, shadowRoundId, type ShadowSpec } from "@hongbao/preprocess";
import type { GrabDesk } from "../doors/grab-desk.ts";
import type { Frame } from "../frame.ts";
import type { BucketView } from "../grab/bucket-view.ts";
import { phaseOf } from "../redis/scripts.ts";
import { ShadowLease, shadowPolicy } from "./lease.ts";

/** What serves the shadow in one process. */
export interface ShadowPart {
  listener: RequestListener | null;
  desk: Pick<GrabDesk, "grab" | "busy"> | null;
  /** The routes of the bucket's admin port, for the shadow. */
  routes: (router: Router) => void;
  stop(): Promise<void>;
}

interface Running {
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
  readonly #lease: ShadowLease<Running>;

  constructor(frame: Frame, view: BucketView, start: (frame: Frame) => Promise<ShadowPart>) {
    this.#frame = frame;
    this.#view = view;
    this.#start = start;
    const { manifest } = frame.pack;
    this.#round = manifest.rounds.length < 99 ? shadowRoundId(manifest) : null;
    this.#prefix = `/v1/rounds/${String(this.#round)}/`;
    this.#lease = new ShadowLease({
      begin: (spec) => this.#begin(spec),
      end: ({ part }) => part.stop(),
      forbidden: () => this.#realRound(),
      logger: frame.logger,
    });
  }

  /** Where the shadow's admin routes are, while there is one. */
  get router(): Router | null {
    return this.#lease.held?.router ?? null;
  }

  /** The HTTP door with the shadow's calls taken out. */
  listener(own: RequestListener): RequestListener {
    return (request, response) => {
      const shadow = this.#lease.held?.part.listener;
      if (shadow && request.url?.startsWith(this.#prefix)) shadow(request, response);
      else own(request, response);
    };
  }

  /** The SPOP door's desk with the shadow's grabs taken out. */
  desk(own: Desk): Desk {
    const deskOf = (round: number): Desk =>
      round === this.#round ? (this.#lease.held?.part.desk ?? own) : own;
    return {
      grab: (ask, teller) => deskOf(ask.round).grab(ask, teller),
      busy: (ask) => deskOf(ask.round).busy(ask),
    };
  }

  routes(router: Router): void {
    this.#lease.routes(router);
  }

  drop(why: string): Promise<void> {
    return this.#lease.drop(why);
  }

  async #begin(spec: ShadowSpec): Promise<Running> {
    const part = await this.#start({ ...this.#frame, pack: shadowPack(this.#frame.pack, spec) });
    const router = new Router({ prefix: "/shadow/admin" });
    part.routes(router);
    return { part, router };
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
}
