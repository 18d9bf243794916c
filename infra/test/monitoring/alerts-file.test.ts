import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Unreachable } from "@hongbao/preprocess";
import { temporaryState } from "@hongbao/infra";
import { readAlertsFile } from "../../src/monitoring/alerts-file.ts";

t.test("who is told of alerts", async (t) => {
  const dir = temporaryState(t);
  const path = join(dir, "alerts.yaml");
  const read = (...lines: string[]) => {
    writeFileSync(path, `${lines.join("\n")}\n`);
    return readAlertsFile(path);
  };
  t.same(
    read(
      'mail: { to: [ops@example.com], from: a@example.com, smarthost: "smtp.example.com:587", username: u, passwordFile: pw }',
      'phone: { webhook: { url: "https://phone.example.com/hook" } }',
      'heartbeat: { url: "https://heartbeat.example.com" }',
    ),
    {
      mail: {
        to: ["ops@example.com"],
        from: "a@example.com",
        smarthost: "smtp.example.com:587",
        requireTls: true,
        username: "u",
        passwordFile: join(dir, "pw"),
      },
      phone: { webhook: { url: "https://phone.example.com/hook" } },
      heartbeat: { url: "https://heartbeat.example.com" },
    },
    "a secret's file lies beside it",
  );
  t.same(read("{}"), {});
  const refused = (pattern: RegExp, ...lines: string[]) => t.throws(() => read(...lines), pattern);
  refused(
    /alerts\.yaml:1: mail\.to: found \[\], expected a list of 1 to 50/,
    'mail: { to: [], from: a@b, smarthost: "h:1" }',
  );
  refused(
    /phone\.sns\.topicArn: found "page", expected the ARN/,
    "phone: { sns: { topicArn: page, region: r } }",
  );
  refused(/found an unknown field/, "pager: {}");
  t.throws(() => readAlertsFile(join(dir, "none.yaml")), Unreachable);
});
