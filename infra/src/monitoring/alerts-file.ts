/** The file of `up --alerts FILE`: who is told of alerts, and how. Secrets are in files of their own, beside it or elsewhere. */
import { dirname, resolve } from "node:path";
import type { AlertReceivers } from "@hongbao/monitoring";
import { listField, mapField, readYaml, textField, wholeField } from "@hongbao/preprocess";

const address = textField(/^\S+@\S+$/, "a mail address");
const url = textField(/^https?:\/\/\S+$/, "a URL such as https://phone.example.com/hook");
const file = textField(/^.+$/, "a path");

const SCHEMA = mapField(
  {
    mail: mapField(
      {
        to: listField(address, 1, 50, "mail addresses"),
        from: address,
        smarthost: textField(/^\S+:\d{1,5}$/, "host:port of a mail server"),
        username: textField(/^.+$/, "a user name").optional(),
        passwordFile: file.optional(),
        tls: textField(/^(required|none)$/, "required or none").default("required"),
      },
      "{ to: [address], from: address, smarthost: host:port }",
    ).optional(),
    phone: mapField(
      {
        webhook: mapField({ url, tokenFile: file.optional() }, "{ url: …, tokenFile: PATH }").optional(),
        sns: mapField(
          {
            topicArn: textField(/^arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w-]+$/, "the ARN of an SNS topic"),
            region: textField(/^[a-z0-9-]+$/, "an AWS region"),
          },
          "{ topicArn: …, region: … }",
        ).optional(),
      },
      "{ webhook: …, sns: … }",
    ).optional(),
    heartbeat: mapField({ url, everySeconds: wholeField(5, 3600).optional() }, "{ url: … }").optional(),
    timing: mapField(
      {
        groupWaitSeconds: wholeField(1, 300).optional(),
        groupIntervalSeconds: wholeField(1, 3600).optional(),
        repeatMinutes: wholeField(1, 1440).optional(),
      },
      "{ groupWaitSeconds: …, groupIntervalSeconds: …, repeatMinutes: … }",
    ).optional(),
  },
  "who is told: mail, phone, heartbeat, timing",
);

/** Throws BadInput, Unreachable. */
export function readAlertsFile(path: string): AlertReceivers {
  const { mail, phone, heartbeat, timing } = readYaml(
    path,
    SCHEMA,
    "a file that says who is told of alerts",
  ).data;
  const located = (name: string): string => resolve(dirname(resolve(path)), name);
  const receivers: AlertReceivers = {};
  if (mail !== undefined) {
    const { to, from, smarthost, username, passwordFile, tls } = mail;
    receivers.mail = {
      to,
      from,
      smarthost,
      requireTls: tls === "required",
      ...(username === undefined ? {} : { username }),
      ...(passwordFile === undefined ? {} : { passwordFile: located(passwordFile) }),
    };
  }
  if (phone !== undefined) {
    const { webhook, sns } = phone;
    receivers.phone = {
      ...(webhook === undefined
        ? {}
        : {
            webhook: {
              url: webhook.url,
              ...(webhook.tokenFile === undefined ? {} : { tokenFile: located(webhook.tokenFile) }),
            },
          }),
      ...(sns === undefined ? {} : { sns }),
    };
  }
  if (heartbeat !== undefined) receivers.heartbeat = withoutUndefined(heartbeat);
  if (timing !== undefined) receivers.timing = withoutUndefined(timing);
  return receivers;
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Defined<T>;
}
