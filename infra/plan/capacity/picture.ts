/** Load against limits, as SVG: what each limit bears, and what an opening asks of HAProxy over time. Pure. */
import { escapeText, svgText } from "../../bench/report/svg.ts";
import { howOften, many, whole, type Report } from "./report.ts";
import { balancerCores, balancerTimeline } from "./loads.ts";
import type { Use } from "./uses.ts";

const WIDTH = 960;
const LEFT = 290;
const RIGHT = 170;
const STEP = 27;
const BAR = 17;
const TOP = 96;
/** Limits further away than so many times the planned load leave the picture. */
const TIMES_SHOWN = 3;

const COLOURS: Record<Use["layer"], string> = {
  balancer: "#4477aa",
  service: "#c1272d",
  redis: "#228833",
  mysql: "#aa7744",
};
const NAMES: Record<Use["layer"], string> = {
  balancer: "HAProxy and load balancer",
  service: "services",
  redis: "Redis",
  mysql: "MySQL and journal",
};
const GREY = "#666666";

export function picture(report: Report): string {
  const { plan, request } = report;
  const rows = plan.uses.length;
  const timeTop = TOP + rows * STEP + 74;
  const height = timeTop + 260;
  const of = plan.clusters > 1 ? ` a cluster, ${plan.clusters} clusters` : "";
  const { sizes } = plan;
  const size = `${sizes.balancer.count} HAProxy, ${sizes.buckets} bucket${sizes.buckets === 1 ? "" : "s"} of ${sizes.grab.count} services, ${sizes.redis.type}, ${sizes.mysql.type}${of}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    svgText(16, 28, `${many(request.plan.shape.users, "user")}, ${whole(plan.whole.grabs)} grabs/s`, {
      size: 18,
      weight: 600,
    }),
    svgText(16, 50, size, { fill: GREY }),
    ...limits(report),
    ...timeline(report, timeTop),
    "</svg>",
    "",
  ].join("\n");
}

function limits({ plan, request }: Report): string[] {
  const span = WIDTH - LEFT - RIGHT;
  const at = (times: number): number => LEFT + (Math.min(times, TIMES_SHOWN) / TIMES_SHOWN) * span;
  const bottom = TOP + plan.uses.length * STEP;
  const full = 1 / (1 - request.policy.headroom);
  const bars = plan.uses.flatMap((use, index) => {
    const y = TOP + index * STEP;
    const far = use.times === null || use.times > TIMES_SHOWN;
    const end = at(use.times ?? TIMES_SHOWN);
    const load = use.grabs === null ? "" : ` · ${whole(use.grabs)}/s`;
    const label = `${far ? "→ " : ""}${howOften(use.times)}${load}`;
    return [
      svgText(LEFT - 10, y + 13, short(use), { anchor: "end", weight: index === 0 ? 700 : 400 }),
      rectangle(LEFT, y, end - LEFT, BAR, COLOURS[use.layer], `${use.what}: ${label}`, far ? 0.4 : 1),
      svgText(end + 8, y + 13, label, { weight: index === 0 ? 700 : 400 }),
    ];
  });
  return [
    svgText(16, 80, "Each limit is reached at", { weight: 600 }),
    `<rect x="${at(1).toFixed(1)}" y="${TOP - 6}" width="${(at(full) - at(1)).toFixed(1)}" height="${bottom - TOP + 6}" fill="#f3e7c4"/>`,
    ...bars,
    line(at(1), TOP - 6, at(1), bottom),
    svgText(at(1), bottom + 16, `planned: ${whole(plan.demand.grabs)}/s`, { anchor: "end" }),
    svgText(at(1) + 6, bottom + 16, "head-room", { fill: "#8a6d1f" }),
    ...legend(bottom + 34),
  ];
}

/** The label of a bar; what a use says at length is in the report. */
function short({ what }: Use): string {
  return what.replace(/ \(.*\)$/, "").replace(", at once and a minute", "");
}

function legend(y: number): string[] {
  return Object.entries(NAMES).flatMap(([layer, name], index) => {
    const x = LEFT + [0, 210, 300, 370][index]!;
    return [
      rectangle(x, y - 11, 12, 12, COLOURS[layer as Use["layer"]], name),
      svgText(x + 17, y, name, { fill: GREY }),
    ];
  });
}

const PHASES = { before: "#88aacc", opening: "#c1272d", after: "#999933" };
const PHASE_NAMES = {
  before: "connecting early",
  opening: "grabs, and late connects",
  after: "`ended`, results, wins",
};

function timeline(report: Report, top: number): string[] {
  const { plan, request, figures, prices } = report;
  const world = { figures, policy: request.policy, prices };
  const stretches = balancerTimeline(plan.demand, world);
  const cores = plan.sizes.balancer.count * plan.sizes.balancer.vcpus;
  const [left, right, bottom] = [60, WIDTH - RIGHT, top + 190];
  const opening = left + (right - left) * 0.3;
  const ends = Math.max(...stretches.map(({ toSeconds }) => toSeconds), 1);
  const begins = Math.min(...stretches.map(({ fromSeconds }) => fromSeconds));
  // The minute before and what comes after are drawn to scales of their own.
  const x = (seconds: number): number =>
    seconds < 0
      ? opening - (opening - left) * (seconds / begins)
      : opening + (right - opening) * (seconds / ends);
  const y = (value: number): number => bottom - (bottom - top - 30) * (value / (cores * 1.05));
  const areas = stretches.map((each) => {
    const title = `${PHASE_NAMES[each.phase]}: ${each.cores.toFixed(1)} cores, ${whole(each.perSecond)}/s`;
    const [from, to] = [x(each.fromSeconds), x(each.toSeconds)];
    return rectangle(
      from,
      y(each.cores),
      Math.max(1.5, to - from),
      bottom - y(each.cores),
      PHASES[each.phase],
      title,
      0.75,
    );
  });
  const limit = (value: number, text: string): string[] => [
    line(left, y(value), right, y(value), true),
    svgText(right + 8, y(value) + 4, text, { fill: GREY }),
  ];
  const tick = (seconds: number): string =>
    svgText(x(seconds), bottom + 18, `${seconds > 0 ? "+" : ""}${seconds} s`, {
      anchor: "middle",
      fill: GREY,
    });
  const step = niceStep(ends);
  const ticks = Array.from({ length: Math.floor(ends / step) }, (_, index) => (index + 1) * step);
  return [
    svgText(16, top, "HAProxy's cores around an opening, as expected", { weight: 600 }),
    ...areas,
    line(left, bottom, right, bottom),
    line(opening, top + 14, opening, bottom),
    svgText(opening, bottom + 18, "opening", { anchor: "middle" }),
    tick(begins),
    ...ticks.map(tick),
    ...limit(cores, `${cores} cores`),
    ...limit(balancerCores(plan.demand, world), "if every grab won"),
    ...Object.entries(PHASE_NAMES).flatMap(([phase, name], index) => {
      const at = left + [0, 160, 350][index]!;
      const colour = PHASES[phase as keyof typeof PHASES];
      return [
        rectangle(at, bottom + 34, 12, 12, colour, name, 0.75),
        svgText(at + 17, bottom + 45, name, { fill: GREY }),
      ];
    }),
  ];
}

/** So that there are about six ticks. */
function niceStep(span: number): number {
  const rough = span / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough)!;
}

function rectangle(
  x: number,
  y: number,
  width: number,
  height: number,
  fill: string,
  title: string,
  opacity = 1,
): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(0.5, width).toFixed(1)}" height="${Math.max(0, height).toFixed(1)}"`;
  return `<rect ${place} fill="${fill}" fill-opacity="${opacity}"><title>${escapeText(title)}</title></rect>`;
}

function line(x1: number, y1: number, x2: number, y2: number, dashed = false): string {
  const place = `x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"`;
  return `<line ${place} stroke="#333333"${dashed ? ' stroke-dasharray="4 4"' : ""}/>`;
}
