import fc from "fast-check";
import t from "tap";
import { Breather, breatherPolicy } from "../src/grab/breather.ts";

/** A breather whose clock stands still but for its own sleep and what the test lets pass. */
function rig() {
  const slept: number[] = [];
  let nowMs = 1_000;
  const breather = new Breather({
    nowMs: () => nowMs,
    sleep: (ms) => {
      slept.push(ms);
      nowMs += ms;
    },
  });
  const turn = (requests: number, ms: number): number => {
    const before = slept.length;
    nowMs += ms;
    for (let n = 0; n < requests; n += 1) breather.came();
    breather.rest();
    return slept[before] ?? 0;
  };
  return { turn };
}

t.test("whoever comes alone waits for nothing", (t) => {
  const { turn } = rig();
  for (let n = 0; n < 100; n += 1) t.equal(turn(1, 20), 0);
  t.end();
});

t.test("under load it rests until a call's worth has come, and stops resting when the load is over", (t) => {
  const { turn } = rig();
  let restMs = 0;
  for (let n = 0; n < 60; n += 1) restMs = turn(Math.round(30 * (restMs + 1)), 1);
  t.ok(restMs > 0.5 && restMs < 3, `${restMs} ms at 30 requests a ms`);
  for (let n = 0; n < 60; n += 1) restMs = turn(1, 20);
  t.equal(restMs, 0);
  t.end();
});

t.test("a rest is never longer than its bound, whatever comes", (t) => {
  const turns = fc.array(
    fc.record({ requests: fc.nat(5_000), ms: fc.double({ min: 0, max: 500, noNaN: true }) }),
  );
  fc.assert(
    fc.property(turns, (all) => {
      const { turn } = rig();
      for (const { requests, ms } of all) {
        const restMs = turn(requests, ms);
        if (!(restMs >= 0 && restMs <= breatherPolicy.restMsMax)) return false;
      }
      return true;
    }),
  );
  t.end();
});
