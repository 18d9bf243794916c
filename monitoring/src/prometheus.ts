/**
 * Prometheus' configuration: a pure function, so the same for a cluster on one machine, where the topology names everybody, and for
 * one on AWS, where tasks come and go and a controller says who is there (`targetsOf`). Nothing in it is secret: exporters have the passwords, in their environment.
 */
import { stringify } from "yaml";

interface Admin {
  id: string;
  admin: string;
}

/** The part of a topology that is scraped. */
export interface ScrapedTopology {
  balancer: { admin: string };
  controllers: readonly Admin[];
  buckets: readonly {
    id: string;
    redis: { url: string };
    /** A list, or services that somebody discovers and writes down (see `targetsDir`). */
    services: readonly Admin[] | { discover: string };
    persist: readonly Admin[];
    payout: readonly Admin[];
  }[];
}

/** Where the exporters listen, `host:port`. */
export interface Exporters {
  /** One on each machine. */
  node: readonly string[];
  /** One asks every Redis: Prometheus says which. */
  redis: string | null;
  /** By bucket. */
  mysql: Readonly<Record<string, string>>;
}

export interface PrometheusPlan {
  /** Who is scraped: a topology's processes, or whoever these URLs name (http_sd). */
  topology: ScrapedTopology | { targetUrls: readonly string[] };
  exporters: Exporters;
  alertmanagers: readonly string[];
  /** Patterns of files with rules. */
  rules: readonly string[];
  /** Where `services-BUCKET.json` lie (file_sd) for buckets whose services are discovered. */
  targetsDir?: string;
  /** An opening is over in seconds: ours are asked often. */
  scrapeSeconds?: number;
  evaluateSeconds?: number;
}

/** A rate over the shortest window that dashboards take, four scrapes of ours, must find two of an exporter in it. */
export const prometheusPolicy = { scrapeSeconds: 2, exporterSeconds: 3, evaluateSeconds: 2 } as const;

/** An entry of http_sd and file_sd. */
export interface Target {
  targets: string[];
  labels?: Record<string, string>;
}

/** The text of prometheus.yml. */
export function prometheusConfig(plan: PrometheusPlan): string {
  const { topology, exporters, alertmanagers, rules } = plan;
  const {
    scrapeSeconds = prometheusPolicy.scrapeSeconds,
    evaluateSeconds = prometheusPolicy.evaluateSeconds,
  } = plan;
  const every = (seconds: number) => ({ scrape_interval: `${seconds}s`, scrape_timeout: `${seconds}s` });
  const slow = every(Math.max(prometheusPolicy.exporterSeconds, scrapeSeconds));
  const exporter = (job: string, targets: Target[], more: object = {}) =>
    targets.length === 0 ? [] : [{ job_name: job, ...slow, ...more, static_configs: targets }];
  return stringify(
    {
      global: { ...every(scrapeSeconds), evaluation_interval: `${evaluateSeconds}s` },
      rule_files: rules,
      alerting: { alertmanagers: [{ static_configs: [{ targets: alertmanagers }] }] },
      scrape_configs: [
        {
          job_name: "hongbao",
          // Our processes name themselves; the labels of the target are for `up`, when they cannot.
          honor_labels: true,
          ...ours(plan),
        },
        ...exporter("node", exporters.node.length === 0 ? [] : [{ targets: [...exporters.node] }]),
        ...exporter("redis", redisTargets(topology, exporters), redisRelabel(exporters)),
        ...exporter("mysql", mysqlTargets(exporters)),
        ...exporter("alertmanager", [{ targets: [...alertmanagers] }]),
      ],
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

function ours(plan: PrometheusPlan): object {
  const { topology } = plan;
  return "targetUrls" in topology
    ? { http_sd_configs: topology.targetUrls.map((url) => ({ url, refresh_interval: "5s" })) }
    : { static_configs: targetsOf(topology), ...discovered(topology, plan.targetsDir) };
}

/** Who was found in place of those that a topology does not name. */
export interface FoundTargets {
  services: (bucket: string) => readonly Admin[];
  /** Null where there is one, which the topology names. */
  balancers: readonly string[] | null;
}

/** Every process of a topology; those that are discovered only where somebody says who was found. */
export function targetsOf(
  { balancer, controllers, buckets }: ScrapedTopology,
  found: FoundTargets = { services: () => [], balancers: null },
): Target[] {
  const target = (role: string, { id, admin }: Admin, bucket?: string): Target => ({
    targets: [admin],
    labels: { role, id, ...(bucket === undefined ? {} : { bucket }) },
  });
  return [
    { targets: [...(found.balancers ?? [balancer.admin])], labels: { role: "balancer" } },
    ...controllers.map((place) => target("controller", place)),
    ...buckets.flatMap(({ id, services, persist, payout }) => [
      ...(isList(services) ? services : found.services(id)).map((place) => target("grab", place, id)),
      ...persist.map((place) => target("persist", place, id)),
      ...payout.map((place) => target("payout", place, id)),
    ]),
  ];
}

const isList = (services: ScrapedTopology["buckets"][number]["services"]): services is readonly Admin[] =>
  Array.isArray(services);

function discovered({ buckets }: ScrapedTopology, targetsDir = "targets"): object {
  const ids = buckets.filter(({ services }) => !isList(services)).map(({ id }) => id);
  if (ids.length === 0) return {};
  const files = ids.map((id) => `${targetsDir}/services-${id}.json`);
  return { file_sd_configs: [{ files, refresh_interval: "5s" }] };
}

function redisTargets(topology: PrometheusPlan["topology"], { redis }: Exporters): Target[] {
  return redis === null || "targetUrls" in topology
    ? []
    : topology.buckets.map(({ id, redis: { url } }) => ({ targets: [url], labels: { bucket: id } }));
}

function redisRelabel({ redis }: Exporters): object {
  return {
    metrics_path: "/scrape",
    relabel_configs: [
      { source_labels: ["__address__"], target_label: "__param_target" },
      { source_labels: ["__param_target"], target_label: "instance" },
      { target_label: "__address__", replacement: redis },
    ],
  };
}

function mysqlTargets({ mysql }: Exporters): Target[] {
  return Object.entries(mysql).map(([bucket, address]) => ({ targets: [address], labels: { bucket } }));
}
