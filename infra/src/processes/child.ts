/**
 * One child process: dies with us, logs to a file, can be waited for and stopped.
 *
 *   running --exit--> exited        stop(): SIGTERM, then SIGKILL after graceMsMax
 */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Unreachable } from "@hongbao/preprocess";

export interface ChildSpec {
  /** Short name for messages, as `redis b0`. */
  name: string;
  command: string;
  args: string[];
  /** What the child sees besides our own environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** Both output streams are appended here. */
  logPath: string;
  /** How long a polite stop may take before SIGKILL. */
  graceMsMax?: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Child {
  name: string;
  pid: number;
  logPath: string;
  exited: Promise<Exit>;
  running(): boolean;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<Exit>;
}

const GRACE_MS_MAX = 10_000;

/**
 * The kernel kills the child when we die (`setpriv --pdeathsig`), however we die. Between fork and that call we may
 * already be gone: the shell compares its parent with us once more before it becomes the program, whose pid it keeps.
 * A set-uid program or a change of user would clear the signal, so children run as the user that we are.
 */
const DIE_WITH_PARENT = ["--pdeathsig", "KILL", "--", "/bin/sh", "-c"];
const CHECK_PARENT = '[ "$PPID" = "$0" ] || exit 1; exec "$@"';

export function dieWithParent(command: string, args: string[]): { command: string; args: string[] } {
  return {
    command: "setpriv",
    args: [...DIE_WITH_PARENT, CHECK_PARENT, String(process.pid), command, ...args],
  };
}

/** Starts a child in a process group of its own, so that a Ctrl-C at our terminal reaches us alone. */
export async function spawnChild(spec: ChildSpec): Promise<Child> {
  mkdirSync(dirname(spec.logPath), { recursive: true });
  const log = openSync(spec.logPath, "a", 0o600);
  const wrapped = dieWithParent(spec.command, spec.args);
  const child = spawn(wrapped.command, wrapped.args, {
    stdio: ["ignore", log, log],
    detached: true,
    env: { ...process.env, ...spec.env },
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
  });
  closeSync(log);
  const exited = new Promise<Exit>((resolve) =>
    child.once("exit", (code, signal) => resolve({ code, signal })),
  );
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) =>
      reject(new Unreachable(`${spec.name}: cannot start ${spec.command}: ${error.message}`)),
    );
  });
  const running = () => child.exitCode === null && child.signalCode === null;
  const kill = (signal: NodeJS.Signals) => {
    if (running()) child.kill(signal);
  };
  return {
    name: spec.name,
    pid: child.pid!,
    logPath: spec.logPath,
    exited,
    running,
    kill,
    stop: () => stopChild(kill, exited, spec.graceMsMax ?? GRACE_MS_MAX),
  };
}

async function stopChild(
  kill: (signal: NodeJS.Signals) => void,
  exited: Promise<Exit>,
  graceMsMax: number,
): Promise<Exit> {
  kill("SIGTERM");
  // A stopped process sees SIGTERM only when it goes on.
  kill("SIGCONT");
  const timer = setTimeout(() => kill("SIGKILL"), graceMsMax);
  const exit = await exited;
  clearTimeout(timer);
  return exit;
}

/** The last lines of a log, for the message when a child did not come up. */
export function logTail(path: string, lines = 5, bytesMax = 4096): string {
  try {
    const size = statSync(path).size;
    const buffer = Buffer.alloc(Math.min(size, bytesMax));
    const file = openSync(path, "r");
    readSync(file, buffer, 0, buffer.length, size - buffer.length);
    closeSync(file);
    return buffer.toString("utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "";
  }
}
