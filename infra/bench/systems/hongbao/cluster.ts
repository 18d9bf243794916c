/**
 * A whole Hongbao for the bench, started by its own commands: stores, pack, controllers, services, persist, and one or
 * several ways in (HAProxy) on the same buckets. What is configured here differs between clusters; the code does not.
 */
import { mkdirSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { signToken, slotOf, Unreachable } from "@hongbao/preprocess";
import { slotsOf } from "../../../src/cluster/layout.ts";
import { hongbaoWords, runHongbao } from "../../../src/cluster/hongbao.ts";
import { spawnChild, type Child } from "../../../src/processes/child.ts";
import { freePort } from "../../../src/processes/ports.ts";
import { waitUntil } from "../../../src/processes/wait.ts";
import { startMysql } from "../../../src/servers/mysql.ts";
import { startRedis } from "../../../src/servers/redis.ts";
import type { Server } from "../../../src/servers/server.ts";
import { Books } from "./books.ts";
import {
  bucketPorts,
  writeEvent,
  writeTopology,
  type BalancerPorts,
  type BucketPorts,
  type RoundSpec,
} from "./topology.ts";
import { userId, type World } from "./world.ts";

/** One way in; all of a cluster's see the same buckets. */
export interface BalancerSpec {
  id: string;
  tls?: boolean;
  /** Further words of `hongbao balancer run`. */
  words?: string[];
}

export interface ClusterSpec {
  name: string;
  world: World;
  dir: string;
  buckets: number;
  services: number;
  rounds: RoundSpec[];
  ack?: "journal" | "database";
  appendfsync?: "always" | "no";
  /** Put between the services and Redis, for every answer. */
  redisDelayMs?: number;
  /** `off`: no process keeps metrics, to see what they cost. */
  metrics?: "off";
  balancers: BalancerSpec[];
  usersCsv?: string;
  /** For everything that `begin` may take long over. */
  tell?: (text: string) => void;
}

export interface Cluster {
  name: string;
  event: string;
  topology: string;
  rounds: RoundSpec[];
  books: Books;
  /** Whether its processes tell figures at all. */
  hasMetrics: boolean;
  /** Root processes by role, seen through one way in. */
  processes(balancer: string): Record<string, number[]>;
  url(balancer: string): string;
  /** The round's key; waits until the round is open. */
  key(round: number): Promise<string>;
  /** Grabs answered so far by all services, by door. */
  doorAnswers(): Promise<Record<Door, number>>;
  setAppendfsync(mode: "always" | "no"): Promise<void>;
  /** Stops the clocks of all our own processes: an idle cluster would take its share of the machine from others. */
  freeze(): void;
  /** Lets them go on, with one way in or all, and waits until it serves every bucket again. */
  thaw(balancer?: string): Promise<void>;
  /** Stops the controllers, and keeps them stopped until they are let go: nothing is lent, nothing opened or closed. */
  holdControllers(held: boolean): void;
  persist(bucket: string): Child;
  persistAdminPort(bucket: string): number;
  /** Payout processes are in the topology, but they do not run unless somebody starts them. */
  payoutPlaces(bucket: string): { id: string; admin: number }[];
  stop: () => Promise<void>;
}

export type Door = "http" | "spop";

const READY_MS_MAX = 60_000;
/** More than HAProxy's health checks are apart. */
const AGENTS_BACK_MS = 700;
const ASK_MS_MAX = 1_000;
const GRACE_MS_MAX = 20_000;
const BUFFER_POOL_MIB = 512;
/** No rewrite of the append-only file in the middle of a run: it would hit one system and not the next. */
const NO_REWRITE = ["--auto-aof-rewrite-percentage", "0"];

export async function startCluster(spec: ClusterSpec): Promise<Cluster> {
  const { world, name, tell } = spec;
  const dir = join(spec.dir, name);
  mkdirSync(join(dir, "logs"), { recursive: true, mode: 0o700 });
  await using begun = new AsyncDisposableStack();
  const proxied = spec.redisDelayMs !== undefined;
  const buckets = await bucketPorts(spec.buckets, spec.services, proxied);
  const pack = join(dir, "pack");
  const common = { buckets, controllerAdmin: await freePort(), site: await freePort(), pack };
  const ways = new Map<string, { topology: string; ports: BalancerPorts }>();
  for (const { id, tls } of spec.balancers) {
    const ports: BalancerPorts = {
      listen: await freePort(),
      admin: await freePort(),
      ...(tls ? { certificate: world.certificate } : {}),
    };
    const path = join(dir, `topology-${id}.yaml`);
    ways.set(id, { topology: writeTopology(path, world, { ...common, balancer: ports }), ports });
  }
  const { topology } = ways.get(spec.balancers[0]!.id)!;

  tell?.(`${name}: starting stores`);
  const stores = await startStores(spec, dir, buckets, begun);
  const delays = proxied ? await startDelays(spec, dir, buckets, begun) : [];
  const event = `bench-${name}`;
  const eventPath = writeEvent(dir, {
    id: event,
    rounds: spec.rounds,
    usersCsv: spec.usersCsv ?? world.usersCsv,
    ack: spec.ack ?? "journal",
  });
  tell?.(`${name}: generating and loading the pack`);
  await runHongbao(["preprocess", "generate", eventPath, "--topology", topology, "--out", pack]);
  await runHongbao(["preprocess", "load", pack, "--topology", topology]);

  tell?.(`${name}: starting processes`);
  const parts = await startParts(
    spec,
    dir,
    buckets,
    { topology, controllerAdmin: common.controllerAdmin, ways },
    begun,
  );
  const books = new Books({
    event,
    operatorSecret: world.secrets.operator,
    buckets: buckets.map((bucket, index) => ({
      id: bucket.id,
      adminPort: bucket.services[0]!.admin,
      mysqlUrl: stores[index]!.mysql.url,
    })),
  });
  begun.defer(() => books.close());
  const pids = (role: string): number[] =>
    parts.filter((part) => part.role === role).map(({ child }) => child.pid);
  const url = (balancer: string): string => {
    const { listen, certificate } = ways.get(balancer)!.ports;
    return `${certificate === undefined ? "http" : "https"}://127.0.0.1:${listen}`;
  };
  let controllersHeld = false;
  const keys = new Map<number, string>();
  const running = begun.move();
  return {
    name,
    event,
    topology,
    rounds: spec.rounds,
    books,
    url,
    processes: (balancer) => ({
      haproxy: pids(`balancer ${balancer}`),
      service: pids("service"),
      redis: stores.map(({ redis }) => redis.pid),
      ...(delays.length > 0 ? { delay: delays.map(({ pid }) => pid) } : {}),
      persist: pids("persist"),
      mysql: stores.map(({ mysql }) => mysql.pid),
      controller: pids("controller"),
    }),
    key: async (round) => {
      // Known once, it needs nobody to tell it again.
      const key = keys.get(round) ?? (await roundKey(plainUrl(spec, url), round));
      keys.set(round, key);
      return key;
    },
    hasMetrics: spec.metrics !== "off",
    doorAnswers: () => doorAnswers(buckets.flatMap(({ services }) => services.map(({ admin }) => admin))),
    setAppendfsync: async (mode) => {
      await Promise.all(stores.map(({ redis }) => configureRedis(redis.url, "appendfsync", mode)));
    },
    freeze: () => {
      for (const { child } of parts) child.kill("SIGSTOP");
    },
    holdControllers: (held) => {
      controllersHeld = held;
      for (const { role, child } of parts)
        if (role === "controller") child.kill(held ? "SIGSTOP" : "SIGCONT");
    },
    thaw: async (balancer) => {
      const ways = spec.balancers.flatMap(({ id }) =>
        balancer === undefined || id === balancer ? [id] : [],
      );
      for (const { role, child } of parts) {
        const way = /^balancer (.*)$/.exec(role)?.[1];
        if (role === "controller" && controllersHeld) continue;
        if (way === undefined || ways.includes(way)) child.kill("SIGCONT");
      }
      await Promise.all(ways.map((id) => untilServing(url(id), world, spec.buckets)));
      // Any door serves a bucket; the agents' next health check brings theirs back.
      await sleep(AGENTS_BACK_MS);
    },
    persist: (bucket) => parts.find((part) => part.role === "persist" && part.bucket === bucket)!.child,
    persistAdminPort: (bucket) => buckets.find(({ id }) => id === bucket)!.persist.admin,
    payoutPlaces: (bucket) => buckets.find(({ id }) => id === bucket)!.payout,
    stop: () => running.disposeAsync(),
  };
}

interface Stores {
  redis: Server;
  mysql: Server;
}

async function startStores(
  spec: ClusterSpec,
  dir: string,
  buckets: BucketPorts[],
  begun: AsyncDisposableStack,
): Promise<Stores[]> {
  const { secrets } = spec.world;
  return Promise.all(
    buckets.map(async (bucket) => {
      const redis = await startRedis({
        dir: join(dir, "redis", bucket.id),
        port: bucket.redis,
        password: secrets.redis,
        appendfsync: spec.appendfsync ?? "always",
        extra: NO_REWRITE,
        name: `redis ${spec.name}/${bucket.id}`,
      });
      begun.defer(() => redis.stop());
      const mysql = await startMysql({
        dir: join(dir, "mysql", bucket.id),
        port: bucket.mysql,
        password: secrets.mysql,
        bufferPoolMiB: BUFFER_POOL_MIB,
        name: `mysql ${spec.name}/${bucket.id}`,
      });
      begun.defer(() => mysql.stop());
      return { redis, mysql };
    }),
  );
}

async function startDelays(
  spec: ClusterSpec,
  dir: string,
  buckets: BucketPorts[],
  begun: AsyncDisposableStack,
): Promise<Child[]> {
  const script = join(import.meta.dirname, "..", "delay-proxy.ts");
  const numbers = (bucket: BucketPorts): string[] =>
    [bucket.redisFront, bucket.redis, spec.redisDelayMs!].map(String);
  return Promise.all(
    buckets.map(async (bucket) => {
      const child = await spawnChild({
        name: `delay ${bucket.id}`,
        command: process.execPath,
        args: ["--disable-warning=ExperimentalWarning", script, ...numbers(bucket)],
        logPath: join(dir, "logs", `delay-${bucket.id}.log`),
      });
      begun.defer(async () => void (await child.stop()));
      return child;
    }),
  );
}

interface Part {
  role: string;
  bucket: string;
  child: Child;
}

async function startParts(
  spec: ClusterSpec,
  dir: string,
  buckets: BucketPorts[],
  at: {
    topology: string;
    controllerAdmin: number;
    ways: Map<string, { topology: string; ports: BalancerPorts }>;
  },
  begun: AsyncDisposableStack,
): Promise<Part[]> {
  const words = ["--topology", at.topology];
  const wanted: { role: string; bucket: string; name: string; words: string[]; admin: number }[] = [];
  for (const { id: bucket, services, persist } of buckets) {
    const part = (role: string, option: string, id: string, admin: number): void => {
      const command = ["bucket", "--bucket", bucket, "--service", id, "--roles", option, ...words];
      wanted.push({ role, bucket, name: `${role}-${bucket}-${id}`, words: command, admin });
    };
    for (const { id, admin } of services) part("service", "grab", id, admin);
    part("persist", "persist", persist.id, persist.admin);
  }
  const controller = ["controller", "--id", "c0", ...words];
  wanted.push({
    role: "controller",
    bucket: "",
    name: "controller",
    words: controller,
    admin: at.controllerAdmin,
  });
  for (const { id, words: further = [] } of spec.balancers) {
    const { topology, ports } = at.ways.get(id)!;
    const balancer = [
      "balancer",
      "run",
      "--topology",
      topology,
      "--dir",
      join(dir, `balancer-${id}`),
      ...further,
    ];
    const role = `balancer ${id}`;
    wanted.push({ role, bucket: "", name: `balancer-${id}`, words: balancer, admin: ports.admin });
  }
  return Promise.all(
    wanted.map(async ({ role, bucket, name, words, admin }) => {
      const env = spec.metrics === "off" ? { HONGBAO_METRICS: "off" } : {};
      const log = join(dir, "logs", `${name}.log`);
      const child = await startPart(`${spec.name} ${name}`, words, log, admin, env);
      begun.defer(async () => void (await child.stop()));
      return { role, bucket, child };
    }),
  );
}

/** Starts a `hongbao` command that stays, and waits until its admin port says that it is ready. */
export async function startPart(
  name: string,
  words: string[],
  logPath: string,
  admin: number,
  env: Record<string, string> = {},
): Promise<Child> {
  const hongbao = hongbaoWords(words);
  const child = await spawnChild({
    name,
    ...hongbao,
    env: { ...hongbao.env, ...env },
    logPath,
    graceMsMax: GRACE_MS_MAX,
  });
  const isReady = async (): Promise<boolean> => {
    const response = await fetch(`http://127.0.0.1:${admin}/readyz`, {
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    await response.arrayBuffer();
    return response.ok;
  };
  try {
    await waitUntil(isReady, { what: name, timeoutMsMax: READY_MS_MAX, child });
  } catch (error) {
    await child.stop();
    throw error;
  }
  return child;
}

/** Asks for something that only a service can answer, as a user of each bucket, until all of them do. */
async function untilServing(url: string, world: World, buckets: number): Promise<void> {
  const tokens = Array.from({ length: buckets }, (_, index) => someoneOf(index, buckets, world));
  const serves = async (token: string): Promise<boolean> => {
    const response = await fetchAny(`${url}/v1/wins`, token);
    return response === 200;
  };
  await waitUntil(async () => (await Promise.all(tokens.map(serves))).every((ok) => ok), {
    what: url,
    timeoutMsMax: READY_MS_MAX,
  });
}

/** A token for a user of this bucket. */
function someoneOf(bucket: number, buckets: number, world: World): string {
  const [first, last] = slotsOf(bucket, buckets);
  for (let index = 1; ; index++) {
    const slot = slotOf(userId(index));
    if (slot < first || slot > last) continue;
    return signToken(userId(index), world.secrets.token, Math.floor(Date.now() / 1000) + 3600);
  }
}

/** The status of a GET, also from a server with a certificate of its own making. */
function fetchAny(url: string, token: string): Promise<number> {
  const options = {
    headers: { authorization: `Bearer ${token}` },
    timeout: ASK_MS_MAX,
    rejectUnauthorized: false,
  };
  return new Promise((resolve, reject) => {
    const call = (url.startsWith("https:") ? https : http).get(url, options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.once("timeout", () => call.destroy(new Error("no answer")));
    call.once("error", reject);
  });
}

function plainUrl(spec: ClusterSpec, url: (balancer: string) => string): string {
  return url((spec.balancers.find(({ tls }) => !tls) ?? spec.balancers[0]!).id);
}

/** The key as clients learn it: from the start file. */
async function roundKey(url: string, round: number): Promise<string> {
  let key: string | null = null;
  await waitUntil(
    async () => {
      const response = await fetch(`${url}/start/${round}.js`, { signal: AbortSignal.timeout(ASK_MS_MAX) });
      const text = await response.text();
      const found = /^hongbaoStart\((.*)\);\s*$/.exec(text)?.[1];
      key = found === undefined ? null : (JSON.parse(found) as { key: string | null }).key;
      return key !== null;
    },
    { what: `round ${round} of ${url}`, timeoutMsMax: READY_MS_MAX },
  );
  return key!;
}

async function doorAnswers(adminPorts: number[]): Promise<Record<Door, number>> {
  const answers = { http: 0, spop: 0 };
  for (const port of adminPorts) {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    for (const line of (await response.text()).split("\n")) {
      if (!line.startsWith("hongbao_http_requests_total{") || !line.includes('route="grab"')) continue;
      const door = /door="(http|spop)"/.exec(line)?.[1] as Door | undefined;
      if (door !== undefined) answers[door] += Number(line.slice(line.lastIndexOf(" ")));
    }
  }
  return answers;
}

async function configureRedis(url: string, name: string, value: string): Promise<void> {
  const { Redis } = await import("ioredis");
  const redis = new Redis(url, { lazyConnect: true });
  try {
    await redis.connect();
    const answer = await redis.config("SET", name, value);
    if (answer !== "OK") throw new Unreachable(`redis: CONFIG SET ${name} ${value}: ${String(answer)}`);
  } finally {
    redis.disconnect();
  }
}
