/** A payout process: its bucket's MySQL, the targets, and an admin port. It needs no Redis. */
import { readTargetSecret, type Topology } from "@hongbao/preprocess";
import type { Registry } from "@hongbao/monitoring";
import type { Pool } from "mysql2/promise";
import { setTimeout as sleep } from "node:timers/promises";
import { adminServer } from "../admin/server.ts";
import { close, doorPolicy, listen, type Frame, type RunningPart } from "../process.ts";
import { mysqlPool, mysqlProbe } from "../mysql/connect.ts";
import { RulesKeeper } from "../users/keeper.ts";
import { UserRules } from "../users/rules.ts";
import { whyRoutes } from "../users/why.ts";
import { payoutRoutes } from "./admin.ts";
import { payoutGauges } from "./figures.ts";
import { httpTarget } from "./http-target.ts";
import type { PayoutObserver } from "./observer.ts";
import { Payout } from "./payout.ts";
import type { PayoutPolicy } from "./policy.ts";
import { builtInLedger, type PayoutTarget } from "./target.ts";

export interface PayoutHooks {
  /** Default: as the payout switch says. */
  runs?: () => boolean;
  policy?: Partial<PayoutPolicy>;
}

/** Gauges are read off MySQL; whoever collects more often is told the last figures. */
const GAUGES_AGE_MS_MAX = 5_000;

/** Starts a payout process; resolves when its admin port listens. Errors: BadInput, Unreachable. */
export async function startPayout(
  frame: Frame,
  place: { id: string; admin: string },
  hooks: PayoutHooks = {},
): Promise<RunningPart> {
  const { bucket, secrets, pack, logger, registry, topology } = frame;
  const { event } = pack.manifest;
  const pool = mysqlPool(bucket, secrets.mysql, event.id);
  const probe = mysqlProbe(pool, () => undefined);
  const targets = { envelope: targetOf(topology, "wallet"), item: targetOf(topology, "orders") };
  const inFlightMax = Math.max(
    ...(["wallet", "orders"] as const).map((name) => topology[name]?.inFlight ?? 1),
  );
  const timeoutMs = Math.max(
    ...(["wallet", "orders"] as const).map((name) => topology[name]?.timeoutMs ?? 1),
  );
  const rules = new UserRules();
  const keeper = new RulesKeeper(rules, pool);
  const runs = hooks.runs ?? ((): boolean => frame.switches.current.payout);
  const payout = new Payout({
    pool,
    pack,
    bucket: bucket.id,
    targets,
    runs,
    observer: observerOf(frame),
    policy: { inFlightMax, timeoutMs, ...hooks.policy },
  });
  gauges(registry, pool, probe.up);
  const admin = adminServer({
    operatorSecret: secrets.operator,
    registry,
    ready: () => ({ ready: true, why: "" }),
    routes: (router) => {
      router.get("/state", (context) => {
        context.body = {
          event: event.id,
          bucket: bucket.id,
          id: frame.id,
          roles: ["payout"],
          packDigest: pack.digest,
          mysql: probe.up() ? "ok" : "down",
          runs: runs(),
          targets: { envelope: targets.envelope.name, item: targets.item.name },
        };
      });
      payoutRoutes({ pool, pack, bucket: bucket.id })(router);
      keeper.routes()(router);
      frame.switchKeeper.routes()(router);
      whyRoutes({ bucket: bucket.id, id: frame.id, pack, pool, switches: frame.switches, rules })(router);
    },
    onError: (error) => logger.error({ err: error }, "an admin request failed"),
  });
  await keeper.start();
  await listen(admin, place.admin);
  const running = payout.run();
  logger.info({ admin: place.admin, envelopes: targets.envelope.name, items: targets.item.name }, "ready");
  return {
    async stop() {
      payout.stop();
      keeper.stop();
      await Promise.race([running, sleep(doorPolicy.finishMsMax, undefined, { ref: false })]);
      await close(admin);
      probe.stop();
      frame.switches.stop();
      await pool.end().catch(() => undefined);
    },
  };
}

function targetOf(topology: Topology, name: "wallet" | "orders"): PayoutTarget {
  const place = topology[name];
  if (place === undefined) return builtInLedger;
  const { url, timeoutMs } = place;
  return httpTarget({ name, url, timeoutMs, secret: readTargetSecret(topology, name) });
}

function observerOf({ registry, logger, topology }: Frame): PayoutObserver {
  const claims = registry.counter("payout_claims_total");
  const paidMinor = registry.counter("payout_paid_minor_total").with({});
  const guarded = registry.counter("payout_guarded_total").with({});
  const failures = registry.counter("payout_failures_total").with({});
  const batchSeconds = registry.histogram("payout_batch_seconds").with({});
  for (const outcome of ["paid", "retry", "dead"] as const) claims.with({ outcome });
  for (const target of ["wallet", "orders"] as const) {
    if (topology[target] !== undefined) registry.gauge("breaker_open").set({ target }, 0);
  }
  return {
    outcome: (what, count) => {
      if (count > 0) claims.inc({ outcome: what }, count);
    },
    paidMinor: (amountMinor) => paidMinor.inc(amountMinor),
    batch: (_claims, milliseconds) => batchSeconds.observe(milliseconds / 1000),
    answer: (target, milliseconds) =>
      registry
        .histogram("payout_target_seconds")
        .observe({ target: target as "wallet" }, milliseconds / 1000),
    circuit: (target, isOpen) =>
      registry.gauge("breaker_open").set({ target: target as "wallet" }, isOpen ? 1 : 0),
    guarded: (claim) => {
      guarded.inc();
      const { round, prizeId: prize } = claim;
      logger.error({ claim, round, prize }, "a claim was kept from being paid: it is a dead letter");
    },
    failed: (what, error) => {
      failures.inc();
      logger.warn({ err: error }, `${what} failed; nothing is lost, it is tried again`);
    },
  };
}

function gauges(registry: Registry, pool: Pool, mysqlUp: () => boolean): void {
  let readAtMs = -Infinity;
  registry.onCollect(async () => {
    registry.gauge("store_up").set({ store: "mysql" }, mysqlUp() ? 1 : 0);
    if (performance.now() - readAtMs < GAUGES_AGE_MS_MAX) return;
    const { states, feedIds, ledgerMinor } = await payoutGauges(pool);
    readAtMs = performance.now();
    for (const state of ["pending", "paid", "dead", "held"] as const) {
      registry.gauge("payouts").set({ state }, states[state].count);
      registry.gauge("payouts_minor").set({ state }, states[state].amount);
    }
    registry.gauge("payout_feed_claims").set({}, feedIds);
    registry.gauge("payout_ledger_minor").set({}, ledgerMinor);
  });
}
