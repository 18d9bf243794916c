/** A replay as a picture: answers of each tenth of a second, wins apart; for a browser (SVG) and for a terminal. */
import { count } from "../cluster/view.ts";
import type { RehearseReport } from "../rehearse/rehearse.ts";

type Series = RehearseReport["series"];

const WIDTH = 960;
const PANEL = 220;
const LEFT = 80;
const RIGHT = 20;
const TOP = 46;
const BOTTOM = 34;
const WIN_COLOUR = "#c8102e";
const OTHER_COLOUR = "#f2b8a0";
const BARS_MAX = 400;
const ROWS_MAX = 24;
const BAR_CHARACTERS = 48;

/** Drops what comes before the first answer and joins steps until at most `most` are left. */
export function condense({ stepMs, answers, wins }: Series, most: number): Series {
  const first = Math.max(
    0,
    answers.findIndex((value) => value > 0),
  );
  const length = answers.length - first;
  const factor = Math.max(1, Math.ceil(length / most));
  const join = (series: number[]) =>
    Array.from({ length: Math.ceil(length / factor) }, (_, bar) => {
      const from = first + bar * factor;
      return series.slice(from, from + factor).reduce((sum, value) => sum + value, 0);
    });
  return { stepMs: stepMs * factor, answers: join(answers), wins: join(wins) };
}

export function svgPicture(reports: RehearseReport[]): string {
  const height = reports.length * PANEL;
  const panels = reports.map((report, index) => panel(report, index * PANEL)).join("\n");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${panels}
</svg>
`;
}

function panel(report: RehearseReport, y: number): string {
  const { stepMs, answers, wins } = condense(report.series, BARS_MAX);
  const perSecond = 1000 / stepMs;
  const highest = Math.max(1, ...answers) * perSecond;
  const innerHeight = PANEL - TOP - BOTTOM;
  const bottom = y + PANEL - BOTTOM;
  const barWidth = (WIDTH - LEFT - RIGHT) / Math.max(1, answers.length);
  const rect = (bar: number, value: number, colour: string) => {
    const size = ((value * perSecond) / highest) * innerHeight;
    const [x, w, h] = [LEFT + bar * barWidth, Math.max(0.5, barWidth - 0.5), size].map((v) => v.toFixed(2));
    return size === 0
      ? ""
      : `<rect x="${x}" y="${(bottom - size).toFixed(2)}" width="${w}" height="${h}" fill="${colour}"/>`;
  };
  const bars = answers.map(
    (value, bar) => rect(bar, value, OTHER_COLOUR) + rect(bar, wins[bar] ?? 0, WIN_COLOUR),
  );
  const seconds = (answers.length * stepMs) / 1000;
  const title = `Round ${report.round}: ${count(report.answers.won ?? 0)} wins of ${count(report.users)} users, peak ${count(report.peakPerSecond)} answers/s`;
  return [
    `<text x="${LEFT}" y="${y + 24}" font-size="15">${title}</text>`,
    `<text x="${LEFT - 8}" y="${y + TOP + 4}" text-anchor="end">${count(Math.round(highest))}/s</text>`,
    `<text x="${LEFT - 8}" y="${bottom}" text-anchor="end">0</text>`,
    `<line x1="${LEFT}" y1="${bottom}" x2="${WIDTH - RIGHT}" y2="${bottom}" stroke="#888"/>`,
    `<text x="${LEFT}" y="${bottom + 18}">0 s</text>`,
    `<text x="${WIDTH - RIGHT}" y="${bottom + 18}" text-anchor="end">${seconds.toFixed(1)} s</text>`,
    `<rect x="${WIDTH - 230}" y="${y + 14}" width="12" height="12" fill="${WIN_COLOUR}"/>`,
    `<text x="${WIDTH - 213}" y="${y + 24}">new wins</text>`,
    `<rect x="${WIDTH - 140}" y="${y + 14}" width="12" height="12" fill="${OTHER_COLOUR}"/>`,
    `<text x="${WIDTH - 123}" y="${y + 24}">other answers</text>`,
    ...bars.filter((bar) => bar !== ""),
  ].join("\n");
}

/** One row a bar: full blocks are new wins, light ones other answers. */
export function terminalPicture(report: RehearseReport): string {
  const { stepMs, answers, wins } = condense(report.series, ROWS_MAX);
  const highest = Math.max(1, ...answers);
  const rows = answers.map((value, bar) => {
    const scaled = (part: number) => Math.round((part / highest) * BAR_CHARACTERS);
    const won = Math.min(scaled(wins[bar] ?? 0), scaled(value));
    const seconds = ((bar * stepMs) / 1000).toFixed(1).padStart(6);
    const rate = count(Math.round((value * 1000) / stepMs)).padStart(9);
    return `${seconds} s ${rate}/s  ${"█".repeat(won)}${"░".repeat(scaled(value) - won)}`.trimEnd();
  });
  return [`Round ${report.round}   █ new wins   ░ other answers`, ...rows].join("\n");
}
