/** What every started server looks like to its users. */
import { chmodSync, mkdirSync } from "node:fs";
import type { Child } from "../processes/child.ts";

export interface Server {
  /** With the password when one is set. */
  url: string;
  /** Without it: for topologies, logs and command lines. */
  plainUrl: string;
  port: number;
  pid: number;
  /** Polite first, then by force. */
  stop(): Promise<void>;
  kill(signal?: NodeJS.Signals): void;
  /** Resolves with the exit code; null when a signal ended it. */
  exited: Promise<number | null>;
  child: Child;
}

export interface ServerOptions {
  /** Everything that the server writes is in here. */
  dir: string;
  port?: number;
  password?: string;
  /** Further command line arguments of the server. */
  extra?: string[];
  /** Default: a file in `dir`. */
  logPath?: string;
  /** For messages. */
  name?: string;
  /** Gives up the start. */
  signal?: AbortSignal;
}

export function privateDir(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
}

export function asServer(
  child: Child,
  scheme: string,
  user: string,
  port: number,
  password?: string,
): Server {
  const credentials = password === undefined ? user : `${user}:${password}`;
  const at = (text: string) => (text === "" ? "" : `${text}@`);
  return {
    url: `${scheme}://${at(credentials)}127.0.0.1:${port}`,
    plainUrl: `${scheme}://${at(user)}127.0.0.1:${port}`,
    port,
    pid: child.pid,
    stop: async () => void (await child.stop()),
    kill: (signal = "SIGKILL") => child.kill(signal),
    exited: child.exited.then((exit) => exit.code),
    child,
  };
}
