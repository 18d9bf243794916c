/** The edge of `hongbao simulate`: options in, report out, exit code. */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { BadInput, CheckFailed, print, printJson, say } from "@hongbao/preprocess";
import { wholeOption } from "../../src/options.ts";
import { againstText, checkRehearsed, holdAgainst, PART_MAX } from "./against.ts";
import type { SimulateCommandOptions } from "./commands.ts";
import { calibrated, MEASURED, readCosts, type Costs } from "./costs.ts";
import { simulate, type Outcome } from "./engine.ts";
import { picture } from "./picture.ts";
import { reportOf, reportText, variantOf } from "./report.ts";
import { readRequest } from "./request.ts";

/** Throws BadInput, and CheckFailed when a model is too far from the rehearsal it is held against. */
export async function runSimulate(options: SimulateCommandOptions): Promise<void> {
  if (options.against !== undefined) return runAgainst(options, options.against);
  if (options.calibrate !== undefined)
    throw new BadInput(`--calibrate: found it without --against, expected both`);
  const request = await readRequest(options);
  const { base, crowd, lends, losses } = request;
  // Beside a loss stands the same without it.
  const withLosses = losses.length > 0 ? [losses, []] : [[]];
  const scenarios = withLosses.flatMap((lost) => lends.map((lend) => ({ ...base, lend, losses: lost })));
  const outcomes = scenarios.map((scenario): Outcome => {
    const lost = scenario.losses.length > 0 ? ", with the loss" : "";
    say(`Simulating ${crowd.bucketOf.length} people, lending ${scenario.lend ? "on" : "off"}${lost} ...`);
    return simulate(scenario, crowd);
  });
  const report = reportOf(request, outcomes);
  if (options.svg !== undefined) writeFileSync(options.svg, picture(outcomes, report.variants));
  if (options.json) printJson(report);
  else print(reportText(report));
}

function runAgainst(options: SimulateCommandOptions, path: string): void {
  const rehearsed = checkRehearsed(readJson("--against", path), path);
  if (options.lend === "both") {
    throw new BadInput(`--against: found it without --lend on or off, expected how the rehearsal ran`);
  }
  const cores = wholeOption("--machine-cores", options.machineCores, 1, 1_024) ?? availableParallelism();
  const known = options.costs === undefined ? MEASURED : readCosts(options.costs);
  const { report, outcome } = holdAgainst(rehearsed, {
    costs: options.calibrate === undefined ? known : calibrate(known, options.calibrate, cores),
    lend: options.lend === "on",
    seed: wholeOption("--seed", options.seed, 0, 0xffff_ffff) ?? 1,
    cores,
  });
  if (options.svg !== undefined) {
    const users = rehearsed.buckets.map((bucket) => bucket.users);
    writeFileSync(options.svg, picture([outcome], [variantOf(outcome, users)]));
  }
  if (options.json) printJson(report);
  else print(againstText(report));
  const missed = report.rows.filter(({ kept }) => !kept).map(({ what }) => what);
  if (missed.length > 0)
    throw new CheckFailed(
      `the model is more than ${PART_MAX * 100} % from the rehearsal in ${missed.join(", ")}`,
    );
}

function calibrate(costs: Costs, path: string, cores: number): Costs {
  const report = checkRehearsed(readJson("--calibrate", path), path);
  return calibrated(costs, report, cores, path);
}

function readJson(option: string, path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new BadInput(
      `${option}: found ${path}: ${(error as Error).message}, expected a report of "hongbao rehearse --json"`,
    );
  }
}
