/**
 * The counter of a service process: everything between its doors and its stores. The event has one, and while a rehearsal is on
 * its shadow has another, made of the same parts.
 */
import type { RequestListener } from "node:http";
import type { Pool } from "mysql2/promise";
import { bucketOfSlot, loadUserTable, slotOf, type UserTable } from "@hongbao/preprocess";
import { GrabDesk } from "./doors/grab-desk.ts";
import { httpDoor } from "./doors/http.ts";
import { Identity } from "./doors/identity.ts";
import type { Frame } from "./frame.ts";
import { Admission } from "./grab/admission.ts";
import { AnswerWriter } from "./grab/answers.ts";
import { BucketView } from "./grab/bucket-view.ts";
import { DurableWait, hearCommits } from "./grab/durable-wait.ts";
import { bucketFence } from "./grab/fence.ts";
import { GrabCore } from "./grab/grab-core.ts";
import { UserLimits } from "./grab/limits.ts";
import { RecentAttempts } from "./grab/recent.ts";
import { WinsReader } from "./grab/wins.ts";
import { batchObserver, httpMeter } from "./metrics.ts";
import { mysqlProbe } from "./mysql/connect.ts";
import { openStores, operatorDesks, type OperatorDesks } from "./parts.ts";
import { connectRedis } from "./redis/connect.ts";
import type { BucketStore } from "./redis/scripts.ts";
import { AckMode, journalCommitted } from "./switches/ack-mode.ts";
import { RulesKeeper } from "./users/keeper.ts";
import { UserRules, withRules } from "./users/rules.ts";

export interface Counter {
  store: BucketStore;
  pool: Pool;
  users: UserTable;
  rules: UserRules;
  keeper: RulesKeeper;
  recent: RecentAttempts;
  view: BucketView;
  core: GrabCore;
  wins: WinsReader;
  operators: OperatorDesks;
  /** What the HTTP door does with a request. */
  listener: RequestListener;
  /** What the SPOP door asks. */
  desk: GrabDesk;
  mysqlUp: () => boolean;
  /** Connects, and looks at the bucket until end(). */
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** Makes it; nothing is asked before `begin`. Errors: BadInput. */
export function openCounter(frame: Frame): Counter {
  const { bucket, secrets, pack, logger, registry, topology, switches } = frame;
  const { manifest } = pack;
  const { store, pool, begin: connect, end: disconnect } = openStores(frame);
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
  const listener = httpDoor({
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
  });
  const desk = new GrabDesk({ core, writer, opensAtMs, recent, onError });
  return {
    store,
    pool,
    users,
    rules,
    keeper,
    recent,
    view,
    core,
    wins,
    operators,
    listener,
    desk,
    mysqlUp: probe.up,
    async begin() {
      await Promise.all([connect(), keeper.start()]);
      await view.refresh();
      void view.run();
    },
    async end() {
      core.stop();
      keeper.stop();
      operators.receipts.stop();
      view.stop();
      probe.stop();
      ack.stop();
      await disconnect();
    },
  };
}
