/**
 * A whole local cluster for chaos: the processes of `hongbao up`, supervised, with what `up` has no use for: links that can
 * be cut between them, a wallet, a clock that can be wrong, and processes that stay down until they are let go.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import mysql, { type Pool } from "mysql2/promise";
import {
  openPack,
  readSecrets,
  readTopology,
  signToken,
  type Pack,
  type Topology,
} from "@hongbao/preprocess";
import { hongbaoWords, runHongbao, tryHongbao, type Outcome } from "../../src/cluster/hongbao.ts";
import { makeSecrets } from "../../src/cluster/layout.ts";
import { placesOf, type Places } from "../../src/cluster/places.ts";
import { spawnChild, type Child } from "../../src/processes/child.ts";
import { Supervisor } from "../../src/processes/supervisor.ts";
import { waitUntil } from "../../src/processes/wait.ts";
import { startMysql } from "../../src/servers/mysql.ts";
import { startRedis } from "../../src/servers/redis.ts";
import type { WorldName } from "../scenario.ts";
import { FalseClock } from "./clock.ts";
import { bucketOfUser, userName, writeEvent, type RoundSpec } from "./event.ts";
import { layOut, partsOf, type Part } from "./layout.ts";
import type { Link } from "./link.ts";
import { SmallDisk } from "./small-disk.ts";
import { Wallet } from "./wallet.ts";

export interface ClusterSpec {
  dir: string;
  world: WorldName;
  rounds: RoundSpec[];
  users: number;
  tell: (text: string) => void;
}

export interface ChaosUser {
  id: string;
  bucket: string;
  token: string;
}

const READY_MS_MAX = 60_000;
const ASK_MS_MAX = 2_000;
const GRACE_MS_MAX = 8_000;
const TOKEN_HOURS = 24;
const HELD_LOOK_MS = 10;

export class ChaosCluster {
  readonly spec: ClusterSpec;
  readonly places: Places;
  readonly topology: Topology;
  readonly event: string;
  readonly pack: Pack;
  readonly parts: Part[];
  readonly users: ChaosUser[];
  readonly links: Map<string, Link>;
  readonly wallet: Wallet | null;
  readonly clock: FalseClock;
  /** By store: those that lie on a disk of their own. */
  readonly disks: Map<string, SmallDisk>;
  readonly operatorSecret: string;
  /** What the supervisor noticed: restarts and failed starts. */
  readonly notices: { atMs: number; text: string }[] = [];
  readonly #supervisor: Supervisor;
  readonly #held = new Set<string>();
  readonly #before = new Map<string, () => void>();
  readonly #backPorts: Map<string, number>;
  readonly #mysqlPools = new Map<string, Pool>();
  readonly #secrets: { redis: string; mysql: string };
  #running: AsyncDisposableStack | null = null;

  private constructor(parts: {
    spec: ClusterSpec;
    places: Places;
    topology: Topology;
    event: string;
    pack: Pack;
    links: Map<string, Link>;
    wallet: Wallet | null;
    clock: FalseClock;
    disks: Map<string, SmallDisk>;
    supervisor: Supervisor;
    backPorts: Map<string, number>;
    notices: { atMs: number; text: string }[];
  }) {
    this.spec = parts.spec;
    this.places = parts.places;
    this.topology = parts.topology;
    this.event = parts.event;
    this.pack = parts.pack;
    this.links = parts.links;
    this.wallet = parts.wallet;
    this.clock = parts.clock;
    this.disks = parts.disks;
    this.notices = parts.notices;
    this.#supervisor = parts.supervisor;
    this.#backPorts = parts.backPorts;
    const secrets = readSecrets(this.topology);
    this.operatorSecret = secrets.operator;
    this.#secrets = { redis: secrets.redis, mysql: secrets.mysql };
    this.parts = partsOf(this.topology);
    const expSeconds = Math.floor(Date.now() / 1000) + TOKEN_HOURS * 3600;
    this.users = Array.from({ length: parts.spec.users }, (_, index) => {
      const id = userName(index);
      const token = signToken(id, secrets.token[0]!, expSeconds);
      return { id, bucket: bucketOfUser(this.topology, id), token };
    });
  }

  /** Everything started, loaded and ready. Errors: Unreachable; then nothing is left running. */
  static async start(spec: ClusterSpec): Promise<ChaosCluster> {
    await using begun = new AsyncDisposableStack();
    const places = placesOf(spec.dir);
    mkdirSync(places.logs, { recursive: true, mode: 0o700 });
    makeSecrets(places);
    const { text, links, backPorts, walletPort } = await layOut(places, spec.world);
    writeFileSync(places.topology, text, { mode: 0o600 });
    const topology = readTopology(places.topology);
    for (const link of links.values()) {
      await link.start();
      begun.defer(() => link.stop());
    }
    const wallet = walletPort === null ? null : new Wallet(walletPort);
    if (wallet !== null) {
      await wallet.start();
      begun.defer(() => wallet.stop());
    }
    const notices: { atMs: number; text: string }[] = [];
    const supervisor = new Supervisor({
      changed: () => undefined,
      noticed: (text) => notices.push({ atMs: performance.now(), text }),
    });
    const disks = new Map<string, SmallDisk>();
    const disk = SmallDisk.mount(places.redis("b0"));
    if (disk !== null) {
      disks.set("redis b0", disk);
      begun.defer(() => disk.unmount());
    }
    begun.defer(() => supervisor.stop());
    const event = `chaos-${spec.world}`;
    const eventPath = writeEvent(places.sample, { ...spec, event });
    const generate = [
      "preprocess",
      "generate",
      eventPath,
      "--topology",
      places.topology,
      "--out",
      places.pack,
    ];
    await runHongbao(generate);
    const pack = openPack(places.pack);
    begun.defer(() => pack.close());
    const clock = new FalseClock(join(places.data, "clock"));
    const cluster = new ChaosCluster({
      spec,
      places,
      topology,
      event,
      pack,
      links,
      wallet,
      clock,
      disks,
      supervisor,
      backPorts,
      notices,
    });
    await cluster.#startAll(["redis", "mysql"]);
    await runHongbao(["preprocess", "load", places.pack, "--topology", places.topology]);
    await cluster.#startAll(["service", "persist", "payout", "controller", "balancer"]);
    await cluster.ready();
    cluster.#running = begun.move();
    return cluster;
  }

  async stop(): Promise<void> {
    this.#held.clear();
    await Promise.all([...this.#mysqlPools.values()].map((pool) => pool.end().catch(() => undefined)));
    await this.#running?.disposeAsync();
  }

  killAll(): void {
    this.#supervisor.killAll();
  }

  pid(name: string): number | null {
    return this.#supervisor.pidOf(name);
  }

  /** What a restart waits for: it stays down until it is let go. */
  hold(name: string): void {
    this.#held.add(name);
  }
  release(name: string): void {
    this.#held.delete(name);
  }
  releaseAll(): void {
    this.#held.clear();
  }

  /** Done once, between the end of a process and its next start. */
  beforeNext(name: string, work: () => void): void {
    this.#before.set(name, work);
  }

  /** Where a store keeps its data. */
  dirOf(name: string): string {
    const [kind, bucket] = name.split(" ") as ["redis" | "mysql", string];
    return this.places[kind](bucket);
  }

  /** `hongbao ARGS` on this cluster; never throws for an exit code. */
  hongbao(args: string[]): Promise<Outcome> {
    return tryHongbao([...args, "--topology", this.places.topology]);
  }

  /** A client of a bucket's Redis past its link; the caller ends it. */
  async redis(bucket: string): Promise<Redis> {
    const client = new Redis({
      host: "127.0.0.1",
      port: this.#backPorts.get(`${bucket}/redis`)!,
      password: this.#secrets.redis,
      lazyConnect: true,
      maxRetriesPerRequest: 1,
      protocol: 2,
    });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  /** A bucket's MySQL past its link. */
  mysql(bucket: string): Pool {
    const known = this.#mysqlPools.get(bucket);
    if (known !== undefined) return known;
    const pool = mysql.createPool({
      host: "127.0.0.1",
      port: this.#backPorts.get(`${bucket}/mysql`)!,
      user: "hongbao",
      password: this.#secrets.mysql,
      database: `hongbao_${this.event.replaceAll("-", "_")}`,
      connectionLimit: 2,
      timezone: "Z",
      supportBigNumbers: true,
      decimalNumbers: true,
    });
    this.#mysqlPools.set(bucket, pool);
    return pool;
  }

  /** Asks an admin port. Errors: what fetch throws, and an Error that shows the answer when it is not 2xx. */
  async admin<T>(admin: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`http://${admin}/admin${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${this.operatorSecret}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${admin}${path} answered ${response.status}: ${text.slice(0, 200)}`);
    return JSON.parse(text) as T;
  }

  /** The first controller that answers. Errors: the last one's. */
  async controller<T>(path: string, body?: unknown): Promise<T> {
    let last: unknown;
    for (const { admin } of this.topology.controllers) {
      try {
        return await this.admin<T>(admin, path, body);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  /** Waits until every part says that it is ready and the page comes. Errors: Unreachable. */
  async ready(timeoutMsMax = READY_MS_MAX): Promise<void> {
    const wait = { timeoutMsMax };
    const ask = async (url: string): Promise<boolean> => {
      const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
      await response.arrayBuffer();
      return response.ok;
    };
    await Promise.all(
      this.parts.map(({ name, admin }) => {
        if (admin === null) return waitUntil(async () => this.pid(name) !== null, { what: name, ...wait });
        return waitUntil(() => ask(`http://${admin}/readyz`), { what: name, ...wait });
      }),
    );
    const page = `${this.topology.balancer.url}/rounds.json`;
    await waitUntil(() => ask(page), { what: `the page at ${page}`, ...wait });
  }

  async #startAll(kinds: Part["kind"][]): Promise<void> {
    const parts = this.parts.filter(({ kind }) => kinds.includes(kind));
    this.spec.tell(`starting ${parts.length} processes (${kinds.join(", ")})`);
    await Promise.all(
      parts.map((part) =>
        this.#supervisor.start({ name: part.name, start: (stopped) => this.#spawn(part, stopped) }),
      ),
    );
  }

  async #spawn(part: Part, stopped: AbortSignal): Promise<Child> {
    const { name, kind, bucket } = part;
    while (this.#held.has(name)) {
      stopped.throwIfAborted();
      await sleep(HELD_LOOK_MS);
    }
    this.#before.get(name)?.();
    this.#before.delete(name);
    const logPath = this.places.log(name.replaceAll(/[ /]/g, "-"));
    if (kind === "redis" || kind === "mysql") {
      const options = {
        dir: this.places[kind](bucket!),
        port: this.#backPorts.get(`${bucket}/${kind}`)!,
        password: this.#secrets[kind],
        logPath,
        name,
        signal: stopped,
      };
      return kind === "redis"
        ? (await startRedis(options)).child
        : (await startMysql({ ...options, bufferPoolMiB: 64 })).child;
    }
    const words = hongbaoWords([...this.#words(part), "--topology", this.places.topology]);
    const env =
      kind === "controller" ? { ...words.env, ...this.clock.env(), UV_THREADPOOL_SIZE: "1" } : words.env;
    return spawnChild({ name, ...words, env, cwd: this.places.data, logPath, graceMsMax: GRACE_MS_MAX });
  }

  #words({ name, kind, bucket }: Part): string[] {
    const id = name.split(/[ /]/).at(-1)!;
    switch (kind) {
      case "controller":
        return ["controller", "--id", id];
      case "balancer":
        return ["balancer", "run", "--dir", join(this.places.data, "balancer")];
      default: {
        const role = kind === "service" ? "grab" : kind;
        return ["bucket", "--bucket", bucket!, "--service", id, "--roles", role];
      }
    }
  }
}
