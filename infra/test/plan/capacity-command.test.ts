/** `hongbao capacity` as an operator meets it: what it refuses, what it writes, and that Terraform takes it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { temporaryState, tryHongbao } from "@hongbao/infra";
import { COMMITTED } from "../../plan/capacity/command.ts";
import type { CapacityCommandOptions } from "../../plan/capacity/commands.ts";
import { readMeasured } from "../../plan/capacity/figures.ts";
import { readRequest } from "../../plan/capacity/options.ts";
import { planFor } from "../../plan/capacity/plan.ts";
import { readPrices } from "../../plan/capacity/prices.ts";
import { tfvarsOf, type Tfvars } from "../../plan/capacity/tfvars.ts";
import { hasTerraform, offlineTerraform } from "../../terraform/offline.ts";

t.setTimeout(120_000);
const skip =
  (await hasTerraform()) || process.env["CI"] === "true" ? false : "there is no terraform on the PATH";
/** The parts of the three files that are spoilt here. */
interface AnyFile {
  systems: { id: string; faults: string[] }[];
  rows: { id: string }[];
  startedAt?: string;
  quick: boolean;
  date: string;
  perHour: Record<string, unknown>;
  redisNodes: { type: string }[];
}

const ARTICLE = { users: "150000", prizes: "1000000", rounds: "3", peakQps: "110000" };

t.test("a wrong option is refused by its name, with what was found and what is expected", async (t) => {
  const wrong: [CapacityCommandOptions, RegExp][] = [
    [{}, /^--users: missing, expected a whole number/],
    [{ users: "5" }, /^--prizes: missing/],
    [{ ...ARTICLE, users: "0" }, /^--users: found "0", expected a whole number from 1/],
    [{ ...ARTICLE, users: "1e9" }, /^--users: found "1e9"/],
    [{ ...ARTICLE, prizes: "2", rounds: "3" }, /^--rounds: found "3", expected at most the 2 prizes/],
    [{ users: "5", prizes: "5" }, /^--peak-qps: missing, .* or --press/],
    [{ ...ARTICLE, peakQps: "-1" }, /^--peak-qps: found "-1", expected a number/],
    [{ ...ARTICLE, press: "100%@1s" }, /^--press: found together with --peak-qps/],
    [{ ...ARTICLE, presses: "2" }, /^--presses: found without --press/],
    [{ users: "5", prizes: "5", press: "50%@2s" }, /^--press: found parts of 50 %, expected 100 %/],
    [
      { users: "5", prizes: "5", press: "100%@now" },
      /^--press: found "100%@now", expected .* such as 70%@2s/,
    ],
    [{ ...ARTICLE, headroom: "95" }, /^--headroom: found "95", expected a number from 0 to 90/],
    [{ ...ARTICLE, buckets: "65" }, /^--buckets: found "65", expected a whole number from 1 to 64/],
    [{ ...ARTICLE, zones: "4" }, /^--zones: found "4"/],
    [{ ...ARTICLE, coreFactor: "0" }, /^--core-factor: found "0"/],
    [{ ...ARTICLE, name: "Spring-" }, /^--name: found "Spring-"/],
    [{ ...ARTICLE, imageTag: "latest" }, /^--image-tag: found "latest"/],
  ];
  for (const [options, message] of wrong) t.throws(() => readRequest(options), { message, exitCode: 2 });
});

t.test("a file of figures or prices is refused by option, file and field", async (t) => {
  const dir = temporaryState(t);
  const change = (name: keyof typeof COMMITTED, edit: (file: AnyFile) => void): string => {
    const file = JSON.parse(readFileSync(COMMITTED[name], "utf8")) as AnyFile;
    edit(file);
    const path = join(dir, `${name}.json`);
    writeFileSync(path, JSON.stringify(file));
    return path;
  };
  const bench = (edit: (file: AnyFile) => void) => () =>
    readMeasured({ ...COMMITTED, bench: change("bench", edit) });
  const without = <T extends { id: string }>(list: T[], id: string): T[] =>
    list.filter((each) => each.id !== id);
  t.throws(
    bench((file) => (file.systems = without(file.systems, "hongbao-tls"))),
    {
      message: /^--measured .*bench.json: systems: found no "hongbao-tls", expected the JSON of a whole/,
    },
  );
  t.throws(
    bench((file) => (file.rows = without(file.rows, "persist-rate"))),
    { message: /rows: found no "persist-rate"/ },
  );
  t.throws(
    bench((file) => (file.systems[3]!.faults = ["the books differ"])),
    { message: /its result was wrong \(the books differ\)/ },
  );
  t.throws(
    bench((file) => delete file.startedAt),
    { message: /startedAt: found undefined, expected a date/ },
  );
  t.match(readMeasured({ ...COMMITTED, bench: change("bench", (file) => (file.quick = true)) }).warnings, [
    /a quick bench/,
  ]);
  t.throws(() => readMeasured({ ...COMMITTED, aside: COMMITTED.bench }), {
    message: /^--aside .*: measuredAt: found undefined/,
  });
  t.throws(() => readMeasured({ ...COMMITTED, bench: join(dir, "none.json") }), {
    message: /^--measured: cannot read/,
  });
  const price = (edit: (file: AnyFile) => void) => () => readPrices(change("prices", edit));
  t.throws(
    price((file) => (file.date = "soon")),
    { message: /^--prices .*prices.json: date: found "soon"/ },
  );
  t.throws(
    price((file) => (file.perHour["fargateVcpu"] = "4")),
    { message: /perHour.fargateVcpu: found "4", expected a price/ },
  );
  t.throws(
    price((file) => (file.redisNodes[1]!.type = "cache.t4g.small")),
    { message: /redisNodes\[1\].type: found "cache.t4g.small", .* not durable/ },
  );
});

t.test(
  "the command writes Terraform's variables and a picture, and tells where figures are from",
  async (t) => {
    const dir = temporaryState(t);
    const words = ["--users", "150000", "--prizes", "1000000", "--press", "80%@2s,20%@20s", "--presses", "2"];
    const done = await tryHongbao([
      "capacity",
      ...words,
      "--name",
      "spring",
      "--image-tag",
      "1.0.0",
      "--out",
      dir,
    ]);
    t.equal(done.code, 0, done.stderr);
    t.match(done.stdout, /breaks first: /);
    t.match(done.stdout, /grabHaproxyUs .* bench of \d{4}-\d\d-\d\d, system hongbao-tls, cpuUs.haproxy/);
    const tfvars = JSON.parse(readFileSync(join(dir, "terraform.tfvars.json"), "utf8")) as Tfvars;
    t.match(tfvars, { event: "spring", image_tag: "1.0.0", zone_count: 3, balancer: { cpu: Number } });
    const svg = readFileSync(join(dir, "capacity.svg"), "utf8");
    t.match(svg, /^<svg [^]*if every grab won[^]*<\/svg>\n$/);
    t.notMatch(svg, /NaN|Infinity|undefined/);
    const refused = await tryHongbao(["capacity", "--users", "many", "--prizes", "5"]);
    t.equal(refused.code, 2);
    t.match(refused.stderr, /hongbao: --users: found "many"/);
  },
);

t.test(
  "Terraform takes the variables of a small, the article's and a hundred times the article's event",
  { skip },
  async (t) => {
    const terraform = await offlineTerraform();
    t.teardown(() => terraform.remove());
    const tests = join(terraform.dir, "tests");
    // The values that `base` puts out, as the other tests have them.
    const { base } = /(?<base> {2}base = \{[^]*?\n {2}\})/.exec(
      readFileSync(join(tests, "validation.tftest.hcl"), "utf8"),
    )!.groups!;
    const events: CapacityCommandOptions[] = [
      { users: "1", prizes: "1", peakQps: "1" },
      ARTICLE,
      { users: "15000000", prizes: "100000000", peakQps: "11000000" },
    ];
    const runs = events.map((options, index) => {
      const { plan: wanted, policy, names } = readRequest({ ...options, name: "spring", imageTag: "1.0.0" });
      const world = {
        figures: readMeasured(COMMITTED).figures,
        prices: readPrices(COMMITTED.prices),
        policy,
      };
      const plan = planFor(wanted, world);
      const entries = Object.entries(tfvarsOf(plan, policy.zones, names)).map(
        ([name, value]) => `    ${name} = jsondecode(${JSON.stringify(JSON.stringify(value))})`,
      );
      const count = `length(var.buckets) == ${plan.sizes.buckets}`;
      // All buckets are alike: one of many is planned, and every variable is looked at.
      const some =
        index === 0 ? "" : `  plan_options {\n    target = [module.balancer, module.bucket["b0"]]\n  }\n`;
      return `run "event_${index}" {\n  command = plan\n${some}  module {\n    source = "./event"\n  }\n  variables {\n${entries.join("\n")}\n  }\n  assert {\n    condition = ${count}\n    error_message = "buckets"\n  }\n}\n`;
    });
    const mock = `mock_provider "aws" {\n  source = "./tests/mocks"\n}\n`;
    writeFileSync(join(tests, "capacity.tftest.hcl"), `${mock}variables {\n${base}\n}\n${runs.join("\n")}`);
    const init = await terraform.run(".", "init", "-backend=false", "-no-color");
    t.equal(init.code, 0, init.output);
    const tested = await terraform.run(".", "test", "-no-color", "-filter=tests/capacity.tftest.hcl");
    t.equal(tested.code, 0, tested.output);
    t.match(tested.output, "3 passed, 0 failed");
  },
);
