/** The edge of `hongbao bench`: options in, report out, exit code. */
import { writeFileSync } from "node:fs";
import { CheckFailed, print, printJson, say } from "@hongbao/preprocess";
import { wholeOption } from "../src/options.ts";
import type { BenchCommandOptions } from "./commands.ts";
import { isSound, reportText } from "./report/report.ts";
import { picture } from "./report/picture.ts";
import { overloadText } from "./overload/report.ts";
import { benchOverload, OVERLOAD_FULL, OVERLOAD_QUICK, SPOP_SHARE } from "./overload/run.ts";
import { bench } from "./run.ts";
import { scalePicture } from "./scale/picture.ts";
import { scaleRows, scaleText, type ScaleReport } from "./scale/report.ts";
import { benchScale } from "./scale/run.ts";
import { FULL, QUICK, type Sizes } from "./sizes.ts";

const ROUNDS_MAX = 15;
const SECONDS_MAX = 60;
const CONNECTIONS_MAX = 2_000;

/** Throws CheckFailed when a figure had to be refused; a target that was missed is only told. */
export async function runBench(options: BenchCommandOptions): Promise<void> {
  if (options.scale) return runScale(options);
  if (options.overload) return runOverload(options);
  const report = await bench({
    sizes: readSizes(options),
    quick: options.quick === true,
    only: options.only === undefined ? null : options.only.split(",").map((word) => word.trim()),
    tell: say,
  });
  if (options.svg !== undefined) writeFileSync(options.svg, picture(report));
  if (options.json) printJson(report);
  else print(reportText(report));
  if (!isSound(report)) throw new CheckFailed("bench: some figures are refused, because a result was wrong");
}

function readSizes(options: BenchCommandOptions): Sizes {
  const sizes = options.quick ? QUICK : FULL;
  const rounds = wholeOption("--rounds", options.rounds, 1, ROUNDS_MAX) ?? sizes.rounds;
  const secondsEach = wholeOption("--seconds", options.seconds, 1, SECONDS_MAX) ?? sizes.secondsEach;
  const connections =
    wholeOption("--connections", options.connections, 1, CONNECTIONS_MAX) ?? sizes.connections;
  // Longer runs need more users, because each of them wins once.
  const users = Math.ceil((sizes.users * secondsEach) / sizes.secondsEach);
  return { ...sizes, rounds, secondsEach, connections, users };
}

async function runOverload(options: BenchCommandOptions): Promise<void> {
  const sizes = options.quick ? OVERLOAD_QUICK : OVERLOAD_FULL;
  const isSpop = options.door === "spop";
  const figures = await benchOverload(isSpop ? { ...sizes, door: "spop", share: SPOP_SHARE } : sizes, say);
  if (options.json) printJson(figures);
  else print(overloadText(figures));
  if (figures.faults.length > 0)
    throw new CheckFailed("bench --overload: the books are wrong, or an answer was");
}

async function runScale(options: BenchCommandOptions): Promise<void> {
  const began = performance.now();
  const quick = options.quick === true;
  const figures = await benchScale(quick, say);
  const seconds = Math.round((performance.now() - began) / 1000);
  const report: ScaleReport = { ...figures, quick, seconds, rows: scaleRows(figures), systems: [] };
  if (options.svg !== undefined) writeFileSync(options.svg, scalePicture(report));
  if (options.json) printJson(report);
  else print(scaleText(report));
  if (report.rows.some(({ figure }) => figure === null)) {
    throw new CheckFailed("bench --scale: some figures are refused, because a result was wrong");
  }
}
