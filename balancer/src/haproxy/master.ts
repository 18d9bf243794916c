/**
 * One HAProxy (`-W`: a master and its worker), kept running.
 *
 *   stopped --start()--> starting --answers on its socket--> running --stop()--> stopping --exit--> stopped
 *                           ^                                   |
 *                           +--- waiting (short) <-- exit ------+
 *
 * A reload (SIGUSR2) keeps the master; the new worker takes the listening sockets over from the old one, which ends its
 * connections one by one. When the keys changed, which stand in the master's environment, a new master takes over in
 * the same way. HAProxy dies with us, however we die.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { BadInput, errorCode, Unreachable } from "@hongbao/preprocess";
import { CONFIG } from "./files.ts";
import { openRuntime, workerPid, type Runtime } from "./runtime.ts";

/** The environment of HAProxy: the keys and nothing else of ours. */
export type HaproxyKeys = Record<string, string>;

export interface MasterParts {
  /** Holds haproxy.cfg and maps/; HAProxy runs in it. Absolute. */
  dir: string;
  keys: HaproxyKeys;
  /** How long a stop waits for connections to end by themselves; default 3 s. */
  drainMs?: number;
  /** A line that HAProxy wrote. */
  onLine?: (line: string) => void;
  /** HAProxy ended by itself; it is started again after `waitMs`. */
  onDeath?: (how: string, waitMs: number) => void;
  /** A worker is up: after a start, a restart, a reload. */
  onUp?: () => void;
}

const MASTER_SOCKET = "master.sock";
const UP_MS_MAX = 10_000;
const POLL_MS = 20;
/** One that lived so long is started again at once; shorter lives wait longer and longer. */
const GOOD_LIFE_MS = 2_000;
const WAIT_MS_MAX = 2_000;
/** How long requests under way may take at a stop unless more is asked for; browsers keep idle connections open for ever. */
const DRAIN_MS = 3_000;
/** From SIGTERM, which ends every connection, to SIGKILL. */
const KILL_MS = 10_000;
/** Where Debian keeps servers, which is not on every user's path. */
const SERVER_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/** Between fork and the kernel's promise we may be gone already; the shell looks once more before it becomes HAProxy. */
const DIE_WITH_US = ["--pdeathsig", "TERM", "--", "/bin/sh", "-c", '[ "$PPID" = "$0" ] || exit 1; exec "$@"'];

type Phase = "stopped" | "starting" | "running" | "waiting" | "stopping";

export class Master {
  readonly runtime: Runtime;
  /** The master's own socket; it answers when the master listens to signals, not before. */
  readonly #cli: Runtime;
  readonly #parts: MasterParts;
  #keys: HaproxyKeys;
  #phase: Phase = "stopped";
  #child: ChildProcess | null = null;
  #startedAtMs = 0;
  #shortLives = 0;
  #lastWords: string[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(parts: MasterParts) {
    this.#parts = parts;
    this.#keys = parts.keys;
    this.runtime = openRuntime(() => this.socketPath("runtime.sock"));
    this.#cli = openRuntime(() => this.socketPath(MASTER_SOCKET));
  }

  /** The master's process ID, or null while there is none. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get running(): boolean {
    return this.#phase === "running";
  }

  /** Through the process's own directory: such a path is short wherever the directory is (a socket's may have 107 bytes). */
  socketPath(name: string): string {
    if (this.pid === null) throw new Unreachable("haproxy is not running");
    return `/proc/${this.pid}/cwd/${name}`;
  }

  /** Throws BadInput with HAProxy's own words when it refuses the file, Unreachable when there is no HAProxy. */
  async check(file = CONFIG, keys = this.#keys): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const options = { cwd: this.#parts.dir, env: environment(keys) };
      execFile("haproxy", ["-c", "-f", file], options, (error, _stdout, stderr) => {
        if (error === null) return resolve();
        if (errorCode(error) === "ENOENT") {
          return reject(new Unreachable("haproxy is not installed: apt-get install haproxy"));
        }
        reject(new BadInput(`haproxy refuses ${this.#parts.dir}/${file}: ${alerts(stderr.split("\n"))}`));
      });
    });
  }

  /** Resolves when HAProxy answers. Throws Unreachable with its last words when it does not come up. */
  async start(): Promise<void> {
    await this.check();
    this.#phase = "starting";
    this.#spawn([]);
    try {
      await this.#up(null);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Takes new files into use without dropping a connection; with `keys` also new keys. Files must have been checked. */
  async reload(keys: HaproxyKeys = this.#keys): Promise<void> {
    if (this.#phase !== "running" || this.#child === null) throw new Unreachable("haproxy is not running");
    const before = await workerPid(this.runtime);
    if (sameKeys(keys, this.#keys)) {
      this.#child.kill("SIGUSR2");
    } else {
      const old = this.#child;
      this.#keys = keys;
      this.#spawn(["-x", "runtime.sock"]);
      await this.#up(before);
      old.kill("SIGUSR1");
      return;
    }
    await this.#up(before);
  }

  /** Takes no new connections, closes each that there is with its next answer, then ends: at once when none is left. */
  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    this.#phase = "stopping";
    const child = this.#child;
    if (child !== null && isAlive(child)) {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGUSR1");
      const { drainMs = DRAIN_MS } = this.#parts;
      const soft = setTimeout(() => child.kill("SIGTERM"), drainMs);
      const hard = setTimeout(() => child.kill("SIGKILL"), drainMs + KILL_MS);
      if (isAlive(child)) await exited;
      clearTimeout(soft);
      clearTimeout(hard);
    }
    this.#child = null;
    this.#phase = "stopped";
  }

  #spawn(more: string[]): void {
    const words = [
      ...DIE_WITH_US,
      String(process.pid),
      "haproxy",
      "-W",
      "-S",
      `unix@${MASTER_SOCKET},mode,600`,
      "-f",
      CONFIG,
      ...more,
    ];
    const child = spawn("setpriv", words, {
      cwd: this.#parts.dir,
      env: environment(this.#keys),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#startedAtMs = performance.now();
    this.#lastWords = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.#lastWords = [...this.#lastWords, line].slice(-20);
        this.#parts.onLine?.(line);
      });
    }
    child.once("error", (error) => {
      this.#lastWords.push(error.message);
      this.#ended(child, error.message);
    });
    child.once("exit", (code, signal) => this.#ended(child, signal ?? `code ${code}`));
  }

  /** Waits for a worker that answers and is not `before`. */
  async #up(before: number | null): Promise<void> {
    const child = this.#child!;
    const end = performance.now() + UP_MS_MAX;
    while (isAlive(child) && performance.now() < end) {
      const pid = await workerPid(this.runtime).catch(() => null);
      if (pid !== null && pid !== before && (await this.#masterListens())) {
        if (this.#phase === "starting") this.#phase = "running";
        this.#parts.onUp?.();
        return;
      }
      await sleep(POLL_MS);
    }
    throw new Unreachable(`haproxy did not come up: ${alerts(this.#lastWords)}`);
  }

  /** A signal that comes before it does is lost. */
  async #masterListens(): Promise<boolean> {
    const answer = await this.#cli.command("show proc").catch(() => "");
    return answer.includes("master");
  }

  #ended(child: ChildProcess, how: string): void {
    // An old master that handed over, or one that we are stopping, may go.
    if (child !== this.#child || this.#phase === "stopping" || this.#phase === "stopped") return;
    const isFirstStart = this.#phase === "starting";
    this.#child = null;
    if (isFirstStart) return;
    this.#phase = "waiting";
    const lifeMs = performance.now() - this.#startedAtMs;
    this.#shortLives = lifeMs >= GOOD_LIFE_MS ? 0 : this.#shortLives + 1;
    const waitMs = this.#shortLives === 0 ? 0 : Math.min(WAIT_MS_MAX, 100 * 2 ** (this.#shortLives - 1));
    this.#parts.onDeath?.(how, waitMs);
    this.#retry = setTimeout(() => this.#again(), waitMs);
  }

  #again(): void {
    if (this.#phase !== "waiting") return;
    this.#phase = "running";
    this.#spawn([]);
    // When it does not come up its end is noticed like any other.
    this.#up(null).catch(() => undefined);
  }
}

function environment(keys: HaproxyKeys): NodeJS.ProcessEnv {
  return { PATH: `${process.env.PATH ?? ""}:${SERVER_PATH}`, ...keys };
}

function sameKeys(a: HaproxyKeys, b: HaproxyKeys): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null && child.pid !== undefined;
}

/** What HAProxy complains about, without its prefix. */
function alerts(lines: string[]): string {
  const words = lines
    .filter((line) => line.includes("[ALERT]"))
    .map((line) => line.replace(/^\[ALERT\]\s+\(\d+\)\s*:\s*(config : )?/, ""));
  return words.slice(0, 3).join("; ") || lines.findLast((line) => line.trim() !== "") || "it said nothing";
}
