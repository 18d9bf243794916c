import t from "tap";
import { hourIn, isActive } from "../../src/conductor/run.ts";

const HOUR_MS = 3_600_000;

t.test("a round is near from an hour before it opens until an hour after it closes", async (t) => {
  const round = { opensAtMs: 10 * HOUR_MS, closesAtMs: 11 * HOUR_MS };
  const at = (hours: number) => isActive([{ opensAtMs: null, closesAtMs: null }, round], hours * HOUR_MS);
  t.same([8.9, 9, 10.5, 12, 12.1].map(at), [false, true, true, true, false]);
  t.ok(isActive([{ opensAtMs: 0, closesAtMs: null }], 99 * HOUR_MS), "nobody knows when it closes");
  t.notOk(isActive([], 0));
});

t.test("the hour is the event's", async (t) => {
  const midnight = Date.UTC(2027, 1, 5);
  t.equal(hourIn("Asia/Shanghai", midnight), 8);
  t.equal(hourIn("UTC", midnight), 0);
  t.equal(hourIn("America/New_York", midnight), 19);
});
