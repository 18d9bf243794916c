/** What the dashboards and alerts ask Prometheus for, and which of that is empty in a healthy cluster. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const MONITORING = join(import.meta.dirname, "..", "..", "..", "monitoring");
/** Long enough to hold the whole load of the test. */
const RATE_WINDOW = "2m";

export interface Asked {
  where: string;
  expr: string;
  /** Labels that its legend shows. */
  labels: string[];
}

/** Queries that may have no data here, with the reason. */
export const EMPTY_HERE: readonly [pattern: RegExp, reason: string][] = [
  [/certificate_expires_at/, "there is no TLS on loopback"],
  [
    /payout_target_seconds|breaker_open\{role="payout"/,
    "the built-in ledger pays: there is no target to ask",
  ],
  [/switch="payout", ?value="off"/, "nobody has moved the switch"],
  [/route!="grab"/, "the load only grabs"],
  [
    /node_filesystem|node_disk|node_pressure|device!~"lo/,
    "a container may have no disk, no pressure, no network card of its own",
  ],
  [/node_network_(receive|transmit)_drop|node_netstat/, "a container may not see the host's counters"],
];

interface Panel {
  title: string;
  type: string;
  targets?: { expr: string; legendFormat: string }[];
}

export function panelQueries(): Asked[] {
  const folder = join(MONITORING, "dashboards");
  return readdirSync(folder).flatMap((name) => {
    const { title, panels } = JSON.parse(readFileSync(join(folder, name), "utf8")) as {
      title: string;
      panels: Panel[];
    };
    return panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr, legendFormat }) => ({
        where: `${title}: ${panel.title}`,
        expr: expr.replaceAll("$__rate_interval", RATE_WINDOW).replaceAll(/\$(bucket|round)/g, ".+"),
        labels: Array.from(legendFormat.matchAll(/\{\{(\w+)\}\}/g), ([, label]) => label!),
      })),
    );
  });
}

const SELECTOR =
  /\b(?:hongbao|haproxy|redis|mysql|node|process|alertmanager)_\w+(?:\{[^}]*\})?|\bup\{[^}]*\}/g;

/** An alert's expression is empty while all is well: asked is for each series that it looks at. */
export function alertQueries(
  rules: readonly { name: string; query: string; annotations: { summary: string } }[],
): Asked[] {
  return rules.flatMap(({ name, query, annotations }) => {
    const labels = Array.from(annotations.summary.matchAll(/\$labels\.(\w+)/g), ([, label]) => label!);
    const selectors = Array.from(query.matchAll(SELECTOR), ([selector]) => selector);
    return selectors.map((expr, index) => ({
      where: `alert ${name}`,
      expr,
      // Some are joined on, without the labels; the first one brings them. A bucket's name may come out of a proxy's.
      labels:
        index === 0 && !query.includes("label_replace")
          ? labels.filter((label) => !isOptional(label, expr))
          : [],
    }));
  });
}

/** Not every process is in a bucket or has an ID. */
const isOptional = (label: string, expr: string): boolean =>
  (label === "bucket" || label === "id") && /^(up|process_|hongbao_event_loop|hongbao_log_lines)/.test(expr);
