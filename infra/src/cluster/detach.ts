/**
 * `hongbao up --detach`: a launcher that waits for "ready" and goes, and behind it a supervisor in a session of its
 * own. They talk over an IPC channel; when the launcher goes away before "ready", the start is given up.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { HongbaoError, print, reportFailure, say, Unreachable } from "@hongbao/preprocess";
import { eventDigest } from "./event.ts";
import { onStopSignals, tell as tellTerminal, welcome } from "./foreground.ts";
import { hongbaoWords } from "./hongbao.ts";
import { openPlaces, placesOf } from "./places.ts";
import { startCluster, type RunningCluster, type UpOptions } from "./up.ts";

type Message =
  | { kind: "tell"; text: string }
  | { kind: "ready"; lines: string[] }
  | { kind: "failed"; message: string; exitCode: number };

const LOG_BYTES_MAX = 4 * 1024 * 1024;

/** `words` are the arguments of `up` that bring the same options back in the supervisor. */
export async function runLauncher(
  options: Omit<UpOptions, "tell" | "signal">,
  words: string[],
): Promise<void> {
  // Bad input is refused before there is a directory, as in the foreground.
  if (options.event !== undefined) await eventDigest(options.event);
  openPlaces(placesOf(options.home));
  const logPath = join(options.home, "up.log");
  const log = openLog(logPath);
  const { command, args, env } = hongbaoWords(["up", ...words, "--supervise"]);
  const child = spawn(command, args, {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    // The supervisor outlives npm.
    env: { ...process.env, ...env, npm_lifecycle_event: undefined },
  });
  closeSync(log);
  const stop = new AbortController();
  stop.signal.addEventListener("abort", () => child.kill("SIGTERM"));
  const release = onStopSignals(stop, () => child.kill("SIGKILL"));
  try {
    const lines = await linesWhenReady(child, logPath);
    for (const line of lines) print(line);
    print(`It runs in the background (state ${options.home}); "hongbao down" stops it.`);
  } finally {
    release();
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** What the supervisor has to say when it is ready. Throws its failure once its process is gone. */
async function linesWhenReady(child: ChildProcess, logPath: string): Promise<string[]> {
  let failure: Error | null = null;
  return new Promise((resolve, reject) => {
    child.on("message", (message: Message) => {
      if (message.kind === "tell") tellTerminal(message.text);
      else if (message.kind === "ready") resolve(message.lines);
      else failure = new HongbaoError(message.message, message.exitCode);
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      const how = signal ?? `code ${code}`;
      const end = () => {
        reject(
          failure ?? new Unreachable(`the supervisor ended (${how}) before it was ready; see ${logPath}`),
        );
      };
      // Its last words may still be in the channel.
      if (child.connected) child.once("disconnect", end);
      else end();
    });
  });
}

function openLog(path: string): number {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES_MAX) rmSync(path);
  return openSync(path, "a", 0o600);
}

/** The supervisor behind a launcher: runs until it is told to stop. */
export async function runSupervisor(options: Omit<UpOptions, "tell" | "signal">): Promise<void> {
  const stop = new AbortController();
  let cluster: RunningCluster | null = null;
  const release = onStopSignals(stop, () => {
    cluster?.killAll();
    process.exit(130);
  });
  const send = (message: Message) => {
    if (process.connected) process.send!(message, undefined, undefined, () => undefined);
  };
  const tell = (text: string) => {
    say(`${new Date().toISOString()} ${text}`);
    send({ kind: "tell", text });
  };
  const launcherGone = () => stop.abort();
  process.once("disconnect", launcherGone);
  try {
    cluster = await startCluster({ ...options, tell, signal: stop.signal });
    process.off("disconnect", launcherGone);
    send({ kind: "ready", lines: await welcome(cluster) });
    process.channel?.unref();
    await aborted(stop.signal);
    tell("Stopping ...");
    await cluster.stop();
    tell("Stopped.");
  } catch (error) {
    process.exitCode = reportFailure(error);
    send({
      kind: "failed",
      message: error instanceof Error ? error.message : String(error),
      exitCode: process.exitCode,
    });
  } finally {
    release();
    // The last message is on its way; an open channel would keep the process.
    process.channel?.unref();
  }
}

/** Resolves at the abort; an idle timer keeps the process until then. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => undefined, 2 ** 30);
    const done = () => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}
