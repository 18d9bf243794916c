/** What came of a simulation: figures, ratios first, as JSON and as text. */
import { table } from "@hongbao/preprocess";
import { count } from "../../src/cluster/view.ts";
import { peakPerSecond, round2 } from "../../src/rehearse/figures.ts";
import type { Outcome } from "./engine.ts";
import type { Request } from "./request.ts";
import { BIN_MS } from "./tally.ts";

export interface VariantReport {
  name: string;
  lend: boolean;
  /** Whether something was lost meanwhile. */
  losses: boolean;
  /** Whether everybody was told in the end, before the model's time was over. */
  finished: boolean;
  soldOut: boolean;
  /** From the first press to the last win; null without a win. */
  secondsToLastWin: number | null;
  issued: number;
  left: number;
  /** Left, while as many people went without: what other buckets' people could have had. */
  stranded: number;
  strandedShare: number;
  winners: number;
  mostOfOneUser: number;
  answers: Record<string, number>;
  gaveUp: number;
  /** In the best second. */
  peak: { requests: number; answers: number; wins: number; frontCores: number };
  waitMs: { p50: number | null; p99: number | null };
  imbalance: {
    /** Most to average. */
    users: number;
    requestsInBusiestSecond: number;
    /** Between the first and the last bucket's last win, seconds. */
    lastWinsApart: number | null;
  };
  loans: number;
  lent: number;
  endedAtSeconds: number;
  buckets: {
    bucket: string;
    users: number;
    prizes: number;
    issued: number;
    left: number;
    lastWin: number | null;
  }[];
  series: { stepMs: number; requests: number[]; wins: number[] };
}

export interface SimulateReport {
  seed: number;
  costs: Outcome["scenario"]["plant"]["costs"];
  users: number;
  come: number;
  prizes: number;
  perUser: number;
  buckets: number;
  spreadSeconds: number;
  variants: VariantReport[];
}

const total = (list: readonly number[]): number => list.reduce((sum, each) => sum + each, 0);
const seconds = (ms: number): number => Math.round(ms) / 1000;

function mostToAverage(list: readonly number[]): number {
  const all = total(list);
  const most = list.reduce((best, each) => Math.max(best, each), 0);
  return all === 0 ? 0 : round2((most * list.length) / all);
}

export function reportOf(request: Request, outcomes: Outcome[]): SimulateReport {
  const { base, users, crowd } = request;
  return {
    seed: base.seed,
    costs: base.plant.costs,
    users,
    come: crowd.bucketOf.length,
    prizes: total(base.stock),
    perUser: base.perUser,
    buckets: base.buckets.length,
    spreadSeconds: seconds(base.press.spreadMs),
    variants: outcomes.map((outcome) => variantOf(outcome, crowd.usersOf)),
  };
}

export function variantOf(outcome: Outcome, usersOf: readonly number[]): VariantReport {
  const { scenario, tally, issued, left, firstPressMs } = outcome;
  const { lend, losses, perUser, buckets, stock } = scenario;
  const prizes = total(stock);
  const allLeft = total(left) + outcome.underWay;
  const wanting = outcome.comers * perUser - total(issued);
  const stranded = Math.min(allLeft, wanting);
  const since = (ms: number): number | null => (ms < 0 ? null : seconds(ms - firstPressMs));
  const lastWins = [...tally.lastWinMsOf].filter((ms) => ms >= 0);
  const apart = lastWins.length === 0 ? null : extremes(lastWins);
  const frontUs = peakPerSecond(tally.frontUs, BIN_MS);
  return {
    name: `${lend ? "lending" : "no lending"}${losses.length > 0 ? ", with the loss" : ""}`,
    lend,
    losses: losses.length > 0,
    finished: outcome.finished,
    soldOut: allLeft === 0,
    secondsToLastWin: outcome.lastWinMs === null ? null : since(outcome.lastWinMs),
    issued: total(issued),
    left: allLeft,
    stranded,
    strandedShare: prizes === 0 ? 0 : stranded / prizes,
    winners: outcome.winners,
    mostOfOneUser: outcome.mostOfOne,
    answers: tally.words,
    gaveUp: tally.gaveUp,
    peak: {
      requests: peakPerSecond(tally.asked, BIN_MS),
      answers: peakPerSecond(tally.answered, BIN_MS),
      wins: peakPerSecond(tally.wins, BIN_MS),
      frontCores: round2(frontUs / 1e6),
    },
    waitMs: { p50: tally.waitMs(0.5), p99: tally.waitMs(0.99) },
    imbalance: {
      users: mostToAverage(usersOf),
      requestsInBusiestSecond: mostToAverage([...tally.busiestOf]),
      lastWinsApart: apart === null ? null : seconds(apart.most - apart.least),
    },
    loans: outcome.loans,
    lent: outcome.moved,
    endedAtSeconds: seconds(outcome.endedAtMs),
    buckets: buckets.map((bucket, index) => ({
      bucket,
      users: usersOf[index]!,
      prizes: stock[index]!,
      issued: issued[index]!,
      left: left[index]!,
      lastWin: since(tally.lastWinMsOf[index]!),
    })),
    series: { stepMs: BIN_MS, requests: tally.asked, wins: tally.wins },
  };
}

function extremes(list: number[]): { least: number; most: number } {
  let [least, most] = [Infinity, -Infinity];
  for (const each of list) [least, most] = [Math.min(least, each), Math.max(most, each)];
  return { least, most };
}

const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.001 ? 4 : 1)} %`;
const inSeconds = (value: number | null): string => (value === null ? "never" : `${value.toFixed(1)} s`);
const BUCKETS_SHOWN = 8;

export function reportText(report: SimulateReport): string {
  const { variants } = report;
  const head = [
    `${count(report.come)} of ${count(report.users)} users press within ${report.spreadSeconds} s for ${count(report.prizes)} prizes in ${report.buckets} buckets`,
    `service times: ${report.costs.from}; seed ${report.seed}`,
  ];
  const row = (name: string, of: (variant: VariantReport) => string): string[] => [name, ...variants.map(of)];
  const rows = [
    ["", ...variants.map(({ name }) => name)],
    row("stranded, of all prizes", (v) => percent(v.strandedShare)),
    row("busiest bucket, users to average", (v) => v.imbalance.users.toFixed(2)),
    row("busiest bucket's best second, requests to average", (v) =>
      v.imbalance.requestsInBusiestSecond.toFixed(2),
    ),
    row("busy, of all answers", (v) =>
      percent(v.answers["busy"]! / Math.max(1, total(Object.values(v.answers)))),
    ),
    row("gave up, of who came", (v) => percent(v.gaveUp / report.come)),
    row("sold out after", (v) => (v.soldOut ? inSeconds(v.secondsToLastWin) : "not sold out")),
    row("last win after", (v) => inSeconds(v.secondsToLastWin)),
    row("first and last bucket's last wins apart", (v) => inSeconds(v.imbalance.lastWinsApart)),
    row("prizes stranded", (v) => count(v.stranded)),
    row("prizes left", (v) => count(v.left)),
    row("wins", (v) => count(v.issued)),
    row("most that one user got", (v) => String(v.mostOfOneUser)),
    row("requests in the best second", (v) => count(v.peak.requests)),
    row("wins in the best second", (v) => count(v.peak.wins)),
    row("HAProxy cores busy in that second", (v) => v.peak.frontCores.toFixed(1)),
    row("winners waited, p50 / p99 ms", (v) => `${v.waitMs.p50 ?? "-"} / ${v.waitMs.p99 ?? "-"}`),
    row("loans, prizes lent", (v) => `${count(v.loans)}, ${count(v.lent)}`),
    row("all told after", (v) => (v.finished ? inSeconds(v.endedAtSeconds) : "not within --seconds")),
  ];
  const words = variants.map(({ name, answers }) => {
    const list = Object.entries(answers).filter(([, value]) => value > 0);
    return `${name}: ${list.map(([word, value]) => `${word} ${count(value)}`).join(", ")}`;
  });
  return [...head, "", table(rows), "", ...words, ...variants.map(leftLine)].join("\n");
}

/** The buckets with the most left. */
function leftLine({ name, buckets }: VariantReport): string {
  const most = buckets.filter(({ left }) => left > 0).sort((a, b) => b.left - a.left);
  if (most.length === 0) return `${name}: nothing left in any bucket`;
  const shown = most.slice(0, BUCKETS_SHOWN).map(({ bucket, left }) => `${bucket} ${count(left)}`);
  const more = most.length > BUCKETS_SHOWN ? `, and ${most.length - BUCKETS_SHOWN} more` : "";
  return `${name}: left in ${shown.join(", ")}${more}`;
}
