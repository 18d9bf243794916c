/** The metrics of one process, by the names of the catalogue. The only place that knows prom-client. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry as PromRegistry } from "prom-client";
import type { LabelBound, LabelsOf, MetricDefinition, MetricName, NameOf } from "./catalogue.ts";
import { CATALOGUE } from "./catalogue.ts";

export const METRIC_PREFIX = "hongbao_";
const LOOP_LOOK_MS = 100;

export interface CounterMetric<L> {
  /** Adds n (default 1). */
  inc(labels: L, n?: number): void;
  /** The same with the labels looked up once, for hot paths. */
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
  with(labels: L): { observe(value: number): void };
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
}

type Labels = Record<string, string>;
type Metric = Counter | Gauge | Histogram;
/** Takes what LabelsOf promises: a record of texts, whose exact type depends on the metric. */
type Guard = (labels: object) => Labels;

/** Keeps label values within their bound: an unknown or surplus value becomes "other". */
function labelGuard(definition: MetricDefinition): Guard {
  const bounds = Object.entries<LabelBound>(definition.labels).map(([label, bound]) => ({
    label,
    closed: "values" in bound,
    seen: new Set("values" in bound ? bound.values : []),
    seenMax: "values" in bound ? bound.values.length : bound.valuesMax,
  }));
  return (labels) => {
    let fitting = labels as Labels;
    for (const { label, closed, seen, seenMax } of bounds) {
      const value = fitting[label]!;
      if (seen.has(value)) continue;
      if (!closed && seen.size < seenMax) seen.add(value);
      else fitting = { ...fitting, [label]: "other" };
    }
    return fitting;
  };
}

function createMetric(definition: MetricDefinition, registers: PromRegistry[]): Metric {
  const settings = {
    name: METRIC_PREFIX + definition.name,
    help: definition.help,
    labelNames: Object.keys(definition.labels),
    registers,
  };
  switch (definition.type) {
    case "counter":
      return new Counter(settings);
    case "gauge":
      return new Gauge(settings);
    case "histogram":
      return new Histogram({ ...settings, buckets: [...(definition.buckets ?? [])] });
  }
}

/** A registry with the catalogue's metrics and the process's own; `labels` (role, id, bucket) go on all of them. */
export function createRegistry({ labels }: { labels: Labels }): Registry {
  const prom = new PromRegistry();
  prom.setDefaultLabels(labels);
  // By default a timer wakes every process a hundred times a second, to see how late it is.
  collectDefaultMetrics({ register: prom, eventLoopMonitoringPrecision: LOOP_LOOK_MS });
  const metrics = new Map<MetricName, { metric: Metric; guard: Guard }>();
  for (const definition of CATALOGUE) {
    metrics.set(definition.name, { metric: createMetric(definition, [prom]), guard: labelGuard(definition) });
  }
  const hooks: (() => void | Promise<void>)[] = [];
  return {
    counter(name) {
      const { metric, guard } = metrics.get(name) as { metric: Counter; guard: Guard };
      return {
        inc: (given, n = 1) => metric.inc(guard(given), n),
        with: (given) => metric.labels(guard(given)),
      };
    },
    gauge(name) {
      const { metric, guard } = metrics.get(name) as { metric: Gauge; guard: Guard };
      return {
        set: (given, value) => metric.set(guard(given), value),
        inc: (given, n = 1) => metric.inc(guard(given), n),
        reset: () => metric.reset(),
      };
    },
    histogram(name) {
      const { metric, guard } = metrics.get(name) as { metric: Histogram; guard: Guard };
      return {
        observe: (given, value) => metric.observe(guard(given), value),
        with: (given) => metric.labels(guard(given)),
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
  };
}
