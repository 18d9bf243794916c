/** What the images start with: configurations from the same source as the local cluster's, and scripts that complete them. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { temporaryState } from "@hongbao/infra";
import { FILES, WORDS } from "../images/monitoring-config.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const IMAGES = join(ROOT, "infra", "images");
const run = (program: string, ...words: string[]): string =>
  execFileSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

t.test("the files of the images are those that monitoring/ makes", async (t) => {
  for (const [name, text] of Object.entries(FILES))
    t.equal(readFileSync(join(IMAGES, name), "utf8"), text, "run node infra/images/monitoring-config.ts");
});

t.test(
  "completed by the entry scripts they are what the programs take, and lead to the right topics",
  async (t) => {
    const dir = temporaryState(t);
    const event = {
      HONGBAO_NAMESPACE: "spring.hongbao.internal",
      AWS_REGION: "ap-southeast-1",
      PAGE_TOPIC_ARN: "arn:aws:sns:ap-southeast-1:123456789012:hongbao-page",
      TICKET_TOPIC_ARN: "arn:aws:sns:ap-southeast-1:123456789012:hongbao-ticket",
    };
    const complete = (name: string): string => {
      const work = join(dir, name);
      mkdirSync(work);
      const env = { ...process.env, ...event, CONFIG_FROM: IMAGES, CONFIG_WORK: work, PROGRAM: "/bin/true" };
      execFileSync("/bin/sh", [join(IMAGES, `${name}-entry.sh`)], { env, stdio: "ignore" });
      return join(work, `${name}.yml`);
    };
    const prometheus = complete("prometheus");
    const alertmanager = complete("alertmanager");
    const texts = [prometheus, alertmanager].map((path) => readFileSync(path, "utf8"));
    for (const word of Object.values(WORDS))
      t.notOk(
        texts.some((text) => text.includes(word)),
        `no ${word} is left`,
      );
    t.match(texts[0], "http://c1.spring.hongbao.internal:9100/targets");
    t.match(texts[1], `topic_arn: ${event.PAGE_TOPIC_ARN}\n`);
    t.match(texts[1], `topic_arn: ${event.TICKET_TOPIC_ARN}\n`);
    run("promtool", "check", "config", "--syntax-only", prometheus);
    run("amtool", "check-config", alertmanager);
    const routed = (...labels: string[]): string =>
      run("amtool", "config", "routes", "test", `--config.file=${alertmanager}`, ...labels).trim();
    t.equal(routed("alertname=RedisDown", "severity=page", "bucket=b0"), "phone,mail");
    t.equal(routed("alertname=MysqlSlow", "severity=ticket", "bucket=b0"), "mail");
  },
);

t.test("what the Dockerfiles copy is there, and their bases have a version each", async (t) => {
  for (const name of ["Dockerfile", "monitoring.Dockerfile"]) {
    const text = readFileSync(join(IMAGES, name), "utf8").replaceAll("\\\n", " ");
    for (const [, from] of text.matchAll(/^FROM (\S+)/gm)) {
      const isStage = text.includes(` AS ${from}\n`);
      t.ok(isStage || /:v?\d+\.\d+\.\d+/.test(from!), `${name}: ${from}`);
    }
    for (const [, words] of text.matchAll(/^COPY (?!--from)(.+)$/gm)) {
      for (const path of words!.split(" ").slice(0, -1))
        t.ok(existsSync(join(ROOT, path)), `${name}: ${path}`);
    }
  }
});
