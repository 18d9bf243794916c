/** What answers cost: measured by `hongbao bench`, read from its report or, without one, from the one in docs/performance.md. */
import { readFileSync } from "node:fs";
import { BadInput } from "@hongbao/preprocess";

/** CPU microseconds of one answer. */
export interface Costs {
  /** Where they come from, for the report. */
  from: string;
  /** HAProxy: a grab that goes to a bucket, an answer of its own after the token check, and `ended` when all is over. */
  frontPassedUs: number;
  frontOwnUs: number;
  frontOverUs: number;
  /** One service process, and one Redis, of a busy bucket. */
  serviceUs: number;
  redisUs: number;
  /** Claims a second from a bucket's journal to MySQL. */
  persistPerSecond: number;
  /** Everything on one machine, load generator included: a win, another answer of a bucket, of HAProxy, and all over. */
  machineWonUs: number;
  machinePassedUs: number;
  machineOwnUs: number;
  machineOverUs: number;
}

/** `hongbao bench` of 25 November 2026, docs/performance.md. */
export const MEASURED: Costs = {
  from: "hongbao bench, 25 November 2026 (docs/performance.md)",
  frontPassedUs: 31.0,
  frontOwnUs: 24.8,
  frontOverUs: 10.6,
  serviceUs: 11.4,
  redisUs: 6.5,
  persistPerSecond: 71_200,
  machineWonUs: 90.1,
  machinePassedUs: 64.6,
  machineOwnUs: 35.6,
  machineOverUs: 20.2,
};

interface BenchSystem {
  id: string;
  cpuUs: Record<string, number>;
  wrkUs: number;
}

/** From the report of `hongbao bench --json`. Throws BadInput. */
export function readCosts(path: string): Costs {
  let report: { startedAt?: unknown; systems?: unknown; rows?: unknown };
  try {
    report = JSON.parse(readFileSync(path, "utf8")) as typeof report;
  } catch (error) {
    throw new BadInput(
      `--costs: found ${path}: ${(error as Error).message}, expected a report of "hongbao bench --json"`,
    );
  }
  if (!Array.isArray(report.systems)) {
    throw new BadInput(`--costs: found no list "systems" in ${path}, expected a report of "hongbao bench"`);
  }
  const systems = report.systems as BenchSystem[];
  const of = (id: string): BenchSystem => {
    const found = systems.find((system) => system.id === id);
    if (found?.cpuUs !== undefined && typeof found.wrkUs === "number") return found;
    throw new BadInput(`--costs: found no system "${id}" in ${path}, expected it: run the whole bench`);
  };
  const role = (system: BenchSystem, name: string): number => {
    const us = system.cpuUs[name];
    if (typeof us === "number" && us > 0) return us;
    throw new BadInput(`--costs: found no cpuUs.${name} of "${system.id}" in ${path}, expected microseconds`);
  };
  const whole = (system: BenchSystem): number =>
    Object.values(system.cpuUs).reduce((sum, us) => sum + us, system.wrkUs);
  const [all, one, ended, over] = [of("hongbao"), of("hongbao-one"), of("ended-token"), of("ended-over")];
  return {
    from: `${path}${typeof report.startedAt === "string" ? ` of ${report.startedAt}` : ""}`,
    frontPassedUs: role(one, "haproxy"),
    frontOwnUs: role(ended, "haproxy"),
    frontOverUs: role(over, "haproxy"),
    serviceUs: role(one, "service"),
    redisUs: role(one, "redis"),
    persistPerSecond: MEASURED.persistPerSecond,
    machineWonUs: whole(all),
    machinePassedUs: role(all, "haproxy") + role(all, "service") + all.wrkUs,
    machineOwnUs: whole(ended),
    machineOverUs: whole(over),
  };
}

/** Of the answers of a tenth of a second, so much must be wins for it to tell what a win costs. */
const WINS_SHARE_MIN = 0.9;

/**
 * What a win costs where a rehearsal ran: its load script, payout and few connections cost more than the bench's. All that is
 * done on that machine is taken to be dearer in the same proportion. Throws BadInput when it had no time of wins alone.
 */
export function calibrated(
  costs: Costs,
  {
    series,
    spreadSeconds,
  }: { series: { stepMs: number; answers: number[]; wins: number[] }; spreadSeconds: number | null },
  cores: number,
  path: string,
): Costs {
  const { stepMs, answers, wins } = series;
  const first = wins.findIndex((count) => count > 0);
  const last = answers.findIndex((count, step) => step > first && wins[step]! < WINS_SHARE_MIN * count);
  const steady = first === -1 || spreadSeconds !== null ? [] : wins.slice(first + 1, last === -1 ? -1 : last);
  const won = steady.reduce((sum, count) => sum + count, 0);
  if (steady.length * stepMs < 500 || won === 0) {
    throw new BadInput(
      `--calibrate: found no half second of wins alone in ${path}, expected a rehearsal by wrk with prizes for most`,
    );
  }
  const wonUs = (cores * steady.length * stepMs * 1000) / won;
  const times = wonUs / costs.machineWonUs;
  return {
    ...costs,
    from: `${costs.from}, calibrated by ${path}: ${wonUs.toFixed(0)} us a win`,
    machineWonUs: wonUs,
    machinePassedUs: costs.machinePassedUs * times,
    machineOwnUs: costs.machineOwnUs * times,
    machineOverUs: costs.machineOverUs * times,
  };
}
