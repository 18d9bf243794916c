/** docs/metrics.md, written from the catalogue. */
import { CATALOGUE, type LabelBound, type MetricDefinition } from "./catalogue.ts";
import { METRIC_PREFIX } from "./registry.ts";

/** The document's text; a test holds the file against it. */
export function catalogueDocument(metrics: readonly MetricDefinition[] = CATALOGUE): string {
  return [
    "# Metrics",
    "",
    "Written from `monitoring/src/catalogue.ts` (`HONGBAO_UPDATE=1 ./hongbao selftest monitoring/test/catalogue.test.ts`).",
    "Every process serves them at `/metrics` of its admin port, with the labels `role`, `id` and (in a bucket) `bucket`, beside",
    "the usual `process_*` and `nodejs_*`. A label has the values in braces, or at most so many different ones; what does not",
    "fit becomes `other`. Unit 1 is a plain number, `minor` the smallest unit of the event's currency. The balancer adds HAProxy's own `haproxy_*`.",
    "",
    "| metric | type | unit | labels | meaning |",
    "| --- | --- | --- | --- | --- |",
    ...metrics.map(
      ({ name, type, unit, labels, help }) =>
        `| \`${METRIC_PREFIX}${name}\` | ${type} | ${unit} | ${labelsText(labels)} | ${help} |`,
    ),
    "",
  ].join("\n");
}

function labelsText(labels: Readonly<Record<string, LabelBound>>): string {
  return Object.entries(labels)
    .map(([label, bound]) => {
      const values = "values" in bound ? `{${bound.values.join(", ")}}` : `≤ ${bound.valuesMax}`;
      return `\`${label}\` ${values}`;
    })
    .join("; ");
}
