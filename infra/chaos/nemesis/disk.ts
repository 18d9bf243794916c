/** Disks that are slow or full, and processes that are struck at a certain write: strace's fault injection. */
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable } from "@hongbao/preprocess";
import { dieWithParent } from "../../src/processes/child.ts";

const ATTACHED_MS_MAX = 5_000;

export interface Injection {
  /** Lets the process go, as it was. */
  end(): Promise<void>;
}

/** Attaches strace; resolves when it holds the process. Errors: Unreachable with strace's own words. */
export async function inject(pid: number, rules: string[]): Promise<Injection> {
  const words = dieWithParent("strace", ["-f", "-p", String(pid), "-o", "/dev/null", ...rules]);
  const child = spawn(words.command, words.args, { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.once("error", (error) => (said += error.message));
  const end = performance.now() + ATTACHED_MS_MAX;
  while (!said.includes("attached")) {
    if (child.exitCode !== null || performance.now() > end)
      throw new Unreachable(`strace cannot attach to ${pid}: ${said.trim().split("\n").at(-1) ?? ""}`);
    await sleep(10);
  }
  return { end: () => detach(child, exited) };
}

async function detach(child: ChildProcess, exited: Promise<void>): Promise<void> {
  // On SIGINT strace lets its tracees go; a killed one's tracees go on as well.
  child.kill("SIGINT");
  const timer = setTimeout(() => child.kill("SIGKILL"), 2_000);
  await exited;
  clearTimeout(timer);
}

/** Whether we may trace our own processes; null, or why not (it takes root, or a kernel that lets relatives do so). */
export async function whyNoTrace(): Promise<string | null> {
  const words = dieWithParent("sleep", ["30"]);
  const child = spawn(words.command, words.args, { stdio: "ignore", detached: true });
  try {
    const injection = await inject(child.pid!, ["-e", "trace=none"]);
    await injection.end();
    return null;
  } catch (error) {
    return `${(error as Error).message} (root may, or everybody with kernel.yama.ptrace_scope 0)`;
  } finally {
    child.kill("SIGKILL");
  }
}

const SYNCS = "fsync,fdatasync";
const WRITES = "write,writev,pwrite64,fallocate";

export function slowSyncs(pid: number, delayMs: number): Promise<Injection> {
  return inject(pid, ["-e", `trace=${SYNCS}`, "-e", `inject=${SYNCS}:delay_enter=${delayMs * 1000}`]);
}

/** Every write into these files fails as on a full disk: where no small disk can be mounted. */
export function fullFiles(pid: number, paths: readonly string[]): Promise<Injection> {
  const files = paths.flatMap((path) => ["-P", path]);
  return inject(pid, ["-e", `trace=${WRITES}`, ...files, "-e", `inject=${WRITES}:error=ENOSPC`]);
}

/** The signal comes with the first link(2) of this file: KILL before it has happened, STOP right behind it. */
export function strikeAtLink(pid: number, path: string, signal: "KILL" | "STOP"): Promise<Injection> {
  return inject(pid, [
    "-e",
    "trace=link,linkat",
    "-P",
    path,
    "-e",
    `inject=link,linkat:signal=SIG${signal}:when=1`,
  ]);
}

/** The files that a Redis appends to. */
export function appendFiles(redisDir: string): string[] {
  const dir = join(redisDir, "appendonlydir");
  return readdirSync(dir).map((name) => join(dir, name));
}
