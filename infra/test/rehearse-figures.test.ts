import fc from "fast-check";
import t from "tap";
import { condense, svgPicture, terminalPicture } from "../src/replay/picture.ts";
import { faults, summaryText, type ReplaySummary } from "../src/replay/summary.ts";
import {
  dense,
  latencyOf,
  peakPerSecond,
  secondsToLastWin,
  sumCounts,
  withMoments,
} from "../src/rehearse/figures.ts";
import { parseStartFile } from "../src/rehearse/start-file.ts";
import type { RehearseReport } from "../src/rehearse/rehearse.ts";
import { reportText } from "../src/rehearse/text.ts";

t.test("percentiles by nearest rank", async (t) => {
  t.equal(latencyOf([]), null);
  t.equal(latencyOf(undefined), null);
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  t.same(latencyOf(hundred), { count: 100, p50Ms: 50, p99Ms: 99, maxMs: 100 });
  t.same(latencyOf([7]), { count: 1, p50Ms: 7, p99Ms: 7, maxMs: 7 });
});

t.test("the peak is the best sliding second", async (t) => {
  t.equal(peakPerSecond([5, 5, 5], 100), 15);
  t.equal(peakPerSecond([...new Array<number>(10).fill(1), ...new Array<number>(10).fill(2)], 100), 20);
  t.equal(peakPerSecond([0, 100, 0, ...new Array<number>(20).fill(3)], 100), 100 + 8 * 3);
  t.equal(peakPerSecond([], 100), 0);
  fc.assert(
    fc.property(fc.array(fc.nat(100)), (series) => {
      const sums = series.map((_, end) =>
        series.slice(Math.max(0, end - 9), end + 1).reduce((a, b) => a + b, 0),
      );
      t.equal(peakPerSecond(series, 100), Math.max(0, ...sums));
    }),
  );
});

t.test("sparse series become dense, and tell when the last win was", async (t) => {
  t.same(dense({ "2": 5, "0": 1 }), [1, 0, 5]);
  t.same(dense({ "-1": 5 }), [5]);
  t.same(dense({}), []);
  t.equal(secondsToLastWin([0, 0, 4, 4, 4], [0, 0, 2, 1, 0], 100), 0.2);
  t.equal(secondsToLastWin([1], [0], 100), null);
  t.same(withMoments([1, 1], [0, 150, 420, -3], 100), [3, 2, 0, 0, 1]);
  t.same(sumCounts({ a: 1 }, { a: 2, b: 3 }), { a: 3, b: 3 });
});

t.test("the start file is read as the page reads it", async (t) => {
  t.match(parseStartFile(`hongbaoStart({"round":1,"key":"abc","opensAt":"x"});`), { round: 1, key: "abc" });
  t.equal(parseStartFile(`hongbaoStart({"round":1,"key":null});\n`)?.key, null);
  t.equal(parseStartFile("<html>"), null);
  t.equal(parseStartFile("hongbaoStart({broken});"), null);
});

const sum = (count: number) => ({ count, amount: count * 100 });
const audit = {
  ok: true,
  rounds: [{ round: 1, generated: sum(9), issued: sum(9), left: sum(0), claimed: sum(9), waiting: sum(0) }],
  violations: [],
};
const report = (change: Partial<RehearseReport> = {}): RehearseReport => ({
  event: "e",
  round: 1,
  kind: "envelope",
  users: 20,
  perUser: 1,
  connections: 4,
  threads: 1,
  spreadSeconds: null,
  buckets: [{ bucket: "b0", users: 20, generated: 9, left: 0 }],
  finished: true,
  answers: { won: 9, ended: 11 },
  errors: { connect: 0, read: 0, write: 0, timeout: 0, unanswered: 0 },
  peakPerSecond: 20,
  peakWinsPerSecond: 9,
  secondsToLastWin: 0.3,
  soldOut: true,
  latency: { won: { count: 9, p50Ms: 1.5, p99Ms: 3, maxMs: 3 }, ended: null },
  told: { wins: 9, verified: 9, missing: 0, unknown: 0 },
  series: { stepMs: 100, answers: [0, 9, 9, 2], wins: [0, 5, 4, 0] },
  audit,
  ...change,
});

t.test("a report says what happened", async (t) => {
  const text = reportText(report());
  t.match(text, /answers +20: ended 11, won 9/);
  t.match(text, /won +p50 1\.5 ms, p99 3 ms, max 3 ms \(9 samples\)/);
  t.match(text, /ended +no sample/);
  t.match(text, /told wins +9: 9 found again/);
  t.match(text, /round 1: generated 9 \(9\.00\), issued 9/);
  t.notMatch(text, /no answer|LOST/);
  const bad = reportText(report({ finished: false, told: { wins: 9, verified: 7, missing: 2, unknown: 0 } }));
  t.match(bad, /2 LOST[^]*The time was over/);
});

t.test("pictures keep every answer", async (t) => {
  const { series } = report();
  t.same(condense(series, 2), { stepMs: 200, answers: [18, 2], wins: [9, 0] });
  fc.assert(
    fc.property(fc.array(fc.nat(50), { minLength: 1 }), fc.integer({ min: 1, max: 30 }), (answers, most) => {
      const joined = condense({ stepMs: 100, answers, wins: answers }, most);
      t.ok(joined.answers.length <= most);
      t.equal(
        joined.answers.reduce((a, b) => a + b, 0),
        answers.reduce((a, b) => a + b, 0),
      );
    }),
  );
  const svg = svgPicture([report(), report({ round: 2, series: { stepMs: 100, answers: [], wins: [] } })]);
  t.match(svg, /^<svg [^]*Round 1: 9 wins of 20 users[^]*Round 2[^]*<\/svg>\n$/);
  t.notMatch(svg, /NaN|Infinity/);
  const bars = terminalPicture(report()).split("\n");
  t.equal(bars.length, 4);
  t.match(bars[1], / 0\.0 s +90\/s  █+░+$/);
});

t.test("a replay is clean only when everything went and everything is there", async (t) => {
  const summary = (rounds: RehearseReport[], ok = true): ReplaySummary => ({
    format: 1,
    finishedAt: "",
    buckets: 2,
    services: 2,
    rounds,
    audit: { ...audit, ok },
  });
  t.same(faults(summary([report()])), []);
  t.equal(faults(summary([report({ soldOut: false })])).length, 1);
  t.equal(faults(summary([report({ finished: false })])).length, 1);
  t.equal(faults(summary([report({ told: { wins: 9, verified: 8, missing: 1, unknown: 0 } })])).length, 1);
  t.equal(faults(summary([report()], false)).length, 1);
  t.match(summaryText(summary([report()])), /peak QPS[^]*0\.3 s[^]*audit +clean/);
});
