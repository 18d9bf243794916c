import * as fc from "fast-check";
import t from "tap";
import { createClock } from "../../site/clock.js";

const START_MS = 1_800_000_000_000;

/** A phone whose wall clock is wrong, and whose monotonic clock starts anywhere. */
function phone({ wrongByMs = 0, monotonicMs = 500 } = {}) {
  const at = { trueMs: START_MS, wrongByMs, monotonicMs };
  const clock = createClock({
    monotonicMs: () => at.monotonicMs,
    wallMs: () => at.trueMs + at.wrongByMs,
  });
  const pass = (ms: number) => {
    at.trueMs += ms;
    at.monotonicMs += ms;
  };
  /** One request: `thereMs` on the way there, `backMs` back, from a cache that holds the answer for `ageMs`. */
  const ask = (thereMs: number, backMs: number, ageMs = 0) => {
    const sentAtMs = at.monotonicMs;
    pass(thereMs);
    const madeMs = at.trueMs - ageMs;
    const dateMs = Math.floor(madeMs / 1000) * 1000;
    const ageS = Math.floor(ageMs / 1000);
    pass(backMs);
    clock.learn({ dateMs, ageS, atLeastMs: null, sentAtMs, receivedAtMs: at.monotonicMs });
  };
  return { at, clock, pass, ask };
}

void t.test("before any answer it is the phone's clock, and says so", async (t) => {
  const { at, clock } = phone({ wrongByMs: 5_000 });
  t.equal(clock.known(), false);
  t.equal(clock.nowMs(), at.trueMs + 5_000);
});

void t.test("one answer puts a clock that is hours wrong right to about a second", async (t) => {
  const { at, clock, ask, pass } = phone({ wrongByMs: -7 * 3_600_000 });
  ask(40, 60);
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_050);
  pass(60_000);
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_050);
  t.equal(clock.known(), true);
});

void t.test("Age is added: an edge that holds the answer for a minute does no harm", async (t) => {
  const { at, clock, ask } = phone();
  ask(20, 20, 61_700);
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 2_000);
});

void t.test("many answers together are better than the best of them", async (t) => {
  const { at, clock, ask, pass } = phone();
  for (let index = 0; index < 20; index += 1) {
    ask(15, 15);
    pass(1_000 * index + 137 * index);
  }
  t.ok(Math.abs(clock.nowMs() - at.trueMs) < 150);
});

void t.test("whatever the ways and ages, the truth is never further off than one answer allows", async () => {
  const step = fc.record({
    thereMs: fc.integer({ min: 0, max: 3_000 }),
    backMs: fc.integer({ min: 0, max: 3_000 }),
    ageMs: fc.oneof(fc.constant(0), fc.integer({ min: 1_000, max: 5_000 })),
    pauseMs: fc.integer({ min: 0, max: 90_000 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: -1e8, max: 1e8 }), fc.array(step, { minLength: 1 }), (wrongByMs, steps) => {
      const { at, clock, ask, pass } = phone({ wrongByMs });
      for (const { thereMs, backMs, ageMs, pauseMs } of steps) {
        ask(thereMs, backMs, ageMs);
        pass(pauseMs);
      }
      return Math.abs(clock.nowMs() - at.trueMs) <= (2_000 + 6_000) / 2;
    }),
  );
});

void t.test("serverTime is a lower bound and no more", async (t) => {
  const { at, clock, ask } = phone();
  const receivedAtMs = at.monotonicMs;
  const old = { dateMs: null, ageS: 0, sentAtMs: receivedAtMs, receivedAtMs };
  clock.learn({ ...old, atLeastMs: at.trueMs - 20_000 });
  t.equal(clock.nowMs(), at.trueMs - 20_000, "better than nothing");
  ask(10, 10);
  clock.learn({ ...old, receivedAtMs: at.monotonicMs, atLeastMs: at.trueMs - 50_000 });
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_010, "an old file does not set it back");
});

void t.test("unreadable headers change nothing", async (t) => {
  const { clock } = phone();
  clock.learn({ dateMs: NaN, ageS: NaN, atLeastMs: NaN, sentAtMs: 0, receivedAtMs: 1 });
  t.equal(clock.known(), false);
});

void t.test("a sleep in which the monotonic clock stood still is noticed and mended", async (t) => {
  const { at, clock, ask } = phone();
  ask(10, 10);
  t.equal(clock.jumped(), false);
  at.trueMs += 600_000;
  t.equal(clock.jumped(), true);
  t.equal(clock.jumped(), false, "it is told once");
  ask(10, 10);
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_010);
});

void t.test("a small step of the server's clock is followed", async (t) => {
  const { at, clock, ask } = phone();
  ask(5, 5);
  at.trueMs += 30_000;
  ask(5, 5);
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_010);
});

void t.test("a start file that was made later than the clock thinks it is puts it right", async (t) => {
  const { at, clock, ask } = phone();
  ask(20, 20);
  // A sleep in which the monotonic clock stood still.
  at.trueMs += 50 * 60_000;
  const now = { dateMs: null, ageS: 0, sentAtMs: at.monotonicMs, receivedAtMs: at.monotonicMs };
  clock.learn({ ...now, atLeastMs: at.trueMs });
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_050);
  clock.learn({ ...now, atLeastMs: at.trueMs - 600_000 });
  t.ok(Math.abs(clock.nowMs() - at.trueMs) <= 1_050, "an old copy changes nothing");
});
