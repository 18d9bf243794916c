/** What a rehearsal's raw figures mean; pure. */

export interface Latency {
  count: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** Nearest rank; null without samples. */
export function latencyOf(samplesMs: number[] | undefined): Latency | null {
  if (samplesMs === undefined || samplesMs.length === 0) return null;
  const sorted = Float64Array.from(samplesMs).sort();
  const rank = (part: number) => round2(sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!);
  return { count: sorted.length, p50Ms: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) };
}

/** A dense series from a sparse one; steps before the start (clocks jump) count as the first. */
export function dense(sparse: Record<string, number>): number[] {
  const steps = Object.keys(sparse).map(Number);
  const series = new Array<number>(steps.length === 0 ? 0 : Math.max(0, ...steps) + 1).fill(0);
  for (const [step, value] of Object.entries(sparse)) series[Math.max(0, Number(step))]! += value;
  return series;
}

/** Adds single moments (ms since the series began) to a series. */
export function withMoments(series: number[], momentsMs: number[], stepMs: number): number[] {
  const sum = [...series];
  for (const ms of momentsMs) {
    const step = Math.max(0, Math.floor(ms / stepMs));
    while (sum.length <= step) sum.push(0);
    sum[step]! += 1;
  }
  return sum;
}

/** The most in any second, sliding by steps. */
export function peakPerSecond(series: number[], stepMs: number): number {
  const width = Math.max(1, Math.round(1000 / stepMs));
  let sum = 0;
  let peak = 0;
  for (let i = 0; i < series.length; i++) {
    sum += series[i]! - (i >= width ? series[i - width]! : 0);
    peak = Math.max(peak, sum);
  }
  return peak;
}

/** From the first answer to the last new win, in seconds, with the resolution of a step; null without wins. */
export function secondsToLastWin(answers: number[], wins: number[], stepMs: number): number | null {
  const first = answers.findIndex((value) => value > 0);
  const last = wins.findLastIndex((value) => value > 0);
  return first === -1 || last === -1 ? null : ((last - first + 1) * stepMs) / 1000;
}

export const round2 = (value: number): number => Math.round(value * 100) / 100;

/** Sums the values of the same keys. */
export function sumCounts(...all: Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const counts of all) {
    for (const [word, value] of Object.entries(counts)) sum[word] = (sum[word] ?? 0) + value;
  }
  return sum;
}
