/** Expressions that several panels share. A figure of a bucket is told by each of its processes: the largest is the newest. */

export const RATE = "[$__rate_interval]";

/** A gauge about bucket and round, once for each. */
export const perRound = (name: string): string =>
  `max by (bucket, round) (hongbao_${name}{bucket=~"$bucket", round=~"$round"})`;

export const quantile = (q: number, histogram: string, by: string, filter = ""): string =>
  `histogram_quantile(${q}, sum by (${by === "" ? "" : `${by}, `}le) (rate(hongbao_${histogram}_bucket{${filter}}${RATE})))`;

/** The quantiles that latencies are drawn with. */
export const quantiles = (histogram: string, filter = ""): { expr: string; legend: string }[] => [
  { expr: quantile(0.5, histogram, "", filter), legend: "p50" },
  { expr: quantile(0.95, histogram, "", filter), legend: "p95" },
  { expr: quantile(0.99, histogram, "", filter), legend: "p99" },
];

/** Money is kept in minor units, and shown in the main one. */
export const inMain = (minor: string): string => `${minor} / 100`;
