import { fork } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { append, openDirectoryStore } from "../../src/control/directory-store.ts";
import { openControlStore } from "../../src/control/open.ts";
import { controlStoreContract } from "./contract.ts";

const base = mkdtempSync(join(tmpdir(), "hongbao-control-"));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
let count = 0;
const freshDir = (): string => join(base, String((count += 1)));

t.test("the contract", (t) => controlStoreContract(t, () => openDirectoryStore(freshDir())));

t.test("what was written is there for the next process, drafts of killed ones are not", async (t) => {
  const dir = freshDir();
  const store = await openDirectoryStore(dir);
  const etag = await store.put("rounds/1", "x", { ifNoneMatch: true });
  // A process that was killed between draft and link, and one that was killed before the first version.
  writeFileSync(join(dir, ".drafts", "1-killed"), "half a rec");
  mkdirSync(join(dir, "rounds", "2.record"));
  const again = await openDirectoryStore(dir);
  t.same(await again.get("rounds/1"), { value: "x", etag });
  t.same(await again.list(""), ["rounds/1"]);
  t.equal(await again.get("rounds/2"), null);
  t.type(await again.put("rounds/2", "y", { ifNoneMatch: true }), "string");
});

t.test("old versions are removed, and a writer that slept through them does not win", async (t) => {
  const dir = freshDir();
  const store = await openDirectoryStore(dir);
  let etag = (await store.put("lease", "0", { ifNoneMatch: true }))!;
  const slept = etag;
  for (let n = 1; n <= 200; n += 1) etag = (await store.put("lease", String(n), { ifMatch: etag }))!;
  const kept = readdirSync(join(dir, "lease.record"));
  t.ok(kept.length <= 64 + 16, `${kept.length} versions kept`);
  t.equal(await store.put("lease", "late", { ifMatch: slept }), null);
  t.equal(await store.put("lease", "late", { ifNoneMatch: true }), null);
  t.same(await store.get("lease"), { value: "200", etag });
});

t.test(
  "a writer frozen between its look and its link, woken after its number was used and removed",
  async (t) => {
    const dir = freshDir();
    const store = await openDirectoryStore(dir);
    let etag = (await store.put("a", "0", { ifNoneMatch: true }))!;
    for (let n = 1; n <= 200; n += 1) etag = (await store.put("a", String(n), { ifMatch: etag }))!;
    // The frozen writer looked when 5 was the newest, and goes on from there now.
    const record = join(dir, "a.record");
    t.notOk(readdirSync(record).includes("000000000006"), "its number is free again");
    t.equal(await append(record, join(dir, ".drafts"), 6, "woken"), null);
    t.notOk(readdirSync(record).includes("000000000006"), "and leaves nothing behind");
    t.same(await store.get("a"), { value: "200", etag });
  },
);

t.test("a directory that cannot be is unreachable, and names what and where", async (t) => {
  const file = freshDir();
  writeFileSync(file, "");
  await t.rejects(openDirectoryStore(join(file, "x")), { exitCode: 3, message: /control store .*ENOTDIR/ });
  await t.rejects(openControlStore("ftp://host/dir"), { exitCode: 2, message: /ftp:\/\/host/ });
});

interface Outcome {
  added: number;
  created: number[];
}

/** Runs `processes` writers on one directory; `kill` kills one of them in the middle with SIGKILL. */
async function race(
  t: Test,
  dir: string,
  processes: number,
  adds: number,
  kill: boolean,
): Promise<Outcome[]> {
  const writers = Array.from({ length: processes }, (_, index) =>
    fork(join(import.meta.dirname, "writer.ts"), [dir, String(index), String(adds)], {
      execArgv: ["--disable-warning=ExperimentalWarning"],
    }),
  );
  t.teardown(() => writers.forEach((writer) => writer.kill("SIGKILL")));
  // Listened to from the start: a quick writer may be done before a slow one has begun.
  const outcomes = writers.map(
    (writer) =>
      new Promise<Outcome | null>((resolve) => {
        writer.on("message", (message: Outcome | "started") => {
          if (message !== "started") resolve(message);
          else if (kill && writer === writers[0]) writer.kill("SIGKILL");
        });
        writer.on("exit", () => resolve(null));
      }),
  );
  return (await Promise.all(outcomes)).filter((outcome) => outcome !== null);
}

t.test("several processes: no addition is lost, every name is created once", async (t) => {
  const dir = freshDir();
  const outcomes = await race(t, dir, 4, 40, false);
  t.equal(outcomes.length, 4);
  const store = await openDirectoryStore(dir);
  t.equal((await store.get("counter"))?.value, String(outcomes.reduce((sum, { added }) => sum + added, 0)));
  t.same(
    outcomes.flatMap(({ created }) => created).sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, index) => index),
  );
});

t.test("one of them killed in the middle: the others go on, and nothing is torn", async (t) => {
  const dir = freshDir();
  const outcomes = await race(t, dir, 3, 40, true);
  t.ok(outcomes.length >= 2);
  const store = await openDirectoryStore(dir);
  const counted = Number((await store.get("counter"))?.value);
  const told = outcomes.reduce((sum, { added }) => sum + added, 0);
  t.ok(counted >= told && counted <= told + 40, `${counted} counted, ${told} told by those that lived`);
  for (const name of await store.list("created/")) t.match((await store.get(name))?.value, /^writer \d+$/);
});
