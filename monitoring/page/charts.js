/** Charts as SVG: lines, stacked areas, thresholds, a legend with the last values, a crosshair. */
import { clock, format, ticks } from "./format.js";

const COLOURS = [
  "#3b82f6",
  "#e8890c",
  "#a855f7",
  "#0891b2",
  "#db2777",
  "#84a50f",
  "#6366f1",
  "#b45309",
  "#0d9488",
];
/** Words whose meaning has a colour. */
const MEANT = {
  won: "#16a34a",
  ended: "#94a3b8",
  busy: "#dc2626",
  "2xx": "#16a34a",
  "4xx": "#e8890c",
  "5xx": "#dc2626",
  dead: "#dc2626",
  violation: "#dc2626",
  paid: "#16a34a",
};
const MARGIN = { top: 10, right: 12, bottom: 22, left: 62 };

const svg = (name, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
};

export const html = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
};

export function colourOf(name, index) {
  const word = name.split(" ").at(-1);
  return MEANT[word] ?? COLOURS[index % COLOURS.length];
}

/** The colour of a value among Grafana's threshold steps. */
export function thresholdOf(steps, value) {
  let colour = steps[0]?.color ?? "green";
  for (const step of steps.slice(1)) if (value >= step.value) colour = step.color;
  return colour;
}

/** @param series [{ name, points: [[seconds, value]] }], all at the same moments or with gaps. */
export function drawLines(place, { series, unit, decimals, stack, max, steps, from, to }) {
  const width = Math.max(240, place.clientWidth);
  const height = Math.max(120, place.clientHeight - 44);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const drawn = stack ? stacked(series) : series.map((each) => ({ ...each, top: each.points, bottom: null }));
  const highest = Math.max(
    0,
    ...drawn.flatMap(({ top }) => top.map(([, value]) => value)).filter(Number.isFinite),
  );
  const limits = steps.slice(1).filter(({ value }) => value <= highest * 1.6);
  const marks = ticks(Math.max(max ?? 0, highest, ...limits.map(({ value }) => value)), unit);
  const ceiling = max ?? marks.at(-1);
  const x = (seconds) => MARGIN.left + ((seconds - from) / (to - from)) * inner.width;
  const y = (value) => MARGIN.top + inner.height - (Math.min(value, ceiling) / ceiling) * inner.height;
  const chart = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const mark of marks.filter((each) => each <= ceiling * 1.0001)) {
    chart.append(
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(mark), y2: y(mark) }),
    );
    chart.append(
      svg(
        "text",
        { class: "axis", x: MARGIN.left - 8, y: y(mark) + 4, "text-anchor": "end" },
        format(mark, unit),
      ),
    );
  }
  for (const moment of moments(from, to, inner.width)) {
    chart.append(
      svg("line", {
        class: "grid",
        x1: x(moment),
        x2: x(moment),
        y1: MARGIN.top,
        y2: MARGIN.top + inner.height,
      }),
    );
    chart.append(
      svg(
        "text",
        { class: "axis", x: x(moment), y: height - 6, "text-anchor": "middle" },
        clock(moment * 1000, to - from < 180),
      ),
    );
  }
  for (const [index, { name, top, bottom }] of drawn.entries()) {
    const colour = colourOf(name, index);
    for (const run of runs(top)) {
      const line = run.map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`);
      const floor =
        bottom === null
          ? run.map(([seconds]) => [seconds, 0])
          : run.map((point) => bottom[top.indexOf(point)]);
      const back = floor
        .toReversed()
        .map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`);
      chart.append(
        svg("polygon", {
          points: [...line, ...back].join(" "),
          fill: colour,
          "fill-opacity": stack ? 0.45 : 0.06,
        }),
      );
      chart.append(
        svg("polyline", {
          points: line.join(" "),
          fill: "none",
          stroke: colour,
          "stroke-width": 1.8,
          "stroke-linejoin": "round",
        }),
      );
      if (run.length === 1)
        chart.append(svg("circle", { cx: x(run[0][0]), cy: y(run[0][1]), r: 2, fill: colour }));
    }
  }
  for (const { value, color } of limits) {
    if (value > ceiling) continue;
    chart.append(
      svg("line", {
        class: `limit ${color}`,
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: y(value),
        y2: y(value),
      }),
    );
  }
  place.replaceChildren(chart, legend(series, unit, decimals));
  crosshair(place, chart, series, { x, unit, decimals, height: MARGIN.top + inner.height, width });
}

/** Each on top of those before it; a gap counts as nothing. */
function stacked(series) {
  const moments = [...new Set(series.flatMap(({ points }) => points.map(([seconds]) => seconds)))].sort(
    (a, b) => a - b,
  );
  const sum = new Map(moments.map((seconds) => [seconds, 0]));
  return series.map((each) => {
    const values = new Map(each.points);
    const bottom = moments.map((seconds) => [seconds, sum.get(seconds)]);
    for (const seconds of moments) sum.set(seconds, sum.get(seconds) + (values.get(seconds) ?? 0));
    return { ...each, top: moments.map((seconds) => [seconds, sum.get(seconds)]), bottom };
  });
}

/** Points without a gap between them. */
function runs(points) {
  const steps = points.slice(1).map(([seconds], index) => seconds - points[index][0]);
  const step = Math.min(...steps);
  const found = [];
  for (const point of points.filter(([, value]) => Number.isFinite(value))) {
    const last = found.at(-1)?.at(-1);
    if (last !== undefined && point[0] - last[0] <= step * 1.5) found.at(-1).push(point);
    else found.push([point]);
  }
  return found;
}

function moments(from, to, width) {
  const steps = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600];
  const step = steps.find((each) => ((to - from) / each) * 76 < width) ?? 86_400;
  const found = [];
  for (let at = Math.ceil(from / step) * step; at < to; at += step) found.push(at);
  return found;
}

function legend(series, unit, decimals) {
  const items = series.map(({ name, points }, index) => {
    const last = points.at(-1)?.[1] ?? null;
    const dot = html("i", { style: `background:${colourOf(name, index)}` });
    return html("span", {}, dot, `${name} `, html("b", {}, format(last, unit, decimals)));
  });
  return html("div", { class: "legend" }, ...items);
}

function crosshair(place, chart, series, { x, unit, decimals, height, width }) {
  const line = svg("line", { class: "cross", y1: MARGIN.top, y2: height, visibility: "hidden" });
  const tip = html("div", { class: "tip", hidden: "" });
  chart.append(line);
  place.append(tip);
  const all = [...new Set(series.flatMap(({ points }) => points.map(([seconds]) => seconds)))];
  chart.addEventListener("pointerleave", () => {
    line.setAttribute("visibility", "hidden");
    tip.hidden = true;
  });
  chart.addEventListener("pointermove", (event) => {
    if (all.length === 0) return;
    const at = event.clientX - chart.getBoundingClientRect().left;
    const nearest = all.reduce((best, each) =>
      Math.abs(x(each) - at) < Math.abs(x(best) - at) ? each : best,
    );
    for (const name of ["x1", "x2"]) line.setAttribute(name, x(nearest));
    line.setAttribute("visibility", "visible");
    const rows = series.flatMap(({ name, points }, index) => {
      const value = points.find(([seconds]) => seconds === nearest)?.[1];
      if (value === undefined) return [];
      return [
        html(
          "div",
          {},
          html("i", { style: `background:${colourOf(name, index)}` }),
          `${name} `,
          html("b", {}, format(value, unit, decimals)),
        ),
      ];
    });
    tip.replaceChildren(html("time", {}, clock(nearest * 1000, true)), ...rows);
    tip.hidden = false;
    const left = x(nearest) > width / 2 ? x(nearest) - tip.offsetWidth - 12 : x(nearest) + 12;
    tip.style.transform = `translate(${Math.max(0, left)}px, 8px)`;
  });
}

/** One large number for each series, its course behind it. */
export function drawStat(place, { series, unit, decimals, steps, coloured, from, to }) {
  if (series.length === 0) return place.replaceChildren(html("div", { class: "empty" }, "–"));
  const single = series.length === 1;
  const tiles = series.map(({ name, points }) => {
    const value = points.at(-1)?.[1] ?? null;
    const colour = coloured && value !== null ? thresholdOf(steps, value) : "plain";
    const label = single ? [] : [html("small", {}, name)];
    return html(
      "div",
      { class: `tile ${colour}` },
      ...label,
      html("b", {}, format(value, unit, decimals)),
      spark(points, from, to),
    );
  });
  place.replaceChildren(html("div", { class: single ? "tiles single" : "tiles" }, ...tiles));
}

function spark(points, from, to) {
  const finite = points.filter(([, value]) => Number.isFinite(value));
  const highest = Math.max(...finite.map(([, value]) => value), 0) || 1;
  const lowest = Math.min(...finite.map(([, value]) => value), 0);
  const at = ([seconds, value]) =>
    `${(((seconds - from) / (to - from)) * 100).toFixed(1)},${(30 - ((value - lowest) / (highest - lowest || 1)) * 28).toFixed(1)}`;
  const line = finite.map(at).join(" ");
  const ends =
    finite.length > 0 ? [finite.at(-1)[0], finite[0][0]].map((seconds) => at([seconds, lowest])) : [];
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 100 30", preserveAspectRatio: "none" },
    svg("polygon", { points: `${line} ${ends.join(" ")}` }),
    svg("polyline", { points: line }),
  );
}

/** @param columns [{ title, rows: [{ labels, value }] }]: rows with the same labels are one row. */
export function drawTable(place, { columns, unit, decimals }) {
  const rows = new Map();
  for (const [index, { rows: found }] of columns.entries()) {
    for (const { labels, value } of found) {
      const key = JSON.stringify(Object.entries(labels).sort());
      if (!rows.has(key)) rows.set(key, { labels, values: [] });
      rows.get(key).values[index] = value;
    }
  }
  const names = [...new Set([...rows.values()].flatMap(({ labels }) => Object.keys(labels)))].sort();
  const sorted = [...rows.values()].sort((a, b) =>
    compare(
      names.map((name) => a.labels[name] ?? ""),
      names.map((name) => b.labels[name] ?? ""),
    ),
  );
  const head = html(
    "tr",
    {},
    ...names.map((name) => html("th", {}, name)),
    ...columns.map(({ title }) => html("th", { class: "number" }, title)),
  );
  const body = sorted.map(({ labels, values }) =>
    html(
      "tr",
      {},
      ...names.map((name) => html("td", {}, labels[name] ?? "")),
      ...columns.map((_, index) =>
        html(
          "td",
          { class: "number" },
          cell(values[index], decimals) ?? format(values[index] ?? null, unit, decimals),
        ),
      ),
    ),
  );
  if (body.length === 0) return place.replaceChildren(html("div", { class: "empty" }, "no data"));
  place.replaceChildren(
    html("div", { class: "scroll" }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...body))),
  );
}

/** Columns compare: no number is shortened there. */
function cell(value, decimals) {
  if (value === undefined || !Number.isFinite(value)) return null;
  const places = decimals ?? (Number.isInteger(value) ? 0 : 2);
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

function compare(a, b) {
  return a.join("\0").localeCompare(b.join("\0"), "en", { numeric: true });
}
