/** Draws Grafana's dashboards as far as ours use its JSON: rows, lines, numbers, tables; two variables; a time range. */
import { drawLines, drawStat, drawTable, html } from "./charts.js";

const RANGES = [
  ["5m", "5 min", 300],
  ["15m", "15 min", 900],
  ["1h", "1 h", 3600],
  ["6h", "6 h", 21_600],
];
const POINTS = 160;
/** Grafana's: a rate needs four scrapes, and a point of the chart must not fall between two windows. */
const SCRAPE_SECONDS = 2;
const REFRESH_MS = 5_000;
/** Questions under way at once; a browser has six connections anyway. */
const ASKED_AT_ONCE = 4;

const byId = (id) => document.getElementById(id);
const view = {
  dashboards: [],
  dashboard: null,
  chosen: {},
  range: "15m",
  seen: new Set(),
  timer: 0,
  turn: 0,
};

async function ask(path, parameters = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = await response.json();
  if (status !== "success") throw new Error(error ?? `status ${response.status}`);
  return data;
}

/** At most so many of these at the same time. */
async function inTurn(jobs) {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await job();
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, work));
}

async function start() {
  view.dashboards = await (await fetch("/dashboards.json")).json();
  const parameters = new URLSearchParams(location.search);
  view.range = RANGES.some(([name]) => name === parameters.get("range")) ? parameters.get("range") : "15m";
  for (const name of ["bucket", "round"]) view.chosen[name] = parameters.get(`var-${name}`) ?? "$__all";
  const uid = /^\/d\/([\w-]+)/.exec(location.pathname)?.[1];
  view.dashboard = view.dashboards.find((each) => each.uid === uid) ?? view.dashboards[0];
  document.title = `${view.dashboard.title} · Hongbao`;
  drawNavigation();
  await drawControls();
  drawPanels();
  await refresh(true);
  document.body.dataset.drawn = "yes";
  document.addEventListener("visibilitychange", () => void (document.hidden || refresh()));
  addEventListener("resize", () => void refresh());
}

/** Where this page is, with what was chosen; links to other dashboards keep it. */
function addressOf(uid) {
  const parameters = new URLSearchParams({ range: view.range });
  for (const [name, value] of Object.entries(view.chosen))
    if (value !== "$__all") parameters.set(`var-${name}`, value);
  return `/d/${uid}?${parameters}`;
}

function drawNavigation() {
  const links = view.dashboards.map(({ uid, title }) =>
    html(
      "a",
      { href: addressOf(uid), ...(uid === view.dashboard.uid ? { "aria-current": "page" } : {}) },
      title,
    ),
  );
  byId("dashboards").replaceChildren(...links);
}

async function drawControls() {
  const fields = [];
  for (const { name, definition, label } of view.dashboard.templating?.list ?? []) {
    const [, metric, of] = /^label_values\((\w+), (\w+)\)$/.exec(definition);
    const values = await ask(`/api/v1/label/${of}/values`, { "match[]": metric }).catch(() => []);
    const sorted = values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    fields.push(
      choice(label, name, [["$__all", "all"], ...sorted.map((value) => [value, value])], view.chosen[name]),
    );
  }
  fields.push(
    choice(
      "last",
      "range",
      RANGES.map(([name, text]) => [name, text]),
      view.range,
    ),
  );
  byId("controls").replaceChildren(...fields);
}

function choice(label, name, options, value) {
  const select = html(
    "select",
    { name, id: `choose-${name}` },
    ...options.map(([key, text]) =>
      html("option", { value: key, ...(key === value ? { selected: "" } : {}) }, text),
    ),
  );
  select.addEventListener("change", () => {
    if (name === "range") view.range = select.value;
    else view.chosen[name] = select.value;
    history.replaceState(null, "", addressOf(view.dashboard.uid));
    drawNavigation();
    void refresh(true);
  });
  return html("label", {}, `${label} `, select);
}

function drawPanels() {
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) view.seen.add(target.dataset.id);
      else view.seen.delete(target.dataset.id);
    }
  });
  const elements = view.dashboard.panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const style = `grid-column:${x + 1}/span ${w};grid-row:${y + 1}/span ${h}`;
    if (panel.type === "row") return html("h2", { style }, panel.title);
    const links = (panel.links ?? []).map(({ title, url }) =>
      html("a", { href: addressOf(url.replace("/d/", "")), title: `to ${title}` }, "↗"),
    );
    const head = html("h3", { title: panel.description }, panel.title, ...links);
    const element = html(
      "section",
      { style, class: panel.type, "data-id": panel.id },
      head,
      html("div", { class: "chart" }),
    );
    watch.observe(element);
    return element;
  });
  byId("panels").replaceChildren(...elements);
}

/** Draws what is in sight, or everything. */
async function refresh(all = false) {
  clearTimeout(view.timer);
  view.turn += 1;
  const { turn } = view;
  const panels = view.dashboard.panels.filter(
    ({ type, id }) => type !== "row" && (all || view.seen.has(String(id))),
  );
  if (!document.hidden || all)
    await inTurn([drawAlerts, ...panels.map((panel) => () => drawPanel(panel, turn))]);
  if (turn === view.turn) view.timer = setTimeout(() => void refresh(), REFRESH_MS);
}

async function drawAlerts() {
  const place = byId("alerts");
  try {
    const { alerts } = await ask("/api/v1/alerts");
    const firing = alerts.filter(({ state, labels }) => state === "firing" && labels.severity !== "none");
    const order = (alert) => (alert.labels.severity === "page" ? 0 : 1);
    const lines = firing
      .sort((a, b) => order(a) - order(b))
      .map(({ labels, annotations }) =>
        html(
          "p",
          { class: labels.severity },
          html("b", {}, labels.alertname),
          ` ${annotations.summary}`,
          html("small", {}, annotations.runbook),
        ),
      );
    place.replaceChildren(...(lines.length > 0 ? lines : [html("p", { class: "well" }, "No alert fires.")]));
  } catch (error) {
    place.replaceChildren(html("p", { class: "page" }, html("b", {}, "Prometheus"), ` ${error.message}`));
  }
}

async function drawPanel(panel, turn) {
  const place = document.querySelector(`section[data-id="${panel.id}"] .chart`);
  try {
    const drawn = await (panel.type === "table" ? readTable(panel) : readSeries(panel));
    if (turn !== view.turn) return;
    const { unit, decimals, thresholds, max, custom } = panel.fieldConfig.defaults;
    const common = { ...drawn, unit, decimals, max, steps: thresholds?.steps ?? [] };
    if (panel.type === "table") drawTable(place, common);
    else if (panel.type === "stat")
      drawStat(place, { ...common, coloured: panel.options.colorMode !== "none" });
    else if (drawn.series.length === 0) place.replaceChildren(html("div", { class: "empty" }, "no data"));
    else drawLines(place, { ...common, stack: custom?.stacking?.mode === "normal" });
  } catch (error) {
    place.replaceChildren(html("div", { class: "empty" }, error.message));
  }
}

async function readSeries(panel) {
  const seconds = RANGES.find(([name]) => name === view.range)[2];
  const step = Math.max(SCRAPE_SECONDS, Math.ceil(seconds / POINTS));
  // On whole steps, so that a line does not tremble when it is drawn anew.
  const to = Math.floor(Date.now() / 1000 / step) * step;
  const from = to - seconds;
  const found = [];
  for (const { expr, legendFormat } of panel.targets) {
    const { result } = await ask("/api/v1/query_range", {
      query: filled(expr, step),
      start: from,
      end: to,
      step,
    });
    for (const { metric, values } of result) {
      found.push({
        name: named(legendFormat, metric),
        points: values.map(([at, value]) => [at, Number(value)]),
      });
    }
  }
  const series =
    panel.targets.length > 1
      ? found
      : found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return { series, from, to };
}

async function readTable(panel) {
  const columns = [];
  for (const { expr, legendFormat } of panel.targets) {
    const { result } = await ask("/api/v1/query", { query: filled(expr, SCRAPE_SECONDS) });
    columns.push({
      title: legendFormat,
      rows: result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) })),
    });
  }
  return { columns };
}

/** The expression with what was chosen in the place of Grafana's variables. */
function filled(expr, step) {
  const window = Math.max(4 * SCRAPE_SECONDS, step + SCRAPE_SECONDS);
  return expr
    .replaceAll("$__rate_interval", `${window}s`)
    .replaceAll(/\$(bucket|round)/g, (_, name) =>
      view.chosen[name] === "$__all" ? ".+" : view.chosen[name].replaceAll(/[.\\]/g, "\\\\$&"),
    );
}

function named(legend, metric) {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? "").trim() || "value";
}

start().catch((error) => byId("alerts").replaceChildren(html("p", { class: "page" }, String(error))));
