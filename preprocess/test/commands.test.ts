import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import type { PlanReport } from "../src/index.ts";
import { openPack, readEvent, readUsers, TokenVerifier } from "../src/index.ts";
import { writeSample } from "../src/sample.ts";
import { runCommand, temporaryDir, writeSecrets, writeTopology } from "./fixtures.ts";

function setUp(t: Test) {
  const dir = temporaryDir(t);
  writeSecrets(dir);
  const topology = writeTopology(dir);
  const { event } = writeSample(dir, 50, false);
  const run = (...args: string[]) => runCommand(args, { HONGBAO_TOPOLOGY: topology });
  return { dir, event, topology, run };
}

t.test("a sample is an event that can be planned and generated as it is", async (t) => {
  const { dir, event, run } = setUp(t);
  const plan = readEvent(event);
  t.match(plan, { id: "sample", rounds: [{ id: 1, kind: "envelope", count: 50, perUser: 1, groups: null }] });
  t.match(plan.rounds[0], { opensAt: { kind: "after", ms: 30_000 }, closesAt: { ms: 600_000 } });
  const { groups, records } = await readUsers(plan.usersPath);
  t.equal(records.size, 50);
  t.same(
    [...records].slice(0, 2).map(({ id }) => id),
    ["u1", "u2"],
  );
  t.same(groups, ["staff", "family", "partners"]);
  const names = readFileSync(plan.usersPath, "utf8");
  t.match(names, /,"Smith, Anna",/);
  t.match(names, /[\u4e00-\u9fff]/);
  const generated = await run("preprocess", "generate", event, "--json");
  t.equal(generated.code, 0, generated.stderr);
  t.match(JSON.parse(generated.stdout), {
    pack: join(dir, "pack"),
    outcome: "new",
    prizes: 50,
    amountMinor: 25_000,
    users: 50,
  });
  const pack = openPack(join(dir, "pack"));
  t.ok(
    pack.manifest.buckets.every(({ users }, index) => users === pack.manifest.ranges[index]?.count),
    "one for everyone",
  );
});

t.test("samples of one and of many users hold together", async (t) => {
  for (const users of [1, 2, 3, 10_000]) {
    const { event } = writeSample(temporaryDir(t), users, false);
    t.equal(readEvent(event).rounds[0]?.count, users);
    t.equal((await readUsers(readEvent(event).usersPath)).records.size, users);
  }
});

t.test("a sample does not overwrite an edited event", async (t) => {
  const { dir, event } = setUp(t);
  const sample = (...more: string[]) =>
    runCommand(["preprocess", "sample", "--users", "50", "--out", dir, ...more]);
  t.equal((await sample()).code, 0, "the same again");
  writeFileSync(event, "event: mine\n");
  const refused = await sample();
  t.equal(refused.code, 2);
  t.match(refused.stderr, /event\.yaml: found another event file.*--force/);
  t.equal((await sample("--force")).code, 0);
  for (const bad of ["0", "many", "10000001"]) {
    const { code, stderr } = await runCommand(["preprocess", "sample", "--users", bad, "--out", dir]);
    t.equal(code, 2);
    t.match(stderr, new RegExp(`hongbao: --users: found ${bad}, expected a whole number`));
  }
});

t.test("plan prints a table, or one JSON document", async (t) => {
  const { event, topology } = setUp(t);
  const totals = await runCommand(["preprocess", "plan", event]);
  t.equal(totals.code, 0, totals.stderr);
  t.match(totals.stdout, /1 +envelope +all +50 +50 +250\.00/);
  t.match(totals.stdout, /Give --topology/);
  const shares = await runCommand(["preprocess", "plan", event, "--topology", topology, "--json"]);
  const report = JSON.parse(shares.stdout) as PlanReport;
  t.same(
    report.buckets.map(({ bucket }) => bucket),
    ["b0", "b1"],
  );
  t.equal(
    report.rounds[0]?.buckets.reduce((sum, { amountMinor }) => sum + amountMinor, 0),
    25_000,
  );
});

t.test("generate says what it did, and refuses another pack in one line", async (t) => {
  const { dir, event, run } = setUp(t);
  const seed = ["--seed", "ab".repeat(32)];
  const first = await run("preprocess", "generate", event, ...seed);
  t.match(
    first.stdout,
    /is made\.\n50 prizes, 250\.00 CNY, 50 users, digest [0-9a-f]{64}\nround 1: commitment [0-9a-f]{64}\n/,
  );
  t.notMatch(first.stdout + first.stderr, "abab", "the seed is not shown");
  t.equal(readFileSync(join(dir, "pack.seed"), "utf8"), `${"ab".repeat(32)}\n`);
  t.match((await run("preprocess", "generate", event)).stdout, /was there already, with the same prizes/);
  const other = await run("preprocess", "generate", event, "--seed", "00".repeat(32));
  t.equal(other.code, 2);
  t.match(other.stderr, /^hongbao: .*pack: found the pack of event sample .*--force.*\n$/);
  t.equal((await run("preprocess", "generate", event, "--seed", "00".repeat(32), "--force")).code, 0);
  t.match((await run("preprocess", "generate", event, "--seed", "00", "--force")).stderr, /can be guessed/);
});

t.test("wrong input ends with 2, what is not there with 3", async (t) => {
  const { dir, event, run } = setUp(t);
  const codes = async (...args: string[]): Promise<number | null> => (await run(...args)).code;
  writeFileSync(join(dir, "broken.yaml"), readFileSync(event, "utf8").replace("count: 50", "count: 51"));
  const broken = await run("preprocess", "generate", join(dir, "broken.yaml"));
  t.equal(broken.code, 0, "51 prizes fit the budget too");
  writeFileSync(join(dir, "users.csv"), "id,name,group\nu1,a,g\nu1,b,g\n");
  const twice = await run("preprocess", "plan", event);
  t.same([twice.code, twice.stdout], [2, ""]);
  t.match(
    twice.stderr,
    /^hongbao: .*users\.csv:3: id: found "u1" again \(also line 2\), expected each user once\n$/,
  );
  t.equal(await codes("preprocess", "plan", join(dir, "none.yaml")), 3);
  t.equal(await codes("preprocess", "plan"), 2);
  t.equal(await codes("preprocess", "nothing"), 2);
  t.equal(await codes("preprocess", "generate", event, "--topology", join(dir, "none.yaml")), 3);
  t.equal(await codes("preprocess", "generate", event, "--out", "s3://bucket/pack"), 2);
  const nowhere = await runCommand(["preprocess", "generate", event, "--state", dir]);
  t.equal(nowhere.code, 3);
  t.match(nowhere.stderr, new RegExp(`no cluster is running in ${dir}`));
});

t.test("tokens for users named, one a line", async (t) => {
  const { dir, run } = setUp(t);
  const secret = readFileSync(join(dir, "secrets/token"), "utf8").trim();
  const { code, stdout } = await run("token", "u1", "stranger");
  t.equal(code, 0);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  t.same(
    lines.map(([user]) => user),
    ["u1", "stranger"],
  );
  const now = Date.now() / 1000;
  const check = new TokenVerifier([secret]).verify(lines[0]![1]!, now);
  t.ok(check.ok && check.sub === "u1" && Math.abs(check.exp - now - 86_400) < 60, "valid for 24 hours");
  const raw = await run("token", "--raw", "u1", "--for", "1h");
  t.match(raw.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const hour = new TokenVerifier([secret]).verify(raw.stdout.trim(), now + 3000);
  t.ok(hour.ok && hour.exp < now + 3660);
});

t.test("tokens for all users, in the order of users.csv, in a file of one's own", async (t) => {
  const { dir, event, run } = setUp(t);
  const out = join(dir, "tokens.tsv");
  t.equal((await run("token", "--all", "--out", out)).code, 3, "no pack yet");
  await run("preprocess", "generate", event);
  writeFileSync(out, "older", { mode: 0o644 });
  const { code, stdout, stderr } = await run("token", "--all", "--out", out);
  t.same([code, stdout], [0, ""], stderr);
  t.equal(statSync(out).mode & 0o777, 0o600);
  const users = readFileSync(out, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split("\t")[0]);
  t.same(
    users,
    Array.from({ length: 50 }, (_each, index) => `u${index + 1}`),
  );
});

t.test("token refuses what it cannot sign", async (t) => {
  const { run } = setUp(t);
  for (const args of [[], ["--all", "u1"], ["u 1"], ["x".repeat(65)], ["u1", "--for", "soon"]]) {
    const { code, stdout } = await run("token", ...args);
    t.same([code, stdout], [2, ""], args.join(" "));
  }
});
