import fc from "fast-check";
import t from "tap";
import { BucketClock, judgeNow } from "../../src/conductor/clock.ts";

t.test("a bucket's clock through slow answers: never ahead of it, and close after a few looks", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: -3_600_000, max: 3_600_000 }),
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 20 }),
      (offsetMs, delays) => {
        const clock = new BucketClock();
        let monotonicMs = 5_000;
        for (const delayMs of delays) {
          const timeMs = monotonicMs + offsetMs;
          monotonicMs += delayMs;
          clock.saw(timeMs, monotonicMs);
        }
        const truth = monotonicMs + offsetMs;
        const judged = clock.nowMs(monotonicMs)!;
        const recent = delays.slice(-5);
        return judged <= truth && judged >= truth - Math.min(...recent, 400);
      },
    ),
  );
  const clock = new BucketClock();
  t.equal(clock.nowMs(0), null, "never seen");
  clock.saw(1_000_000, 100);
  t.equal(clock.nowMs(350), 1_000_250, "it runs on between looks");
  t.end();
});

t.test("a clock that was set is believed a few seconds later", (t) => {
  const clock = new BucketClock();
  for (let ms = 0; ms < 2_000; ms += 100) clock.saw(1_000_000 + ms, ms);
  for (let ms = 2_000; ms < 8_000; ms += 100) clock.saw(1_000_000 + ms - 60_000, ms);
  t.equal(clock.nowMs(8_000), 1_000_000 + 8_000 - 60_000);
  t.end();
});

t.test("our own clock decides nothing: one bucket is believed, one wrong clock is outvoted", (t) => {
  const now = 1_800_000_000_000;
  const hour = 3_600_000;
  t.equal(judgeNow([], now), null);
  for (const own of [now - hour, now, now + hour]) {
    t.equal(judgeNow([now], own), now);
    t.equal(judgeNow([now, now + 5], own)! - now >= 0, true);
    t.ok(Math.abs(judgeNow([now, now + 5], own)! - now) <= 5, "two buckets that agree");
    t.ok(Math.abs(judgeNow([now - 3, now, now + hour], own)! - now) <= 3);
  }
  for (const wrong of [now - hour, now + hour]) {
    t.ok(Math.abs(judgeNow([now, wrong], now)! - now) <= 3, "one of two is wrong: ours decides between them");
    t.ok(Math.abs(judgeNow([now, now + 1, now + 2, wrong], now)! - now) <= 3);
  }
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 2, maxLength: 9 }),
      fc.integer(),
      (offsets, own) => {
        const judged =
          judgeNow(
            offsets.map((offset) => now + offset),
            now + own,
          )! - now;
        return judged >= Math.min(...offsets) && judged <= Math.max(...offsets);
      },
    ),
  );
  t.end();
});
