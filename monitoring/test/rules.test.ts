import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { alertmanagerConfig, CATALOGUE, METRIC_PREFIX, prometheusConfig } from "../src/index.ts";
import type { AlertReceivers, ScrapedTopology } from "../src/index.ts";

const RULES = join(import.meta.dirname, "..", "rules");
const RUNBOOK = join(import.meta.dirname, "..", "..", "docs", "runbook.md");

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}
const filesIn = (folder: string) => readdirSync(folder).filter((name) => name.endsWith(".yml"));
const rulesOf = (name: string): Rule[] =>
  (parse(readFileSync(join(RULES, name), "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );
const allRules = filesIn(RULES).flatMap(rulesOf);
/** What the program says; its words are in the error when it fails. */
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

t.test("promtool accepts the rules, and each fires when it should and not when it should not", async (t) => {
  run("promtool", "check", "rules", ...filesIn(RULES).map((name) => join(RULES, name)));
  run("promtool", "test", "rules", ...filesIn(join(RULES, "test")).map((name) => join(RULES, "test", name)));
  for (const name of filesIn(RULES)) {
    const { tests } = parse(readFileSync(join(RULES, "test", name), "utf8")) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
    for (const { alert } of rulesOf(name)) {
      const own = cases.filter(({ alertname }) => alertname === alert);
      t.ok(
        own.some(({ exp_alerts }) => exp_alerts.length > 0),
        `${alert} has a test that fires`,
      );
      if (alert === "Watchdog") continue;
      t.ok(
        own.some(({ exp_alerts }) => exp_alerts.length === 0),
        `${alert} has a test that does not`,
      );
    }
  }
});

t.test("each alert has a severity, and a section of its name in the runbook", async (t) => {
  const runbook = readFileSync(RUNBOOK, "utf8");
  const sections = Array.from(runbook.matchAll(/^## (\w+)$/gm), ([, name]) => name!);
  const names = allRules.map(({ alert }) => alert);
  t.equal(new Set(names).size, names.length, "names are unique");
  for (const { alert, labels, annotations } of allRules) {
    t.match(labels.severity, /^(page|ticket|none)$/, alert);
    t.equal(annotations.runbook, `docs/runbook.md#${alert.toLowerCase()}`);
    const section = runbook.split(/^## /m).find((text) => text.startsWith(`${alert}\n`)) ?? "";
    t.match(section, /- Users see: \S[^]*- Do: \S/, `${alert}: what users see, what to do`);
    t.match(
      section,
      new RegExp(`^${{ page: "Page", ticket: "Ticket", none: "Told to nobody" }[labels.severity]}\\.`, "m"),
    );
  }
  t.same(
    sections.filter((name) => !names.includes(name)),
    ["DeliveryTest"],
    "no section without an alert",
  );
});

t.test("rules name metrics that there are", async (t) => {
  const suffixes = { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] } as const;
  const known = new Set(
    CATALOGUE.flatMap(({ name, type }) => suffixes[type].map((suffix) => METRIC_PREFIX + name + suffix)),
  );
  for (const { alert, expr } of allRules)
    for (const [name] of expr.matchAll(/\bhongbao_\w+/g)) t.ok(known.has(name), `${alert}: ${name}`);
});

const TOPOLOGY: ScrapedTopology = {
  balancer: { admin: "10.0.0.9:9002" },
  controllers: [{ id: "c0", admin: "10.0.0.9:9003" }],
  buckets: [
    {
      id: "b0",
      redis: { url: "redis://10.0.0.1:6379" },
      services: [{ id: "s0", admin: "10.0.0.1:7002" }],
      persist: [{ id: "p0", admin: "10.0.0.1:7012" }],
      payout: [{ id: "pay0", admin: "10.0.0.1:7022" }],
    },
    {
      id: "b1",
      redis: { url: "rediss://10.0.0.2:6379" },
      services: { discover: "hongbao-b1" },
      persist: [],
      payout: [],
    },
  ],
};

t.test("promtool accepts Prometheus' configuration, which names every process of the topology", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-rules-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "prometheus.yml");
  const text = prometheusConfig({
    topology: TOPOLOGY,
    exporters: { node: ["10.0.0.1:9100"], redis: "10.0.0.9:9121", mysql: { b0: "10.0.0.9:9104" } },
    alertmanagers: ["10.0.0.9:9093"],
    rules: [join(RULES, "*.yml")],
    targetsDir: dir,
  });
  writeFileSync(path, text);
  writeFileSync(join(dir, "services-b1.json"), "[]");
  run("promtool", "check", "config", path);
  const { scrape_configs } = parse(text) as { scrape_configs: Record<string, unknown>[] };
  const [ours, , redis] = scrape_configs;
  t.same(ours?.["static_configs"], [
    { targets: ["10.0.0.9:9002"], labels: { role: "balancer" } },
    { targets: ["10.0.0.9:9003"], labels: { role: "controller", id: "c0" } },
    { targets: ["10.0.0.1:7002"], labels: { role: "grab", id: "s0", bucket: "b0" } },
    { targets: ["10.0.0.1:7012"], labels: { role: "persist", id: "p0", bucket: "b0" } },
    { targets: ["10.0.0.1:7022"], labels: { role: "payout", id: "pay0", bucket: "b0" } },
  ]);
  t.match(ours, { honor_labels: true, file_sd_configs: [{ files: [join(dir, "services-b1.json")] }] });
  t.match(redis, { static_configs: [{ labels: { bucket: "b0" } }, { labels: { bucket: "b1" } }] });
});

const RECEIVERS: AlertReceivers = {
  mail: {
    to: ["ops@example.com", "boss@example.com"],
    from: "hongbao@example.com",
    smarthost: "smtp.example.com:587",
    username: "hongbao",
    passwordFile: "/run/secrets/smtp",
    requireTls: true,
  },
  phone: {
    webhook: { url: "https://phone.example.com/hook", tokenFile: "/run/secrets/phone" },
    sns: { topicArn: "arn:aws:sns:eu-central-1:123456789012:page", region: "eu-central-1" },
  },
  heartbeat: { url: "https://heartbeat.example.com/1" },
};

t.test("amtool accepts Alertmanager's configuration, with everybody in it and with nobody", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-rules-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  for (const [name, receivers] of Object.entries({ all: RECEIVERS, none: {} })) {
    const path = join(dir, `${name}.yml`);
    writeFileSync(path, alertmanagerConfig(receivers));
    run("amtool", "check-config", path);
    if (name === "none") continue;
    const routed = (...labels: string[]) =>
      run("amtool", "config", "routes", "test", `--config.file=${path}`, ...labels).trim();
    t.equal(routed("alertname=RedisDown", "severity=page", "bucket=b0"), "phone,mail");
    t.equal(routed("alertname=MysqlSlow", "severity=ticket", "bucket=b0"), "mail");
    t.equal(routed("alertname=Watchdog", "severity=none"), "heartbeat");
    t.equal(routed("alertname=QuietHours", "severity=none"), "nobody");
  }
});

t.test("what follows from a bucket's trouble is not told beside it", async (t) => {
  const { inhibit_rules } = parse(alertmanagerConfig(RECEIVERS)) as {
    inhibit_rules: { source_matchers: [string]; target_matchers: [string]; equal: string[] }[];
  };
  const names = new Set(allRules.map(({ alert }) => alert));
  for (const { source_matchers, target_matchers } of inhibit_rules) {
    for (const matcher of [...source_matchers, ...target_matchers].filter((text) =>
      text.startsWith("alertname"),
    )) {
      const listed = /"(.*)"/.exec(matcher)![1]!.split("|");
      for (const name of listed) t.ok(names.has(name), `${name} is an alert`);
    }
  }
  const holds = (source: string, target: string) =>
    inhibit_rules.some(
      (rule) => rule.source_matchers[0].includes(source) && rule.target_matchers[0].includes(target),
    );
  t.ok(holds("RedisDown", "GrabsBusy"));
  t.ok(holds("BucketDown", "RedisDown"));
  t.ok(holds("QuietHours", 'severity="ticket"'));
  t.notOk(
    inhibit_rules.some((rule) => rule.target_matchers[0].includes('severity="page"')),
    "pages are never held back",
  );
});
