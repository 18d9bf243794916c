/** Runs wrk with our script: many users, many connections, little work for each answer. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Unreachable } from "@hongbao/preprocess";
import { dieWithParent } from "../processes/child.ts";
import { needBinary } from "../servers/binaries.ts";

export interface WrkJob {
  /** The balancer's public address. */
  url: string;
  round: number;
  key: string;
  perUser: number;
  /** File of user<TAB>token lines; the first `users` of them are taken. */
  tokensPath: string;
  users: number;
  threads: number;
  connections: number;
  durationSecondsMax: number;
  /** How often one grab is asked while answers are `busy`. */
  passesMax: number;
  /** Ask everybody's result at the end and look for every told win in it. */
  verify: boolean;
  /** Called just before the first requests go out: reading the users takes a moment. */
  onStart?: () => void;
  /** Called when every user has grabbed; results may still be asked. */
  onGrabsFinished?: () => void;
  signal?: AbortSignal;
}

/** What the script writes; the keys of `answers` and `wins` are steps of time since `beganAtMs`. */
export interface WrkFigures {
  beganAtMs: number;
  /** False when the time was over before every user had asked. */
  finished: boolean;
  lastWinAt: number;
  counts: Record<string, number>;
  results: Record<string, number>;
  answers: Record<string, number>;
  wins: Record<string, number>;
  told_wins: number;
  told_amount: number;
  verified: number;
  missing: number;
  unanswered: number;
  errors: { connect: number; read: number; write: number; timeout: number };
}

/** Of a load without wrk. */
export const NO_WRK: Omit<WrkFigures, "beganAtMs" | "finished"> = {
  lastWinAt: 0,
  counts: {},
  results: {},
  answers: {},
  wins: {},
  told_wins: 0,
  told_amount: 0,
  verified: 0,
  missing: 0,
  unanswered: 0,
  errors: { connect: 0, read: 0, write: 0, timeout: 0 },
};

export const STEP_MS = 100;
const SCRIPT = join(import.meta.dirname, "grab.lua");
const STARTED = "hongbao-rehearse: thread started";
const GRABS_FINISHED = "hongbao-rehearse: grabs finished";
const FINISHED = "hongbao-rehearse: thread finished";
/** An answer later than this counts as lost. */
const ANSWER_SECONDS_MAX = 10;
const OUTPUT_LENGTH_MAX = 64 * 1024;

/** Runs until every user has asked or the time is over. Throws Unreachable when wrk cannot connect at all. */
export async function runWrk(job: WrkJob): Promise<WrkFigures> {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-wrk-"));
  try {
    const out = join(dir, "figures.json");
    const gate = join(dir, "gate");
    const beganAtMs = Date.now();
    writeFileSync(join(dir, "job.lua"), jobText(job, beganAtMs, { out, gate }), { mode: 0o600 });
    const output = await run(job, join(dir, "job.lua"), gate);
    const text = readText(out);
    if (text === null) throw new Unreachable(`wrk against ${job.url}: ${lastLine(output)}`);
    return { beganAtMs, ...(JSON.parse(text) as Omit<WrkFigures, "beganAtMs">) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function jobText(job: WrkJob, beganAtMs: number, files: { out: string; gate: string }): string {
  const fields = {
    host: new URL(job.url).host,
    grab: `/v1/rounds/${job.round}/grab?k=${encodeURIComponent(job.key)}`,
    result: `/v1/rounds/${job.round}/result`,
    tokens: job.tokensPath,
    users: job.users,
    threads: job.threads,
    per_user: job.perUser,
    passes_max: job.passesMax,
    verify: job.verify,
    began_at: beganAtMs / 1000,
    step: STEP_MS / 1000,
    ...files,
  };
  // JSON's strings, numbers and booleans are Lua's too.
  const lines = Object.entries(fields).map(([name, value]) => `  ${name} = ${JSON.stringify(value)},`);
  return `return {\n${lines.join("\n")}\n}\n`;
}

async function run(job: WrkJob, jobPath: string, gate: string): Promise<string> {
  const words = [
    `-t${job.threads}`,
    `-c${Math.max(job.connections, job.threads)}`,
    `-d${job.durationSecondsMax}s`,
    `--timeout=${ANSWER_SECONDS_MAX}s`,
    `-s${SCRIPT}`,
    job.url,
  ];
  const wrapped = dieWithParent(needBinary("wrk", "wrk"), words);
  const child = spawn(wrapped.command, wrapped.args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, HONGBAO_REHEARSE_JOB: jobPath },
  });
  // wrk sleeps for the whole duration; SIGINT is its way to end early with all its figures.
  const end = () => void child.kill("SIGINT");
  job.signal?.addEventListener("abort", end, { once: true });
  let output = "";
  // What the script's threads say, and what follows when all of them have said it.
  const news = new Map<string, () => void>([
    [
      STARTED,
      () => {
        job.onStart?.();
        writeFileSync(gate, "");
      },
    ],
    [GRABS_FINISHED, () => job.onGrabsFinished?.()],
    [FINISHED, end],
  ]);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_LENGTH_MAX);
      for (const [line, act] of news) {
        if (output.split(line).length <= job.threads) continue;
        news.delete(line);
        act();
      }
    });
  }
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve());
  });
  job.signal?.removeEventListener("abort", end);
  return output;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) || "no word";
