/** The metrics of one process, by the names of the catalogue. The only place that knows prom-client. */
import { collectDefaultMetrics, Registry as PromRegistry, type Metric } from "prom-client";
import type { LabelsOf, MetricDefinition, MetricName, NameOf } from "./catalogue.ts";
import { CATALOGUE } from "./catalogue.ts";
import { Family, HistogramCell, NumberCell } from "./cells.ts";

export const METRIC_PREFIX = "hongbao_";
const LOOP_LOOK_MS = 100;

export interface CounterMetric<L> {
  /** Adds n (default 1). */
  inc(labels: L, n?: number): void;
  /** The same with the labels looked up once: adding is adding to a number. Exists from then on, as 0. */
  with(labels: L): { inc(n?: number): void };
}

export interface GaugeMetric<L> {
  set(labels: L, value: number): void;
  inc(labels: L, n?: number): void;
  /** Forgets all label values, for gauges that are written anew at each collection. */
  reset(): void;
}

export interface HistogramMetric<L> {
  /** One observation, in the metric's unit. */
  observe(labels: L, value: number): void;
  with(labels: L): { observe(value: number, count?: number): void };
}

export interface Registry {
  counter<N extends NameOf<"counter">>(name: N): CounterMetric<LabelsOf<N>>;
  gauge<N extends NameOf<"gauge">>(name: N): GaugeMetric<LabelsOf<N>>;
  histogram<N extends NameOf<"histogram">>(name: N): HistogramMetric<LabelsOf<N>>;
  /** Called (and awaited) before each collection, to set gauges. A failing one is left out, not fatal. */
  onCollect(fn: () => void | Promise<void>): void;
  /** The exposition text for GET /metrics. */
  text(): Promise<string>;
  contentType: string;
  /** False where HONGBAO_METRICS=off: nothing is kept, and hot paths need not even call. For measuring what metrics cost. */
  enabled: boolean;
}

type Labels = Record<string, string>;

/** A registry with the catalogue's metrics and the process's own; `labels` (role, id, bucket) go on all of them. */
export function createRegistry({ labels }: { labels: Labels }): Registry {
  if (process.env.HONGBAO_METRICS === "off") return deafRegistry();
  const prom = new PromRegistry();
  prom.setDefaultLabels(labels);
  // By default a timer wakes every process a hundred times a second, to see how late it is.
  collectDefaultMetrics({ register: prom, eventLoopMonitoringPrecision: LOOP_LOOK_MS });
  const numbers = new Map<MetricName, Family<NumberCell>>();
  const histograms = new Map<MetricName, Family<HistogramCell>>();
  const definitions: readonly (MetricDefinition & { name: MetricName })[] = CATALOGUE;
  for (const definition of definitions) {
    const { name, type, buckets = [] } = definition;
    const family =
      type === "histogram"
        ? new Family(METRIC_PREFIX, definition, () => new HistogramCell(buckets))
        : new Family(METRIC_PREFIX, definition, () => new NumberCell());
    if (type === "histogram") histograms.set(name, family as Family<HistogramCell>);
    else numbers.set(name, family as Family<NumberCell>);
    prom.registerMetric(family as unknown as Metric);
  }
  const hooks: (() => void | Promise<void>)[] = [];
  const registry: Registry = {
    counter(name) {
      const family = numbers.get(name)!;
      family.begin();
      return { inc: (given, n) => family.cell(given).inc(n), with: (given) => family.cell(given) };
    },
    gauge(name) {
      const family = numbers.get(name)!;
      return {
        set: (given, value) => void (family.cell(given).value = value),
        inc: (given, n) => family.cell(given).inc(n),
        reset: () => family.reset(),
      };
    },
    histogram(name) {
      const family = histograms.get(name)!;
      family.begin();
      return {
        observe: (given, value) => family.cell(given).observe(value),
        with: (given) => family.cell(given),
      };
    },
    onCollect(fn) {
      hooks.push(fn);
    },
    async text() {
      await Promise.allSettled(hooks.map(async (hook) => hook()));
      return prom.metrics();
    },
    contentType: prom.contentType,
    enabled: true,
  };
  watchLoop(registry);
  return registry;
}

/** How late a timer comes is how long everything else waits. */
function watchLoop(registry: Registry): void {
  const delay = registry.histogram("event_loop_delay_seconds").with({});
  let lastMs = performance.now();
  const look = (): void => {
    const nowMs = performance.now();
    delay.observe(Math.max(0, nowMs - lastMs - LOOP_LOOK_MS) / 1000);
    lastMs = nowMs;
  };
  setInterval(look, LOOP_LOOK_MS).unref();
}

function deafRegistry(): Registry {
  const deaf = () => undefined;
  const metric = { inc: deaf, set: deaf, reset: deaf, observe: deaf };
  const made = () => ({ ...metric, with: () => metric });
  return {
    counter: made,
    gauge: made,
    histogram: made,
    onCollect: deaf,
    text: async () => "",
    contentType: PromRegistry.PROMETHEUS_CONTENT_TYPE,
    enabled: false,
  };
}
