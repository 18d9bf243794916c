/** Quotas and subscriptions, against an AWS that behaves badly. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { awsQuota, awsSubscriptions } from "@hongbao/preprocess";
import { startFakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { judge, type CheckReport } from "../../src/operate/preflight/command.ts";
import { CHECKS } from "../../src/operate/preflight/list.ts";
import type { Scene } from "../../src/operate/preflight/scene.ts";

const POLICY = { tries: 5, timeoutMs: 200, pauseMs: 1 };
const TOPIC = "arn:aws:sns:ap-southeast-1:123456789012:hongbao-page";

interface Account {
  quotas: Record<string, { value: number; used?: number; onlyDefault?: boolean }>;
  subscriptions: { protocol: string; endpoint: string; arn: string }[];
  sandbox: boolean;
  /** What befalls the next requests. */
  mishaps: ("500" | "throttled" | "lost" | "hang")[];
  /** Refused for good. */
  denied: string;
}

/** Service Quotas, CloudWatch and SNS as far as they are asked; signatures are looked at by fake-aws.ts' own test. */
async function startAccount(t: Test): Promise<Account> {
  await startFakeAws(t);
  const account: Account = { quotas: {}, subscriptions: [], sandbox: false, mishaps: [], denied: "" };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const mishap = account.mishaps.shift();
      if (mishap === "lost") return void request.socket.destroy();
      if (mishap === "hang") return;
      const answer = (status: number, text: string): void => void response.writeHead(status).end(text);
      if (mishap === "500") return answer(500, "InternalError");
      if (mishap === "throttled") return answer(400, '{"__type":"ThrottlingException"}');
      if (!/^AWS4-HMAC-SHA256 /.test(request.headers.authorization ?? "")) return answer(403, "unsigned");
      const target = String(request.headers["x-amz-target"] ?? "");
      const form = new URLSearchParams(body);
      const action = target === "" ? (form.get("Action") ?? "") : target.split(".")[1]!;
      if (account.denied === action) return answer(400, '{"__type":"AccessDeniedException"}');
      answer(
        ...work(
          account,
          action,
          target === "" ? form : new Map(Object.entries(JSON.parse(body) as Record<string, string>)),
        ),
      );
    });
  });
  const url = await listen(t, server);
  const names = ["SERVICE_QUOTAS", "CLOUDWATCH", "SNS"].map((name) => `AWS_ENDPOINT_URL_${name}`);
  for (const name of names) process.env[name] = url;
  t.teardown(() => {
    for (const name of names) delete process.env[name];
  });
  return account;
}

async function listen(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => (server.closeAllConnections(), void server.close()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function work(
  account: Account,
  action: string,
  asked: { get(name: string): string | null | undefined },
): [number, string] {
  const text = (name: string): string => asked.get(name) ?? "";
  const quota = account.quotas[text("QuotaCode")];
  switch (action) {
    case "GetServiceQuota":
    case "GetAWSDefaultServiceQuota": {
      if (quota === undefined || (quota.onlyDefault && action === "GetServiceQuota"))
        return [400, '{"__type":"NoSuchResourceException"}'];
      const dimensions = { Service: text("QuotaCode") };
      const metric = {
        MetricNamespace: "AWS/Usage",
        MetricName: "ResourceCount",
        MetricDimensions: dimensions,
      };
      const used = quota.used === undefined ? {} : { UsageMetric: metric };
      return [200, JSON.stringify({ Quota: { Value: quota.value, ...used } })];
    }
    case "GetMetricStatistics": {
      const used = account.quotas[text("Dimensions.member.1.Value")]!.used!;
      const point = (at: string, maximum: number): string =>
        `<member><Timestamp>${at}</Timestamp><Maximum>${maximum}</Maximum></member>`;
      return [
        200,
        `<r>${point("2027-01-01T00:05:00Z", used)}${point("2027-01-01T00:00:00Z", used * 10)}</r>`,
      ];
    }
    case "ListSubscriptionsByTopic": {
      // Pages of one.
      const at = Number(text("NextToken") || 0);
      const each = account.subscriptions[at];
      const member =
        each === undefined
          ? ""
          : `<member><Protocol>${each.protocol}</Protocol><SubscriptionArn>${each.arn}</SubscriptionArn><Endpoint>${each.endpoint}</Endpoint></member>`;
      const more = at + 1 < account.subscriptions.length ? `<NextToken>${at + 1}</NextToken>` : "";
      return [200, `<r>${member}${more}</r>`];
    }
    default:
      return [200, `<r><IsInSandbox>${account.sandbox}</IsInSandbox></r>`];
  }
}

t.test("each call is asked again when AWS has no time, and told when it says no", async (t) => {
  const account = await startAccount(t);
  account.quotas["L-1"] = { value: 100, used: 40 };
  account.mishaps = ["500", "throttled", "lost", "hang"];
  t.same(await awsQuota("x", "L-1", POLICY), { value: 100, used: 40 }, "the newest figure");
  account.quotas["L-2"] = { value: 5, onlyDefault: true };
  t.same(await awsQuota("x", "L-2", POLICY), { value: 5, used: null }, "one that nobody has raised");
  account.mishaps = ["500", "500", "500", "500", "500"];
  await t.rejects(awsQuota("x", "L-1", POLICY), { message: /servicequotas: found the answer 500/ });
  account.denied = "ListSubscriptionsByTopic";
  await t.rejects(awsSubscriptions(TOPIC, POLICY), { message: /AccessDenied/ });
});

t.test("quotas and subscriptions: go, and each way to fail with what mends it", async (t) => {
  const account = await startAccount(t);
  const config = JSON.stringify({ config: { original: `sns_configs: [{ topic_arn: "${TOPIC}" }]` } });
  const alertmanager = await listen(
    t,
    createServer((_, response) => response.end(config)),
  );
  const scene = {
    onAws: true,
    alertmanager,
    topology: { path: "t" },
    pack: { manifest: { event: { id: "e" } } },
    processes: Array.from({ length: 12 }, () => ({})),
    buckets: [{}, {}],
  } as unknown as Scene;
  const look = async (): Promise<Record<string, CheckReport>> => {
    const checks = CHECKS.filter(({ id }) => id === "quotas" || id === "subscriptions");
    return Object.fromEntries((await judge(scene, checks)).checks.map((check) => [check.id, check]));
  };
  account.quotas = {
    "L-3032A538": { value: 100, used: 40 },
    "L-DFE45DF3": { value: 300 },
    "L-7B6409FD": { value: 40, used: 2 },
  };
  account.subscriptions = [
    { protocol: "email", endpoint: "night@example.com", arn: `${TOPIC}:1` },
    { protocol: "sms", endpoint: "+8613800000000", arn: `${TOPIC}:2` },
  ];
  const good = await look();
  t.match(good["quotas"], {
    state: "go",
    seen: "ElastiCache nodes 4 of 300, Fargate vCPUs 40 of 100, RDS instances 2 of 40",
  });
  t.match(good["subscriptions"], { state: "go", seen: "2 confirmed subscriptions" });

  account.quotas["L-3032A538"] = { value: 100, used: 95 };
  account.quotas["L-DFE45DF3"] = { value: 4 };
  account.subscriptions[0]!.arn = "PendingConfirmation";
  account.sandbox = true;
  const bad = await look();
  t.equal(bad["quotas"]!.state, "no-go");
  const faultOf = (what: RegExp) => bad["quotas"]!.faults.find((fault) => what.test(fault.what));
  t.match(faultOf(/Fargate vCPUs: 95 of 100 are in use/)?.mend, /quota-increase --service-code fargate/);
  t.match(faultOf(/ElastiCache nodes: 4 of 4/)?.mend, /--quota-code L-DFE45DF3/);
  t.match(bad["subscriptions"], {
    state: "no-go",
    faults: [
      { what: `email night@example.com has not confirmed ${TOPIC}`, mend: /follows the link/ },
      { what: /SMS sandbox/, mend: /production access/ },
    ],
  });
  account.subscriptions = [];
  t.match((await look())["subscriptions"], {
    faults: [{ what: `${TOPIC} tells nobody`, mend: /terraform\/base/ }],
  });
  account.denied = "GetServiceQuota";
  t.match((await look())["quotas"], {
    state: "no-go",
    faults: [{ what: /AccessDenied/, mend: /servicequotas:GetServiceQuota/ }],
  });
});
