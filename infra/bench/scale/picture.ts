/** The curves of `bench --scale`, as SVG: one panel for each thing that grows. */
import { escapeText, svgText } from "../report/svg.ts";
import type { Dimension } from "./points.ts";
import type { PointFigures } from "./run.ts";
import type { ScaleReport } from "./report.ts";

const PANEL = { width: 460, height: 280, left: 52, right: 46, top: 44, bottom: 40 };
const DIMENSIONS: Dimension[] = ["prizes", "users", "buckets", "services"];
const LINES: Record<string, string> = {
  whole: "#222222",
  haproxy: "#4477aa",
  service: "#c1272d",
  redis: "#228833",
};

export function scalePicture(report: ScaleReport): string {
  const [width, height] = [PANEL.width * 2, PANEL.height * 2 + 40];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...Object.entries(LINES).flatMap(([name, colour], index) => [
      `<rect x="${20 + index * 100}" y="12" width="14" height="4" fill="${colour}"/>`,
      svgText(40 + index * 100, 19, name),
    ]),
    ...DIMENSIONS.flatMap((dimension, index) => {
      const points = report.points.filter((point) => point.dimension === dimension);
      return panel(dimension, points, (index % 2) * PANEL.width, 40 + (index >> 1) * PANEL.height);
    }),
    "</svg>",
    "",
  ].join("\n");
}

function panel(dimension: Dimension, points: PointFigures[], left: number, top: number): string[] {
  const highest = Math.max(1, ...points.map(({ wholeUs }) => wholeUs)) * 1.1;
  const inner = {
    width: PANEL.width - PANEL.left - PANEL.right,
    height: PANEL.height - PANEL.top - PANEL.bottom,
  };
  const x = (index: number): number =>
    left + PANEL.left + (points.length === 1 ? 0 : (index / (points.length - 1)) * inner.width);
  const y = (us: number): number => top + PANEL.top + inner.height * (1 - us / highest);
  const value = (point: PointFigures, line: string): number =>
    line === "whole" ? point.wholeUs : (point.cpuUs[line] ?? 0);
  const step = roundStep(highest / 5);
  const ticks = Array.from({ length: Math.floor(highest / step) + 1 }, (_, index) => index * step);
  return [
    svgText(left + PANEL.left, top + 26, `CPU of a win (us) as ${dimension} grow`, { weight: 600 }),
    ...ticks.flatMap((us) => [
      `<line x1="${left + PANEL.left}" x2="${left + PANEL.width - PANEL.right}" y1="${y(us).toFixed(1)}" y2="${y(us).toFixed(1)}" stroke="#dddddd"/>`,
      svgText(left + PANEL.left - 6, y(us) + 4, us.toFixed(0), { anchor: "end" }),
    ]),
    ...points.map((point, index) =>
      svgText(x(index), top + PANEL.height - 18, point.size.toLocaleString("en-US"), { anchor: "middle" }),
    ),
    ...Object.entries(LINES).flatMap(([line, colour]) => {
      const path = points.map((point, index) => `${x(index).toFixed(1)},${y(value(point, line)).toFixed(1)}`);
      return [
        `<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...points.map((point, index) => {
          const title = escapeText(
            `${line} ${value(point, line).toFixed(1)} us at ${point.size} ${dimension}`,
          );
          return `<circle cx="${x(index).toFixed(1)}" cy="${y(value(point, line)).toFixed(1)}" r="3.5" fill="${colour}"><title>${title}</title></circle>`;
        }),
      ];
    }),
  ];
}

/** The smallest of 1, 2, 5, 10, 20, … that is not below this. */
function roundStep(least: number): number {
  for (let decade = 1; ; decade *= 10) {
    for (const digit of [1, 2, 5]) if (digit * decade >= least) return digit * decade;
  }
}
