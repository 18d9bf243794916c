/**
 * Configurations of the images of Prometheus and Alertmanager, from the same source as those of a local cluster (monitoring/). What
 * differs from event to event are words that the images' entry scripts put in. After a change: node infra/images/monitoring-config.ts
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { alertmanagerConfig, prometheusConfig } from "@hongbao/monitoring";

/** What the entry scripts replace, by the environment variable that has the value. */
export const WORDS = {
  HONGBAO_NAMESPACE: "namespace.internal",
  AWS_REGION: "region-of-topics",
  PAGE_TOPIC_ARN: "arn-of-page-topic",
  TICKET_TOPIC_ARN: "arn-of-ticket-topic",
} as const;

/** Controllers' ids and admin port, as Terraform has them (terraform/modules/controller). */
const CONTROLLERS = ["c0", "c1"];
const ADMIN_PORT = 9100;
const HEAD = "# Written by infra/images/monitoring-config.ts; changes belong in monitoring/src.\n";

const topic = (topicArn: string) => ({ topicArn, region: WORDS.AWS_REGION });

export const FILES: Readonly<Record<string, string>> = {
  "prometheus.yml":
    HEAD +
    prometheusConfig({
      topology: {
        targetUrls: CONTROLLERS.map((id) => `http://${id}.${WORDS.HONGBAO_NAMESPACE}:${ADMIN_PORT}/targets`),
      },
      // Of the stores and the machines CloudWatch tells.
      exporters: { node: [], redis: null, mysql: {} },
      alertmanagers: ["127.0.0.1:9093"],
      rules: ["/etc/prometheus/rules/*.yml"],
    }),
  "alertmanager.yml":
    HEAD +
    alertmanagerConfig({
      mailTopic: topic(WORDS.TICKET_TOPIC_ARN),
      phone: { sns: topic(WORDS.PAGE_TOPIC_ARN) },
    }),
};

if (process.argv[1] === import.meta.filename) {
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(import.meta.dirname, name), text);
}
