/** The controller's admin port: what the balancer pulls, what commands ask and order. */
import type { Router } from "@koa/router";
import { AdminError, readJson } from "@hongbao/bucket-service";
import { BadInput, isUserId, SWITCHES, switchPolicy, Unreachable } from "@hongbao/preprocess";
import { z } from "zod";
import type { BucketWatch } from "./bucket-watch.ts";
import type { Conductor } from "./conductor.ts";
import { targetOf } from "./decide-moves.ts";
import { closeNow, move, openNow, parseMoment, reveal, rollOver, type Wish } from "./requests.ts";
import type { RoundRecord, Transfer } from "./records.ts";
import type { Site } from "./site.ts";
import type { ShadowDesk } from "./shadow.ts";
import type { SwitchDesk } from "./switches.ts";
import type { UserRulesDesk } from "./user-rules.ts";

const time = z.union([z.string().max(64), z.number().int().positive()]).nullish();
const wishSchema = z.object({
  by: z.string().min(1).max(100),
  why: z.string().max(1_000).default(""),
  /** ms since 1970; or, as a command has it, a time or `+5m`. */
  opensAtMs: time,
  opensAt: time,
  closesAtMs: time,
  closesAt: time,
});
const logSchema = z.object({
  by: z.string().min(1).max(100),
  what: z.string().min(1).max(1_000),
  why: z.string().max(1_000).default(""),
  round: z.int().min(1).max(99).optional(),
});

const lendSchema = z.object({
  by: z.string().min(1).max(100),
  why: z.string().max(1_000).default(""),
  from: z.string().min(1).max(32),
  to: z.string().min(1).max(32),
  count: z.int().positive().max(0xffff_ffff),
});

/** Transfers that are done and still shown. */
const DONE_SHOWN_MAX = 20;

const userSchema = z.object({
  by: z.string().min(1).max(100),
  why: z.string().max(1_000).default(""),
  user: z.string().refine(isUserId, { error: "1 to 64 of A-Z a-z 0-9 . _ -" }),
  rule: z.enum(["allow", "deny"]),
  /** Every round when it is missing. */
  round: z.int().min(1).max(99).optional(),
});

const switchSchema = z.object({
  by: z.string().min(1).max(switchPolicy.byLengthMax),
  why: z.string().max(switchPolicy.whyLengthMax).default(""),
  name: z.string().max(32),
  bucket: z.string().max(32).nullish(),
  /** Null: back to the default. */
  value: z.string().max(32).nullable(),
  forMs: z.number().default(switchPolicy.forMsStandard),
});

/** What a balancer says of itself with each pull. */
const balancerSchema = z.object({
  as: z.string().min(1).max(200),
  switches: z.coerce.number().int().min(-1),
  rate: z.coerce.number().min(0).max(1e9),
});

const revealSchema = z.object({
  by: z.string().min(1).max(100),
  why: z.string().max(1_000).default(""),
  seed: z.string().max(128),
});

const LOG_DEFAULT = 100;
const LOG_MAX = 10_000;

export interface AdminRoutesParts {
  id: string;
  packDigest: string;
  conductor: Conductor;
  buckets: BucketWatch[];
  site: () => Site | null;
  users: UserRulesDesk;
  switches: SwitchDesk;
  shadow?: ShadowDesk;
}

export function conductorRoutes(parts: AdminRoutesParts): (router: Router) => void {
  const { conductor } = parts;
  return (router) => {
    router.get("/state", (context) => {
      context.body = controllerState(parts);
    });
    router.get("/balancer", (context) => {
      const news = conductor.news();
      if (news === null) throw new AdminError(503, "the control store has not answered yet");
      const word = balancerSchema.safeParse(context.query).data;
      if (word !== undefined) {
        const { as: id, switches: v, rate } = word;
        parts.switches.heard({ id, v: v < 0 ? null : v, requestsPerS: rate });
      }
      const shadow = parts.shadow?.news() ?? null;
      context.body = { ...news, switches: parts.switches.set, ...(shadow === null ? {} : { shadow }) };
    });
    parts.shadow?.routes(router);
    for (const action of ["open", "close", "move", "rollover"] as const) {
      router.post(`/rounds/:round/${action}`, async (context) => {
        const round = Number(context.params["round"]);
        const body = await readJson(context);
        context.body = { round: await ordered(() => order(conductor, round, action, body)) };
      });
    }
    router.post("/rounds/:round/lend", async (context) => {
      const order = lendSchema.safeParse(await readJson(context));
      if (!order.success) throw new AdminError(400, z.prettifyError(order.error));
      const round = Number(context.params["round"]);
      context.body = { transfer: shown(await ordered(() => conductor.lend({ round, ...order.data }))) };
    });
    router.get("/users", (context) => {
      context.body = parts.users.state();
    });
    router.post("/users", async (context) => {
      const wish = userSchema.safeParse(await readJson(context));
      if (!wish.success) throw new AdminError(400, z.prettifyError(wish.error));
      const { user, rule, round = 0, by, why } = wish.data;
      if (round !== 0 && !conductor.roundIds.includes(round)) {
        throw new AdminError(400, `round: found ${round}, expected one of ${conductor.roundIds.join(", ")}`);
      }
      context.body = await ordered(() => parts.users.change({ user, round, rule }, { by, why }));
    });
    router.get("/switches", (context) => {
      context.body = { ...parts.switches.state(), catalogue: CATALOGUE };
    });
    router.post("/switches", async (context) => {
      const wish = switchSchema.safeParse(await readJson(context));
      if (!wish.success) throw new AdminError(400, z.prettifyError(wish.error));
      const { value, forMs, ...rest } = wish.data;
      const who = { ...rest, bucket: rest.bucket ?? null };
      const { switches } = parts;
      context.body = await ordered<object>(() =>
        value === null ? switches.clear(who) : switches.order({ ...who, value, forMs }),
      );
    });
    router.post("/rounds/:round/reveal", async (context) => {
      const round = Number(context.params["round"]);
      const wish = revealSchema.safeParse(await readJson(context));
      if (!wish.success) throw new AdminError(400, z.prettifyError(wish.error));
      const { seed } = wish.data;
      const commitment = conductor.commitmentOf(round) ?? "";
      context.body = {
        round: await ordered(() =>
          conductor.change(round, (record, moment) =>
            reveal(record, wish.data, moment, { seed, commitment }),
          ),
        ),
      };
    });
    router.get("/log", async (context) => {
      const limit = Number(context.query["limit"] ?? LOG_DEFAULT);
      if (!Number.isInteger(limit) || limit < 1 || limit > LOG_MAX) {
        throw new AdminError(400, `limit: expected 1 to ${LOG_MAX}`);
      }
      context.body = { entries: await conductor.log(limit) };
    });
    router.post("/log", async (context) => {
      const entry = logSchema.safeParse(await readJson(context));
      if (!entry.success) throw new AdminError(400, z.prettifyError(entry.error));
      const { round, ...rest } = entry.data;
      await conductor.appendLog({ ...rest, ...(round === undefined ? {} : { round }) });
      context.body = {};
    });
  };
}

/** For a page that offers them. */
const CATALOGUE = Object.entries(SWITCHES).map(([name, { standard, expected, effect }]) => ({
  name,
  standard,
  expected,
  effect,
}));

/** 400: the order is wrong in itself or at this moment; 503: it cannot be carried out now. */
async function ordered<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BadInput) throw new AdminError(400, error.message);
    if (error instanceof Unreachable) throw new AdminError(503, error.message);
    throw error;
  }
}

async function order(
  conductor: Conductor,
  round: number,
  action: "open" | "close" | "move" | "rollover",
  body: Record<string, unknown>,
): Promise<RoundRecord> {
  const parsed = wishSchema.safeParse(body);
  if (!parsed.success) throw new AdminError(400, z.prettifyError(parsed.error));
  const { by, why, ...times } = parsed.data;
  return conductor.change(round, (record, moment, closing) => {
    const read = (value: string | number | null | undefined, option: string): number | undefined => {
      if (value === null || value === undefined) return undefined;
      return typeof value === "number" ? value : parseMoment(value, option, moment.nowMs);
    };
    const opensAtMs = read(times.opensAtMs ?? times.opensAt, "--opens-at");
    const closesAtMs = read(times.closesAtMs ?? times.closesAt, "--closes-at");
    const wish: Wish = {
      by,
      why,
      ...(opensAtMs === undefined ? {} : { opensAtMs }),
      ...(closesAtMs === undefined ? {} : { closesAtMs }),
    };
    switch (action) {
      case "open":
        return openNow(record, wish, moment, closing);
      case "close":
        return closeNow(record, wish, moment);
      case "move":
        return move(record, wish, moment, closing);
      case "rollover":
        return rollOver(record, wish, moment, targetOf(conductor.world(), round));
    }
  });
}

function controllerState({
  id,
  packDigest,
  conductor,
  buckets,
  site,
  switches,
  shadow,
}: AdminRoutesParts): Record<string, unknown> {
  const world = conductor.world();
  return {
    id,
    event: conductor.event,
    packDigest,
    leading: conductor.lease.leading,
    store: conductor.storeWorks ? "ok" : "down",
    epoch: conductor.epoch,
    nowMs: world.nowMs === null ? null : Math.round(world.nowMs),
    serving: site()?.serving ?? false,
    rehearsal: shadow?.rounds[0] ?? null,
    buckets: world.buckets.map((seen, index) => ({
      id: seen.id,
      reachable: seen.reachable,
      refusing: seen.refusing,
      clockOffsetMs:
        seen.nowMs === null || world.nowMs === null ? null : Math.round(seen.nowMs - world.nowMs),
      fenced: buckets[index]!.state?.fenced ?? null,
      redis: seen.reachable ? "ok" : "down",
      mysql: seen.reachable ? (buckets[index]!.state?.mysql ?? "down") : "down",
      lagRows: buckets[index]!.state?.journal.waiting ?? null,
    })),
    switches: switches.live().settings,
    balancers: switches.balancers(),
    transfers: [
      ...world.transfers.filter(({ state }) => state === "done").slice(-DONE_SHOWN_MAX),
      ...world.transfers.filter(({ state }) => state !== "done"),
    ].map((transfer) => ({ ...shown(transfer), trouble: conductor.transfers.troubleOf(transfer.n) })),
    rounds: conductor.roundIds.flatMap((round) => {
      const record = world.records.get(round);
      if (record === undefined) return [];
      const { change, ...rest } = record;
      const inBuckets = world.buckets.map((bucket) => {
        const seen = bucket.rounds.get(round);
        const current = seen?.v === record.v;
        return {
          id: bucket.id,
          reachable: bucket.reachable,
          current,
          ...(seen === undefined
            ? {}
            : { state: seen.state, stock: seen.stock, left: seen.left, issued: seen.issued }),
        };
      });
      return [{ ...rest, changed: change, marks: conductor.marksOf(round), buckets: inBuckets }];
    }),
  };
}

/** A transfer without its runs. */
function shown({ n, kind, from, to, round, toRound, count, moved, state, change }: Transfer): object {
  return { n, kind, from, to, round, toRound, count, moved, state, by: change.by, atMs: change.atMs };
}
