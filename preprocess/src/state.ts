/**
 * The local cluster's state directory and its `cluster.json`, which says what runs and where its topology is.
 */
import { readFileSync, renameSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { BadInput, errorCode, Unreachable } from "./errors.ts";

/** A store that `up` started: where it listens (without the password). */
export interface StoreProcess {
  pid: number;
  url: string;
}

/** What `up` runs. Keys of services, persist and payout are `bucket/process`, such as `b0/s0`. */
export interface ClusterProcesses {
  controllers: Record<string, number>;
  /** The `balancer run` process (HAProxy is its child). */
  balancer: number | null;
  services: Record<string, number>;
  persist: Record<string, number>;
  payout: Record<string, number>;
  redis: Record<string, StoreProcess>;
  mysql: Record<string, StoreProcess>;
  /** Prometheus and what belongs to it, with `up --monitoring`. */
  monitoring?: Record<string, number>;
}

/** Addresses of what `up --monitoring` runs. */
export interface ClusterMonitoring {
  /** Grafana, or the page that takes its place. */
  dashboards: string;
  prometheus: string;
  alertmanager: string;
}

export interface ClusterFile {
  /** The process of `up` that supervises the rest. */
  pid: number;
  /** Kernel start time of that process in clock ticks: tells a reused pid. Filled in when written. */
  pidStart?: string;
  /** ISO 8601. */
  startedAt: string;
  state: "starting" | "ready" | "stopping";
  topology: string;
  /** The balancer's public address. */
  url: string;
  processes: ClusterProcesses;
  monitoring?: ClusterMonitoring;
}

/** The directory from `--state`, then $HONGBAO_STATE, then `.hongbao/` beside the `hongbao` script; absolute. */
export function stateDir(option?: string): string {
  const chosen = option || process.env.HONGBAO_STATE;
  return chosen ? resolve(chosen) : resolve(import.meta.dirname, "..", "..", ".hongbao");
}

/** The kernel's start time of a process (field 22 of /proc/PID/stat), or null when there is none. */
export function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name stands in parentheses and may hold blanks and parentheses itself; a zombie is dead.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/**
 * What `cluster.json` says, or null when there is none or its process is dead (or its pid went to another).
 * Throws BadInput when the file is there and cannot be read as one.
 */
export function readClusterFile(dir: string): ClusterFile | null {
  const path = join(dir, "cluster.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return null;
    throw new Unreachable(`${path} cannot be read: ${errorCode(error) || String(error)}`);
  }
  const file = parseClusterFile(path, text);
  const start = processStart(file.pid);
  return start !== null && start === file.pidStart ? file : null;
}

function parseClusterFile(path: string, text: string): ClusterFile {
  try {
    const file = JSON.parse(text) as ClusterFile;
    if (Number.isInteger(file.pid) && typeof file.topology === "string") return file;
  } catch {
    // Falls through to the same message: not JSON, or not ours.
  }
  throw new BadInput(
    `${path}: found ${JSON.stringify(text.slice(0, 40))}, expected the file that "up" writes`,
  );
}

/** Writes `cluster.json` (0600) in one step: a reader sees the old one or the new one, never a half. */
export function writeClusterFile(dir: string, file: ClusterFile): void {
  mkdirSync(dir, { recursive: true });
  const pidStart = processStart(file.pid);
  const path = join(dir, "cluster.json");
  const draft = `${path}.${process.pid}.tmp`;
  const content: ClusterFile = { ...file, ...(pidStart === null ? {} : { pidStart }) };
  try {
    writeFileSync(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/**
 * The topology to use: `--topology`, then $HONGBAO_TOPOLOGY, then that of the cluster running in the state
 * directory. Throws Unreachable, naming the directory, when none is alive.
 */
export function findTopology(option?: string, stateOption?: string): string {
  const chosen = option || process.env.HONGBAO_TOPOLOGY;
  if (chosen) return resolve(chosen);
  const dir = stateDir(stateOption);
  const cluster = readClusterFile(dir);
  if (!cluster) {
    throw new Unreachable(
      `no cluster is running in ${dir}: start one with "hongbao up", or give --topology FILE or --state DIR`,
    );
  }
  return cluster.topology;
}
