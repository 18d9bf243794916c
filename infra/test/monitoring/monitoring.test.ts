import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t, { type Test } from "tap";
import { CATALOGUE, METRIC_PREFIX } from "@hongbao/monitoring";
import { startTestCluster, temporaryState, tryHongbao, waitUntil, type TestCluster } from "@hongbao/infra";
import { openBrowser, pictureFolder, visit, DESKTOP } from "../../../balancer/test/site/browser.ts";
import { alertQueries, EMPTY_HERE, panelQueries, type Asked } from "./panels.ts";
import { mailSink, webhookSink } from "./sinks.ts";

t.setTimeout(300_000);

/** So long an alert may take from the fault to the phone, with the rules' own durations. */
const ALERT_MS_MAX = 30_000;
const USERS = 2_000;
/** Two buckets of a service, a persist and a payout process; two controllers; the balancer. */
const PROCESSES = 9;

interface Sample {
  metric: Record<string, string>;
  value: [number, string];
}

async function ask<T>(url: string): Promise<T> {
  const body = (await (await fetch(url)).json()) as { status: string; data: T; error?: string };
  if (body.status !== "success") throw new Error(`${url}: ${body.error}`);
  return body.data;
}

async function query(prometheus: string, expr: string): Promise<Sample[]> {
  const { result } = await ask<{ result: Sample[] | [number, string] }>(
    `${prometheus}/api/v1/query?query=${encodeURIComponent(expr)}`,
  );
  return result as Sample[];
}

/** What is wrong with the answer to a query, or null. */
async function fault(prometheus: string, { where, expr, labels }: Asked): Promise<string | null> {
  const found = await query(prometheus, expr);
  if (found.length === 0) {
    return EMPTY_HERE.some(([pattern]) => pattern.test(expr)) ? null : `${where}: no data: ${expr}`;
  }
  const bare = found.find(({ metric }) => labels.some((label) => (metric[label] ?? "") === ""));
  return bare === undefined
    ? null
    : `${where}: ${JSON.stringify(bare.metric)} lacks one of ${labels.join()}: ${expr}`;
}

t.test("a cluster with its monitoring", async (t) => {
  const dir = temporaryState(t);
  const [phone, post] = [await webhookSink(t), await mailSink(t)];
  const alerts = join(dir, "alerts.yaml");
  writeFileSync(
    alerts,
    [
      `mail: { to: [ops@example.com], from: hongbao@example.com, smarthost: "${post.address}", tls: none }`,
      `phone: { webhook: { url: "${phone.url}" } }`,
      // The rules keep their own durations; only messages are gathered for a shorter time than on the night.
      "timing: { groupWaitSeconds: 1, groupIntervalSeconds: 3 }",
      "",
    ].join("\n"),
  );
  const cluster = await startTestCluster(t, { services: 1, opensIn: 1, monitoring: { alerts } });
  const { prometheus, dashboards } = cluster.now().monitoring!;
  // A counter shows its growth from its second scrape on.
  await waitUntil(
    async () => (await query(prometheus, 'count_over_time(up{job="hongbao"}[1m]) >= 2')).length === PROCESSES,
    { what: "two scrapes of every process", timeoutMsMax: 30_000, intervalMs: 250 },
  );
  const load = cluster.hongbao(["rehearse", "--users", String(USERS), "--no-verify", "--json"]);

  await t.test("alerts reach phone and mailbox when somebody tries", async (t) => {
    const { code, stdout, stderr } = await tryHongbao(["alert", "test", "--state", cluster.state]);
    t.equal(code, 0, stderr);
    t.same(stdout.trim().split("\n"), ["mail: delivered", "phone (webhook): delivered"]);
    t.match(phone.messages[0]?.alerts[0]?.labels, { alertname: "DeliveryTest" });
    t.match(post.mails[0], /This is a test: alerts arrive/);
  });

  const { code, stderr } = await load;
  t.equal(code, 0, stderr);

  await t.test("every panel and every alert finds its data", async (t) => {
    // The books are read every five seconds, exporters asked as often.
    await waitUntil(
      async () => {
        const [claimed] = await query(prometheus, "sum(max by (bucket, round) (hongbao_prizes_claimed))");
        return (
          Number(claimed?.value[1]) >= USERS &&
          (await query(prometheus, "rate(redis_commands_processed_total[1m])")).length > 0
        );
      },
      { what: "all claims in the metrics", timeoutMsMax: 30_000, intervalMs: 500 },
    );
    const { groups } = await ask<{
      groups: {
        rules: { name: string; query: string; health: string; annotations: { summary: string } }[];
      }[];
    }>(`${prometheus}/api/v1/rules`);
    const rules = groups.flatMap((group) => group.rules);
    t.same(
      rules.filter(({ health }) => health === "err"),
      [],
    );
    const asked = [...panelQueries(), ...alertQueries(rules)];
    t.ok(asked.length > 200, `${asked.length} queries`);
    const faults: string[] = [];
    for (const each of asked)
      faults.push(...(await fault(prometheus, each).then((found) => (found ? [found] : []))));
    t.same(faults, []);
    for (const { name, type } of CATALOGUE) {
      const found = await query(
        prometheus,
        `count(${METRIC_PREFIX}${name}${type === "histogram" ? "_count" : ""})`,
      );
      if (found.length === 0) t.match(NEVER_HERE, { [name]: /./ }, `${name} is told by somebody`);
    }
    const [slowest] = await query(
      prometheus,
      'max(max_over_time(scrape_duration_seconds{job="hongbao", role="grab"}[2m]))',
    );
    t.comment(`slowest scrape of a service: ${(Number(slowest!.value[1]) * 1000).toFixed(1)} ms`);
  });

  await t.test("the page draws the dashboards", (t) => drawAll(t, dashboards));

  await t.test("a bucket's Redis is killed: one page and one mail, and both when it is over", async (t) => {
    const { pid, processes } = cluster.now();
    const of = (status: string) =>
      phone.messages.filter((message) => message.status === status && isRedisDown(message));
    const mailsOf = (status: string) =>
      post.mails.filter((mail) => /RedisDown/.test(mail) && mail.includes(`[${status}]`));
    // Frozen, `up` does not start it again.
    process.kill(pid, "SIGSTOP");
    const killedAtMs = performance.now();
    try {
      process.kill(processes.redis["b0"]!.pid, "SIGKILL");
      const isTold = async () => of("firing").length > 0 && mailsOf("firing").length > 0;
      await waitUntil(isTold, { what: "the alert", timeoutMsMax: 2 * ALERT_MS_MAX });
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const tookMs = performance.now() - killedAtMs;
    t.ok(tookMs < ALERT_MS_MAX, `told after ${(tookMs / 1000).toFixed(1)} s`);
    t.match(of("firing")[0]?.alerts, [
      { labels: { alertname: "RedisDown", bucket: "b0", severity: "page" } },
    ]);
    const isOver = async () => of("resolved").length > 0 && mailsOf("resolved").length > 0;
    await waitUntil(isOver, { what: "the end of the alert", timeoutMsMax: 60_000 });
    t.comment(
      `told after ${(tookMs / 1000).toFixed(1)} s, over after ${((performance.now() - killedAtMs) / 1000).toFixed(1)} s`,
    );
    t.equal(of("firing").length, 1, "one page");
    t.equal(mailsOf("firing").length, 1, "one mail");
  });

  await audited(t, cluster);
});

const isRedisDown = ({ alerts }: { alerts: { labels: Record<string, string> }[] }): boolean =>
  alerts.some(({ labels }) => labels["alertname"] === "RedisDown");

/** Metrics of the catalogue that this cluster does not tell, and why. */
const NEVER_HERE: Readonly<Record<string, string>> = {
  payout_target_seconds: "the built-in ledger pays",
  balancer_certificate_expires_at_seconds: "there is no TLS",
  balancer_reloads_total: "nothing was reloaded",
};

async function audited(t: Test, cluster: TestCluster): Promise<void> {
  const { code, stderr } = await cluster.hongbao(["audit"]);
  t.equal(code, 0, stderr);
}

async function drawAll(t: Test, dashboards: string): Promise<void> {
  const browser = await openBrowser().catch((error: Error) => error);
  if (browser instanceof Error) return void t.comment(browser.message);
  t.teardown(() => browser.close());
  const list = (await (await fetch(`${dashboards}dashboards.json`)).json()) as {
    uid: string;
    panels: { type: string }[];
  }[];
  // All of them where somebody wants the pictures.
  for (const { uid, panels } of process.env.HONGBAO_PICTURES ? list : list.slice(0, 2)) {
    const { page, wrong, close } = await visit(browser, `${dashboards}d/${uid}?range=5m`, {
      ...DESKTOP,
      viewport: { width: 1600, height: 1000 },
    });
    await page.waitForSelector("body[data-drawn]");
    await sleep(100);
    t.same(wrong, []);
    t.equal(await page.locator("section").count(), panels.filter(({ type }) => type !== "row").length, uid);
    t.same(
      await page.locator(".empty", { hasText: /[a-z]{3,}.*(error|answer|invalid)/i }).allTextContents(),
      [],
    );
    await page.screenshot({ path: join(await pictureFolder(), `${uid}.png`), fullPage: true });
    await close();
  }
}
