import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import type { Test } from "tap";
import { BadInput, openPack } from "../src/index.ts";
import {
  bucketText,
  eventText,
  makePack,
  SEED,
  temporaryDir,
  usersText,
  writeEvent,
  writeTopology,
} from "./fixtures.ts";

function setUp(t: Test, event?: string): string {
  const dir = temporaryDir(t);
  writeEvent(dir, event === undefined ? {} : { event });
  writeTopology(dir);
  return dir;
}

/** All bytes of a pack by file name. */
function bytesOf(pack: string): Record<string, string> {
  return Object.fromEntries(readdirSync(pack).map((name) => [name, readFileSync(join(pack, name), "hex")]));
}

const OTHER_SEED = "0dd5".repeat(16);

t.test("the same event, users, buckets and seed give the same bytes", async (t) => {
  const [one, two] = [setUp(t), setUp(t)];
  await makePack(one);
  await makePack(two);
  t.same(bytesOf(join(one, "pack")), bytesOf(join(two, "pack")));
});

t.test("another seed, user list, event or set of buckets gives other bytes", async (t) => {
  const digests = new Set<string>();
  const add = async (dir: string, seedHex = SEED): Promise<void> => {
    digests.add((await makePack(dir, { seedHex })).digest);
  };
  await add(setUp(t));
  await add(setUp(t), OTHER_SEED);
  await add(setUp(t, eventText([{ budget: "100.01" }])));
  const users = setUp(t);
  writeEvent(users, { users: usersText(201) });
  await add(users);
  const buckets = setUp(t);
  writeTopology(buckets, {}, [bucketText(0, "[[0, 1023]]")]);
  await add(buckets);
  t.equal(digests.size, 5);
});

t.test("the seed stands beside the pack, readable by its owner only", async (t) => {
  const dir = setUp(t);
  const path = join(dir, "pack.seed");
  writeFileSync(path, "an older file", { mode: 0o644 });
  chmodSync(path, 0o644);
  await makePack(dir, { out: `${join(dir, "pack")}/` });
  t.equal(readFileSync(path, "utf8"), `${SEED}\n`);
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test("without a seed every pack gets its own, and a repeated command finds it again", async (t) => {
  const [one, two] = [setUp(t), setUp(t)];
  const generate = async (dir: string) => {
    const { seedHex: _none, ...input } = await inputOf(dir);
    void _none;
    return (await import("../src/generate.ts")).generatePack(input);
  };
  const first = await generate(one);
  t.not((await generate(two)).digest, first.digest);
  const again = await generate(one);
  t.same([again.digest, again.outcome], [first.digest, "same"]);
});

async function inputOf(dir: string) {
  const { readEvent, readGreetings, readTopology, readUsers } = await import("../src/index.ts");
  const event = readEvent(join(dir, "event.yaml"));
  return {
    event,
    users: await readUsers(event.usersPath),
    greetings: readGreetings(event.greetingsPath),
    topology: readTopology(join(dir, "topology.yaml")),
    out: join(dir, "pack"),
    seedHex: SEED,
  };
}

t.test("another pack is replaced by force only", async (t) => {
  const dir = setUp(t);
  const { digest } = await makePack(dir);
  const before = bytesOf(join(dir, "pack"));
  await t.rejects(makePack(dir, { seedHex: OTHER_SEED }), {
    message: new RegExp(`pack: found the pack of event party with digest ${digest.slice(0, 12)}, .*--force`),
    exitCode: 2,
  });
  t.same(bytesOf(join(dir, "pack")), before, "nothing changed");
  t.equal(readFileSync(join(dir, "pack.seed"), "utf8").trim(), SEED);
  const replaced = await makePack(dir, { seedHex: OTHER_SEED, force: true });
  t.equal(replaced.outcome, "replaced");
  t.equal(openPack(join(dir, "pack")).digest, replaced.digest);
  t.equal(readFileSync(join(dir, "pack.seed"), "utf8").trim(), OTHER_SEED);
  t.same(readdirSync(dir).sort(), [
    "event.yaml",
    "greetings.txt",
    "pack",
    "pack.seed",
    "topology.yaml",
    "users.csv",
  ]);
});

t.test("a damaged pack is not overwritten silently", async (t) => {
  const dir = setUp(t);
  await makePack(dir);
  writeFileSync(join(dir, "pack/amounts.u32"), "x");
  await t.rejects(makePack(dir), { message: /found a damaged pack, .*--force/ });
  t.equal((await makePack(dir, { force: true })).outcome, "replaced");
});

t.test("what is no pack is never overwritten, not even by force", async (t) => {
  const dir = setUp(t);
  mkdirSync(join(dir, "pack"));
  writeFileSync(join(dir, "pack/letters.txt"), "dear");
  await t.rejects(makePack(dir, { force: true }), { message: /pack: found files that are no pack/ });
  t.same(readdirSync(join(dir, "pack")), ["letters.txt"]);
  await t.rejects(makePack(dir, { out: join(dir, "event.yaml"), force: true }), BadInput);
});

t.test("an empty directory and a deep new one are taken", async (t) => {
  const dir = setUp(t);
  mkdirSync(join(dir, "pack"));
  t.equal((await makePack(dir)).outcome, "new");
  t.equal((await makePack(dir, { out: join(dir, "a/b/pack") })).outcome, "new");
});

t.test("bad input leaves nothing behind", async (t) => {
  const dir = setUp(t, eventText([{}, { id: "2", groups: "[staff, directors]" }]));
  await t.rejects(makePack(dir), {
    message:
      /event\.yaml:\d+: rounds\[1\]\.groups\[1\]: found group "directors", expected one of .*users\.csv: staff, family/,
  });
  await t.rejects(makePack(dir, { seedHex: "xyz" }), { message: /--seed: found 3 characters/ });
  t.same(readdirSync(dir).sort(), ["event.yaml", "greetings.txt", "topology.yaml", "users.csv"]);
});

t.test("a failure in the middle leaves nothing behind", async (t) => {
  const dir = setUp(t);
  const fault = new Error("the disk is full");
  const onProgress = (): never => {
    throw fault;
  };
  await t.rejects(makePack(dir, { onProgress }), fault);
  t.same(readdirSync(dir).sort(), ["event.yaml", "greetings.txt", "topology.yaml", "users.csv"]);
});

t.test("Ctrl-C leaves nothing behind, and drafts of killed runs are removed by the next one", async (t) => {
  const dir = setUp(t, eventText([{ count: "20000000", budget: "900000.00" }]));
  const command = join(import.meta.dirname, "command-line.ts");
  const args = [command, "preprocess", "generate", "event.yaml", "--topology", "topology.yaml"];
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const child = spawn(process.execPath, args, { cwd: dir, stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const isDrafting = (): boolean => readdirSync(dir).some((name) => name.startsWith("pack.draft-"));
    while (!isDrafting() && child.exitCode === null) await delay(5);
    child.kill(signal);
    await ended;
    t.equal(isDrafting(), signal === "SIGKILL", signal);
  }
  writeEvent(dir);
  await makePack(dir);
  t.same(readdirSync(dir).sort(), [
    "event.yaml",
    "greetings.txt",
    "pack",
    "pack.seed",
    "topology.yaml",
    "users.csv",
  ]);
  t.ok(existsSync(join(dir, "pack/pack.json")));
});

t.test("a pack that a killed run had set aside comes back", async (t) => {
  const dir = setUp(t);
  const { digest } = await makePack(dir);
  renameSync(join(dir, "pack"), join(dir, `pack.draft-${2 ** 30}-old`));
  await t.rejects(makePack(dir, { seedHex: OTHER_SEED }), { message: new RegExp(digest.slice(0, 12)) });
  t.equal(openPack(join(dir, "pack")).digest, digest);
});
