/** The stock of every bucket over time, a panel for each variant: each bucket a line, as a part of what it began with. */
import { svgText } from "../../bench/report/svg.ts";
import type { Outcome } from "./engine.ts";
import type { VariantReport } from "./report.ts";
import { BIN_MS } from "./tally.ts";

const WIDTH = 960;
const PANEL = 240;
const LEFT = 60;
const RIGHT = 20;
const TOP = 44;
const BOTTOM = 34;
const POINTS_MAX = 240;
/** Beside the last win, so that one sees the end. */
const AFTER_BINS = 8;

export function picture(outcomes: Outcome[], variants: VariantReport[]): string {
  const lasts = outcomes.map(({ lastWinMs }) => Math.ceil((lastWinMs ?? 0) / BIN_MS) + AFTER_BINS);
  const bins = Math.max(...lasts);
  const panels = outcomes.map((outcome, index) => panel(outcome, variants[index]!, index * PANEL, bins));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${PANEL * outcomes.length}" font-family="sans-serif">
<rect width="${WIDTH}" height="${PANEL * outcomes.length}" fill="#ffffff"/>
${panels.join("\n")}
</svg>
`;
}

function panel({ scenario, tally }: Outcome, variant: VariantReport, y: number, bins: number): string {
  const [bottom, height] = [y + PANEL - BOTTOM, PANEL - TOP - BOTTOM];
  const every = Math.max(1, Math.ceil(bins / POINTS_MAX));
  const x = (bin: number): number => LEFT + (bin / bins) * (WIDTH - LEFT - RIGHT);
  const highest = scenario.stock.reduce((most, stock) => Math.max(most, stock), 1);
  const at = (bucket: number, bin: number): number =>
    bin === 0 ? scenario.stock[bucket]! : (tally.left[Math.min(bin, tally.left.length) - 1]?.[bucket] ?? 0);
  const lines = scenario.buckets.map((_, bucket) => {
    const points: string[] = [];
    for (let bin = 0; bin <= bins; bin += every) {
      const top = bottom - Math.min(1.1, at(bucket, bin) / highest) * height;
      points.push(`${x(bin).toFixed(1)},${top.toFixed(1)}`);
    }
    const hue = Math.round((bucket * 360) / scenario.buckets.length);
    const thin = scenario.buckets.length > 16;
    return `<polyline points="${points.join(" ")}" fill="none" stroke="hsl(${hue} 70% 40%)" stroke-width="${thin ? 0.7 : 1.8}" stroke-opacity="${thin ? 0.5 : 0.9}"/>`;
  });
  const stranded = `${(variant.strandedShare * 100).toFixed(1)} % stranded`;
  const sold = variant.soldOut ? `sold out after ${variant.secondsToLastWin} s` : stranded;
  return [
    svgText(LEFT, y + 22, `Left in each bucket, ${variant.name}: ${sold}`, { size: 15 }),
    svgText(LEFT - 8, y + TOP + 4, highest.toLocaleString("en"), { anchor: "end", size: 11 }),
    svgText(LEFT - 8, bottom, "0", { anchor: "end", size: 11 }),
    `<line x1="${LEFT}" y1="${bottom}" x2="${WIDTH - RIGHT}" y2="${bottom}" stroke="#888888"/>`,
    svgText(LEFT, bottom + 18, "0 s", { size: 11 }),
    svgText(WIDTH - RIGHT, bottom + 18, `${((bins * BIN_MS) / 1000).toFixed(1)} s`, {
      anchor: "end",
      size: 11,
    }),
    ...lines,
  ].join("\n");
}
