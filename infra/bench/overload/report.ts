/** What `bench --overload` says. */
import { table } from "@hongbao/preprocess";
import type { OverloadFigures } from "./run.ts";

/** Goodput under the heaviest load, as a part of the best. */
export function goodputRatio({ loads }: OverloadFigures): number {
  const wins = loads.map(({ winsPerSecond }) => winsPerSecond);
  return wins.at(-1)! / Math.max(...wins);
}

export function overloadText(figures: OverloadFigures): string {
  const rows = figures.loads.map((load) => [
    `${load.times} ×`,
    String(Math.round(load.perSecond)),
    String(Math.round(load.winsPerSecond)),
    load.wonMs.p50.toFixed(0),
    load.wonMs.p99.toFixed(0),
    Object.entries(load.words)
      .map(([word, count]) => `${count} ${word}`)
      .join(", "),
    `${load.memoryMiB.before.toFixed(0)} → ${load.memoryMiB.after.toFixed(0)}`,
  ]);
  const head = ["load", "asked/s", "wins/s", "p50 ms", "p99 ms", "answers", "memory MiB"];
  const faults = figures.faults.map((fault) => `WRONG: ${fault}`);
  return [
    `saturated at ${Math.round(figures.capacity)} wins/s (capped by ${figures.capped})`,
    table([head, ...rows]),
    `goodput under the heaviest load: ${goodputRatio(figures).toFixed(2)} of the best`,
    ...faults,
  ].join("\n");
}
