/**
 * The processes of a local cluster: started in order, supervised, written down in cluster.json, stopped in order.
 *
 *   starting --all ready--> ready --stop()--> stopping --> (no file)
 *
 * While it is starting the end of any process is a failure of the start; later it is a restart.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  readSecrets,
  readTopology,
  Unreachable,
  writeClusterFile,
  type ClusterFile,
  type ClusterMonitoring,
  type ClusterProcesses,
  type Topology,
} from "@hongbao/preprocess";
import type { MonitoringUnit } from "../monitoring/units.ts";
import { logTail, spawnChild, type Child } from "../processes/child.ts";
import { Supervisor } from "../processes/supervisor.ts";
import { waitUntil } from "../processes/wait.ts";
import { startMysql } from "../servers/mysql.ts";
import { startRedis } from "../servers/redis.ts";
import { hongbaoWords } from "./hongbao.ts";
import type { Places } from "./places.ts";

const READY_MS_MAX = 60_000;
const ASK_MS_MAX = 1_000;
/** A bucket process drains for a few seconds after SIGTERM. */
const GRACE_MS_MAX = 20_000;

/** A supervised process; `keep` writes its pid (or null) where cluster.json has it. */
interface Part {
  name: string;
  args: string[];
  admin: string;
  keep: (processes: ClusterProcesses, pid: number | null) => void;
}

export interface LocalClusterOptions {
  places: Places;
  /** For the operator: restarts and the like. */
  tell: (text: string) => void;
  /** Aborted when the start is given up, by Ctrl-C or because something failed. */
  starting: AbortController;
  bufferPoolMiB?: number;
}

export class LocalCluster {
  readonly topology: Topology;
  readonly #options: LocalClusterOptions;
  readonly #supervisor: Supervisor;
  readonly #file: ClusterFile;
  readonly #keepers = new Map<string, Part["keep"]>();

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    this.topology = readTopology(options.places.topology);
    this.#supervisor = new Supervisor({
      changed: (name, pid) => this.#changed(name, pid),
      // While it is starting the end of a process ends the start, which has its own message.
      noticed: (text) => {
        if (this.#file.state === "ready") options.tell(text);
      },
    });
    this.#file = {
      pid: process.pid,
      startedAt: new Date().toISOString(),
      state: "starting",
      topology: this.topology.path,
      url: this.topology.balancer.url,
      processes: {
        controllers: {},
        balancer: null,
        services: {},
        persist: {},
        payout: {},
        redis: {},
        mysql: {},
      },
    };
    this.#write();
  }

  /** One Redis and one MariaDB for each bucket, all side by side. */
  async startStores(): Promise<void> {
    const { redis, mysql } = readSecrets(this.topology, ["redis", "mysql"]);
    const { places, bufferPoolMiB } = this.#options;
    const starts = this.topology.buckets.flatMap((bucket) => {
      const common = (kind: "redis" | "mysql", signal: AbortSignal) => ({
        dir: places[kind](bucket.id),
        port: Number(new URL(bucket[kind].url).port),
        logPath: places.log(`${kind}-${bucket.id}`),
        name: `${kind} ${bucket.id}`,
        signal,
      });
      const keep = (kind: "redis" | "mysql"): Part["keep"] => {
        return (processes, pid) => set(processes[kind], bucket.id, pid && { pid, url: bucket[kind].url });
      };
      return [
        this.#start(`redis ${bucket.id}`, keep("redis"), async (signal) => {
          return (await startRedis({ ...common("redis", signal), password: redis })).child;
        }),
        this.#start(`mysql ${bucket.id}`, keep("mysql"), async (signal) => {
          const pool = bufferPoolMiB === undefined ? {} : { bufferPoolMiB };
          return (await startMysql({ ...common("mysql", signal), password: mysql, ...pool })).child;
        }),
      ];
    });
    await Promise.all(starts);
  }

  /** Everything but the stores; returns when each answers "ready" and the page comes through the balancer. */
  async startProcesses(): Promise<void> {
    const parts = this.#parts();
    await Promise.all(parts.map((part) => this.#start(part.name, part.keep, () => this.#spawn(part))));
    const { signal } = this.#options.starting;
    const wait = { timeoutMsMax: READY_MS_MAX, signal };
    await Promise.all(
      parts.map((part) =>
        waitUntil(() => isReady(`http://${part.admin}/readyz`), { what: part.name, ...wait }),
      ),
    );
    const page = this.topology.balancer.url;
    await waitUntil(() => isReady(`${page}/rounds.json`), { what: `the page at ${page}`, ...wait });
  }

  /** Prometheus and what belongs to it; returns when each answers. */
  async startMonitoring(units: readonly MonitoringUnit[], found: ClusterMonitoring): Promise<void> {
    this.#file.processes.monitoring = {};
    this.#file.monitoring = found;
    const { places, starting } = this.#options;
    await Promise.all(
      units.map(async ({ name, command, args, env, readyUrl }) => {
        const keep: Part["keep"] = ({ monitoring = {} }, pid) => set(monitoring, name, pid);
        const spec = {
          name,
          command,
          args,
          cwd: places.monitoring,
          logPath: places.log(`monitoring-${name}`),
        };
        await this.#start(`monitoring ${name}`, keep, () => spawnChild({ ...spec, ...(env ? { env } : {}) }));
        await waitUntil(() => isReady(readyUrl), {
          what: `${name} (log ${spec.logPath})`,
          timeoutMsMax: READY_MS_MAX,
          signal: starting.signal,
        });
      }),
    );
  }

  markReady(): void {
    this.#file.state = "ready";
    this.#write();
  }

  /** The way in first, so that what is under way ends well; the stores, which everybody needs, last. */
  async stop(): Promise<void> {
    this.#file.state = "stopping";
    this.#write();
    const names = [...this.#keepers.keys()];
    // Whoever watches must not cry out at an orderly end.
    for (const kind of ["monitoring", "balancer", "controller", "service", "persist", "payout", ""]) {
      await this.#supervisor.stop(names.filter((name) => name.startsWith(kind)));
    }
    rmSync(join(this.#options.places.home, "cluster.json"), { force: true });
  }

  killAll(): void {
    this.#supervisor.killAll();
  }

  #parts(): Part[] {
    const { topology } = this;
    const at = ["--topology", topology.path];
    const parts: Part[] = topology.buckets.flatMap((bucket) => {
      const services = Array.isArray(bucket.services) ? bucket.services : [];
      const kinds = { service: "services", persist: "persist", payout: "payout" } as const;
      const part = (kind: keyof typeof kinds, role: string, id: string, admin: string): Part => ({
        name: `${kind} ${bucket.id}/${id}`,
        args: ["bucket", "--bucket", bucket.id, "--service", id, "--roles", role, ...at],
        admin,
        keep: (processes, pid) => {
          set(processes[kinds[kind]], `${bucket.id}/${id}`, pid);
        },
      });
      return [
        ...services.map(({ id, admin }) => part("service", "grab", id, admin)),
        ...bucket.persist.map(({ id, admin }) => part("persist", "persist", id, admin)),
        ...bucket.payout.map(({ id, admin }) => part("payout", "payout", id, admin)),
      ];
    });
    for (const { id, admin } of topology.controllers) {
      const keep: Part["keep"] = (processes, pid) => set(processes.controllers, id, pid);
      parts.push({ name: `controller ${id}`, args: ["controller", "--id", id, ...at], admin, keep });
    }
    const keep: Part["keep"] = (processes, pid) => void (processes.balancer = pid);
    parts.push({ name: "balancer", args: ["balancer", "run", ...at], admin: topology.balancer.admin, keep });
    return parts;
  }

  #spawn(part: Part): Promise<Child> {
    const logPath = this.#options.places.log(part.name.replaceAll(/[ /]/g, "-"));
    return spawnChild({
      name: part.name,
      ...hongbaoWords(part.args),
      cwd: this.#options.places.data,
      logPath,
      graceMsMax: GRACE_MS_MAX,
    });
  }

  async #start(
    name: string,
    keep: Part["keep"],
    start: (signal: AbortSignal) => Promise<Child>,
  ): Promise<void> {
    const { starting } = this.#options;
    starting.signal.throwIfAborted();
    this.#keepers.set(name, keep);
    const both = (signal: AbortSignal) => AbortSignal.any([signal, starting.signal]);
    // After the start only the supervisor's own signal counts.
    await this.#supervisor.start({
      name,
      start: (signal) => start(this.#file.state === "starting" ? both(signal) : signal),
    });
  }

  #changed(name: string, pid: number | null): void {
    this.#keepers.get(name)!(this.#file.processes, pid);
    this.#write();
    if (pid !== null || this.#file.state !== "starting") return;
    const log = this.#options.places.log(name.replaceAll(/[ /]/g, "-"));
    const failure = new Unreachable(`${name} ended at its start: ${lastWords(log)} (log: ${log})`);
    this.#options.starting.abort(failure);
  }

  #write(): void {
    writeClusterFile(this.#options.places.home, this.#file);
  }
}

function set<T>(record: Record<string, T>, key: string, value: T | null | 0): void {
  if (value) record[key] = value;
  else delete record[key];
}

/** What a process said before it ended: its error line when there is one. */
function lastWords(log: string): string {
  const lines = logTail(log, 20).split("\n");
  const error = lines.findLast((line) => line.startsWith("hongbao: "))?.slice("hongbao: ".length);
  return error ?? (lines.at(-1) || "no word in its log");
}

async function isReady(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
  await response.arrayBuffer();
  return response.ok;
}
