import t from "tap";
import {
  BadInput,
  closingTime,
  durationMs,
  formatDuration,
  formatTimeExpression,
  parseDuration,
  readTimeExpression,
  resolveTimes,
  shiftTimes,
  timestampMs,
} from "../src/index.ts";
import type { TimeExpression } from "../src/index.ts";

t.test("durations have a unit", async (t) => {
  t.equal(durationMs("30s"), 30_000);
  t.equal(durationMs("1.5h"), 5_400_000);
  t.equal(durationMs("500ms"), 500);
  t.equal(durationMs("2d"), 172_800_000);
  for (const bad of ["", "10", "s", "-1s", "10 m", "400d", "1w"]) t.equal(durationMs(bad), null, bad);
  t.throws(() => parseDuration("soon", "--for"), { message: /--for: found "soon", expected a duration/ });
});

t.test("timestamps need a timezone and a day that exists", async (t) => {
  t.equal(timestampMs("2027-02-05T20:00:00+08:00"), Date.UTC(2027, 1, 5, 12));
  t.equal(timestampMs("2027-02-05T20:00Z"), Date.UTC(2027, 1, 5, 20));
  t.equal(timestampMs("2027-02-05T20:00:00.250Z"), Date.UTC(2027, 1, 5, 20, 0, 0, 250));
  t.equal(timestampMs("2028-02-29T00:00:00Z"), Date.UTC(2028, 1, 29));
  for (const bad of [
    "2027-02-05T20:00:00",
    "2027-02-05",
    "2027-02-30T20:00:00Z",
    "2027-13-01T00:00:00Z",
    "2027-02-05T25:00:00Z",
    "2027-02-05 20:00:00Z",
    "tomorrow",
  ]) {
    t.equal(timestampMs(bad), null, bad);
  }
});

t.test("every form is read and written back", async (t) => {
  const forms: [string, TimeExpression][] = [
    ["now+30s", { kind: "after", ms: 30_000 }],
    ["+10m", { kind: "afterOpening", ms: 600_000 }],
    ["manual", { kind: "manual" }],
    ["2027-02-05T12:00:00.000Z", { kind: "at", ms: Date.UTC(2027, 1, 5, 12) }],
  ];
  for (const [text, time] of forms) {
    t.same(readTimeExpression(text), time);
    t.equal(formatTimeExpression(time), text);
  }
  for (const bad of ["now", "now+", "+", "now-30s", "Manual"]) t.equal(readTimeExpression(bad), null, bad);
  t.same(["1m", "61s", "1500ms", "0ms"], [60_000, 61_000, 1500, 0].map(formatDuration));
});

const after = (ms: number): TimeExpression => ({ kind: "after", ms });

t.test("times are fixed at the load", async (t) => {
  const times = resolveTimes(
    [
      { id: 1, opensAt: after(1000), closesAt: { kind: "afterOpening", ms: 500 } },
      { id: 2, opensAt: { kind: "manual" }, closesAt: { kind: "afterOpening", ms: 500 } },
      { id: 3, opensAt: { kind: "manual" }, closesAt: after(9000) },
      { id: 4, opensAt: { kind: "at", ms: 7 }, closesAt: { kind: "at", ms: 8 } },
    ],
    10_000,
  );
  t.same(times.get(1), { opensAtMs: 11_000, closesAtMs: 11_500 });
  t.same(times.get(2), { opensAtMs: null, closesAtMs: null });
  t.same(times.get(3), { opensAtMs: null, closesAtMs: 19_000 });
  t.same(times.get(4), { opensAtMs: 7, closesAtMs: 8 });
  t.equal(closingTime({ kind: "afterOpening", ms: 500 }, 20_000), 20_500);
  t.equal(closingTime(after(1), 20_000), null);
});

t.test("a round that would close before it opens is refused", async (t) => {
  const round = { id: 5, opensAt: after(60_000), closesAt: { kind: "at", ms: 1000 } as const };
  t.throws(() => resolveTimes([round], 0), BadInput);
  t.throws(() => resolveTimes([round], 0), { message: /round 5: closesAt: found .* expected a time after/ });
});

t.test("a shift moves all rounds alike", async (t) => {
  const shifted = shiftTimes(
    new Map([
      [1, { opensAtMs: 5000, closesAtMs: 6000 }],
      [2, { opensAtMs: 3000, closesAtMs: 4000 }],
      [3, { opensAtMs: null, closesAtMs: null }],
    ]),
    10_000,
  );
  t.same(
    [...shifted.values()],
    [
      { opensAtMs: 12_000, closesAtMs: 13_000 },
      { opensAtMs: 10_000, closesAtMs: 11_000 },
      { opensAtMs: null, closesAtMs: null },
    ],
  );
  const manual = new Map([[1, { opensAtMs: null, closesAtMs: null }]]);
  t.equal(shiftTimes(manual, 5), manual);
});
