/** Runs a `hongbao` command to its end, with a clock and an eye on its memory. */
import { spawn } from "node:child_process";
import { CheckFailed } from "@hongbao/preprocess";
import { errorLine, hongbaoWords } from "../../src/cluster/hongbao.ts";
import { dieWithParent } from "../../src/processes/child.ts";
import { cpuUs, peakBytes } from "./proc.ts";

export interface CommandFigures {
  seconds: number;
  cpuSeconds: number;
  peakMiB: number;
}

/** The peak only grows, so the last look before the end is off by what was added within this time. */
const LOOK_MS = 15;
const OUTPUT_CHARACTERS_MAX = 100_000;

/** Throws CheckFailed with the command's own error line when it fails. */
export async function timeHongbao(args: string[]): Promise<CommandFigures> {
  const words = hongbaoWords(args);
  return timeCommand(words.command, words.args, words.env, (stderr) => errorLine(stderr, args));
}

export async function timeCommand(
  command: string,
  args: string[],
  env: Record<string, string> = {},
  explain: (stderr: string) => string = (stderr) => stderr.trim().split("\n").at(-1) ?? "",
): Promise<CommandFigures> {
  const wrapped = dieWithParent(command, args);
  const began = performance.now();
  const child = spawn(wrapped.command, wrapped.args, {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { ...process.env, ...env },
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-OUTPUT_CHARACTERS_MAX);
  });
  let seen = { peak: 0, cpu: 0 };
  const look = setInterval(() => {
    const peak = peakBytes([child.pid!]);
    if (peak > 0) seen = { peak: Math.max(seen.peak, peak), cpu: cpuUs([child.pid!]) };
  }, LOOK_MS);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) => resolve(exitCode ?? 1));
  });
  clearInterval(look);
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0) throw new CheckFailed(`${command} ${args.join(" ")}: ${explain(stderr)}`);
  return { seconds, cpuSeconds: seen.cpu / 1e6, peakMiB: seen.peak / 1024 / 1024 };
}
