/** What was asked for, checked once; every error names its option. Pure. */
import { BadInput, JOURNAL_MAX_DEFAULT } from "@hongbao/preprocess";
import { wholeOption } from "../../src/options.ts";
import type { CapacityCommandOptions } from "./commands.ts";
import type { PlanOptions } from "./plan.ts";
import type { PressPattern } from "./press.ts";
import { OURS } from "./facts.ts";
import type { Policy } from "./loads.ts";

/** Beyond these the model has nothing to say. */
const MAX = { users: 2_000_000_000, prizes: 100_000_000_000, perSecond: 2_000_000_000, presses: 1_000 };
const PARTS_MAX = 50;

export interface CapacityRequest {
  plan: PlanOptions;
  policy: Policy;
  names: { event?: string; imageTag?: string };
}

export function readRequest(options: CapacityCommandOptions): CapacityRequest {
  const users = needed("--users", options.users, MAX.users);
  const prizes = needed("--prizes", options.prizes, MAX.prizes);
  const rounds = wholeOption("--rounds", options.rounds, 1, 99) ?? 1;
  if (rounds > prizes)
    throw new BadInput(`--rounds: found "${rounds}", expected at most the ${prizes} prizes`);
  const shape = {
    users,
    prizes,
    rounds,
    peak: readPeak(options),
    lateShare: number("--late", options.late, 0, 100, 10) / 100,
    arrivalSeconds: number("--arrival", options.arrival, 1, 604_800, 600),
    mediaBytes: number("--media-mb", options.mediaMb, 0, 100_000, 0) * 1e6,
  };
  return {
    plan: {
      shape,
      hours: number("--hours", options.hours, 0.1, 8_784, 12),
      buckets: wholeOption("--buckets", options.buckets, 1, OURS.bucketsMax) ?? null,
    },
    policy: {
      headroom: number("--headroom", options.headroom, 0, 90, 40) / 100,
      zones: wholeOption("--zones", options.zones, 2, 3) ?? 3,
      journalMax: wholeOption("--journal-max", options.journalMax, 1, 100_000_000) ?? JOURNAL_MAX_DEFAULT,
      redisRoundTripMs: number("--redis-rtt-ms", options.redisRttMs, 0, 500, 5),
      mysqlCommitMs: number("--mysql-commit-ms", options.mysqlCommitMs, 0, 10_000, 10),
      coreFactor: number("--core-factor", options.coreFactor, 0.05, 20, 1),
    },
    names: {
      ...named(
        "event",
        "--name",
        options.name,
        /^[a-z][a-z0-9-]{0,14}[a-z0-9]$/,
        "2 to 16 of a-z 0-9 -, starting with a letter",
      ),
      ...named(
        "imageTag",
        "--image-tag",
        options.imageTag,
        /^(?!latest$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/,
        "a tag such as 1.4.0, not latest",
      ),
    },
  };
}

function readPeak(options: CapacityCommandOptions): PlanOptions["shape"]["peak"] {
  const perSecond = options.peakQps;
  if (perSecond !== undefined && options.press !== undefined)
    throw new BadInput("--press: found together with --peak-qps, expected one of the two");
  for (const [name, value] of [
    ["--presses", options.presses],
    ["--again", options.again],
  ] as const) {
    if (value !== undefined && options.press === undefined)
      throw new BadInput(`${name}: found without --press, which it goes with`);
  }
  if (perSecond !== undefined) return { perSecond: number("--peak-qps", perSecond, 0.001, MAX.perSecond, 0) };
  if (options.press === undefined)
    throw new BadInput(
      "--peak-qps: missing, expected the grabs a second at the peak, or --press with a pattern",
    );
  return { pattern: readPattern(options.press, options) };
}

/** `70%@2s,30%@30s`; the parts have to be all of the users. */
function readPattern(text: string, options: CapacityCommandOptions): PressPattern {
  const words = text.split(",");
  if (words.length > PARTS_MAX)
    throw new BadInput(`--press: found ${words.length} parts, expected at most ${PARTS_MAX}`);
  const parts = words.map((word) => {
    const found = /^\s*(\d+(?:\.\d+)?)%@(\d+(?:\.\d+)?)s\s*$/.exec(word);
    const [share, seconds] = [Number(found?.[1]) / 100, Number(found?.[2])];
    if (found === null || !(share > 0) || !(seconds >= 0.05 && seconds <= 86_400))
      throw new BadInput(
        `--press: found "${word}", expected a part of the users and its time (0.05 to 86400 s), such as 70%@2s`,
      );
    return { share, seconds };
  });
  const all = parts.reduce((sum, { share }) => sum + share, 0);
  if (Math.abs(all - 1) > 0.001)
    throw new BadInput(`--press: found parts of ${Math.round(all * 1000) / 10} %, expected 100 % together`);
  return {
    parts,
    presses: wholeOption("--presses", options.presses, 1, MAX.presses) ?? 1,
    againSeconds: number("--again", options.again, 0.05, 3_600, 1),
  };
}

function needed(name: string, text: string | undefined, max: number): number {
  const value = wholeOption(name, text, 1, max);
  if (value === undefined) throw new BadInput(`${name}: missing, expected a whole number from 1 to ${max}`);
  return value;
}

function number(name: string, text: string | undefined, min: number, max: number, standard: number): number {
  if (text === undefined) return standard;
  const value = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new BadInput(`${name}: found "${text}", expected a number from ${min} to ${max}`);
}

function named<K extends string>(
  key: K,
  option: string,
  text: string | undefined,
  pattern: RegExp,
  expected: string,
): Partial<Record<K, string>> {
  if (text === undefined) return {};
  if (!pattern.test(text)) throw new BadInput(`${option}: found "${text}", expected ${expected}`);
  return { [key]: text } as Record<K, string>;
}
