import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { CATALOGUE, catalogueDocument } from "../src/index.ts";
import type { MetricDefinition } from "../src/index.ts";

const METRICS: readonly MetricDefinition[] = CATALOGUE;

t.test("names are unique and follow the conventions of Prometheus", async (t) => {
  t.equal(new Set(METRICS.map(({ name }) => name)).size, METRICS.length);
  for (const { name, type, unit, help } of METRICS) {
    t.match(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    t.notMatch(name, /^hongbao/, "the prefix is added once, by the registry");
    t.equal(name.endsWith("_total"), type === "counter", `${name}: counters, and only they, end with _total`);
    if (unit === "seconds" || unit === "bytes")
      t.ok(name.includes(`_${unit}`), `${name} has its unit in its name`);
    t.match(help, /^[A-Z0-9].*\.$/, `${name} is explained in a sentence`);
  }
});

t.test("every label is bounded", async (t) => {
  for (const { name, labels } of METRICS) {
    for (const [label, bound] of Object.entries(labels)) {
      const valuesMax = "values" in bound ? bound.values.length : bound.valuesMax;
      t.ok(valuesMax >= 1 && valuesMax <= 1000, `${name}{${label}}`);
    }
  }
});

t.test("histograms, and only they, have rising buckets", async (t) => {
  for (const { name, type, buckets } of METRICS) {
    t.equal(buckets !== undefined, type === "histogram", name);
    t.same(
      buckets,
      buckets?.toSorted((a, b) => a - b),
      name,
    );
  }
});

t.test("the document says what the catalogue says", async (t) => {
  const path = join(import.meta.dirname, "..", "..", "docs", "metrics.md");
  if (process.env.HONGBAO_UPDATE) writeFileSync(path, catalogueDocument());
  t.equal(readFileSync(path, "utf8"), catalogueDocument());
});
