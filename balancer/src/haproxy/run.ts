/** `hongbao balancer run`: one HAProxy, its maps, and an admin port. The edge: everything is read and checked here. */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { request, type Server } from "node:http";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AdminError, adminServer } from "@hongbao/bucket-service";
import { createLogger, createRegistry, type Logger, type Registry } from "@hongbao/monitoring";
import {
  BadInput,
  findTopology,
  MANIFEST,
  readSecrets,
  readTopology,
  sha256Hex,
  type PackManifest,
  type Topology,
} from "@hongbao/preprocess";
import { closeServer, listenOn, stopSignal } from "../listen.ts";
import { Finder } from "./finder.ts";
import { Feed, type FeedPlan } from "./feed.ts";
import { BUSY_PAGE } from "./answers.ts";
import { CONFIG, CONFIG_DRAFT, writeWhole } from "./files.ts";
import { MAPS, mapText, pushedMaps, slotsMap } from "./maps.ts";
import { Master, type HaproxyKeys } from "./master.ts";
import { roundsView } from "./news.ts";
import { connectionsFor } from "./policy.ts";
import { render, TOKEN_KEY, TOKEN_KEY_PREVIOUS, type RenderOptions } from "./render.ts";
import { SLOTS_MAX } from "./slots.ts";
import { SPOP_KEY, spoeFile } from "./spoe.ts";
import { STANDARD_VARIABLES, switchView, type SwitchVariables } from "./switched.ts";

export interface RunOptions {
  topology?: string;
  state?: string;
  /** The directory that HAProxy runs in; default: `balancer` beside the topology file. */
  dir?: string;
  threads?: string;
  /** `spop` (default) or `http`: whether HAProxy asks the services by SPOE first. */
  door?: string;
  /** Seconds that a stop waits for kept connections to end by themselves; default 3. */
  drain?: string;
}

/** ECS, the most patient of those who stop us, waits 120 s. */
const DRAIN_SECONDS_MAX = 110;

export interface RunningBalancer {
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Runs until SIGTERM or SIGINT. */
export async function runBalancer(options: RunOptions): Promise<void> {
  const stopped = stopSignal();
  const balancer = await startBalancer(options);
  await stopped;
  await balancer.stop();
}

/** Resolves when HAProxy answers. Throws BadInput, Unreachable. */
export async function startBalancer(options: RunOptions): Promise<RunningBalancer> {
  const path = findTopology(options.topology, options.state);
  const topology = readTopology(path);
  const dir = resolve(options.dir ?? join(dirname(path), "balancer"));
  const chosen = readChoice(options);
  const drainMs = readDrain(options.drain);
  const { operator } = readSecrets(topology, ["operator"]);
  const registry = createRegistry({ labels: { role: "balancer", id: topology.balancer.listen } });
  const logger = createLogger({ role: "balancer", id: topology.balancer.listen }, { registry });
  mkdirSync(join(dir, "maps"), { recursive: true, mode: 0o700 });
  const used: Used = { topology, packDigest: packDigestOf(topology.pack) };
  const finder: Finder = new Finder({
    dir,
    topology,
    withAgents: chosen.door !== "http",
    runtime: () => (master.running ? master.runtime : null),
    onTrouble: (what, error) => logger.warn({ err: error }, `${what} failed; it is tried again`),
  });
  await finder.start();
  const found = { ...chosen, slots: finder.slots };

  const master: Master = new Master({
    dir,
    keys: readKeys(topology),
    ...(drainMs === undefined ? {} : { drainMs }),
    onLine: (line) => logger.info({ haproxy: line }, "haproxy says"),
    onDeath: (how, waitMs) => logger.error({ how, waitMs }, "haproxy ended; it is started again"),
    onUp: () => {
      finder.compareSoon();
      void feed.compare();
    },
  });
  const feed: Feed = new Feed({
    id: `${hostname()} ${topology.balancer.listen}`,
    dir,
    controllers: topology.controllers,
    operatorSecret: operator,
    plan: planOf(topology),
    runtime: () => (master.running ? master.runtime : null),
    onVariables: (variables) => writeConfig(dir, used.topology, found, CONFIG, variables),
    onTrouble: (what, error) => logger.warn({ err: error }, `${what} failed; it is tried again`),
  });
  writeFiles(dir, topology, found, CONFIG, feed.variables);
  const reload = reloader({ path, dir, chosen: found, used, master, feed, registry, logger });
  const admin = await startAdmin({
    topology,
    used,
    operator,
    finder,
    master,
    feed,
    registry,
    logger,
    reload,
  });
  try {
    await feed.start();
    await master.start();
  } catch (error) {
    await finder.stop();
    await feed.stop();
    await closeServer(admin);
    throw error;
  }
  logger.info({ listen: topology.balancer.listen, pid: master.pid, dir }, "ready");
  return {
    reload,
    async stop() {
      await finder.stop();
      await feed.stop();
      await master.stop();
      await closeServer(admin);
    },
  };
}

type Choice = Pick<RenderOptions, "threads" | "door" | "slots">;

/** What the options of `balancer run|render` choose of HAProxy. Throws BadInput. */
export function readChoice({ threads, door }: { threads?: string; door?: string }): Choice {
  if (threads !== undefined && !/^[1-9]\d?$/.test(threads)) {
    throw new BadInput(`--threads: found "${threads}", expected 1 to 99`);
  }
  if (door !== undefined && door !== "http" && door !== "spop") {
    throw new BadInput(`--door: found "${door}", expected http or spop`);
  }
  return {
    ...(threads === undefined ? {} : { threads: Number(threads) }),
    ...(door === undefined ? {} : { door }),
  };
}

function readDrain(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (!(seconds >= 1 && seconds <= DRAIN_SECONDS_MAX)) {
    throw new BadInput(`--drain: found "${text}", expected 1 to ${DRAIN_SECONDS_MAX} seconds`);
  }
  return seconds * 1000;
}

/** The pack's manifest, when the pack is a directory that is there already; the balancer can do without. */
export function readManifest(pack: string): PackManifest | null {
  const path = join(pack, MANIFEST);
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as PackManifest;
  } catch {
    throw new BadInput(`${path}: is damaged: found no JSON`);
  }
}

/** What HAProxy runs with. */
interface Used {
  topology: Topology;
  /** Null: there was no pack. */
  packDigest: string | null;
}

function packDigestOf(pack: string): string | null {
  const path = join(pack, MANIFEST);
  return existsSync(path) ? sha256Hex(readFileSync(path)) : null;
}

function planOf({ pack, buckets }: Topology): FeedPlan {
  const manifest = readManifest(pack);
  return {
    event: manifest?.event.id ?? null,
    rounds: manifest?.rounds.map(({ id }) => id) ?? null,
    buckets: buckets.map(({ id }) => id),
  };
}

/** Keys go to HAProxy by its environment; a file or a command line would show them. */
function readKeys(topology: Topology): HaproxyKeys {
  const { token, spop } = readSecrets(topology, ["token", "spop"]);
  const [current, previous] = token;
  return {
    [TOKEN_KEY]: current!,
    ...(previous === undefined ? {} : { [TOKEN_KEY_PREVIOUS]: previous }),
    [SPOP_KEY]: spop[0]!,
  };
}

/** Hard limit of open files of this process, which HAProxy inherits. */
function filesMax(): number {
  const limit = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === "unlimited" ? 1_000_000 : Number(limit ?? 1024);
}

function serversOf({ buckets }: Topology): number {
  return buckets.reduce(
    (sum, { services }) => sum + (Array.isArray(services) ? services.length : SLOTS_MAX),
    1,
  );
}

/** Maps first, so that whoever reads the configuration finds them. What was pushed into the maps before stays. */
export function writeFiles(
  dir: string,
  topology: Topology,
  chosen: Choice,
  config: string,
  variables: SwitchVariables = STANDARD_VARIABLES,
): void {
  writeWhole(dir, BUSY_PAGE.name, BUSY_PAGE.text);
  writeWhole(dir, MAPS.slots, slotsMap(topology));
  if (chosen.door !== "http") {
    const spoe = spoeFile(topology.buckets);
    writeWhole(dir, spoe.name, spoe.text);
  }
  const { rounds, buckets } = planOf(topology);
  const unknown = {
    [MAPS.rounds]: mapText(pushedMaps(roundsView(null, rounds)).rounds),
    [MAPS.stocks]: "",
    [MAPS.ended]: "",
    [MAPS.switches]: mapText(switchView([], buckets, 0).places),
  };
  for (const [name, text] of Object.entries(unknown)) {
    if (!existsSync(join(dir, name))) writeWhole(dir, name, text);
  }
  writeConfig(dir, topology, chosen, config, variables);
}

function writeConfig(
  dir: string,
  topology: Topology,
  chosen: Choice,
  config: string,
  variables: SwitchVariables,
): void {
  const connectionsMax = connectionsFor(filesMax(), serversOf(topology));
  const options = { connectionsMax, variables, ...chosen };
  writeWhole(dir, config, render(topology, readManifest(topology.pack), options));
}

/** Reads topology, pack and keys anew. A file that HAProxy refuses leaves everything as it is. */
function reloader(parts: {
  path: string;
  dir: string;
  chosen: Choice;
  used: Used;
  master: Master;
  feed: Feed;
  registry: Registry;
  logger: Logger;
}): () => Promise<void> {
  const { path, dir, chosen, used, master, feed, registry, logger } = parts;
  const reloads = registry.counter("balancer_reloads_total");
  let last: Promise<void> = Promise.resolve();
  const once = async (): Promise<void> => {
    try {
      const topology = readTopology(path);
      const keys = readKeys(topology);
      writeFiles(dir, topology, chosen, CONFIG_DRAFT, feed.variables);
      await master.check(CONFIG_DRAFT, keys);
      feed.setPlan(planOf(topology));
      renameSync(join(dir, CONFIG_DRAFT), join(dir, CONFIG));
      used.topology = topology;
      used.packDigest = packDigestOf(topology.pack);
      await master.reload(keys);
      reloads.inc({ outcome: "done" });
      logger.info({ pid: master.pid }, "reloaded");
    } catch (error) {
      reloads.inc({ outcome: "failed" });
      throw error;
    }
  };
  // One at a time: a second one waits for the first.
  return () => {
    const next = last.then(once);
    last = next.catch(() => undefined);
    return next;
  };
}

async function startAdmin(parts: {
  topology: Topology;
  used: Used;
  operator: string;
  finder: Finder;
  master: Master;
  feed: Feed;
  registry: Registry;
  logger: Logger;
  reload: () => Promise<void>;
}): Promise<Server> {
  const { topology, used, operator, finder, master, feed, registry, logger, reload } = parts;
  registry.onCollect(() => {
    if (Number.isFinite(feed.ageMs)) registry.gauge("balancer_sync_age_seconds").set({}, feed.ageMs / 1000);
    const expiresAt = topology.balancer.tls ? certificateExpiry(topology.balancer.tls.cert) : null;
    if (expiresAt !== null) registry.gauge("balancer_certificate_expires_at_seconds").set({}, expiresAt);
  });
  const server = adminServer({
    operatorSecret: operator,
    // HAProxy's own exporter listens on a socket in its directory; the two are one page outside.
    registry: {
      ...registry,
      text: async () => (await registry.text()) + (await haproxyMetrics(master).catch(() => "")),
    },
    // Without its services a new one would answer "busy" to whom its elders serve.
    ready: () =>
      finder.knows
        ? { ready: master.running, why: "haproxy is not running" }
        : { ready: false, why: "service discovery has not answered yet" },
    routes: (router) => {
      router.get("/state", (context) => {
        const heardMsAgo = Number.isFinite(feed.ageMs) ? Math.round(feed.ageMs) : null;
        context.body = {
          pid: master.pid,
          state: master.running ? "running" : "down",
          url: topology.balancer.url,
          packDigest: used.packDigest,
          heardMsAgo,
          known: feed.known,
          switches: feed.switches?.set ?? null,
        };
      });
      router.post("/reload", async (context) => {
        await reload();
        context.body = { pid: master.pid };
      });
    },
    onError: (error) => {
      // What a caller is told is the caller's matter.
      if (!(error instanceof AdminError)) logger.error({ err: error }, "an admin request failed");
    },
  });
  await listenOn(server, topology.balancer.admin);
  return server;
}

/** Seconds since 1970; null when the file has no certificate that can be read. A renewed file counts at once. */
export function certificateExpiry(path: string): number | null {
  try {
    return Date.parse(new X509Certificate(readFileSync(path)).validTo) / 1000;
  } catch {
    return null;
  }
}

/** Errors: Unreachable, and what the socket says. */
function haproxyMetrics(master: Master): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath: master.socketPath("metrics.sock"), path: "/metrics", timeout: 1_000 },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(text));
        response.on("error", reject);
      },
    );
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", reject);
    call.end();
  });
}
