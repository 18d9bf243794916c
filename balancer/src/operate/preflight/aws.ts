/** What the AWS account still gives, and whom its topics tell. */
import { awsQuota, awsSmsSandbox, awsSubscriptions } from "@hongbao/preprocess";
import { counted, skipped, type Check, type Fault } from "./check.ts";
import { reasonOf, type Scene } from "./scene.ts";

const NOT_HERE = "nothing of this topology stands in AWS";
/** Room for a process that is replaced, and for more of them while the event runs. */
const USED_PART_MAX = 0.9;
const ASK_MS_MAX = 5_000;

interface Quota {
  service: string;
  code: string;
  what: string;
  /** What this topology has at least. */
  needed: (scene: Scene) => number;
}

const QUOTAS: Quota[] = [
  {
    service: "fargate",
    code: "L-3032A538",
    what: "Fargate vCPUs",
    // A quarter of a vCPU is the smallest task there is.
    needed: ({ processes }) => processes.length / 4,
  },
  {
    service: "elasticache",
    code: "L-DFE45DF3",
    what: "ElastiCache nodes",
    needed: ({ buckets }) => 2 * buckets.length,
  },
  { service: "rds", code: "L-7B6409FD", what: "RDS instances", needed: ({ buckets }) => buckets.length },
];

export const quotas: Check = {
  id: "quotas",
  what: "the account's quotas leave room to replace what fails",
  mend: "ask for more in Service Quotas, in this region (some take a day)",
  async run(scene) {
    if (!scene.onAws) return skipped(NOT_HERE);
    const faults: Fault[] = [];
    const seen: string[] = [];
    await Promise.all(
      QUOTAS.map(async ({ service, code, what, needed }) => {
        try {
          const { value, used } = await awsQuota(service, code);
          const taken = Math.max(used ?? 0, needed(scene));
          seen.push(`${what} ${Math.ceil(taken)} of ${value}`);
          if (taken <= value * USED_PART_MAX) return;
          faults.push({
            what: `${what}: ${Math.ceil(taken)} of ${value} are in use, expected ${USED_PART_MAX * 100} % at most`,
            mend: `aws service-quotas request-service-quota-increase --service-code ${service} --quota-code ${code} --desired-value ${Math.ceil(taken * 1.5)}`,
          });
        } catch (error) {
          faults.push({
            what: `${what}: ${reasonOf(error)}`,
            mend: "may this task call servicequotas:GetServiceQuota and cloudwatch:GetMetricStatistics?",
          });
        }
      }),
    );
    return { faults, seen: seen.sort().join(", ") };
  },
};

export const subscriptions: Check = {
  id: "subscriptions",
  what: "every topic that alerts go to tells somebody who has confirmed it",
  mend: "enter them in terraform/base (email_addresses, phone_numbers) and apply",
  async run(scene) {
    if (!scene.onAws) return skipped(NOT_HERE);
    if (scene.alertmanager === null)
      return {
        faults: ["the topics stand in Alertmanager, and none is known (--alertmanager URL)"],
        seen: "",
      };
    const faults: Fault[] = [];
    let people = 0;
    try {
      const topics = await topicsOf(scene.alertmanager);
      if (topics.length === 0) faults.push({ what: "Alertmanager names no SNS topic" });
      let texts = false;
      for (const topic of topics) {
        const found = await awsSubscriptions(topic);
        const confirmed = found.filter((each) => each.confirmed);
        people += confirmed.length;
        texts ||= found.some(({ protocol }) => protocol === "sms");
        if (confirmed.length === 0) faults.push({ what: `${topic} tells nobody` });
        for (const { protocol, endpoint } of found.filter((each) => !each.confirmed))
          faults.push({
            what: `${protocol} ${endpoint} has not confirmed ${topic}`,
            mend: `whoever has ${endpoint} follows the link in the mail of AWS; or: aws sns subscribe --topic-arn ${topic} --protocol ${protocol} --notification-endpoint ${endpoint}`,
          });
      }
      if (texts && (await awsSmsSandbox()))
        faults.push({
          what: "the account is in the SMS sandbox: only verified numbers get a message, for 1 USD a month",
          mend: 'ask SNS support for "production access" and a spend limit (docs/operations.md)',
        });
    } catch (error) {
      faults.push({
        what: reasonOf(error),
        mend: "may this task call sns:ListSubscriptionsByTopic and sns:GetSMSSandboxAccountStatus?",
      });
    }
    return { faults, seen: counted(people, "confirmed subscription") };
  },
};

async function topicsOf(alertmanager: string): Promise<string[]> {
  const url = `${alertmanager.replace(/\/$/, "")}/api/v2/status`;
  const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
  const { config } = (await response.json()) as { config: { original: string } };
  const found = config.original.matchAll(/topic_arn:\s*"?(arn:[^\s"]+)"?/g);
  return [...new Set(Array.from(found, ([, arn]) => arn!))];
}
