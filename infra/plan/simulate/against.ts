/** The model held against a rehearsal: the same people, prizes and pattern, and how far apart the two are. */
import { BadInput, JOURNAL_MAX_DEFAULT, table } from "@hongbao/preprocess";
import type { RehearseReport } from "../../src/rehearse/rehearse.ts";
import type { Costs } from "./costs.ts";
import { crowdOfCounts } from "./crowd.ts";
import { simulate, type Outcome } from "./engine.ts";
import type { Scenario } from "./scenario.ts";

/** What a comparison needs of a report of `rehearse --json`. */
export type Rehearsed = Pick<
  RehearseReport,
  "perUser" | "connections" | "spreadSeconds" | "secondsToLastWin" | "buckets" | "answers" | "series"
>;

export interface Compared {
  what: string;
  real: number;
  model: number;
  /** How far they may be apart, and whether they are no further. */
  bound: number;
  kept: boolean;
}

export interface AgainstReport {
  kept: boolean;
  lend: boolean;
  rows: Compared[];
  answers: { real: Record<string, number>; model: Record<string, number> };
}

export const PART_MAX = 0.2;
/** Of a bucket's prizes: 3 against 0 left of 10,000 are not infinitely far apart. */
const LEFT_PART_MIN = 0.01;
/** A rehearsal knows its times by the tenth of a second. */
const SECONDS_MIN = 0.1;

/** Throws BadInput unless it is the report of a rehearsal. */
export function checkRehearsed(value: unknown, path: string): Rehearsed {
  const report = value as Partial<Rehearsed> | null;
  const wrong = (field: string, found: unknown, expected: string): BadInput =>
    new BadInput(`${path}: ${field}: found ${JSON.stringify(found) ?? "nothing"}, expected ${expected}`);
  const isCount = (each: unknown): boolean => Number.isSafeInteger(each) && (each as number) >= 0;
  const buckets = report?.buckets;
  if (!Array.isArray(buckets) || buckets.length === 0) {
    throw wrong("buckets", buckets, 'the list of buckets in a report of "hongbao rehearse --json"');
  }
  buckets.forEach((bucket, index) => {
    if (typeof bucket?.bucket !== "string") throw wrong(`buckets[${index}].bucket`, bucket?.bucket, "an id");
    for (const field of ["users", "generated", "left"] as const) {
      if (!isCount(bucket[field])) throw wrong(`buckets[${index}].${field}`, bucket[field], "a whole number");
    }
  });
  for (const field of ["perUser", "connections"] as const) {
    if (!isCount(report![field]) || report![field] === 0)
      throw wrong(field, report![field], "a whole number");
  }
  if (report!.spreadSeconds !== null && !isCount(report!.spreadSeconds)) {
    throw wrong("spreadSeconds", report!.spreadSeconds, "seconds, or null after wrk");
  }
  const series = report!.series;
  for (const field of ["answers", "wins"] as const) {
    if (!Array.isArray(series?.[field])) throw wrong(`series.${field}`, series?.[field], "a list of counts");
  }
  if (!isCount(series!.stepMs)) throw wrong("series.stepMs", series!.stepMs, "milliseconds");
  if (report!.spreadSeconds === null && report!.perUser !== 1) {
    throw wrong("perUser", report!.perUser, "1 after wrk, whose passes are only modelled for that");
  }
  return report as Rehearsed;
}

/** @param cores of the machine that both cluster and load ran on. */
export function scenarioOf(
  rehearsed: Rehearsed,
  options: { costs: Costs; lend: boolean; seed: number; cores: number },
): Scenario {
  const { perUser, connections, spreadSeconds, buckets } = rehearsed;
  return {
    seed: options.seed,
    buckets: buckets.map(({ bucket }) => bucket),
    stock: buckets.map(({ generated }) => generated),
    perUser,
    // The rehearsal's people press for nothing twice and do not ask for results while others press.
    press: { spreadMs: (spreadSeconds ?? 0) * 1000, shape: "even", againShare: 0, checksResult: false },
    lend: options.lend,
    plant: {
      costs: options.costs,
      services: 2,
      frontCores: null,
      machineCores: options.cores,
      connections: spreadSeconds === null ? connections : null,
      zones: 1,
      latencyMs: 10,
      journalMax: JOURNAL_MAX_DEFAULT,
      moveMs: 15,
      recordMs: 2,
    },
    losses: [],
    secondsMax: 3_600,
  };
}

export function holdAgainst(
  rehearsed: Rehearsed,
  options: { costs: Costs; lend: boolean; seed: number; cores: number },
): { report: AgainstReport; outcome: Outcome } {
  const scenario = scenarioOf(rehearsed, options);
  const crowd = crowdOfCounts(
    rehearsed.buckets.map(({ users }) => users),
    options.seed,
  );
  const outcome = simulate(scenario, crowd);
  const rows: Compared[] = [];
  const compare = (what: string, real: number, model: number, least: number): void => {
    const bound = Math.max(PART_MAX * real, least);
    rows.push({ what, real, model, bound, kept: Math.abs(model - real) <= bound });
  };
  if (rehearsed.secondsToLastWin !== null && outcome.lastWinMs !== null) {
    const model = (outcome.lastWinMs - outcome.firstPressMs) / 1000;
    const isSoldOut = rehearsed.buckets.every(({ left }) => left === 0);
    compare(
      `seconds to ${isSoldOut ? "sell out" : "the last win"}`,
      rehearsed.secondsToLastWin,
      model,
      SECONDS_MIN,
    );
  }
  rehearsed.buckets.forEach(({ bucket, left, generated }, index) =>
    compare(`left in ${bucket}`, left, outcome.left[index]!, LEFT_PART_MIN * generated),
  );
  const kept = rows.length > 0 && rows.every((row) => row.kept);
  const answers = { real: rehearsed.answers, model: { ...outcome.tally.words } };
  return { report: { kept, lend: options.lend, rows, answers }, outcome };
}

export function againstText({ rows, answers, lend }: AgainstReport): string {
  const lines = rows.map(({ what, real, model, bound, kept }) => [
    kept ? "kept" : "MISSED",
    real === 0 ? "-" : (model / real).toFixed(3),
    what,
    real.toFixed(Number.isInteger(real) ? 0 : 1),
    model.toFixed(Number.isInteger(model) ? 0 : 2),
    `+- ${bound.toFixed(bound < 10 ? 2 : 0)}`,
  ]);
  const words = (of: Record<string, number>): string =>
    Object.entries(of)
      .filter(([, value]) => value > 0)
      .map(([word, value]) => `${word} ${value}`)
      .join(", ");
  return [
    table([
      ["", "model / real", `lending ${lend ? "on" : "off"}`, "real", "model", "may be apart"],
      ...lines,
    ]),
    `answers, real: ${words(answers.real)}; model: ${words(answers.model)}`,
  ].join("\n");
}
