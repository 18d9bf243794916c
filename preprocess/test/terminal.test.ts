import { Command } from "commander";
import t from "tap";
import {
  BadInput,
  CheckFailed,
  confirmAct,
  HongbaoError,
  parentCommand,
  printJson,
  progress,
  reportFailure,
  table,
  Unreachable,
} from "../src/index.ts";

t.test("each kind of failure has its exit code and one line", async (t) => {
  const lines = t.capture(process.stderr, "write", () => true);
  t.equal(reportFailure(new CheckFailed("3 violations")), 1);
  t.equal(reportFailure(new BadInput("event.yaml:7: found\n  a\r\nbroken line")), 2);
  t.equal(reportFailure(new Unreachable("no redis at 127.0.0.1:6400")), 3);
  t.equal(reportFailure(new HongbaoError("other", 9)), 9);
  t.equal(reportFailure(new TypeError("a fault of ours")), 1);
  t.equal(reportFailure("thrown text"), 1);
  t.same(
    lines().map(({ args }) => args[0]),
    [
      "hongbao: 3 violations\n",
      "hongbao: event.yaml:7: found a broken line\n",
      "hongbao: no redis at 127.0.0.1:6400\n",
      "hongbao: other\n",
      "hongbao: a fault of ours\n",
      "hongbao: thrown text\n",
    ],
  );
});

t.test("the stack of a fault is shown on demand only", async (t) => {
  const lines = t.capture(process.stderr, "write", () => true);
  t.teardown(() => delete process.env.HONGBAO_DEBUG);
  process.env.HONGBAO_DEBUG = "1";
  reportFailure(new TypeError("a fault"));
  const texts = lines().map(({ args }) => String(args[0]));
  t.match(texts[0], /terminal\.test\.ts/);
  t.equal(texts.at(-1), "hongbao: a fault\n", "the last line is the error");
});

t.test("names tell the errors apart", async (t) => {
  t.same(
    [new BadInput("").name, new Unreachable("").name, new CheckFailed("").name],
    ["BadInput", "Unreachable", "CheckFailed"],
  );
});

t.test("what cannot be undone needs a terminal or --yes", async (t) => {
  const lines = t.capture(process.stderr, "write", () => true);
  const { isTTY } = process.stdin;
  t.teardown(() => (process.stdin.isTTY = isTTY));
  process.stdin.isTTY = false;
  await confirmAct({ what: ["Topology t.yaml, event party", "Moves round 1"] });
  await confirmAct({ what: [], ask: { word: "1", yes: true } });
  await t.rejects(confirmAct({ what: ["Closes round 1"], ask: { word: "1", yes: false } }), BadInput);
  t.same(
    lines().map(({ args }) => args[0]),
    ["Topology t.yaml, event party\n", "Moves round 1\n", "Closes round 1\n"],
  );
});

t.test("progress is silent where nobody watches", async (t) => {
  const lines = t.capture(process.stderr, "write", () => true);
  const { isTTY } = process.stderr;
  t.teardown(() => (process.stderr.isTTY = isTTY));
  process.stderr.isTTY = false;
  const silent = progress("prizes", 10);
  silent.update(5);
  silent.done();
  t.same(lines(), []);
  process.stderr.isTTY = true;
  const shown = progress("prizes", 10);
  shown.update(5);
  shown.update(6);
  shown.done();
  const text = lines()
    .map(({ args }) => String(args[0]))
    .join("");
  t.match(text, /prizes \[############\.+\] 50 %/);
  t.notMatch(text, /60 %/, "not drawn more often than the eye sees");
  t.match(text, /100 %\n$/);
});

t.test("a report is one JSON document", async (t) => {
  const lines = t.capture(process.stdout, "write", () => true);
  printJson({ ok: true, rounds: [] });
  t.same(
    JSON.parse(
      lines()
        .map(({ args }) => String(args[0]))
        .join(""),
    ),
    { ok: true, rounds: [] },
  );
});

t.test("two folders add to one command", async (t) => {
  const program = new Command();
  const first = parentCommand(program, "preprocess", "makes packs");
  t.equal(parentCommand(program, "preprocess", "loads packs"), first);
  t.equal(first.description(), "makes packs");
  t.equal(program.commands.length, 1);
});

t.test("columns are aligned, numbers to the right, Chinese by its width", async (t) => {
  t.same(
    table([
      ["name", "count"],
      ["红包", "5"],
      ["a", "~12.50"],
    ]).split("\n"),
    ["name  count", "红包       5", "a     ~12.50"],
  );
});
