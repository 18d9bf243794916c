/**
 * Alertmanager's configuration: who hears of what. A page goes to the phone (webhook, SMS by SNS) and by mail, a ticket by mail only.
 * One bucket in trouble is one message, and what follows from its trouble is not told beside it.
 */
import { stringify } from "yaml";

export interface Topic {
  topicArn: string;
  region: string;
}

export interface AlertReceivers {
  mail?: {
    to: readonly string[];
    from: string;
    /** host:port */
    smarthost: string;
    username?: string;
    passwordFile?: string;
    /** False only for a server on the own machine. */
    requireTls: boolean;
  };
  /** In place of mail by a server of one's own: a topic whose subscribers get mail. */
  mailTopic?: Topic;
  phone?: {
    /** Gets Alertmanager's JSON by POST: most services that call phones take it. */
    webhook?: { url: string; tokenFile?: string };
    /** A topic whose subscribers get an SMS. */
    sns?: Topic;
  };
  /** Is called for as long as the monitoring works; whoever waits there tells when it stops. */
  heartbeat?: { url: string; everySeconds?: number };
  timing?: {
    /** What comes within this time goes into the first message. */
    groupWaitSeconds?: number;
    /** News of a message that was sent, also that it is over, wait so long. */
    groupIntervalSeconds?: number;
    /** Told again, while it goes on. */
    repeatMinutes?: number;
  };
}

export const alertPolicy = {
  groupWaitSeconds: 5,
  groupIntervalSeconds: 15,
  repeatMinutes: 30,
  heartbeatSeconds: 60,
} as const;

/** The label that `hongbao alert test` sets, so that its messages are told apart from real ones. */
export const TEST_LABEL = "delivery_test";

/** Of the messages' texts. Templates are Go's; a text message is short. */
const SUBJECT = `[{{ .Status }}] {{ if gt (len .Alerts) 1 }}{{ len .Alerts }} alerts: {{ end }}{{ (index .Alerts 0).Annotations.summary }}`;
const TEXT = `{{ range .Alerts }}[{{ .Status }}] {{ .Labels.severity }} {{ .Labels.alertname }}
{{ .Annotations.summary }}
since {{ .StartsAt }}
what to do: {{ .Annotations.runbook }}

{{ end }}`;
/** A topic takes at most 100 letters of ASCII. */
const TOPIC_SUBJECT = `Hongbao {{ .Status }} {{ .CommonLabels.alertname }}`;
const SHORT = `{{ .Status }}: {{ range .Alerts }}{{ .Annotations.summary }}. {{ end }}`;

/** The text of alertmanager.yml. */
export function alertmanagerConfig(receivers: AlertReceivers): string {
  const { mail, mailTopic, phone, heartbeat, timing = {} } = receivers;
  const { groupWaitSeconds, groupIntervalSeconds, repeatMinutes } = { ...alertPolicy, ...timing };
  const heartbeatEvery = `${heartbeat?.everySeconds ?? alertPolicy.heartbeatSeconds}s`;
  return stringify(
    {
      global: { resolve_timeout: "1m" },
      route: {
        receiver: "mail",
        group_by: ["bucket", "severity", TEST_LABEL],
        group_wait: `${groupWaitSeconds}s`,
        group_interval: `${groupIntervalSeconds}s`,
        repeat_interval: `${repeatMinutes}m`,
        routes: [
          {
            receiver: "heartbeat",
            matchers: ['alertname="Watchdog"'],
            group_wait: "0s",
            group_interval: heartbeatEvery,
            repeat_interval: heartbeatEvery,
          },
          { receiver: "nobody", matchers: ['severity="none"'] },
          { receiver: "phone", matchers: ['severity="page"'], continue: true },
          // `continue` does not fall back to the root: without this a page would go to the phone alone.
          { receiver: "mail" },
        ],
      },
      inhibit_rules: INHIBITIONS,
      receivers: [
        { name: "nobody" },
        {
          name: "mail",
          ...(mail === undefined ? {} : { email_configs: mail.to.map((to) => mailTo(mail, to)) }),
          ...(mailTopic === undefined ? {} : { sns_configs: [publish(mailTopic, TOPIC_SUBJECT, TEXT)] }),
        },
        { name: "phone", ...phoneConfigs(phone) },
        {
          name: "heartbeat",
          ...(heartbeat === undefined
            ? {}
            : { webhook_configs: [{ url: heartbeat.url, send_resolved: false }] }),
        },
      ],
    },
    { lineWidth: 0 },
  );
}

function mailTo(mail: NonNullable<AlertReceivers["mail"]>, to: string): object {
  const { from, smarthost, username, passwordFile, requireTls } = mail;
  return {
    to,
    from,
    smarthost,
    ...(username === undefined ? {} : { auth_username: username }),
    ...(passwordFile === undefined ? {} : { auth_password_file: passwordFile }),
    require_tls: requireTls,
    send_resolved: true,
    headers: { subject: SUBJECT },
    html: "",
    text: TEXT,
  };
}

function phoneConfigs(phone: AlertReceivers["phone"] = {}): object {
  const { webhook, sns } = phone;
  const auth = webhook?.tokenFile;
  return {
    ...(webhook === undefined
      ? {}
      : {
          webhook_configs: [
            {
              url: webhook.url,
              send_resolved: true,
              ...(auth === undefined ? {} : { http_config: { authorization: { credentials_file: auth } } }),
            },
          ],
        }),
    ...(sns === undefined
      ? {}
      : {
          sns_configs: [publish(sns, "Hongbao", SHORT)],
        }),
  };
}

function publish({ topicArn, region }: Topic, subject: string, message: string): object {
  return { topic_arn: topicArn, sigv4: { region }, subject, message, send_resolved: true };
}

/** Source: what fires; target: what is then not told. Both of the same bucket where `equal` says so. */
const INHIBITIONS = [
  // A dead bucket does not page twenty times.
  inhibition(
    "BucketDown",
    "RedisDown|BucketFenced|EntryWithoutServers|EntryQueue|ProcessDown|GrabsBusy|GrabsSlow|EventLoopDelay|ErrorsInLogs|JournalNotDraining",
    ["bucket"],
  ),
  inhibition(
    "RedisDown|BucketFenced",
    "EntryWithoutServers|EntryQueue|GrabsBusy|GrabsSlow|RedisSlow|RedisConnections|EventLoopDelay|ErrorsInLogs|JournalNotDraining|ExporterDown",
    ["bucket"],
  ),
  inhibition(
    "MysqlDown",
    "MysqlSlow|MysqlConnections|JournalNotDraining|PayoutStuck|PayoutTargetFailing|ErrorsInLogs|ExporterDown",
    ["bucket"],
  ),
  inhibition("JournalNearBound", "JournalNotDraining|MysqlSlow", ["bucket"]),
  inhibition("GrabsBusy", "EventLoopDelay", ["bucket"]),
  // A round cannot sell out evenly while a bucket is away.
  inhibition(
    "BucketDown|RedisDown|BucketFenced|MysqlDown|BalancerDown",
    "SellOutTooSlow|BucketImbalance",
    [],
  ),
  inhibition("NoControllerLeads|ControlStoreDown", "BalancerWithoutNews|BucketImbalance", []),
  { source_matchers: ['alertname="QuietHours"'], target_matchers: ['severity="ticket"'], equal: [] },
];

function inhibition(source: string, target: string, equal: string[]): object {
  return { source_matchers: [`alertname=~"${source}"`], target_matchers: [`alertname=~"${target}"`], equal };
}
