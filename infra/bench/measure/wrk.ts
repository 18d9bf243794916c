/** Runs wrk once and reads what its script (wrk/load.lua) says at the end. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { Unreachable } from "@hongbao/preprocess";
import { dieWithParent } from "../../src/processes/child.ts";
import { needBinary } from "../../src/servers/binaries.ts";

/** What is asked, of whom. */
export interface Load {
  /** `http://host:port`; the paths go after it. */
  url: string;
  method: "GET" | "POST";
  /** Asked one after the other, each with every identity. */
  paths: string[];
  /** One identity a line; `header` is what stands before it in the request. */
  identities?: { file: string; header: string };
  /** `stop`: end the run after the last identity of the last path; default: begin again. */
  ends?: "stop" | "again";
  /** End the run after so many answers that said `ended`; with `countsAnswers` only. */
  endsAfterEnded?: number;
  /** Look into every answer, to tell wins from the rest. Costs the load generator some time. */
  countsAnswers?: boolean;
  /** A new connection for every request. */
  closes?: boolean;
  /** Each connection rests before every request, so long on average: a load of a certain pace. */
  thinkMs?: number;
}

export interface WrkOptions {
  seconds: number;
  connections: number;
  threads: number;
}

export interface WrkResult {
  /** Complete answers, whatever they said. */
  answered: number;
  /** Answers with a status of 400 or more. */
  refused: number;
  /** Connections that failed, were reset or timed out. */
  socketErrors: number;
  seconds: number;
  perSecond: number;
  latencyMs: { p50: number; p99: number; p999: number; max: number };
  /** Only when answers were looked into. */
  wins: number;
  ended: number;
  others: number;
  /** From the first win to the last one. */
  winsSeconds: number;
  /** Every identity was used on every path, so that users came a second time (or the run stopped). */
  exhausted: boolean;
  /** CPU time of wrk, all threads. */
  cpuUs: number;
}

const SCRIPT = join(import.meta.dirname, "..", "wrk", "load.lua");
const MARK = "hongbao-wrk ";
const OUTPUT_CHARACTERS_MAX = 1_000_000;

export async function runWrk(load: Load, options: WrkOptions): Promise<WrkResult> {
  const { output, code } = await runToEnd(needBinary("wrk", "wrk"), wrkWords(load, options));
  if (code !== 0) throw new Unreachable(`wrk against ${load.url}: ${lastLine(output)}`);
  return parseWrk(output);
}

export function wrkWords(load: Load, { seconds, connections, threads }: WrkOptions): string[] {
  const words = [
    `-t${threads}`,
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    "5s",
    "-s",
    SCRIPT,
    load.url,
  ];
  words.push("--", `method=${load.method}`, `paths=${load.paths.join(";")}`);
  if (load.identities) words.push(`lines=${load.identities.file}`, `header=${load.identities.header}`);
  if (load.ends === "stop") words.push("ends=stop");
  if (load.endsAfterEnded !== undefined) words.push(`ended=${load.endsAfterEnded}`);
  if (load.countsAnswers) words.push("count=1");
  if (load.closes) words.push("close=1");
  if (load.thinkMs !== undefined) words.push(`think=${load.thinkMs}`);
  return words;
}

/** Reads the script's last line. Throws Unreachable, with wrk's own words, when it is not there. */
export function parseWrk(output: string): WrkResult {
  const line = output.split("\n").findLast((candidate) => candidate.startsWith(MARK));
  if (line === undefined) throw new Unreachable(`wrk said nothing that can be counted: ${lastLine(output)}`);
  const said = JSON.parse(line.slice(MARK.length)) as Record<string, number> & { exhausted: boolean };
  const of = (name: string): number => {
    const value = said[name];
    if (typeof value !== "number") throw new Error(`wrk's report: found no ${name} in ${line}`);
    return value;
  };
  const seconds = of("durationUs") / 1e6;
  return {
    answered: of("requests"),
    refused: of("status"),
    socketErrors: of("connect") + of("read") + of("write") + of("timeout"),
    seconds,
    perSecond: of("requests") / seconds,
    latencyMs: {
      p50: of("p50Us") / 1000,
      p99: of("p99Us") / 1000,
      p999: of("p999Us") / 1000,
      max: of("maxUs") / 1000,
    },
    wins: of("wins"),
    ended: of("ended"),
    others: of("others"),
    winsSeconds: of("winsUs") / 1e6,
    exhausted: said.exhausted,
    cpuUs: of("cpuUs"),
  };
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1) || "no output";
}

function runToEnd(command: string, args: string[]): Promise<{ output: string; code: number }> {
  const wrapped = dieWithParent(command, args);
  const child = spawn(wrapped.command, wrapped.args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_CHARACTERS_MAX);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ output, code: code ?? 1 }));
  });
}
