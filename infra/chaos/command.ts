/** The edge of `hongbao chaos`: options in, report out, exit code. */
import { randomInt } from "node:crypto";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { BadInput, CheckFailed, print, printJson, say } from "@hongbao/preprocess";
import { scratchDir } from "../bench/measure/scratch.ts";
import { wholeOption } from "../src/options.ts";
import type { ChaosCommandOptions } from "./commands.ts";
import { drawScenario } from "./draw.ts";
import type { Played } from "./play.ts";
import { judgedCounts, playedLines, reportText } from "./report.ts";
import { runChaos, type ChaosOptions, type Skipped } from "./run.ts";
import { readScenarios, type Scenario } from "./scenario.ts";

const SEED_MAX = 0xffff_ffff;
/** Random scenarios that share a cluster. */
const DRAWN_TOGETHER = 8;

/** Throws CheckFailed when a promise was broken. */
export async function runChaosCommand(options: ChaosCommandOptions): Promise<void> {
  const all = readScenarios();
  if (options.list)
    return print([...all.values()].map(({ id, what }) => `${id.padEnd(28)} ${what}`).join("\n"));
  const seed = wholeOption("--seed", options.seed, 0, SEED_MAX) ?? randomInt(SEED_MAX);
  const modes = ["scenario", "matrix", "for", "soak"].filter((name) => name in options);
  if (modes.length !== 1)
    throw new BadInput(
      `found ${modes.length === 0 ? "no option" : modes.map((name) => `--${name}`).join(" and ")}, expected one of --scenario, --matrix, --for, --soak, --list`,
    );
  say(`seed ${seed}: --seed ${seed} plays this schedule again`);
  // By an exit, so that what is mounted goes with us; our processes end with us in any case.
  for (const [name, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const)
    process.once(name, () => process.exit(128 + number));
  await using begun = new AsyncDisposableStack();
  const dir = options.keep === undefined ? begun.use(scratchDir()).path : resolve(options.keep);
  mkdirSync(dir, { recursive: true });
  if (options.soak !== undefined) {
    const { soak, soakText } = await import("./soak.ts");
    const report = await soak({ seconds: readSeconds("--soak", options.soak), seed, dir, tell: say });
    if (options.json) printJson(report);
    else print(soakText(report));
    if (!report.ok) throw new CheckFailed("soak: something grows, or a promise was broken");
    return;
  }
  const onPlayed = (played: Played): void => say(playedLines(played));
  const played: Played[] = [];
  const skipped: Skipped[] = [];
  const run = async (scenarios: Scenario[], more: Partial<ChaosOptions> = {}): Promise<void> => {
    const done = await runChaos({ scenarios, seed, dir, tell: say, onPlayed, ...more });
    played.push(...done.played);
    skipped.push(...done.skipped);
  };
  if (options.for === undefined) {
    const scenarios = options.matrix ? [...all.values()] : chosen(all, options.scenario!);
    await run(scenarios);
  } else {
    const end = performance.now() + readSeconds("--for", options.for) * 1000;
    for (let first = 0; performance.now() < end; first += DRAWN_TOGETHER) {
      const scenarios = Array.from({ length: DRAWN_TOGETHER }, (_, index) =>
        drawScenario(seed, first + index),
      );
      await run(scenarios, { untilMs: end });
    }
  }
  const violations = played.reduce((sum, each) => sum + each.violations.length, 0);
  if (options.json) {
    printJson({
      seed,
      judged: judgedCounts(played),
      scenarios: played.map(({ id, seconds, effect, judged, violations: found }) => ({
        id,
        judged,
        violations: found.length,
        ...(found.length > 0 ? { found } : {}),
        seconds,
        effect,
      })),
      violations,
      skipped,
    });
  } else print(reportText(played, seed));
  if (violations > 0)
    throw new CheckFailed(`chaos: ${violations} violations; --seed ${seed} plays this schedule again`);
}

function chosen(all: ReadonlyMap<string, Scenario>, ids: readonly string[]): Scenario[] {
  return ids
    .flatMap((text) => text.split(","))
    .map((id) => {
      const scenario = all.get(id);
      if (scenario === undefined)
        throw new BadInput(`--scenario: found "${id}", expected some of ${[...all.keys()].join(", ")}`);
      return scenario;
    });
}

/** 90, 90s, 20m, 1h. */
function readSeconds(name: string, text: string): number {
  const [, number, unit = "s"] = /^(\d{1,6})([smh])?$/.exec(text) ?? [];
  const seconds = Number(number) * { s: 1, m: 60, h: 3600 }[unit as "s" | "m" | "h"];
  if (seconds > 0 && seconds <= 48 * 3600) return seconds;
  throw new BadInput(`${name}: found "${text}", expected a time such as 90s, 20m or 1h`);
}
