/** What `bench --scale` says: is the cost of a win flat? */
import { table } from "@hongbao/preprocess";
import { significant } from "../measure/medians.ts";
import type { Row } from "../rows.ts";
import type { Dimension } from "./points.ts";
import type { PointFigures, ScaleFigures } from "./run.ts";

export interface ScaleReport extends ScaleFigures {
  quick: boolean;
  seconds: number;
  rows: Row[];
  /** No systems are compared here; the field is there for readers of `bench --json`. */
  systems: [];
}

/** A curve counts as flat when its highest point is at most so much above its lowest. */
const FLAT = 1.25;
const DIMENSIONS: Record<Dimension, string> = {
  prizes: "prizes",
  users: "users",
  buckets: "buckets",
  services: "service processes of a bucket",
};

export function scaleRows(figures: ScaleFigures): Row[] {
  const rows = (Object.keys(DIMENSIONS) as Dimension[]).map((dimension) => {
    return growthRow(
      dimension,
      figures.points.filter((point) => point.dimension === dimension),
    );
  });
  const { generate } = figures;
  const [first, last] = [generate[0]!, generate.at(-1)!];
  const ratio = last.peakMiB / first.peakMiB;
  rows.push({
    id: "scale-generate",
    what: `memory of preprocess generate with ${last.prizes} prizes, to ${first.prizes}`,
    target: `<= ${FLAT}`,
    figure: significant(ratio),
    unit: "ratio",
    kept: ratio <= FLAT,
    aside: { peakMiB: significant(last.peakMiB), seconds: significant(last.seconds) },
  });
  return rows;
}

function growthRow(dimension: Dimension, points: PointFigures[]): Row {
  const [first, last] = [points[0]!, points.at(-1)!];
  const faults = points.flatMap((point) =>
    point.faults.map((fault) => `${point.size} ${dimension}: ${fault}`),
  );
  const common = {
    id: `scale-${dimension}`,
    what: `CPU of a win, highest to lowest, from ${first.size} to ${last.size} ${DIMENSIONS[dimension]}`,
    target: `<= ${FLAT}`,
    unit: "ratio",
  };
  if (faults.length > 0) return { ...common, figure: null, kept: false, faults };
  const whole = points.map(({ wholeUs }) => wholeUs);
  const ratio = Math.max(...whole) / Math.min(...whole);
  return {
    ...common,
    figure: significant(ratio),
    kept: ratio <= FLAT,
    aside: Object.fromEntries(points.map(({ size, wholeUs }) => [String(size), significant(wholeUs)])),
  };
}

export function scaleText({ points, generate, rows, quick, seconds }: ScaleReport): string {
  const verdicts = rows.map((row) => [
    row.figure === null ? "REFUSED" : row.kept ? "kept" : "MISSED",
    row.id,
    row.target,
    String(row.figure ?? "-"),
    row.what,
  ]);
  const roles = [...new Set(points.flatMap(({ cpuUs }) => Object.keys(cpuUs)))];
  const costs = points.map((point) => [
    point.dimension,
    String(point.size),
    String(point.wins),
    point.wholeUs.toFixed(1),
    ...roles.map((role) => (point.cpuUs[role] ?? 0).toFixed(1)),
  ]);
  return [
    `${seconds} s${quick ? "; QUICK: too small to judge by" : ""}`,
    table([["", "row", "target", "figure", "what"], ...verdicts]),
    table([["grows", "to", "wins", "CPU us a win", ...roles], ...costs]),
    table([
      ["prizes generated", "s", "peak MiB"],
      ...generate.map((each) => [String(each.prizes), each.seconds.toFixed(1), each.peakMiB.toFixed(0)]),
    ]),
    ...rows.flatMap(({ faults }) => faults ?? []),
  ].join("\n\n");
}
