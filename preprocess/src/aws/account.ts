/**
 * What an account lets us have, and who its topics tell: Service Quotas, CloudWatch (how much is in use), SNS. Few requests by
 * hand, as docs/decisions/0023 has it; each is asked again, bounded, when AWS has no time or no answer comes.
 */
import { Unreachable } from "../errors.ts";
import { awsCredentials, awsRegion } from "./credentials.ts";
import { pause, type Policy } from "./s3.ts";
import { sign } from "./sign.ts";

export interface AwsQuota {
  value: number;
  /** As CloudWatch saw it last; null: it does not count this one. */
  used: number | null;
}

export interface AwsSubscription {
  /** email, sms, … */
  protocol: string;
  endpoint: string;
  confirmed: boolean;
}

const POLICY: Policy = { tries: 5, timeoutMs: 3_000, pauseMs: 100 };
/** AWS says so with status 400, too. */
const THROTTLED = /Throttl|TooManyRequests|RequestLimitExceeded/;
/** Usage is told every five minutes. */
const USAGE_MS = 3_600_000;
const PAGES_MAX = 100;

interface Ask {
  service: "servicequotas" | "monitoring" | "sns";
  headers: Record<string, string>;
  body: string;
}

/** A service's own endpoint, where the environment names one. */
const ENDPOINTS = {
  servicequotas: "AWS_ENDPOINT_URL_SERVICE_QUOTAS",
  monitoring: "AWS_ENDPOINT_URL_CLOUDWATCH",
  sns: "AWS_ENDPOINT_URL_SNS",
} as const;

/** The text of a good answer. Errors: AwsRefused, Unreachable. */
async function ask({ service, headers, body }: Ask, policy: Policy): Promise<string> {
  const region = awsRegion();
  const url = new URL(process.env[ENDPOINTS[service]] ?? `https://${service}.${region}.amazonaws.com/`);
  let failure = new Unreachable(`AWS ${service}: not asked`);
  for (let tries = 0; tries < policy.tries; tries += 1) {
    if (tries > 0) await pause(policy, tries);
    const credentials = await awsCredentials();
    const signed = sign({ method: "POST", url, headers, body, service, region, credentials });
    try {
      const signal = AbortSignal.timeout(policy.timeoutMs);
      const response = await fetch(url, { method: "POST", headers: signed, body, signal });
      const text = await response.text();
      if (response.ok) return text;
      const why = `AWS ${service}: found the answer ${response.status} ${text.slice(0, 300)}`;
      if (response.status < 500 && response.status !== 429 && !THROTTLED.test(text))
        throw new AwsRefused(why);
      failure = new Unreachable(why);
    } catch (error) {
      if (error instanceof AwsRefused) throw error;
      const cause = (error as { cause?: { code?: string } }).cause?.code;
      failure = new Unreachable(`AWS ${service}: ${cause ?? (error as Error).message}`, { cause: error });
    }
  }
  throw failure;
}

/** Asked rightly, and refused: no permission, no such thing. Asking again is of no use. */
class AwsRefused extends Unreachable {}

/** Errors: Unreachable. */
export async function awsQuota(serviceCode: string, quotaCode: string, policy = POLICY): Promise<AwsQuota> {
  const get = async (action: string): Promise<AwsQuota> => {
    const text = await ask(
      {
        service: "servicequotas",
        headers: {
          "content-type": "application/x-amz-json-1.1",
          "x-amz-target": `ServiceQuotasV20190624.${action}`,
        },
        body: JSON.stringify({ ServiceCode: serviceCode, QuotaCode: quotaCode }),
      },
      policy,
    );
    const { Quota: quota } = JSON.parse(text) as { Quota: { Value: number; UsageMetric?: UsageMetric } };
    const used = quota.UsageMetric === undefined ? null : await usageOf(quota.UsageMetric, policy);
    return { value: quota.Value, used };
  };
  try {
    return await get("GetServiceQuota");
  } catch (error) {
    // One that nobody has ever raised may be known by its default only.
    if (!(error instanceof AwsRefused) || !error.message.includes("NoSuchResource")) throw error;
    return get("GetAWSDefaultServiceQuota");
  }
}

interface UsageMetric {
  MetricNamespace: string;
  MetricName: string;
  MetricDimensions?: Record<string, string>;
}

async function usageOf(metric: UsageMetric, policy: Policy): Promise<number | null> {
  const now = Date.now();
  const dimensions = Object.entries(metric.MetricDimensions ?? {}).flatMap(([name, value], index) => [
    [`Dimensions.member.${index + 1}.Name`, name],
    [`Dimensions.member.${index + 1}.Value`, value],
  ]);
  const text = await ask(
    query("monitoring", {
      Action: "GetMetricStatistics",
      Version: "2010-08-01",
      Namespace: metric.MetricNamespace,
      MetricName: metric.MetricName,
      StartTime: new Date(now - USAGE_MS).toISOString(),
      EndTime: new Date(now).toISOString(),
      Period: "300",
      "Statistics.member.1": "Maximum",
      ...(Object.fromEntries(dimensions) as Record<string, string>),
    }),
    policy,
  );
  const points = Array.from(text.matchAll(/<member>([^]*?)<\/member>/g), ([, member]) => ({
    at: field(member!, "Timestamp"),
    maximum: Number(field(member!, "Maximum")),
  }));
  const newest = points.sort((a, b) => (a.at < b.at ? -1 : 1)).at(-1);
  return newest?.maximum ?? null;
}

function query(service: Ask["service"], parameters: Record<string, string>): Ask {
  return {
    service,
    headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
    body: new URLSearchParams(parameters).toString(),
  };
}

const field = (xml: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? "";

/** Who a topic tells. Errors: Unreachable. */
export async function awsSubscriptions(topicArn: string, policy = POLICY): Promise<AwsSubscription[]> {
  const found: AwsSubscription[] = [];
  let token = "";
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const parameters = { Action: "ListSubscriptionsByTopic", Version: "2010-03-31", TopicArn: topicArn };
    const text = await ask(
      query("sns", { ...parameters, ...(token === "" ? {} : { NextToken: token }) }),
      policy,
    );
    for (const [, member] of text.matchAll(/<member>([^]*?)<\/member>/g)) {
      found.push({
        protocol: field(member!, "Protocol"),
        endpoint: field(member!, "Endpoint"),
        confirmed: field(member!, "SubscriptionArn").startsWith("arn:"),
      });
    }
    token = field(text, "NextToken");
    if (token === "") break;
  }
  return found;
}

/** Whether short messages reach verified numbers only. Errors: Unreachable. */
export async function awsSmsSandbox(policy = POLICY): Promise<boolean> {
  const text = await ask(
    query("sns", { Action: "GetSMSSandboxAccountStatus", Version: "2010-03-31" }),
    policy,
  );
  return field(text, "IsInSandbox") === "true";
}
