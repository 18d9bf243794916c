import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t from "tap";
import { temporaryState } from "@hongbao/infra";
import { hygieneOffences } from "../src/selftest/hygiene.ts";
import { findCycle, importsOf, packageOf } from "../src/selftest/imports.ts";
import { TapReader } from "../src/selftest/tap-reader.ts";

function read(output: string, pieces = 1) {
  const shown: string[] = [];
  const reader = new TapReader((line) => void shown.push(line));
  const size = Math.ceil(output.length / pieces);
  for (let at = 0; at < output.length; at += size) reader.take(output.slice(at, at + size));
  return { sum: reader.end(), shown };
}

const PASSING = `TAP version 14
1..1
# Subtest: a.test.ts
    ok 1 - fine
    ok 2 - not here # SKIP no terraform
    1..2
ok 1 - a.test.ts # time=1234.5ms

# { total: 2, pass: 1, skip: 1 }
# time=1300ms
`;

const FAILING = `1..1
# Subtest: a.test.ts
    ok 1 - fine
    not ok 2 - one is two
      ---
      diff: big
      ...
    1..2
not ok 1 - a.test.ts # time=10ms
  ---
  exitCode: 1
  ...
# { total: 2, pass: 1, fail: 1 }
`;

t.test("a file that passed is one line; skipped tests are named", async (t) => {
  for (const pieces of [1, 7, 50]) {
    const { sum, shown } = read(PASSING, pieces);
    t.same(sum, { passed: 1, failed: 0, skipped: ["not here (no terraform)"] });
    t.same(shown, ["ok     a.test.ts (1.2 s)"]);
  }
});

t.test("a file that failed shows why", async (t) => {
  const { sum, shown } = read(FAILING);
  t.match(sum, { passed: 1, failed: 1 });
  t.match(shown.join("\n"), /not ok 2 - one is two\n[^]*diff: big[^]*FAILED a\.test\.ts[^]*exitCode: 1/);
  t.notMatch(shown.join("\n"), /fine/);
});

t.test("a run that was cut off has failed", async (t) => {
  const { sum, shown } = read("TAP version 14\n# Subtest: a.test.ts\nboom");
  t.equal(sum.failed, 1);
  t.match(shown, ["TAP version 14", "# Subtest: a.test.ts", "boom"]);
});

t.test("imports are found in all their forms", async (t) => {
  const source = [
    `import a, { b } from "a/sub";`,
    `import type { C } from "./c.ts";`,
    `import { type D, type E } from "./d.ts";`,
    `import { type F, g } from "@x/f/deep";`,
    `import "side";`,
    `export * from "./h.ts";`,
    `import {\n  i,\n} from "./i.ts";`,
    `const j = await import("./j.ts");`,
    `// import "comment";`,
    `/* import "comment"; */`,
  ].join("\n");
  t.same(
    importsOf(source).map(
      ({ specifier, typeOnly, lazy }) => `${specifier}${typeOnly ? " type" : ""}${lazy ? " lazy" : ""}`,
    ),
    ["a/sub", "./c.ts type", "./d.ts type", "@x/f/deep", "side", "./h.ts", "./i.ts", "./j.ts lazy"],
  );
  t.same(["a/sub", "@x/f/deep", "node:fs", "./c.ts"].map(packageOf), ["a", "@x/f", null, null]);
});

t.test("cycles are found", async (t) => {
  const graph = (edges: Record<string, string[]>) => new Map(Object.entries(edges));
  t.equal(findCycle(graph({ a: ["b", "c"], b: ["c"], c: [] })), null);
  t.same(findCycle(graph({ a: ["b"], b: ["c"], c: ["b"] })), ["b", "c", "b"]);
});

t.test("the house rules find each kind of offence", async (t) => {
  const root = temporaryState(t);
  const file = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  file("package.json", JSON.stringify({ workspaces: ["x"], devDependencies: { tap: "1" } }));
  file("x/package.json", JSON.stringify({ name: "@hongbao/x", dependencies: { koa: "1" } }));
  file(
    "x/src/a.ts",
    `import Koa from "koa";\nimport { b } from "./b.ts";\nimport { readFileSync } from "node:fs";\n`,
  );
  file("x/src/b.ts", `import type { A } from "./a.ts";\n`);
  file("x/test/a.test.ts", `import t from "tap";\n`);
  file("node_modules/y/index.js", `import "nothing";\n`);
  t.same(hygieneOffences(root), []);
  file(
    "x/src/b.ts",
    `import { a } from "./a.ts";\nimport t from "tap";\nconsole.${"log"}(1);\n${"\n".repeat(500)}`,
  );
  t.match(hygieneOffences(root), [
    "import cycle: x/src/a.ts -> x/src/b.ts -> x/src/a.ts",
    "x/src/b.ts: imports tap, which x/package.json does not declare",
    "x/src/b.ts: console.log",
    /x\/src\/b\.ts: \d+ lines/,
  ]);
});
