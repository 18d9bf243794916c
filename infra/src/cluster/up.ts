/** `hongbao up`: from nothing, or from where it was, to a running cluster; and its orderly end. */
import {
  openPack,
  readClusterFile,
  readPackUsers,
  readSecrets,
  signToken,
  Unreachable,
  type ClusterMonitoring,
  type Topology,
} from "@hongbao/preprocess";
import { ensurePackages } from "../install/packages.ts";
import { readAlertsFile } from "../monitoring/alerts-file.ts";
import { MONITORING_PACKAGES, planMonitoring } from "../monitoring/units.ts";
import { lockDirectory, type Lock } from "../processes/lock.ts";
import { checkSettings, eventDigest, generate, load, writeSample } from "./event.ts";
import { figuresReader, type Figures } from "./figures.ts";
import { makeSecrets, takePorts, topologyText } from "./layout.ts";
import { LocalCluster } from "./local.ts";
import { endRemains } from "./remains.ts";
import { openIn } from "./schedule.ts";
import {
  openPlaces,
  placesOf,
  readSettings,
  turnLogs,
  wipe,
  writeAtomically,
  writeSettings,
  type Places,
  type Settings,
} from "./places.ts";

export interface UpOptions {
  /** The state directory, absolute. */
  home: string;
  replay?: boolean;
  buckets?: number;
  services?: number;
  /** An event file, absolute; without it the state's event, or the sample. */
  event?: string;
  /** Writes the event of a state that has none, and returns its path. Default: the sample. */
  makeEvent?: (places: Places, signal: AbortSignal) => Promise<string>;
  port?: number;
  opensInSeconds?: number;
  fresh?: boolean;
  /** Prometheus, Alertmanager, exporters and dashboards beside the cluster; an alerts file may say who is told. */
  monitoring?: { alerts?: string };
  /** What the operator reads. */
  tell: (text: string) => void;
  /** Gives up the start. */
  signal?: AbortSignal;
}

export interface RunningCluster {
  places: Places;
  topology: Topology;
  /** One look at the rounds. */
  figures(): Promise<Figures>;
  /** Page addresses that sign a user in. */
  links: { user: string; url: string }[];
  monitoring: ClusterMonitoring | null;
  stop(): Promise<void>;
  killAll(): void;
}

const BUCKETS = 2;
const SERVICES = 2;
/** Time to open the page, look for the button and be there. */
const SAMPLE_OPENS_IN_SECONDS = 15;
const LINKS = 3;
const LINK_VALID_SECONDS = 24 * 3600;
const LOOK_AT_USERS_MAX = 10_000;

/**
 * Starts a cluster and returns when every part is ready and the rounds' times are set.
 * Throws BadInput, Unreachable (also: one runs there already); then nothing of it is left running.
 */
export async function startCluster(options: UpOptions): Promise<RunningCluster> {
  const places = placesOf(options.home, { replay: options.replay === true });
  const event =
    options.event === undefined ? null : { path: options.event, ...(await eventDigest(options.event)) };
  if (options.monitoring?.alerts !== undefined) readAlertsFile(options.monitoring.alerts);
  openPlaces(places);
  const lock = await takeLock(places);
  try {
    return await startLocked(options, places, event, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function takeLock(places: Places): Promise<Lock> {
  const lock = await lockDirectory(places.home);
  if (lock !== null) return lock;
  const running = readClusterFile(places.home);
  const who = running ? ` (pid ${running.pid}, ${running.state}, page ${running.url})` : "";
  throw new Unreachable(`a cluster is running in ${places.home} already${who}: "hongbao down" stops it`);
}

async function startLocked(
  options: UpOptions,
  places: Places,
  event: Settings["event"] | null,
  lock: Lock,
): Promise<RunningCluster> {
  const { tell } = options;
  const monitored = options.monitoring === undefined ? [] : MONITORING_PACKAGES;
  await ensurePackages(["redis-server", "mariadb-server", "haproxy", ...monitored]);
  await endRemains(places.home);
  const found = readSettings(places);
  if (found && found.step === "loaded" && options.fresh !== true) {
    checkSettings(places, found, {
      event: event ?? found.event,
      ...(options.buckets ? { buckets: options.buckets } : {}),
    });
  } else if (found) {
    if (found.step === "loaded") tell(`--fresh: event ${found.event.id} in ${places.data} is thrown away`);
    wipe(places);
  }
  const kept = options.fresh === true || found?.step !== "loaded" ? null : found;
  const settings: Settings = {
    format: 1,
    step: kept ? "loaded" : "begun",
    buckets: kept?.buckets ?? options.buckets ?? BUCKETS,
    services: options.services ?? kept?.services ?? SERVICES,
    event: kept?.event ?? event ?? { id: "", path: null, digest: "" },
  };
  writeSettings(places, settings);
  turnLogs(places);
  const monitoring = options.monitoring !== undefined;
  const ports = await takePorts(places, { ...settings, monitoring }, options.port);
  makeSecrets(places);
  writeAtomically(places.topology, topologyText(settings, ports));
  return run(options, places, settings, ports, lock);
}

/** From here on there are processes: whatever goes wrong, they are stopped before the error goes on. */
async function run(
  options: UpOptions,
  places: Places,
  settings: Settings,
  ports: Record<string, number>,
  lock: Lock,
): Promise<RunningCluster> {
  const { tell } = options;
  const starting = new AbortController();
  const giveUp = () => starting.abort(new Unreachable("stopped before it was ready"));
  options.signal?.addEventListener("abort", giveUp, { once: true });
  if (options.signal?.aborted) giveUp();
  const cluster = new LocalCluster({ places, tell, starting });
  let monitoring: ClusterMonitoring | null = null;
  const stop = async () => {
    await cluster.stop();
    await lock.release();
  };
  try {
    const opensIn =
      options.opensInSeconds ??
      (settings.step === "begun" && settings.event.path === null ? SAMPLE_OPENS_IN_SECONDS : null);
    if (settings.step === "begun")
      await prepare(cluster, places, settings, { ...options, opensIn, starting });
    else await cluster.startStores();
    tell("Starting the processes ...");
    await cluster.startProcesses();
    if (options.monitoring !== undefined) monitoring = await monitor(cluster, places, ports, options);
    if (opensIn !== null) await openIn(cluster.topology, opensIn);
    cluster.markReady();
  } catch (error) {
    // The first failure is the cause; what it brought down with it only says "aborted".
    const cause: unknown = starting.signal.aborted ? starting.signal.reason : error;
    starting.abort(cause);
    await cluster.stop();
    throw cause;
  } finally {
    options.signal?.removeEventListener("abort", giveUp);
  }
  const { topology } = cluster;
  return {
    places,
    topology,
    figures: figuresReader(topology),
    links: readyLinks(topology),
    monitoring,
    stop,
    killAll: () => cluster.killAll(),
  };
}

async function monitor(
  cluster: LocalCluster,
  places: Places,
  ports: Record<string, number>,
  { tell, monitoring: { alerts } = {} }: UpOptions,
): Promise<ClusterMonitoring> {
  const receivers = alerts === undefined ? {} : readAlertsFile(alerts);
  tell("Starting Prometheus, Alertmanager and the exporters ...");
  const dir = places.monitoring;
  const planned = planMonitoring({ topology: cluster.topology, ports, dir, receivers });
  await cluster.startMonitoring(planned.units, planned.places);
  return planned.places;
}

/** Makes the pack while the stores start, then loads it. */
async function prepare(
  cluster: LocalCluster,
  places: Places,
  settings: Settings,
  options: UpOptions & { opensIn: number | null; starting: AbortController },
): Promise<void> {
  const { tell, opensIn, starting, makeEvent = writeSample } = options;
  const { signal } = starting;
  const makePack = async () => {
    const path = settings.event.path ?? (await makeEvent(places, signal));
    const { id, digest } = await eventDigest(path);
    settings.event = { id, digest, path: settings.event.path };
    tell(`Generating the prizes of ${id} ...`);
    await generate(places, path, signal);
  };
  tell("Starting Redis and MariaDB ...");
  const both = [cluster.startStores(), makePack()];
  await Promise.all(both).catch(async (error: unknown) => {
    // The other half is called off and waited for, so that it starts nothing behind our back.
    starting.abort(error);
    await Promise.allSettled(both);
    throw error;
  });
  tell(`Loading ${settings.event.id} into ${settings.buckets} buckets ...`);
  await load(places, opensIn, signal);
  settings.step = "loaded";
  writeSettings(places, settings);
}

/** The first users who may take part in the first round, from different buckets where there are several. */
function readyLinks(topology: Topology): RunningCluster["links"] {
  const pack = openPack(topology.pack);
  try {
    const { groups, rounds, buckets } = pack.manifest;
    const invited = rounds[0]?.groups ?? null;
    const candidates = buckets.map(({ id }) => {
      const users: string[] = [];
      let seen = 0;
      for (const user of readPackUsers(pack, id)) {
        if (invited === null || invited.includes(groups[user.group]!)) users.push(user.id);
        if (users.length === LINKS || ++seen === LOOK_AT_USERS_MAX) break;
      }
      return users;
    });
    const inTurn = Array.from({ length: LINKS }, (_, n) =>
      candidates.flatMap((users) => users.slice(n, n + 1)),
    ).flat();
    const secret = readSecrets(topology, ["token"]).token[0]!;
    const expSeconds = Math.floor(Date.now() / 1000) + LINK_VALID_SECONDS;
    return inTurn.slice(0, LINKS).map((user) => ({
      user,
      url: `${topology.balancer.url}/#t=${signToken(user, secret, expSeconds)}`,
    }));
  } finally {
    pack.close();
  }
}
