/**
 * The metrics behind the registry: plain numbers, one cell for each combination of label values. Whoever counts on a hot path
 * holds its cell and adds to a number; texts are made when somebody collects.
 */
import type { LabelBound, MetricDefinition } from "./catalogue.ts";

type Labels = Record<string, string>;

/** One line of the exposition, as prom-client takes it. */
interface Line {
  labels: Labels | { le: number | "+Inf" };
  sharedLabels?: Labels;
  value: number;
  metricName?: string;
}

export class NumberCell {
  value = 0;
  inc(n = 1): void {
    this.value += n;
  }
}

export class HistogramCell {
  readonly counts: number[];
  sum = 0;
  readonly #bounds: readonly number[];

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    // The last one is for what is beyond all bounds. A number that grows into a double would slow the rest down.
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  /** `count` observations of the same value. */
  observe(value: number, count = 1): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at += 1;
    this.counts[at]! += count;
    this.sum += value * count;
  }
}

/** All cells of one metric; prom-client knows it by `name`, `help`, `type` and `get`. */
export class Family<Cell extends NumberCell | HistogramCell> {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly #definition: MetricDefinition;
  readonly #newCell: () => Cell;
  readonly #cells = new Map<string, { labels: Labels; cell: Cell }>();
  readonly #bounds: readonly { label: string; closed: boolean; seen: Set<string>; seenMax: number }[];

  constructor(prefix: string, definition: MetricDefinition, newCell: () => Cell) {
    this.name = prefix + definition.name;
    this.help = definition.help;
    this.type = definition.type;
    this.#definition = definition;
    this.#newCell = newCell;
    this.#bounds = Object.entries<LabelBound>(definition.labels).map(([label, bound]) => ({
      label,
      closed: "values" in bound,
      seen: new Set("values" in bound ? bound.values : []),
      seenMax: "values" in bound ? bound.values.length : bound.valuesMax,
    }));
  }

  /** The cell of these labels; an unknown or surplus value becomes "other". */
  cell(given: object): Cell {
    const labels: Labels = {};
    for (const { label, closed, seen, seenMax } of this.#bounds) {
      const value = (given as Labels)[label] ?? "other";
      if (!seen.has(value) && !closed && seen.size < seenMax) seen.add(value);
      labels[label] = seen.has(value) ? value : "other";
    }
    const key = Object.values(labels).join("\0");
    let found = this.#cells.get(key);
    if (found === undefined) {
      found = { labels, cell: this.#newCell() };
      this.#cells.set(key, found);
    }
    return found.cell;
  }

  /** What has no labels is there, as 0, from the moment that a process asks for it: an alert on its growth must see the first step. */
  begin(): void {
    if (this.#bounds.length === 0 && this.type !== "gauge") this.cell({});
  }

  reset(): void {
    this.#cells.clear();
  }

  get(): { name: string; help: string; type: string; values: Line[] } {
    const { name, help, type } = this;
    const values = Array.from(this.#cells.values()).flatMap(({ labels, cell }) =>
      cell instanceof HistogramCell ? this.#histogramLines(labels, cell) : [{ labels, value: cell.value }],
    );
    return { name, help, type, values };
  }

  #histogramLines(labels: Labels, { counts, sum }: HistogramCell): Line[] {
    const bounds: (number | "+Inf")[] = [...(this.#definition.buckets ?? []), "+Inf"];
    let below = 0;
    const lines: Line[] = bounds.map((le, index) => {
      below += counts[index]!;
      return { labels: { le }, sharedLabels: labels, value: below, metricName: `${this.name}_bucket` };
    });
    lines.push({ labels: {}, sharedLabels: labels, value: sum, metricName: `${this.name}_sum` });
    lines.push({ labels: {}, sharedLabels: labels, value: below, metricName: `${this.name}_count` });
    return lines;
  }
}
