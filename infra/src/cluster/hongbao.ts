/** Starts `hongbao` subcommands: the other folders' work is reached as commands, never as imports. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HongbaoError } from "@hongbao/preprocess";
import { dieWithParent } from "../processes/child.ts";
import { serverPath } from "../servers/binaries.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const SCRIPT = join(ROOT, "hongbao.ts");
/** The same as the shell script's. */
const FLAGS = readFileSync(join(ROOT, "node-flags"), "utf8").trim().split(" ");
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** The words that run a subcommand with this Node; the shell script would only look for it once more. */
export function hongbaoWords(args: string[]): {
  command: string;
  args: string[];
  env: Record<string, string>;
} {
  return { command: process.execPath, args: [...FLAGS, SCRIPT, ...args], env: { PATH: serverPath() } };
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a subcommand to its end; never throws for an exit code. */
export async function tryHongbao(args: string[], signal?: AbortSignal): Promise<Outcome> {
  const words = hongbaoWords(args);
  const wrapped = dieWithParent(words.command, words.args);
  const child = spawn(wrapped.command, wrapped.args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...words.env },
    ...(signal ? { signal } : {}),
  });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      output[stream] = (output[stream] + chunk).slice(-OUTPUT_BYTES_MAX);
    });
  }
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) => resolve(exitCode ?? 1));
  });
  return { code, ...output };
}

/** Runs a subcommand to its end. Throws its error line with its exit code when it fails. */
export async function runHongbao(args: string[], signal?: AbortSignal): Promise<Outcome> {
  const outcome = await tryHongbao(args, signal);
  if (outcome.code !== 0) throw new HongbaoError(errorLine(outcome.stderr, args), outcome.code);
  return outcome;
}

/** The last `hongbao: …` line of a command's stderr, else its last line. */
export function errorLine(stderr: string, args: string[]): string {
  const lines = stderr.trim().split("\n");
  const last =
    lines.findLast((line) => line.startsWith("hongbao: "))?.slice("hongbao: ".length) ?? lines.at(-1);
  return last || `hongbao ${args.slice(0, 2).join(" ")} failed without a word`;
}
