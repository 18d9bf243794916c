import { createServer, type Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection, Pool } from "mysql2/promise";
import {
  Unreachable,
  bucketOfSlot,
  listenAddress,
  loadUserTable,
  slotOf,
  type Pack,
} from "@hongbao/preprocess";
import { rebuildRoutes } from "./admin/rebuild-routes.ts";
import { bucketRoutes } from "./admin/routes.ts";
import { adminServer } from "./admin/server.ts";
import { bookMetrics } from "./audit/live.ts";
import type { Frame } from "./frame.ts";
import { GrabDesk } from "./doors/grab-desk.ts";
import { httpDoor } from "./doors/http.ts";
import { Identity } from "./doors/identity.ts";
import { SpopAgent } from "./doors/spop/agent.ts";
import { Admission } from "./grab/admission.ts";
import { AnswerWriter } from "./grab/answers.ts";
import { BucketView } from "./grab/bucket-view.ts";
import { DurableWait, hearCommits } from "./grab/durable-wait.ts";
import { GrabCore } from "./grab/grab-core.ts";
import { bucketFence } from "./grab/fence.ts";
import { UserLimits } from "./grab/limits.ts";
import { RecentAttempts } from "./grab/recent.ts";
import { WinsReader } from "./grab/wins.ts";
import { answerMeter, batchObserver, doorMetrics, httpMeter, viewMetrics } from "./metrics.ts";
import { mysqlConnection, mysqlPool, mysqlProbe } from "./mysql/connect.ts";
import { payoutRoutes } from "./payout/admin.ts";
import { Persist } from "./persist/persist.ts";
import { ReceiptDesk } from "./receipts/desk.ts";
import { RebuildDesk } from "./rebuild/desk.ts";
import { RebuildScripts } from "./rebuild/rebuild-scripts.ts";
import { connectRedis } from "./redis/connect.ts";
import { bucketKeys } from "./redis/keys.ts";
import { BucketStore } from "./redis/scripts.ts";
import { AckMode, journalCommitted } from "./switches/ack-mode.ts";
import { RulesKeeper } from "./users/keeper.ts";
import { UserRules, withRules } from "./users/rules.ts";
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

function roundIds(pack: Pack): number[] {
  return pack.manifest.rounds.map(({ id }) => id);
}

function openStores(
  frame: Frame,
  options: { multipleStatements?: boolean } = {},
): {
  store: BucketStore;
  pool: Pool;
  begin: () => Promise<void>;
  end: () => Promise<void>;
} {
  const { bucket, secrets, pack, id } = frame;
  const event = pack.manifest.event.id;
  const client = connectRedis(bucket, secrets.redis, { name: id });
  const pool = mysqlPool(bucket, secrets.mysql, event, options);
  return {
    store: new BucketStore(client, bucketKeys(event, bucket.id), roundIds(pack)),
    pool,
    // A first attempt that fails is followed by others, as retryStrategy says.
    begin: () => client.connect().catch(() => undefined),
    end: async () => {
      client.disconnect();
      await pool.end().catch(() => undefined);
    },
  };
}

/** What any process of a bucket does for operators after a loss. */
function operatorDesks(frame: Frame, store: BucketStore, pool: Pool, view: BucketView): OperatorDesks {
  const { bucket, secrets, pack, logger } = frame;
  const scripts = new RebuildScripts(store, roundIds(pack));
  const connect = (): Promise<Connection> => mysqlConnection(bucket, secrets.mysql, pack.manifest.event.id);
  const desk = new RebuildDesk({ pack, pool, scripts }, connect, (step) => logger.warn({ step }, "rebuild"));
  const receipts = new ReceiptDesk({ pool, scripts, pack, bucket: bucket.id, secrets: secrets.receipt });
  receipts.start((wins) => logger.warn({ wins }, "finished restorations that had been broken off"));
  const routes = rebuildRoutes({
    desk,
    receipts,
    rounds: roundIds(pack),
    bucket: bucket.id,
    seq: () => view.seq,
  });
  return { scripts, receipts, routes };
}

interface OperatorDesks {
  scripts: RebuildScripts;
  receipts: ReceiptDesk;
  routes: ReturnType<typeof rebuildRoutes>;
}

/** Starts a service process: both doors, grab core, admin port. Resolves when the doors listen. */
export async function startService(
  frame: Frame,
  place: { http: string; spop: string; admin: string },
): Promise<RunningPart> {
  const { bucket, secrets, pack, logger, registry, topology, switches } = frame;
  const { manifest } = pack;
  const { store, pool, begin, end } = openStores(frame);
  const users = loadUserTable(pack, bucket.id);
  const rules = new UserRules();
  const keeper = new RulesKeeper(rules, pool);
  const recent = new RecentAttempts();
  const view = new BucketView(
    store,
    bucketFence({ pool, store, packDigest: pack.digest, rounds: pack.manifest.rounds.length }),
  );
  const durable = new DurableWait(store.client, store.keys.journal);
  const ack = new AckMode({
    switches,
    event: manifest.event.ack,
    committed: () => journalCommitted(store, durable),
    hear: () =>
      hearCommits(
        connectRedis(bucket, secrets.redis, { name: `${frame.id}-commits`, blocking: true }),
        store.keys.committed,
        durable,
      ),
  });
  const probe = mysqlProbe(pool, (up) => durable.setMysqlUp(up));
  const writer = new AnswerWriter(pack, bucket.id, secrets.receipt[0]!);
  const slots = bucketOfSlot(topology);
  const own = topology.buckets.indexOf(bucket);
  const limits = new UserLimits(() => switches.current.limitUser);
  const core = new GrabCore({
    store,
    view,
    users: withRules(users, rules),
    rounds: manifest.rounds,
    journalMax: manifest.event.journalMax,
    durable,
    ack,
    switches,
    ownsUser: (user) => slots[slotOf(user)] === own,
    limits,
    admission: new Admission({ word: () => switches.current.shed }),
    observe: batchObserver(registry),
  });
  const wins = new WinsReader({
    store,
    pool,
    rounds: manifest.rounds,
    ack: () => ack.state,
    redisTrusted: () => view.trust === "ok",
    mysqlUp: probe.up,
  });
  const operators = operatorDesks(frame, store, pool, view);
  const onError = (error: unknown, about: object = {}): void =>
    logger.error({ err: error, ...about }, "a request failed");
  const onAnswer = httpMeter(registry);
  const opensAtMs = (round: number): number | null => view.round(round)?.opensAtMs ?? null;
  const door = createServer(
    {
      keepAliveTimeout: doorPolicy.keepAliveTimeoutMs,
      headersTimeout: doorPolicy.headersTimeoutMs,
      requestTimeout: doorPolicy.requestTimeoutMs,
      connectionsCheckingInterval: doorPolicy.timeoutTickMs,
    },
    httpDoor({
      core,
      writer,
      identity: new Identity(secrets.token),
      limits,
      wins,
      isDenied: (user, round) => rules.denies(user, round),
      recent,
      receipts: {
        take: (list, user) => operators.receipts.take(list, user),
        ready: () => view.trust === "ok",
      },
      opensAtMs,
      ...(onAnswer === undefined ? {} : { onAnswer }),
      onError,
    }),
  );
  const desk = new GrabDesk({ core, writer, opensAtMs, recent, onError });
  const agent = spopAgent(frame, desk, core);
  let draining = false;
  const admin = adminServer({
    operatorSecret: secrets.operator,
    registry,
    ready: () => ({ ready: !draining, why: "draining" }),
    routes: (router) => {
      bucketRoutes({ frame, roles: ["grab"], store, pool, view, mysqlUp: probe.up })(router);
      payoutRoutes({ pool, pack, bucket: bucket.id })(router);
      keeper.routes()(router);
      frame.switchKeeper.routes()(router);
      operators.routes(router);
      whyRoutes({ bucket: bucket.id, id: frame.id, pack, pool, switches, users, rules, recent, wins })(
        router,
      );
    },
    onError,
  });
  viewMetrics(frame, view, probe.up);
  doorMetrics(registry, door, agent);
  await Promise.all([begin(), keeper.start()]);
  await view.refresh();
  void view.run();
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
      core.stop();
      keeper.stop();
      operators.receipts.stop();
      view.stop();
      probe.stop();
      ack.stop();
      switches.stop();
      await end();
    },
  };
}

function spopAgent({ secrets, logger, registry }: Frame, desk: GrabDesk, core: GrabCore): SpopAgent {
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
      payoutRoutes({ pool, pack, bucket: bucket.id })(router);
      frame.switchKeeper.routes()(router);
      operators.routes(router);
      whyRoutes({ bucket: bucket.id, id: frame.id, pack, pool, switches: frame.switches })(router);
    },
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
