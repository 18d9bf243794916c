import { createServer, type Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable, listenAddress } from "@hongbao/preprocess";
import { bucketRoutes } from "./admin/routes.ts";
import { adminServer } from "./admin/server.ts";
import { bookMetrics } from "./audit/live.ts";
import { openCounter } from "./counter.ts";
import { SpopAgent, type SpopAgentParts } from "./doors/spop/agent.ts";
import type { Frame } from "./frame.ts";
import { BucketView } from "./grab/bucket-view.ts";
import { bucketFence } from "./grab/fence.ts";
import type { GrabCore } from "./grab/grab-core.ts";
import { answerMeter, doorMetrics, viewMetrics } from "./metrics.ts";
import { mysqlProbe } from "./mysql/connect.ts";
import { openStores, operatorDesks } from "./parts.ts";
import { payoutRoutes } from "./payout/admin.ts";
import { Persist } from "./persist/persist.ts";
import { connectRedis } from "./redis/connect.ts";
import { shadowOf } from "./shadow/host.ts";
import { startShadowPersist } from "./shadow/persist.ts";
import { startShadowService } from "./shadow/service.ts";
import { whyRoutes } from "./users/why.ts";

export { openFrame, type Frame, type Role } from "./frame.ts";

/** Time-outs of the doors; Node's keep-alive must outlast HAProxy's, or a reused connection is reset under a request. */
export const doorPolicy = {
  keepAliveTimeoutMs: 120_000,
  /** HAProxy has the whole head, and nearly always the whole body, before a service hears of a request. */
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 5_000,
  /** How often it is looked at which requests take too long; Node's own 30 s would be the true bound otherwise. */
  timeoutTickMs: 1_000,
  /** After SIGTERM the doors stay open this long, so that health checks move the traffic away first. */
  drainMs: 1_500,
  /** Then what is under way may take this long. */
  finishMsMax: 5_000,
} as const;

export interface RunningPart {
  /** Drains and stops; resolves when nothing is left running. */
  stop(): Promise<void>;
}

/** Starts a service process: both doors, grab core, admin port. Resolves when the doors listen. */
export async function startService(
  frame: Frame,
  place: { http: string; spop: string; admin: string },
): Promise<RunningPart> {
  const { bucket, secrets, pack, logger, registry, switches } = frame;
  const counter = openCounter(frame);
  const { store, pool, users, rules, keeper, recent, view, core, wins, operators } = counter;
  const shadow = shadowOf(frame, view, startShadowService);
  const onError = (error: unknown): void => logger.error({ err: error }, "a request failed");
  const door = createServer(
    {
      keepAliveTimeout: doorPolicy.keepAliveTimeoutMs,
      headersTimeout: doorPolicy.headersTimeoutMs,
      requestTimeout: doorPolicy.requestTimeoutMs,
      connectionsCheckingInterval: doorPolicy.timeoutTickMs,
    },
    shadow.listener(counter.listener),
  );
  const agent = spopAgent(frame, shadow.desk(counter.desk), core);
  let draining = false;
  const admin = adminServer({
    operatorSecret: secrets.operator,
    registry,
    ready: () => ({ ready: !draining, why: "draining" }),
    routes: (router) => {
      bucketRoutes({ frame, roles: ["grab"], store, pool, view, mysqlUp: counter.mysqlUp })(router);
      shadow.routes(router);
      payoutRoutes({ pool, pack, bucket: bucket.id })(router);
      keeper.routes()(router);
      frame.switchKeeper.routes()(router);
      operators.routes(router);
      whyRoutes({ bucket: bucket.id, id: frame.id, pack, pool, switches, users, rules, recent, wins })(
        router,
      );
    },
    shadow: () => shadow.router,
    onError,
  });
  viewMetrics(frame, view, counter.mysqlUp);
  doorMetrics(registry, door, agent);
  await counter.begin();
  await listen(door, place.http);
  await listen(agent.server, place.spop);
  await listen(admin, place.admin);
  logger.info(
    { http: place.http, spop: place.spop, admin: place.admin, users: users.size, prizes: pack.prizeCount },
    "ready",
  );
  return {
    async stop() {
      draining = true;
      agent.drain();
      await sleep(doorPolicy.drainMs);
      // The agent first: what it leaves unanswered HAProxy brings to an HTTP door, perhaps to this one.
      await agent.stop(doorPolicy.finishMsMax);
      await close(door);
      await close(admin);
      await shadow.drop("the process ends");
      await counter.end();
      switches.stop();
    },
  };
}

function spopAgent(
  { secrets, logger, registry }: Frame,
  desk: SpopAgentParts["desk"],
  core: GrabCore,
): SpopAgent {
  return new SpopAgent({
    desk,
    secrets: secrets.spop,
    window: () => core.window,
    ...(registry.enabled ? { onAnswer: answerMeter(registry, "spop", "grab") } : {}),
    onFault: (what) => logger.warn(what),
  });
}

/** Starts a persist process: journal → MySQL, and an admin port. */
export async function startPersist(frame: Frame, place: { id: string; admin: string }): Promise<RunningPart> {
  const { bucket, secrets, pack, logger, registry } = frame;
  const { store, pool, begin, end } = openStores(frame, { multipleStatements: true });
  const reader = connectRedis(bucket, secrets.redis, { name: `${place.id}-reader`, blocking: true });
  const view = new BucketView(
    store,
    bucketFence({ pool, store, packDigest: pack.digest, rounds: pack.manifest.rounds.length }),
  );
  const probe = mysqlProbe(pool, () => undefined);
  const rows = registry.counter("persist_rows_total");
  const persisted = rows.with({ outcome: "new" });
  const violations = rows.with({ outcome: "violation" });
  const batchSeconds = registry.histogram("persist_batch_seconds").with({});
  const failures = registry.counter("persist_failures_total").with({});
  const operators = operatorDesks(frame, store, pool, view);
  const shadow = shadowOf(frame, view, (inner) => startShadowPersist(inner, place.id));
  const persist = new Persist({
    reader,
    store,
    pool,
    pack,
    consumer: place.id,
    ack: () => {
      const { ack } = frame.switches.current;
      return ack === "event" ? pack.manifest.event.ack : ack;
    },
    scripts: operators.scripts,
    observer: {
      persisted: (count, milliseconds) => {
        persisted.inc(count);
        batchSeconds.observe(milliseconds / 1000);
      },
      conflict: (claim) => {
        violations.inc();
        logger.error(
          { claim, round: claim.round, prize: claim.prizeId },
          "a journal entry contradicts a claim in MySQL; it was kept in claim_conflicts",
        );
      },
      late: (claims) => logger.warn({ claims }, "claims of before a rebuild were brought back"),
      failed: (what, error) => {
        failures.inc();
        logger.warn({ err: error }, `${what} failed; the entries stay in the journal and are tried again`);
      },
    },
  });
  const admin = adminServer({
    operatorSecret: secrets.operator,
    registry,
    ready: () => ({ ready: true, why: "" }),
    routes: (router) => {
      bucketRoutes({ frame, roles: ["persist"], store, pool, view, mysqlUp: probe.up })(router);
      shadow.routes(router);
      payoutRoutes({ pool, pack, bucket: bucket.id })(router);
      frame.switchKeeper.routes()(router);
      operators.routes(router);
      whyRoutes({ bucket: bucket.id, id: frame.id, pack, pool, switches: frame.switches })(router);
    },
    shadow: () => shadow.router,
    onError: (error) => logger.error({ err: error }, "an admin request failed"),
  });
  viewMetrics(frame, view, probe.up);
  bookMetrics({ registry, store, pool, pack, bucket: bucket.id });
  await begin();
  await reader.connect().catch(() => undefined);
  await view.refresh();
  void view.run();
  const running = persist.run();
  await listen(admin, place.admin);
  logger.info({ admin: place.admin }, "ready");
  return {
    async stop() {
      await shadow.drop("the process ends");
      persist.stop();
      await Promise.race([running, sleep(doorPolicy.finishMsMax, undefined, { ref: false })]);
      await close(admin);
      operators.receipts.stop();
      view.stop();
      probe.stop();
      frame.switches.stop();
      reader.disconnect();
      await end();
    },
  };
}

/** Listens on `host:port`. Errors: Unreachable when the address is taken or is not ours. */
export async function listen(server: NetServer, address: string): Promise<void> {
  const { host, port } = listenAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(new Unreachable(`cannot listen on ${address}: ${error.code ?? error.message}`)),
    );
    server.listen({ host, port, backlog: 4096 }, resolve);
  });
}

/** Takes no new connections, lets what is under way finish, bounded. */
export async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const end = performance.now() + doorPolicy.finishMsMax;
  while (performance.now() < end) {
    const done = await Promise.race([closed.then(() => true), sleep(50).then(() => false)]);
    if (done) return;
    server.closeIdleConnections();
  }
  server.closeAllConnections();
}
