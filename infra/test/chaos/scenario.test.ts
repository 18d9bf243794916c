import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { BadInput } from "@hongbao/preprocess";
import { drawScenario } from "../../chaos/draw.ts";
import { partsOfTarget } from "../../chaos/nemesis/targets.ts";
import { randomFrom } from "../../chaos/random.ts";
import { groupsOf } from "../../chaos/run.ts";
import { parseScenario, readScenarios } from "../../chaos/scenario.ts";
import type { Part } from "../../chaos/stage/layout.ts";

const part = (name: string): Part => {
  const [kind, rest = ""] = name.split(" ");
  return { name, kind: kind as Part["kind"], bucket: /^b\d/.exec(rest)?.[0] ?? null, admin: null };
};
const PARTS = [
  "redis b0",
  "redis b1",
  "service b0/s0",
  "service b0/s1",
  "service b1/s0",
  "controller c0",
  "controller c1",
  "balancer",
].map(part);

t.test("every scenario of the matrix is well formed, and each row of the design has one", async (t) => {
  const all = readScenarios();
  t.ok(all.size > 40);
  const rows = [...all.values()].map(({ row }) => row ?? "").join("; ");
  for (const who of [
    "service",
    "Redis",
    "MySQL",
    "HAProxy",
    "controller",
    "persist",
    "payout",
    "all at once",
  ])
    for (const how of ["kill -9", "SIGSTOP"]) t.match(rows, `${who}: ${how}`);
  for (const row of [
    "Redis: kill -9 while its disk is slow",
    "Redis data deleted",
    "Redis restored from an older copy",
    "MySQL away for 30 s",
    "wallet answering 500",
    "wallet hanging",
    "wallet twice",
    "clock jump",
    ...["round opening", "rollover", "lending"].flatMap((what) => [
      `${what}: killed`,
      `${what}: frozen and woken`,
    ]),
  ])
    t.match(rows, row);
});

t.test("a scenario that makes no sense is refused by its field", async (t) => {
  const refused = (raw: unknown, message: RegExp): void => {
    const text = typeof raw === "string" ? raw : JSON.stringify(raw);
    t.throws(() => parseScenario("x", text), { constructor: BadInput, message });
  };
  refused("{", /expected JSON/);
  refused({}, /what: found "", expected a sentence/);
  refused(
    { what: "w", steps: [{ at: 1, do: "melt" }] },
    /steps\[0\]\.do: found "melt", expected one of kill/,
  );
  refused({ what: "w", steps: [{ do: "kill", target: "redis b0" }] }, /steps\[0\]\.at: found nothing/);
  refused({ what: "w", steps: [{ at: 1, do: "kill" }] }, /steps\[0\]\.target: found nothing/);
  refused({ what: "w", steps: [{ at: 1, do: "kill", target: "x", fro: 1 }] }, /steps\[0\]\.fro: /);
  refused({ what: "w", world: "moon" }, /world: found "moon", expected one of plain/);
  refused({ what: "w", rounds: [{ cuont: 1 }] }, /rounds\[0\]\.cuont/);
});

t.test("a folder of scenarios is read by name", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-scenarios-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "b.json"), '{"what":"second"}');
  writeFileSync(join(dir, "a.json"), '{"what":"first"}');
  t.same(
    [...readScenarios(dir)].map(([id, { what }]) => [id, what]),
    [
      ["a", "first"],
      ["b", "second"],
    ],
  );
});

t.test("targets name one part, a kind, a bucket, or all", async (t) => {
  const names = (target: string): string[] =>
    partsOfTarget(target, PARTS, randomFrom(1)).map(({ name }) => name);
  t.same(names("redis b0"), ["redis b0"]);
  t.same(names("service b0/all"), ["service b0/s0", "service b0/s1"]);
  t.same(names("controller all"), ["controller c0", "controller c1"]);
  t.same(names("bucket b1"), ["redis b1", "service b1/s0"]);
  t.equal(names("service one").length, 1);
  t.equal(names("all").length, PARTS.length);
  for (const wrong of ["redis", "redis b7", "moon", "service"])
    t.throws(() => names(wrong), { constructor: BadInput, message: /target: found/ });
});

t.test("the same seed draws the same scenarios; another seed others", async (t) => {
  const drawn = (seed: number): unknown =>
    Array.from({ length: 20 }, (_, number) => drawScenario(seed, number));
  t.same(drawn(7), drawn(7));
  t.notSame(drawn(7), drawn(8));
});

t.test("scenarios share clusters by their world, each with rounds of its own", async (t) => {
  const all = [...readScenarios().values()];
  const groups = groupsOf(all);
  t.equal(
    groups.reduce((sum, { plays }) => sum + plays.length, 0),
    all.length,
  );
  for (const { world, plays, rounds } of groups) {
    t.ok(plays.every(({ scenario }) => scenario.world === world));
    t.ok(rounds.length <= 99);
    t.same(
      plays.flatMap((play) => play.rounds),
      rounds.map(({ id }) => id),
    );
  }
});
