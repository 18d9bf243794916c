import fc from "fast-check";
import t from "tap";
import { limitPolicy, UserLimits } from "../src/grab/limits.ts";
import { world } from "./world.ts";

/** A bucket of tokens for each user, the plain way: no bound, exact. */
class Model {
  readonly #users = new Map<string, { tokens: number; atMs: number }>();

  allows(user: string, perSecond: number, nowMs: number): boolean {
    const most = limitPolicy.burstSeconds * perSecond;
    const before = this.#users.get(user) ?? { tokens: most, atMs: nowMs };
    const tokens = Math.min(most, before.tokens + ((nowMs - before.atMs) * perSecond) / 1000);
    const isAllowed = tokens >= 0.5;
    this.#users.set(user, { tokens: isAllowed ? tokens - 1 : tokens, atMs: nowMs });
    return isAllowed;
  }
}

t.test("it decides as a token bucket for each user would, whatever they do", (t) => {
  const press = fc.record({
    user: fc.integer({ min: 1, max: 30 }).map((n) => `u${n}`),
    afterMs: fc.integer({ min: 0, max: 400 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(press, { maxLength: 400 }),
      (perSecond, presses) => {
        let nowMs = 1_000;
        const limits = new UserLimits(() => perSecond, { nowMs: () => nowMs });
        const model = new Model();
        for (const { user, afterMs } of presses) {
          nowMs += afterMs;
          // Where rounding decides the model is as right as the other.
          const wanted = model.allows(user, perSecond, nowMs);
          if (limits.allows(user) !== wanted) return false;
        }
        return true;
      },
    ),
  );
  t.end();
});

t.test("ten at once, then five a second; who keeps to five a second is never refused", (t) => {
  let nowMs = 0;
  const limits = new UserLimits(() => 5, { nowMs: () => nowMs });
  const allowed = (count: number): number =>
    Array.from({ length: count }, () => limits.allows("u1")).filter(Boolean).length;
  t.equal(allowed(1_000), 10);
  nowMs += 1_000;
  t.equal(allowed(1_000), 5, "the refused ones cost nothing");
  nowMs += 60_000;
  t.equal(allowed(1_000), 10, "rest is not saved up");
  for (let i = 0; i < 200; i += 1) {
    nowMs += 200;
    t.equal(allowed(1), 1);
  }
  t.end();
});

t.test("the limit can be changed, and 0 means any number", (t) => {
  let perSecond = 0;
  const limits = new UserLimits(() => perSecond, { nowMs: () => 0 });
  for (let i = 0; i < 100; i += 1) t.ok(limits.allows("u1"));
  perSecond = 1;
  t.same(
    [1, 2, 3].map(() => limits.allows("u1")),
    [true, true, false],
  );
  t.end();
});

t.test("who asked a moment before is told apart, refused or not, whatever the limit", (t) => {
  for (const perSecond of [1, 5, 50]) {
    let nowMs = 0;
    const limits = new UserLimits(() => perSecond, { nowMs: () => nowMs });
    const isOften = (user: string): boolean => (limits.allows(user), limits.askedOften);
    t.notOk(isOften("u1"), "the first time");
    nowMs += limitPolicy.oftenMs - 1;
    t.ok(isOften("u1"));
    t.notOk(isOften("u2"), "another one");
    nowMs += limitPolicy.oftenMs;
    t.notOk(isOften("u2"), "after a while it is the first time again");
    for (let count = 0; count < 3 * perSecond; count += 1) limits.allows("u3");
    t.notOk(limits.allows("u3"));
    t.ok(limits.askedOften, "refused");
  }
  t.end();
});

t.test("where there is no more room the user goes who has waited longest, and begins anew", (t) => {
  let nowMs = 0;
  const limits = new UserLimits(() => 1, { nowMs: () => nowMs, sets: 1, ways: 2 });
  const press = (user: string): boolean => limits.allows(user);
  t.same([press("a"), press("a"), press("a")], [true, true, false]);
  nowMs = 500;
  t.same([press("b"), press("b"), press("b")], [true, true, false]);
  t.ok(press("c"), "in the place of a");
  t.notOk(press("b"), "who came later stays");
  t.end();
});

t.test("a service limits users on every call of the API, and second passes never", async (t) => {
  const w = await world(t, { limitUser: 1 });
  await w.open(1, "k");
  const first = await w.grab("u1");
  t.match(first, { status: 200, body: { result: "won" } });
  const presses = await Promise.all(Array.from({ length: 50 }, () => w.grab("u1")));
  const words = presses.map(({ body }) => body["result"]);
  t.ok(words.filter((word) => word === "limited").length >= 45, "most of them");
  t.ok(
    presses.every(({ body }) => body["result"] !== "won" || body["receipt"] === first.body["receipt"]),
    "one prize",
  );
  const limited = presses.find(({ body }) => body["result"] === "limited")!;
  t.notOk(first.isOften);
  t.ok(limited.isOften, "for HAProxy, which takes it away");
  t.match(limited, { status: 429, body: { result: "limited", round: 1 } });
  const again = await w.grab("u1", { headers: { "x-hongbao-second-pass": "1" } });
  t.same(again.body, first.body);
  t.match(await w.get("u1", "/v1/wins"), { status: 429, body: { result: "limited" } });
  t.match(await w.get("u1", "/v1/rounds/1/result"), { status: 429, body: { result: "limited", round: 1 } });
  t.match(await w.grab("u1", { n: "x" }), { status: 400 }, "what is wrong is told first");
  t.match(await w.grab("u1", { round: 9 }), { status: 404 });
  t.match(await w.grab("u2"), { status: 200 }, "nobody else is limited");
});
