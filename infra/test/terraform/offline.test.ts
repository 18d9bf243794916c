/** Terraform, checked for real and offline: see infra/terraform/offline.ts. Skipped, by name, where there is no terraform. */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { readTopology } from "@hongbao/preprocess";
import t, { type Test } from "tap";
import { runsAsPlanned, type PlannedResource } from "./planned-cluster.ts";
import { hasTerraform, offlineTerraform, type TerraformRun } from "../../terraform/offline.ts";
import { SCHEMA_FILE, usedTypes, type ProviderSchema } from "../../terraform/schema.ts";

t.setTimeout(120_000);
const TOPOLOGY = "aws_s3_object.topology";
const ARCHIVE = "tests/archive.tftest.hcl";
const isThere = await hasTerraform();
const skip = isThere || process.env["CI"] === "true" ? false : "there is no terraform on the PATH";

t.test("the schema has what the .tf files use, and nothing else", async (t) => {
  const schema = JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as ProviderSchema;
  const hint = "run node infra/terraform/schema.ts";
  t.same(
    { resources: Object.keys(schema.resources).sort(), dataSources: Object.keys(schema.dataSources).sort() },
    usedTypes(),
    hint,
  );
});

t.test("terraform fmt, init, validate and test", { skip }, async (t) => {
  t.ok(isThere, "terraform is on the PATH, as CI needs it to be");
  const terraform = await offlineTerraform();
  let planned: PlannedResource[] = [];
  t.teardown(() => terraform.remove());

  const formatted = await terraform.run(".", "fmt", "-check", "-recursive", "-no-color");
  succeeded(t, formatted);

  const root = await terraform.run(".", "init", "-backend=false", "-no-color");
  succeeded(t, root);
  for (const folder of ["base", "event"]) {
    const init = await terraform.run(folder, "init", "-backend=false", "-no-color");
    succeeded(t, init);
    const valid = await terraform.run(folder, "validate", "-no-color");
    succeeded(t, valid);
  }

  await t.test("every test of terraform/tests", async (t) => {
    const all = globSync("tests/*.tftest.hcl", { cwd: terraform.dir });
    // Two processes at once, the long one alone in one of them.
    const long = "tests/event.tftest.hcl";
    const groups = [[long], all.filter((file) => file !== long && file !== ARCHIVE)];
    const refusal = terraform.runUnarchived(".", "test", "-json", "-verbose", `-filter=${ARCHIVE}`);
    const tested = await Promise.all(
      groups.map((files) =>
        terraform.run(".", "test", "-json", "-verbose", ...files.map((file) => `-filter=${file}`)),
      ),
    );
    const messages = tested.flatMap(({ output }) => jsonLines(output));
    for (const { test_run: run } of messages) {
      if (run?.progress === "complete") t.equal(run.status, "pass", `${run.path} ${run.run}`);
    }
    t.ok(
      tested.every(({ code }) => code === 0),
      diagnostics(messages),
    );

    const topology = resourcesOf(messages, "event").find(({ address }) => address === TOPOLOGY)?.values[
      "content"
    ];
    const file = join(terraform.dir, "topology.yaml");
    writeFileSync(file, String(topology));
    const read = readTopology(file);
    t.same(
      read.buckets.map(({ id, slots }) => ({ id, slots })),
      [
        { id: "b0", slots: [[0, 511]] },
        { id: "b1", slots: [[512, 1023]] },
      ],
    );
    t.match(read.packFrom, /^s3:\/\/.*\/pack$/);
    t.equal(read.balancer.proxyProtocol, true);

    const event = resourcesOf(messages, "event");
    servedAsBuilt(t, event, join(terraform.dir, "page"));
    meetsNoTakenName(t, event);

    const refused = jsonLines((await refusal).output);
    t.match(
      diagnostics(refused).replaceAll(/\s+/g, " "),
      /Not destroyed: s3:\/\/hongbao-archive-0000\/spring\/2702051200001234\/ARCHIVED/,
      "an event without an archive is not destroyed",
    );
    planned = resourcesOf(refused, "archive");
  });

  await t.test("what the plan starts runs as plain processes, from the plan's topology", (t) =>
    runsAsPlanned(t, planned),
  );

  await t.test("a wrong argument in a nested block fails", async (t) => {
    const path = join(terraform.dir, "modules", "task", "main.tf");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace("assign_public_ip = false", "assign_publik_ip = false"));
    const valid = await terraform.run("event", "validate", "-no-color");
    t.equal(valid.code, 1);
    t.match(valid.output, /assign_publik_ip/);
    writeFileSync(path, text);
  });
});

/** The CDN answers with what the page is built for: one source, the command that writes the folder. */
function servedAsBuilt(t: Test, planned: PlannedResource[], out: string): void {
  const words = ["balancer", "site", "--out", out, "--api", "https://api.hongbao.example.com", "--json"];
  const hongbao = join(import.meta.dirname, "..", "..", "..", "hongbao");
  const site = JSON.parse(execFileSync(hongbao, words, { encoding: "utf8" })) as {
    headers: Record<string, string>;
    files: { path: string; cacheControl: string }[];
  };
  const policy = JSON.stringify(
    planned.find(({ address }) => address.includes("response_headers_policy"))?.values,
  );
  t.ok(policy.includes(JSON.stringify(site.headers["content-security-policy"])), policy);
  for (const { address, values } of planned.filter(({ address }) => address.includes("aws_s3_object.page"))) {
    const isPage = String(values["key"]) === "index.html";
    const like = site.files.find(({ path }) => (path === "index.html") === isPage);
    t.equal(values["cache_control"], like?.cacheControl, address);
  }
}

/** What AWS remembers after a destroy has another name at each apply, so that the second of a day meets none that is taken. */
function meetsNoTakenName(t: Test, planned: PlannedResource[]): void {
  let looked = 0;
  for (const { address, values } of planned) {
    const kind = /(?:^|\.)(aws_\w+)\./.exec(address)?.[1] ?? "";
    if (
      kind === "aws_secretsmanager_secret" ||
      kind === "aws_cloudwatch_log_group" ||
      kind === "aws_iam_role"
    )
      t.ok(values["name_prefix"], `${address} has a name of its own each time`);
    else if (values["final_snapshot_identifier"] !== undefined)
      t.match(values["final_snapshot_identifier"], /-2702051200001234$/, `${address}: its last snapshot`);
    else continue;
    looked += 1;
  }
  t.ok(looked > 20, `${looked} of them`);
}

function succeeded(t: Test, { code, output }: TerraformRun): void {
  if (code === 0) t.pass();
  else t.fail(output);
}

function resourcesOf(messages: Message[], run: string): PlannedResource[] {
  const states = messages.filter((message) => message["@testrun"] === run);
  return states.flatMap(({ test_state: state }) => resourcesIn(state?.root_module));
}

function resourcesIn(module: StateModule | undefined): PlannedResource[] {
  if (module === undefined) return [];
  return [...(module.resources ?? []), ...(module.child_modules ?? []).flatMap(resourcesIn)];
}

interface StateModule {
  resources?: PlannedResource[];
  child_modules?: StateModule[];
}

interface Message {
  "@message": string;
  "@testrun"?: string;
  test_run?: { path: string; run: string; progress?: string; status?: string };
  test_state?: { root_module?: StateModule };
  diagnostic?: { severity: string; summary: string; detail: string };
}

function jsonLines(output: string): Message[] {
  return output.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Message] : []));
}

function diagnostics(messages: Message[]): string {
  const errors = messages.flatMap(({ diagnostic }) => (diagnostic?.severity === "error" ? [diagnostic] : []));
  return errors.map(({ summary, detail }) => `${summary}: ${detail}`).join("\n") || "terraform test";
}
