/**
 * Prometheus, Alertmanager, the exporters, and the page or Grafana beside a local cluster: what is started, with which words.
 * Everything listens on loopback; passwords go by the environment.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { alertmanagerConfig, prometheusConfig, type AlertReceivers } from "@hongbao/monitoring";
import { readSecrets, type ClusterMonitoring, type Topology } from "@hongbao/preprocess";
import { hongbaoWords } from "../cluster/hongbao.ts";
import { writeAtomically } from "../cluster/places.ts";
import type { Package } from "../install/packages.ts";
import { findBinary, needBinary } from "../servers/binaries.ts";

export const MONITORING_PACKAGES: readonly Package[] = [
  "prometheus",
  "prometheus-alertmanager",
  "prometheus-node-exporter",
  "prometheus-redis-exporter",
  "prometheus-mysqld-exporter",
];

const ROOT = join(import.meta.dirname, "..", "..", "..");
const RULES = join(ROOT, "monitoring", "rules", "*.yml");
const DASHBOARDS = join(ROOT, "monitoring", "dashboards");
const PROVISIONING = join(ROOT, "monitoring", "grafana", "provisioning");
const RETENTION = "7d";

/** What an exporter of the machine looks at: what our panels and alerts ask for, and no more. */
const NODE_COLLECTORS = [
  "cpu",
  "diskstats",
  "filesystem",
  "loadavg",
  "meminfo",
  "netdev",
  "netstat",
  "pressure",
  "sockstat",
];

export interface MonitoringUnit {
  name: string;
  command: string;
  args: string[];
  env?: Record<string, string>;
  /** Answers 200 once it works. */
  readyUrl: string;
}

/** Names of the ports that monitoring takes, beside those of the cluster. */
export function monitoringPorts(buckets: readonly string[]): string[] {
  return [
    ...["prometheus", "alertmanager", "node-exporter", "redis-exporter", "dashboards"].map(
      (name) => `monitoring/${name}`,
    ),
    ...buckets.map((bucket) => `monitoring/${bucket}/mysqld-exporter`),
  ];
}

export interface MonitoringPlan {
  topology: Topology;
  /** By the names of `monitoringPorts`. */
  ports: Readonly<Record<string, number>>;
  /** Configuration and data. */
  dir: string;
  receivers: AlertReceivers;
  /** Where an exporter's own choice is not wanted: how often Prometheus asks and judges. */
  scrapeSeconds?: number;
  evaluateSeconds?: number;
}

/** Writes the configurations; says what to start, and where it will be found. */
export function planMonitoring(plan: MonitoringPlan): { units: MonitoringUnit[]; places: ClusterMonitoring } {
  const { topology, ports, dir, receivers, ...pace } = plan;
  const at = (name: string): string => `127.0.0.1:${ports[`monitoring/${name}`]}`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const buckets = topology.buckets.map(({ id }) => id);
  const mysql = Object.fromEntries(buckets.map((id) => [id, at(`${id}/mysqld-exporter`)]));
  const config = prometheusConfig({
    topology,
    exporters: { node: [at("node-exporter")], redis: at("redis-exporter"), mysql },
    alertmanagers: [at("alertmanager")],
    rules: [RULES],
    ...pace,
  });
  const files = { prometheus: join(dir, "prometheus.yml"), alertmanager: join(dir, "alertmanager.yml") };
  writeAtomically(files.prometheus, config);
  writeAtomically(files.alertmanager, alertmanagerConfig(receivers));
  const places: ClusterMonitoring = {
    dashboards: `http://${at("dashboards")}/`,
    prometheus: `http://${at("prometheus")}`,
    alertmanager: `http://${at("alertmanager")}`,
  };
  const secrets = readSecrets(topology, ["redis", "mysql"]);
  const units: MonitoringUnit[] = [
    {
      name: "prometheus",
      command: needBinary("prometheus", "prometheus"),
      args: [
        `--config.file=${files.prometheus}`,
        `--storage.tsdb.path=${join(dir, "prometheus")}`,
        `--storage.tsdb.retention.time=${RETENTION}`,
        `--web.listen-address=${at("prometheus")}`,
        "--log.level=warn",
      ],
      readyUrl: `${places.prometheus}/-/ready`,
    },
    {
      name: "alertmanager",
      command: needBinary("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager"),
      args: [
        `--config.file=${files.alertmanager}`,
        `--storage.path=${join(dir, "alertmanager")}`,
        `--web.listen-address=${at("alertmanager")}`,
        // One alone: no gossip port.
        "--cluster.listen-address=",
        "--log.level=warn",
      ],
      readyUrl: `${places.alertmanager}/-/ready`,
    },
    {
      name: "node-exporter",
      command: needBinary("prometheus-node-exporter", "prometheus-node-exporter", "node_exporter"),
      args: [
        `--web.listen-address=${at("node-exporter")}`,
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
        ...NODE_COLLECTORS.map((name) => `--collector.${name}`),
        "--log.level=warn",
      ],
      readyUrl: `http://${at("node-exporter")}/`,
    },
    {
      name: "redis-exporter",
      command: needBinary("prometheus-redis-exporter", "prometheus-redis-exporter", "redis_exporter"),
      // Of its own it looks at none: Prometheus names each.
      args: [`-web.listen-address=${at("redis-exporter")}`, "-redis.addr="],
      env: { REDIS_PASSWORD: secrets.redis },
      readyUrl: `http://${at("redis-exporter")}/health`,
    },
    ...topology.buckets.map((bucket) =>
      mysqldExporter(bucket, at(`${bucket.id}/mysqld-exporter`), secrets.mysql),
    ),
    grafana(dir, at("dashboards"), places.prometheus) ?? {
      name: "dashboards",
      ...hongbaoWords(["dashboards", "--listen", at("dashboards"), "--prometheus", places.prometheus]),
      readyUrl: places.dashboards,
    },
  ];
  return { units, places };
}

function mysqldExporter(
  { id, mysql }: Topology["buckets"][number],
  listen: string,
  password: string,
): MonitoringUnit {
  const { username, host } = new URL(mysql.url);
  return {
    name: `mysqld-exporter-${id}`,
    command: needBinary("prometheus-mysqld-exporter", "prometheus-mysqld-exporter", "mysqld_exporter"),
    args: [`--web.listen-address=${listen}`, "--no-collect.slave_status", "--log.level=warn"],
    env: { DATA_SOURCE_NAME: `${username}:${password}@(${host})/` },
    readyUrl: `http://${listen}/`,
  };
}

/** Grafana with our dashboards, for whoever is on this machine to look at; null where it is not installed. */
function grafana(dir: string, listen: string, prometheus: string): MonitoringUnit | null {
  const command = findBinary("grafana-server") ?? findBinary("grafana");
  const home = ["/usr/share/grafana", "/usr/local/share/grafana"].find((path) =>
    existsSync(join(path, "conf")),
  );
  if (command === null || home === undefined) return null;
  const [host, port] = listen.split(":");
  return {
    name: "grafana",
    command,
    args: [...(command.endsWith("grafana-server") ? [] : ["server"]), "--homepath", home],
    env: {
      GF_SERVER_HTTP_ADDR: host!,
      GF_SERVER_HTTP_PORT: port!,
      GF_PATHS_DATA: join(dir, "grafana"),
      GF_PATHS_LOGS: join(dir, "grafana"),
      GF_PATHS_PROVISIONING: PROVISIONING,
      GF_AUTH_ANONYMOUS_ENABLED: "true",
      GF_AUTH_ANONYMOUS_ORG_ROLE: "Viewer",
      GF_AUTH_DISABLE_LOGIN_FORM: "true",
      GF_ANALYTICS_REPORTING_ENABLED: "false",
      GF_ANALYTICS_CHECK_FOR_UPDATES: "false",
      HONGBAO_PROMETHEUS_URL: prometheus,
      HONGBAO_DASHBOARDS: DASHBOARDS,
    },
    readyUrl: `http://${listen}/api/health`,
  };
}
