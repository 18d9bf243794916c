import { spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";
import { readSecrets, readSeed, roundSeed, SECRET_NAMES, sha256Hex } from "@hongbao/preprocess";
import { payoutFigures } from "../../../bucket-service/src/payout/figures.ts";
import { mysqlConnection } from "../../../bucket-service/src/mysql/connect.ts";
import { startFakeAws, type FakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { MANIFEST, readManifest, type ArchiveManifest } from "../../src/archive/format.ts";
import { uploadArchive } from "../../src/archive/upload.ts";
import { checksumText, verifyArchive } from "../../src/archive/verify.ts";
import { archiveEvent } from "../../src/operate/archive.ts";
import { openControllers } from "../../src/operate/controllers.ts";
import { order, press, usersOf, writeEvent } from "./event.ts";

const SCRIPT = join(import.meta.dirname, "..", "..", "..", "hongbao.ts");

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

t.test(
  "an event that is over is archived, whole or not at all, and a changed archive is known",
  async (t) => {
    const cluster = await startTestCluster(t, { services: 1, event: writeEvent(temporaryState(t)) });
    const out = join(temporaryState(t), "archive");
    const at = { topology: cluster.topology.path, by: "ann" };

    await order(cluster, "/admin/rounds/1/open");
    const [mine, theirs] = [usersOf(cluster, 0), usersOf(cluster, 1)];
    let won = await press(cluster, 1, theirs);
    await order(cluster, "/admin/rounds/1/lend", { from: "b0", to: "b1", count: 5, why: "they are more" });
    won += await press(cluster, 1, mine.slice(0, 10));
    won += await press(cluster, 1, theirs.slice(0, 9), 2);
    await t.rejects(archiveEvent(out, { ...at, force: true, why: "no time" }), {
      exitCode: 1,
      message: /round 1 is open in b0, b1/,
    });
    await order(cluster, "/admin/rounds/1/close");
    await t.rejects(archiveEvent(out, at), { exitCode: 1, message: /round 2 has not been yet.*--force/ });
    t.same(readdirSync(dirname(out)), [], "what was refused leaves nothing");
    await order(cluster, "/admin/rounds/2/open");
    won += await press(cluster, 2, [...mine.slice(0, 8), ...theirs.slice(0, 8)]);
    await order(cluster, "/admin/users", { user: mine.at(-1)!, rule: "deny" });
    await order(cluster, "/admin/rounds/2/close");
    await order(cluster, "/admin/rounds/1/reveal", { seed: seedOf(cluster, 1) });
    await allPaid(cluster, won);

    await survivesKill(t, cluster, out);
    const made = await cluster.hongbao([
      "archive",
      "--out",
      out,
      "--by",
      "ann",
      "--why",
      "the end",
      "--json",
    ]);
    t.equal(made.code, 0, made.stderr);
    const report = JSON.parse(made.stdout) as Record<string, unknown> & { digest: string };
    t.match(report, {
      ok: true,
      totals: { claimed: { count: won }, paid: { count: won } },
      findings: [],
      uploaded: null,
    });
    t.match(await logOf(cluster), {
      by: "ann",
      why: "the end",
      what: `archived the event to ${out} (SHA-256 ${report.digest})`,
    });
    t.same(readdirSync(dirname(out)), ["archive"], "the draft that was killed is gone");
    holdsEverything(t, out, won);
    holdsNoSecret(t, cluster, out);

    const checked = await cluster.hongbao(["archive", "--verify", out, "--digest", report.digest]);
    t.equal(checked.code, 0, checked.stderr);
    t.match(
      checked.stdout,
      /whole: every file as written, every count and amount agrees, rounds 1 drawn again/,
    );
    await tampered(t, out, report.digest);
    await isSent(t, cluster, out);
    await forced(t, cluster, out);
  },
);

function seedOf({ topology }: TestCluster, round: number): string {
  return roundSeed(readSeed(topology.pack)!, round).toString("hex");
}

async function logOf({ topology }: TestCluster): Promise<unknown> {
  const answer = await openControllers({ topology: topology.path }).get("/admin/log?limit=1");
  return (answer as { entries: unknown[] }).entries[0];
}

async function allPaid(cluster: TestCluster, won: number): Promise<void> {
  const connections = await Promise.all([0, 1].map((bucket) => inMysql(cluster, bucket)));
  const paid = async (): Promise<boolean> => {
    const counts = await Promise.all(connections.map((mysql) => payoutFigures(mysql)));
    return counts.flat().reduce((sum, round) => sum + round.paid.count, 0) === won;
  };
  await waitUntil(paid, { what: "everybody paid", timeoutMsMax: 60_000 });
  await Promise.all(connections.map((mysql) => mysql.end()));
}

function inMysql({ topology }: TestCluster, bucket: number): ReturnType<typeof mysqlConnection> {
  return mysqlConnection(topology.buckets[bucket]!, readSecrets(topology, ["mysql"]).mysql, "kept");
}

/** The export stands still at a table that is locked, and is killed there. */
async function survivesKill(t: Test, cluster: TestCluster, out: string): Promise<void> {
  const lock = await inMysql(cluster, 1);
  try {
    await lock.query("LOCK TABLES rebuilds WRITE");
    const words = ["--disable-warning=ExperimentalWarning", SCRIPT, "archive", "--out", out];
    const child = spawn(process.execPath, [...words, "--topology", cluster.topology.path], {
      stdio: "ignore",
    });
    const drafts = (): string[] => readdirSync(dirname(out)).filter((name) => name.includes(".draft-"));
    const hasCome = (): boolean =>
      drafts().some((name) => existsSync(join(dirname(out), name, "b1", "burned-0001.csv.gz")));
    await waitUntil(async () => hasCome(), { what: "the export's last but one table", timeoutMsMax: 60_000 });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    t.equal(drafts().length, 1, "a draft is left");
    t.notOk(existsSync(out), "and no archive");
  } finally {
    await lock.end();
  }
}

function rowsOf(dir: string, { files }: ArchiveManifest, table: string): string[] {
  return files
    .filter((file) => file.table === table)
    .flatMap(({ name }) =>
      gunzipSync(readFileSync(join(dir, name)))
        .toString()
        .trimEnd()
        .split("\n")
        .slice(1),
    );
}

function holdsEverything(t: Test, out: string, won: number): void {
  const manifest = readManifest(out);
  const count = (table: string): number => rowsOf(out, manifest, table).length;
  t.equal(count("prizes"), 84);
  t.equal(count("claims"), won);
  t.equal(count("payouts"), won);
  t.equal(count("ledger_entries"), 2 * (won - 4), "two for each envelope");
  t.equal(count("orders"), 4);
  t.equal(count("range_moves") >= 2, true, "what was lent left there and came here");
  t.match(rowsOf(out, manifest, "user_rules"), [/^u\d+,0,deny$/, /^u\d+,0,deny$/]);
  const control = readFileSync(join(out, "control.ndjson"), "utf8").trimEnd().split("\n");
  const names = control.map((line) => (JSON.parse(line) as { name: string }).name);
  for (const name of ["rounds/1", "keys/2", "users", "transfers/00000001"]) t.ok(names.includes(name), name);
  t.match(control.join("\n"), /they are more/);
  t.match(JSON.parse(readFileSync(join(out, "seeds.json"), "utf8")), {
    seeds: [
      { round: 1, seed: /^[0-9a-f]{64}$/ },
      { round: 2, seed: null },
    ],
  });
  t.match(manifest, {
    by: "ann",
    why: "the end",
    event: { id: "kept" },
    paidBy: { envelope: "ledger", item: "orders" },
  });
  const readme = readFileSync(join(out, "README.md"), "utf8");
  t.match(readme, /personal data/);
  t.match(readme, new RegExp(`\\| won \\| ${won} \\|`));
}

/** Nothing that opens anything: the six secrets, and the master seed, which would open the other round. */
function holdsNoSecret(t: Test, cluster: TestCluster, out: string): void {
  const secrets = readSecrets(cluster.topology, SECRET_NAMES);
  const seed = readFileSync(`${cluster.topology.pack}.seed`, "utf8").trim();
  const words = [...Object.values(secrets).flat(), seed];
  for (const name of readdirSync(out, { recursive: true, encoding: "utf8" })) {
    const path = join(out, name);
    if (existsSync(join(path, "."))) continue;
    const bytes = readFileSync(path);
    const text = (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString();
    t.notOk(
      words.some((word) => text.includes(word)),
      name,
    );
  }
}

/** Changes a table's text; with `fit` the manifest is made to fit again, as somebody would who knows how. */
function change(dir: string, name: string, edit: (text: string) => string, fit: boolean): void {
  const path = join(dir, name);
  const bytes = gzipSync(edit(gunzipSync(readFileSync(path)).toString()));
  writeFileSync(path, bytes);
  if (!fit) return;
  const manifest = readManifest(dir);
  const rows = gunzipSync(bytes).toString().split("\n").length - 2;
  Object.assign(
    manifest.files.find((file) => file.name === name)!,
    { bytes: bytes.length, sha256: sha256Hex(bytes), rows },
  );
  const text = JSON.stringify(manifest);
  writeFileSync(join(dir, MANIFEST), text);
  writeFileSync(join(dir, "SHA256SUMS"), checksumText(manifest, sha256Hex(text)));
}

async function tampered(t: Test, out: string, digest: string): Promise<void> {
  const claims = "b0/claims-0001.csv.gz";
  const first = (text: string, edit: (cells: string[]) => string[]): string => {
    const [head, row, ...rest] = text.split("\n");
    return [head, edit(row!.split(",")).join(","), ...rest].join("\n");
  };
  const richer = (text: string): string =>
    first(text, ([id, r, u, n, minor, at]) => [id!, r!, u!, n!, `${Number(minor) + 1}`, at!]);
  const cases: [string, (dir: string) => void, RegExp][] = [
    ["another byte", (dir) => change(dir, claims, richer, false), /claims-0001.csv.gz: was changed/],
    ["a file less", (dir) => rmSync(join(dir, claims)), /claims-0001.csv.gz: is missing/],
    ["a file more", (dir) => writeFileSync(join(dir, "b0", "notes.txt"), "x"), /notes.txt: is not one of/],
    [
      "another amount",
      (dir) => change(dir, claims, richer, true),
      /the claim of user u\d+ is worth \d+, generated was/,
    ],
    [
      "a claim less",
      (dir) => change(dir, claims, (text) => text.replace(/\n.*/, ""), true),
      /the payout \(paid\) has no claim/,
    ],
    [
      "another winner",
      (dir) =>
        change(dir, claims, (text) => first(text, ([id, r, , ...rest]) => [id!, r!, "thief", ...rest]), true),
      /the ledger has credit user:u\d+/,
    ],
    [
      "a prize that was worth more",
      (dir) =>
        change(
          dir,
          "b1/prizes-0001.csv.gz",
          (text) => first(text, ([id, r, k]) => [id!, r!, k!, "1999"]),
          true,
        ),
      /generated were .*worth/,
    ],
    [
      "a payout undone",
      (dir) => change(dir, "b0/payouts-0001.csv.gz", (text) => text.replace(",paid,", ",pending,"), true),
      /its payout is pending|pending is 1 worth/,
    ],
    [
      "a balance",
      (dir) =>
        change(
          dir,
          "b0/ledger_accounts-0001.csv.gz",
          (text) => text.replace(/^company,-\d+/m, "company,-1"),
          true,
        ),
      /the balance of company is -1/,
    ],
  ];
  for (const [name, spoil, message] of cases) {
    const dir = `${out}-${cases.findIndex((each) => each[0] === name)}`;
    cpSync(out, dir, { recursive: true });
    spoil(dir);
    const { ok, damage, findings } = await verifyArchive(dir);
    t.equal(ok, false, name);
    t.match([...damage, ...findings].join("\n"), message, name);
    rmSync(dir, { recursive: true });
  }
  const unordered = `${out}-unordered`;
  cpSync(out, unordered, { recursive: true });
  change(unordered, claims, (text) => text.replace(/\n(.*)\n(.*)\n/, "\n$2\n$1\n"), true);
  t.match(await verifyArchive(unordered), {
    ok: false,
    damage: [/the rows are not in the order of prize_id/],
  });
  rmSync(unordered, { recursive: true });
  const dir = `${out}-whole`;
  cpSync(out, dir, { recursive: true });
  change(dir, claims, (text) => text, true);
  t.equal((await verifyArchive(dir)).ok, true, "the same rows are whole by themselves");
  t.match(
    await verifyArchive(dir, { expected: digest }),
    { ok: false, damage: [/expected/] },
    "but not what was written down",
  );
  rmSync(dir, { recursive: true });
}

/** Where the topology names an archive: sent there, the marker last, also when the first try breaks off. */
async function isSent(t: Test, cluster: TestCluster, out: string): Promise<void> {
  const fake = await startFakeAws(t);
  const path = join(dirname(cluster.topology.path), "with-archive.yaml");
  writeFileSync(path, `${readFileSync(cluster.topology.path, "utf8")}\narchive: "s3://archive/kept/0001"\n`);
  fake.mishap = (method, key) => (method === "PUT" && key.endsWith(MANIFEST) ? "slow-down" : null);
  await t.rejects(uploadArchive(out, "s3://archive/kept/0001", { tries: 2, timeoutMs: 2_000, pauseMs: 1 }), {
    exitCode: 3,
    message: /manifest.json.*503 SlowDown/,
  });
  t.notOk(fake.objects.has("kept/0001/ARCHIVED"), "no marker for half an archive");
  const order: string[] = [];
  fake.mishap = (_, key) => {
    order.push(key);
    return null;
  };
  const again = await archiveEvent(out, { topology: path });
  t.match(again, {
    uploaded: /^s3:\/\/archive\/kept\/0001\/kept-.*\/$/,
    digest: sha256Hex(readFileSync(join(out, MANIFEST))),
  });
  t.equal(order.at(-1), "kept/0001/ARCHIVED");
  isTheSame(t, fake, out);
}

function isTheSame(t: Test, { objects }: FakeAws, out: string): void {
  const { id, files } = readManifest(out);
  for (const name of [...files.map((file) => file.name), MANIFEST, "SHA256SUMS"])
    t.same(objects.get(`kept/0001/${id}/${name}`)?.body, readFileSync(join(out, name)), name);
  t.match(JSON.parse(objects.get("kept/0001/ARCHIVED")!.body.toString()), {
    event: "kept",
    archive: `${id}/`,
    manifest: sha256Hex(readFileSync(join(out, MANIFEST))),
  });
}

/** A claim that the audit does not like: archived only by force, with the reason and the finding in it. */
async function forced(t: Test, cluster: TestCluster, out: string): Promise<void> {
  const connection = await inMysql(cluster, 0);
  await connection.query(
    "UPDATE claims SET amount_minor = amount_minor + 1 WHERE round_id = 1 ORDER BY prize_id LIMIT 1",
  );
  await connection.end();
  const next = `${out}-forced`;
  const at = { topology: cluster.topology.path };
  await t.rejects(archiveEvent(out, at), { exitCode: 1, message: /the audit found \d+ violations/ });
  await t.rejects(archiveEvent(next, { ...at, force: true }), {
    exitCode: 2,
    message: /--force: expected --why/,
  });
  await archiveEvent(next, { ...at, force: true, why: "the board knows" });
  t.match(readManifest(next), {
    forced: [/the audit found \d+ violations/],
    why: "the board knows",
    findings: [/the claim of user u\d+ is worth/],
  });
  t.match(readFileSync(join(next, "README.md"), "utf8"), /It was forced/);
  t.equal((await verifyArchive(next)).ok, true, "it is what was archived");
  await t.rejects(archiveEvent(out, { ...at, force: true, why: "x" }), {
    exitCode: 2,
    message: /found an older archive in .*archive, and things have changed/,
  });
}
