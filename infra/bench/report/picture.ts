/** The README's picture, as SVG: wins a second and CPU time of an answer, by system. Text and rectangles, nothing else. */
import type { Summary } from "../measure/sample.ts";
import type { Report } from "./report.ts";
import { escapeText, svgText } from "./svg.ts";

const WIDTH = 960;
const LEFT = 190;
const RIGHT = 110;
const BAR = 20;
const STEP = 30;
const TITLE = 46;

/** One colour a role, told apart also without colours by their order and the labels. */
const COLOURS: Record<string, string> = {
  haproxy: "#4477aa",
  nginx: "#66ccee",
  service: "#c1272d",
  redis: "#228833",
  delay: "#999933",
  persist: "#ccbb44",
  mysql: "#aa7744",
  controller: "#aa3377",
  wrk: "#bbbbbb",
};

const NAMES: Record<string, string> = {
  hongbao: "Hongbao, SPOP door",
  "hongbao-http": "Hongbao 1 x 1, HTTP door",
  "hongbao-fsync-no": "Hongbao, fsync no",
  "hongbao-ack-database": "Hongbao, ack: database",
  "hongbao-tls": "Hongbao, TLS",
  "hongbao-5ms": "Hongbao, Redis + 5 ms",
  "hongbao-wide": "Hongbao, 1024 clients",
  "nginx-lua": "nginx + Lua + Redis",
  naive: "naive (Koa)",
};

const CHAIN = Object.keys(NAMES);

/** Systems that win, best first; those with a wrong result are left out, as in the table. */
export function picture(report: Report): string {
  const systems = report.systems
    .filter(({ id, faults }) => CHAIN.includes(id) && faults.length === 0)
    .sort((a, b) => b.perSecond - a.perSecond);
  const ratesTop = 40;
  const costsTop = ratesTop + TITLE + systems.length * STEP + 30;
  const height = costsTop + TITLE + systems.length * STEP + 60;
  const subtitle = `${report.machine.processors} processors, load generator included; nginx returns a constant in ${(report.slowness * 10).toFixed(1)} us`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    svgText(16, 26, "hongbao bench", { size: 18, weight: 600 }),
    svgText(176, 26, subtitle, { fill: "#555555" }),
    ...rates(systems, ratesTop),
    ...costs(systems, costsTop),
    "</svg>",
    "",
  ].join("\n");
}

function rates(systems: Summary[], top: number): string[] {
  const longest = Math.max(1, ...systems.map(({ perSecond }) => perSecond));
  return [
    svgText(16, top + 24, "Wins a second, everything on one machine", { weight: 600 }),
    ...systems.flatMap((system, index) => {
      const y = top + TITLE + index * STEP;
      const width = (system.perSecond / longest) * (WIDTH - LEFT - RIGHT);
      const label = `${thousands(system.perSecond)}/s · p99 ${Math.round(system.latencyMs.p99)} ms`;
      return [
        svgText(LEFT - 10, y + 15, NAMES[system.id]!, { anchor: "end" }),
        rectangle(LEFT, y, width, system.id.startsWith("hongbao") ? COLOURS["service"]! : "#888888", label),
        inOrAfter(LEFT + width, y + 15, label),
      ];
    }),
  ];
}

function costs(systems: Summary[], top: number): string[] {
  const parts = systems.map((system) => Object.entries({ ...system.cpuUs, wrk: system.wrkUs }));
  const sums = parts.map((each) => each.reduce((sum, [, us]) => sum + us, 0));
  const longest = Math.max(1, ...sums);
  const scale = (WIDTH - LEFT - RIGHT) / longest;
  const roles = Object.keys(COLOURS).filter((role) =>
    parts.some((each) => each.some(([name, us]) => name === role && us > 0)),
  );
  return [
    svgText(16, top + 24, "CPU time of one win, in microseconds, by process", { weight: 600 }),
    ...systems.flatMap((system, index) => {
      const y = top + TITLE + index * STEP;
      let x = LEFT;
      const bars = parts[index]!.map(([role, us]) => {
        const bar = rectangle(x, y, us * scale, COLOURS[role] ?? "#000000", `${role} ${us.toFixed(1)} us`);
        x += us * scale;
        return bar;
      });
      const name = svgText(LEFT - 10, y + 15, NAMES[system.id]!, { anchor: "end" });
      return [name, ...bars, svgText(x + 8, y + 15, `${sums[index]!.toFixed(0)} us`)];
    }),
    ...legend(roles, top + TITLE + systems.length * STEP + 14),
  ];
}

function legend(roles: string[], y: number): string[] {
  return roles.flatMap((role, index) => {
    const x = LEFT + index * 84;
    return [
      `<rect x="${x}" y="${y}" width="12" height="12" fill="${COLOURS[role]}"/>`,
      svgText(x + 17, y + 11, role),
    ];
  });
}

/** A label behind the bar, or in it where there is no room behind. */
function inOrAfter(x: number, y: number, label: string): string {
  const needs = label.length * 7;
  if (x + needs + 8 <= WIDTH) return svgText(x + 8, y, label);
  return svgText(x - 8, y, label, { anchor: "end", fill: "#ffffff" });
}

function rectangle(x: number, y: number, width: number, fill: string, title: string): string {
  const size = `width="${Math.max(0.5, width).toFixed(1)}" height="${BAR}"`;
  return `<rect x="${x.toFixed(1)}" y="${y}" ${size} fill="${fill}"><title>${escapeText(title)}</title></rect>`;
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
