import fc from "fast-check";
import t from "tap";
import { Admission, admissionPolicy } from "../src/grab/admission.ts";

const { insideMax, insideMin, queueMsTarget, reviewMs, tickMs } = admissionPolicy;

/** An admission whose clock the test moves. */
function rig() {
  const now = { ms: 1_000 };
  const admission = new Admission({ nowMs: () => now.ms });
  /** Time passes while the process looks at itself as it should. */
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= tickMs) {
      now.ms += tickMs;
      admission.tick();
    }
  };
  /**
   * A model of a process that serves `perSecond` for a while, of so many who come: whoever is let in waits for those
   * before. Returns those who were served, a second, and how long they waited at most once it has settled.
   */
  const serve = (seconds: number, comePerSecond: number, perSecond: number) => {
    let [served, refused, owed, waitMsMax] = [0, 0, 0, 0];
    const waiting: number[] = [];
    const steps = (seconds * 1000) / tickMs;
    for (let step = 0; step < steps; step += 1) {
      pass(tickMs);
      for (let n = 0; n < (comePerSecond * tickMs) / 1000; n += 1) {
        if (admission.enter()) waiting.push(now.ms);
        else refused += 1;
      }
      owed = waiting.length === 0 ? 0 : owed + (perSecond * tickMs) / 1000;
      const batch = waiting.splice(0, Math.floor(owed));
      owed -= batch.length;
      if (batch.length === 0) continue;
      const waitMs = now.ms - batch[0]!;
      if (step > steps / 2) waitMsMax = Math.max(waitMsMax, waitMs);
      admission.sent(batch.length, waitMs);
      admission.called(batch.length, 5);
      admission.leave(batch.length);
      served += batch.length;
    }
    admission.leave(waiting.length);
    return { served: served / seconds, refused, waitMsMax };
  };
  return { admission, now, pass, serve };
}

t.test("as long as nobody waits for long there is no bound, and HAProxy hears of none", (t) => {
  const { admission, serve } = rig();
  const { refused } = serve(5, 900, 1_000);
  t.equal(refused, 0);
  t.equal(admission.window, 0);
  t.end();
});

t.test("three times too many: work goes on at full speed, and who is let in does not wait for long", (t) => {
  for (const perSecond of [1_500, 5_000, 40_000]) {
    const { admission, serve } = rig();
    const { served, refused, waitMsMax } = serve(10, 3 * perSecond, perSecond);
    t.ok(served > 0.95 * perSecond, `${served} of ${perSecond}`);
    t.ok(refused > 0);
    t.ok(waitMsMax < 2 * queueMsTarget, `${waitMsMax} ms`);
    t.ok(admission.window > 0, "HAProxy hears of it");
  }
  t.end();
});

t.test("the bound goes when the crowd has gone, and comes back with it", (t) => {
  const { admission, serve, pass } = rig();
  serve(5, 6_000, 2_000);
  t.ok(admission.window > 0);
  pass(10_000);
  t.equal(admission.window, 0);
  t.equal(admission.inside, 0);
  t.ok(serve(10, 6_000, 2_000).served > 1_900);
  t.end();
});

t.test("a bound follows what the process can do, up and down", (t) => {
  const { serve } = rig();
  t.ok(serve(10, 30_000, 3_000).served > 2_850);
  t.ok(serve(10, 30_000, 10_000).served > 9_000);
  t.ok(serve(10, 30_000, 3_000).waitMsMax < 2 * queueMsTarget);
  t.end();
});

t.test("a slow Redis makes calls long, not queues: nobody is refused", (t) => {
  const { admission, pass } = rig();
  for (let n = 0; n < 100; n += 1) {
    for (let each = 0; each < 200; each += 1) if (!admission.enter()) t.fail("refused");
    admission.sent(200, 40);
    pass(reviewMs);
    admission.called(200, 400);
    admission.leave(200);
  }
  t.equal(admission.window, 0);
  t.end();
});

t.test("what a process reads after a pause has waited, on average half of it", (t) => {
  const { admission, now, pass } = rig();
  pass(100);
  t.equal(admission.arrivalMs(), now.ms);
  now.ms += tickMs + 400;
  t.equal(admission.arrivalMs(), now.ms - 200);
  t.equal(admission.tick(), false, "it must not judge others by its own pause");
  t.equal(admission.arrivalMs(), now.ms);
  pass(tickMs);
  t.equal(admission.tick(), true);
  t.end();
});

t.test("the bound stays between its ends, whatever is measured", (t) => {
  const measured = fc.record({ queueMs: fc.nat(10_000), callMs: fc.nat(1_000), count: fc.nat(3_000) });
  fc.assert(
    fc.property(fc.array(measured), (all) => {
      const { admission, pass } = rig();
      for (const { queueMs, callMs, count } of all) {
        admission.sent(count, queueMs);
        admission.called(count, callMs);
        pass(reviewMs);
        const { window } = admission;
        if (!(window === 0 || (window >= insideMin && window < insideMax))) return false;
      }
      return true;
    }),
  );
  t.end();
});

t.test("who is refused is told the word of the switch", (t) => {
  let word: "busy" | "ended" = "busy";
  const admission = new Admission({ word: () => word });
  t.equal(admission.word, "busy");
  word = "ended";
  t.equal(admission.word, "ended");
  t.end();
});
