/** `hongbao controller`: the edge of the conductor. Everything is read and checked here. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  adminClient,
  AdminError,
  adminServer,
  switchesClient,
  usersClient,
  type AdminParts,
  type SetClient,
} from "@hongbao/bucket-service";
import { createLogger, createRegistry, type Logger, type Registry } from "@hongbao/monitoring";
import {
  BadInput,
  findTopology,
  openPack,
  readSchedule,
  readSecrets,
  readTopology,
  type BucketPlace,
  type Topology,
} from "@hongbao/preprocess";
import { openControlStore } from "../control/open.ts";
import { siteIsElsewhere } from "../haproxy/site-backend.ts";
import { closeServer, listenOn, stopSignal } from "../listen.ts";
import { conductorRoutes } from "./admin.ts";
import { BucketWatch } from "./bucket-watch.ts";
import { FoundServices } from "./found-services.ts";
import { Conductor } from "./conductor.ts";
import { eventStore, randomKey, Records } from "./records.ts";
import { adminPages } from "./admin-pages.ts";
import { targetsPage } from "./targets-page.ts";
import type { ObedientProcess } from "./pushed-set.ts";
import { startS3Site } from "./s3-site.ts";
import { buildSite } from "./site-files.ts";
import { SITE_KEEP_ALIVE_MS, siteHandler, sitePages, startSite, type Site, type SiteNews } from "./site.ts";
import { ShadowDesk } from "./shadow.ts";
import { SwitchDesk } from "./switches.ts";
import { UserRulesDesk } from "./user-rules.ts";

export interface ControllerOptions {
  id: string;
  topology?: string;
  state?: string;
}

/** An admin port that takes longer is of no help to an opening. */
const ADMIN_MS_MAX = 700;

/** Runs until SIGTERM or SIGINT. */
export async function runController(options: ControllerOptions): Promise<void> {
  const stopped = stopSignal();
  const controller = await startController(options);
  await stopped;
  await controller.stop();
}

/** Resolves when the admin port listens. Throws BadInput, Unreachable. */
export async function startController(options: ControllerOptions): Promise<{ stop(): Promise<void> }> {
  const topology = readTopology(findTopology(options.topology, options.state));
  const place = topology.controllers.find(({ id }) => id === options.id);
  if (place === undefined) {
    const known = topology.controllers.map(({ id }) => id).join(", ");
    throw new BadInput(`--id: found "${options.id}", expected one of ${known} (${topology.path})`);
  }
  const { operator } = readSecrets(topology, ["operator"]);
  const registry = createRegistry({ labels: { role: "controller", id: place.id } });
  const logger = createLogger({ role: "controller", id: place.id }, { registry });
  const services = new FoundServices(topology.buckets, topology.balancer);
  const { packDigest, conductor, buckets, users, switches, shadow, tellDesks } = await makeConductor(
    topology,
    place.id,
    operator,
    logger,
    registry,
    services,
  );
  await services.start(tellDesks, (error) =>
    logger.warn({ err: error }, "looking for services failed; it is tried again"),
  );
  // A rehearsal has a start file, and does not stand in the schedule: nobody is to be called by it.
  const news: SiteNews = {
    roundsJson: () => conductor.roundsJson(),
    startFile: (round) => conductor.startFile(round) ?? shadow.startFile(round),
    nowMs: () => conductor.nowMs(),
  };
  const handler = siteIsElsewhere(topology.balancer.site) ? null : siteHandler(buildSite(), news);
  let site: Site | null = null;
  const admin = adminServer({
    operatorSecret: operator,
    registry,
    ready: () => ({ ready: conductor.epoch !== null, why: "the control store has not answered" }),
    pages: (router) => {
      if (handler !== null) sitePages(handler)(router);
      adminPages()(router);
      targetsPage(topology, services)(router);
    },
    routes: conductorRoutes({
      id: place.id,
      packDigest,
      conductor,
      buckets,
      site: () => site,
      users,
      switches,
      shadow,
    }),
    shadow: () => shadow.router,
    onError: (error) => {
      // What a caller is told is the caller's matter.
      if (!(error instanceof AdminError)) logger.error({ err: error }, "an admin request failed");
    },
  });
  admin.keepAliveTimeout = SITE_KEEP_ALIVE_MS;
  await listenOn(admin, place.admin);
  conductor.start();
  users.start();
  switches.start();
  if (handler !== null) {
    const address = new URL(topology.balancer.site);
    const where = `${address.hostname}:${address.port === "" ? 80 : address.port}`;
    site = startSite(where, handler, () => logger.info({ site: where }, "serving the site"));
  }
  const { publish } = topology.balancer;
  const published =
    publish === undefined
      ? null
      : startS3Site({
          url: publish,
          rounds: () => [...conductor.roundIds, ...shadow.rounds],
          news,
          isLeading: () => conductor.lease.leading,
          onTrouble: (error) => logger.error({ err: error }, "publishing failed; it is tried again"),
        });
  logger.info({ admin: place.admin, control: topology.control }, "ready");
  return {
    async stop() {
      await services.stop();
      await published?.stop();
      await site?.stop();
      await users.stop();
      await switches.stop();
      await shadow.stop();
      await conductor.stop();
      await closeServer(admin);
    },
  };
}

async function makeConductor(
  topology: Topology,
  id: string,
  operatorSecret: string,
  logger: Logger,
  registry: Registry,
  services: FoundServices,
): Promise<{
  packDigest: string;
  conductor: Conductor;
  buckets: BucketWatch[];
  users: UserRulesDesk;
  switches: SwitchDesk;
  shadow: ShadowDesk;
  /** Services came or went. */
  tellDesks: () => void;
}> {
  const pack = openPack(topology.pack, { verify: false, memoryBytesMax: 0 });
  const { manifest, digest } = pack;
  pack.close();
  const schedule = readSchedule(topology.pack);
  const store = await openControlStore(topology.control);
  const monotonicMs = (): number => performance.now();
  const buckets = topology.buckets.map(
    (bucket): BucketWatch =>
      new BucketWatch({
        id: bucket.id,
        clients: adminsOf(bucket, services).map((admin) =>
          adminClient({ admin, operatorSecret, timeoutMs: ADMIN_MS_MAX }),
        ),
        monotonicMs,
        isLeading: () => conductor.lease.leading,
        onInstalled: () => conductor.wake(),
      }),
  );
  const ticks = registry.histogram("controller_tick_seconds").with({});
  const conductor: Conductor = new Conductor({
    id,
    manifest,
    closings: new Map(Array.from(schedule, ([round, { closesAt }]) => [round, closesAt])),
    records: new Records(eventStore(store, manifest.event.id, digest)),
    buckets,
    randomKey,
    monotonicMs,
    wallMs: () => Date.now(),
    sleep: (ms) => sleep(ms),
    lends: (bucket) => switches.lends(bucket),
    onTick: (seconds) => ticks.observe(seconds),
    onTrouble: (error) => {
      if (error === null) logger.info("the control store answers");
      else logger.error({ err: error }, "the control store failed; it is tried again");
    },
    // Keys stand in installations and must not stand in a log.
    onAction: (action, outcome) =>
      logger.info(
        {
          round: action.round,
          outcome,
          ...("next" in action ? { change: action.next.change } : {}),
          ...("transfer" in action ? { transfer: action.transfer.n } : {}),
        },
        action.kind,
      ),
  });
  registry.onCollect(() => {
    registry.gauge("controller_leading").set({}, conductor.lease.leading ? 1 : 0);
    registry.gauge("store_up").set({ store: "control" }, conductor.storeWorks ? 1 : 0);
    const rounds = buckets.flatMap(({ state }) => state?.rounds ?? []);
    registry.gauge("event_active").set({}, isActive(rounds, Date.now()) ? 1 : 0);
    registry.gauge("event_local_hour").set({}, hourIn(manifest.event.timezone, Date.now()));
    for (const { id: bucket, nowMs } of conductor.world().buckets) {
      if (nowMs !== null) registry.gauge("clock_offset_seconds").set({ bucket }, (nowMs - Date.now()) / 1000);
    }
  });
  const pushed = {
    store: eventStore(store, manifest.event.id, digest),
    nowMs: () => conductor.nowMs(),
    monotonicMs,
    self: `controller ${id}`,
    onTrouble: (error: unknown) => logger.error({ err: error }, "a set cannot be kept; it is tried again"),
  };
  const processes = <S>(
    client: (parts: AdminParts) => SetClient<S>,
    roles: PushedRole[],
  ): ObedientProcess<S>[] =>
    topology.buckets.flatMap((bucket) =>
      roles
        .flatMap((role) => (role === "services" ? services.of(bucket) : bucket[role]))
        .map(({ id, admin }) => ({
          bucket: bucket.id,
          id,
          client: client({ admin, operatorSecret, timeoutMs: ADMIN_MS_MAX }),
        })),
    );
  const ruled = () => processes(usersClient, ["services", "payout"]);
  const switched = () => processes(switchesClient, ["services", "persist", "payout"]);
  const users = new UserRulesDesk({ ...pushed, processes: ruled() });
  const switches: SwitchDesk = new SwitchDesk({
    ...pushed,
    processes: switched(),
    buckets: topology.buckets.map(({ id }) => id),
  });
  const tellDesks = (): void => {
    users.setProcesses(ruled());
    switches.setProcesses(switched());
    topology.buckets.forEach((bucket, index) =>
      buckets[index]!.setClients(
        adminsOf(bucket, services).map((admin) =>
          adminClient({ admin, operatorSecret, timeoutMs: ADMIN_MS_MAX }),
        ),
      ),
    );
  };
  const shadow = new ShadowDesk({
    id,
    pack,
    store,
    buckets: () => topology.buckets.map((bucket) => ({ id: bucket.id, admins: adminsOf(bucket, services) })),
    operatorSecret,
    conductor,
    logger,
  });
  return { packDigest: digest, conductor, buckets, users, switches, shadow, tellDesks };
}

const AROUND_MS = 3_600_000;

/** Whether a round is open, or opens or closed within an hour: then nobody is spared at night. */
export function isActive(
  rounds: readonly { opensAtMs: number | null; closesAtMs: number | null }[],
  nowMs: number,
): boolean {
  return rounds.some(({ opensAtMs, closesAtMs }) => {
    if (opensAtMs === null) return false;
    return nowMs >= opensAtMs - AROUND_MS && (closesAtMs === null || nowMs <= closesAtMs + AROUND_MS);
  });
}

/** 0 to 23. */
export function hourIn(timezone: string, nowMs: number): number {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hour: "2-digit", hourCycle: "h23" });
  return Number(format.format(nowMs));
}

type PushedRole = "services" | "persist" | "payout";

/** Services first; persist knows its bucket as well when all of them are gone. */
function adminsOf(bucket: BucketPlace, services: FoundServices): string[] {
  return [...services.of(bucket), ...bucket.persist].map(({ admin }) => admin);
}
