import fc from "fast-check";
import t from "tap";
import { unpackEntry } from "../../src/persist/journal.ts";
import { isDryForGood, leftOf } from "../../src/redis/scripts.ts";
import { ask, EPOCH, testRedis, testStore } from "./harness.ts";

const redis = await testRedis(t);

t.test("everyone in a batch gets another prize, from the top of the range down", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 101, count: 10 }] });
  const { answers, seq } = await ask(store, ["a", "b", "c"]);
  t.same(answers, [110, 109, 108]);
  t.equal(seq, 3);
});

t.test("asking again gives the same prize and consumes nothing", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const first = await ask(store, ["a", "b"]);
  const again = await ask(store, ["b", "a", "c"]);
  t.same(again.answers, [first.answers[1], first.answers[0], 3]);
  t.equal(leftOf((await store.state()).rounds[0]!), 2);
});

t.test("the same user twice in a batch is one claim", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const { answers } = await ask(store, ["a", "b", "a", "a"]);
  t.same(answers, [5, 4, 5, 5]);
  t.equal((await store.state()).rounds[0]!.issued, 2);
});

t.test("a double tap in the batch that meets the end of the stock gets what its first tap got", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 1 }] });
  t.same((await ask(store, ["a", "b", "b", "a"])).answers, [1, -5, -5, 1]);
});

t.test("a batch crosses ranges and gives what is left, never more", async (t) => {
  const store = await testStore(t, redis, {
    ranges: [
      { lo: 10, count: 2 },
      { lo: 50, count: 1 },
      { lo: 90, count: 2 },
    ],
  });
  t.same((await ask(store, ["a", "b", "c", "d", "e", "f", "g"])).answers, [11, 10, 50, 91, 90, -5, -5]);
  const state = await store.state();
  t.equal(leftOf(state.rounds[0]!), 0);
  t.equal(state.rounds[0]!.issued, 5);
  t.same((await ask(store, ["h"])).answers, [-5]);
});

t.test("an empty stock ends when nothing can come, or nothing has come for a while", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 1 }] });
  t.equal(await store.setFinal(1, 1), false, "there is one left");
  t.same((await ask(store, ["a", "b", "c", "b"])).answers, [1, -5, -5, -5]);
  const [round] = (await store.state()).rounds;
  t.ok(Math.abs(round!.dryAtMs! - Date.now()) < 60_000);
  t.equal(await store.setFinal(1, 2), false, "another stock");
  t.equal(await store.setFinal(1, 1), true);
  t.equal(await store.setFinal(1, 1), true, "said again");
  t.same((await ask(store, ["a", "b"])).answers, [1, 0]);
  const silent = await testStore(t, redis, { ranges: [] });
  t.same((await ask(silent, ["a"])).answers, [-5]);
  await silent.client.hincrby(silent.keys.round(1), "dryAt", -2_000);
  t.same((await ask(silent, ["a"])).answers, [0]);
  t.ok(isDryForGood((await silent.state()).rounds[0]!, Date.now()));
});

t.test("every claim stands in the journal with round, user, n and ID", async (t) => {
  const store = await testStore(t, redis, {
    ranges: [
      { lo: 7, count: 1 },
      { lo: 20, count: 9 },
    ],
    perUser: 2,
  });
  const { answers } = await ask(store, ["a.b-c_D", "u2", "u2#2"]);
  const { journal, state } = await store.cut();
  const claims = journal.flatMap(({ packed }) => unpackEntry(packed));
  t.same(
    claims.map(({ prizeId, round, user, n }) => ({ prizeId, round, user, n })),
    [
      { prizeId: answers[0], round: 1, user: "a.b-c_D", n: 1 },
      { prizeId: answers[1], round: 1, user: "u2", n: 1 },
      { prizeId: answers[2], round: 1, user: "u2", n: 2 },
    ],
  );
  t.ok(claims.every(({ claimedAtMs }) => Math.abs(claimedAtMs - Date.now()) < 60_000));
  t.equal(state.seq - state.acked, 3);
});

t.test("the n-th prize needs the one before it, from before or from the same batch", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }], perUser: 3 });
  t.same((await ask(store, ["a#2", "b", "b#2", "b#3"])).answers, [-4, 9, 8, 7]);
  t.same((await ask(store, ["a#3", "a"])).answers, [-4, 6]);
  t.same((await ask(store, ["a#2"])).answers, [5]);
});

t.test(
  "nothing is issued before the opening, after the close, without a key or with another one",
  async (t) => {
    const early = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }], opensInMs: 60_000 });
    t.same((await ask(early, ["a"])).answers, [-2]);
    const closed = await testStore(t, redis, {
      ranges: [{ lo: 1, count: 5 }],
      opensInMs: -2000,
      closesInMs: -1000,
    });
    t.same((await ask(closed, ["a"])).answers, [-3]);
    const keyless = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }], key: "" });
    t.same((await ask(keyless, ["a"])).answers, [-2]);
    t.same((await ask(keyless, ["a"], { key: "" })).answers, [-2], "an empty key is no key");
    const open = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
    t.same((await ask(open, ["a"], { key: "K" })).answers, [-2]);
    for (const store of [early, closed, keyless, open]) {
      const state = await store.state();
      t.equal(state.seq, 0);
      t.equal(leftOf(state.rounds[0]!), 5);
    }
  },
);

t.test("a repeat after the close still gets its prize", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  await ask(store, ["a"]);
  const state = await store.state();
  await store.installRound(1, {
    v: 3,
    opensAtMs: state.timeMs - 2000,
    closesAtMs: state.timeMs - 1000,
    key: "k",
  });
  t.same((await ask(store, ["a", "b"])).answers, [5, -3]);
});

t.test("at most journalMax claims wait for MySQL; the others are busy and take nothing", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  t.same((await ask(store, ["a", "b", "c", "d"], { journalMax: 3 })).answers, [9, 8, 7, -1]);
  t.same((await ask(store, ["d", "a"], { journalMax: 3 })).answers, [-1, 9], "the known are still answered");
  const { journal } = await store.cut();
  t.equal(
    await store.ack(
      EPOCH,
      journal.map(({ id, packed }) => ({ id, count: unpackEntry(packed).length })),
    ),
    3,
  );
  t.equal(
    await store.ack(
      EPOCH,
      journal.map(({ id, packed }) => ({ id, count: unpackEntry(packed).length })),
    ),
    0,
  );
  t.same((await ask(store, ["d"], { journalMax: 3 })).answers, [6]);
});

t.test("a missing key is a fault, never sold out", async (t) => {
  for (const key of ["meta", "round", "left"] as const) {
    const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
    await store.client.del(key === "meta" ? store.keys.meta : store.keys[key](1));
    await t.rejects(ask(store, ["a"]), /LOST/);
  }
});

t.test("a Redis that has seen less than the caller is not used", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const { seq } = await ask(store, ["a"]);
  await t.rejects(ask(store, ["b"], { seq: seq + 1 }), /FENCED/);
  await t.rejects(ask(store, ["b"], { epoch: "another" }), /FENCED/);
  t.equal((await store.state()).seq, 1);
});

t.test("a caller that waits for MySQL learns the journal's end, for a repeat too", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const first = await ask(store, ["a"], { durable: true });
  t.match(first.journalEnd, /^\d+-\d+$/);
  t.equal((await ask(store, ["a"], { durable: true })).journalEnd, first.journalEnd);
  await store.ack(EPOCH, [{ id: first.journalEnd, count: 1 }]);
  t.equal((await ask(store, ["a"], { durable: true })).journalEnd, "");
});

t.test("an older version of a round changes nothing", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const record = { opensAtMs: 5, closesAtMs: null, key: "new" };
  t.same(await store.installRound(1, { ...record, v: 7 }), { result: "applied", v: 7 });
  t.same(await store.installRound(1, { ...record, v: 7 }), { result: "same", v: 7 });
  t.same(await store.installRound(1, { ...record, v: 7, key: "other" }), { result: "stale", v: 7 });
  t.same(await store.installRound(1, { ...record, v: 6 }), { result: "stale", v: 7 });
  t.equal((await store.state()).rounds[0]!.key, "new");
});

t.test("loading again changes nothing, and never over prizes that were given", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  const plan = {
    event: "x",
    pack: "p1",
    epoch: "e1",
    rounds: [{ opensAtMs: 1, closesAtMs: null, perUser: 1, ranges: [] }],
  };
  t.equal(await store.load(plan), "same");
  t.equal(
    await store.load({ ...plan, pack: "p2" }),
    "loaded",
    "another pack may come while nothing was given",
  );
  const given = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  await ask(given, ["a"]);
  t.equal(await given.load({ ...plan, pack: "p2" }), "refused");
  t.equal(await given.load({ ...plan, epoch: "e2" }), "refused");
});

t.test("zero prizes: every round can be loaded empty, and is ended", async (t) => {
  const store = await testStore(t, redis, { ranges: [] });
  await store.setFinal(1, 1);
  t.same((await ask(store, ["a"])).answers, [0]);
});

t.test("any sequence of batches agrees with a model of the promises", async (t) => {
  const user = fc.constantFrom(..."abcdefghij", "a.b", "x_1", "-", "Z");
  const field = fc
    .tuple(user, fc.integer({ min: 1, max: 3 }))
    .map(([name, n]) => (n === 1 ? name : `${name}#${n}`));
  const batches = fc.array(fc.array(field, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 });
  const ranges = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(batches, ranges, async (calls, counts) => {
      const plan = counts.map((count, index) => ({ lo: 1000 * (index + 1), count }));
      const store = await testStore(t, redis, { ranges: plan, perUser: 3 });
      const stock = plan.flatMap(({ lo, count }) =>
        Array.from({ length: count }, (_, index) => lo + count - 1 - index),
      );
      const won = new Map<string, number>();
      for (const fields of calls) {
        const expected: number[] = [];
        const wants = new Set<string>();
        for (const name of fields) {
          const [who, n] = name.split("#");
          const before = n === undefined ? null : n === "2" ? who! : `${who}#${Number(n) - 1}`;
          if (won.has(name) || wants.has(name)) continue;
          if (before === null || won.has(before) || wants.has(before)) wants.add(name);
        }
        const known = new Set(won.keys());
        for (const name of wants) {
          const id = stock.shift();
          if (id !== undefined) won.set(name, id);
        }
        for (const name of fields)
          expected.push(won.get(name) ?? (wants.has(name) ? -5 : known.has(name) ? -5 : -4));
        const { answers } = await ask(store, fields);
        // A field that misses its predecessor in the batch is refused even when a later twin of it is served.
        for (const [index, answer] of answers.entries()) {
          if (answer === -4 ? !fields[index]!.includes("#") : answer !== expected[index]) return false;
        }
      }
      const state = await store.state();
      const ids = [...won.values()];
      if (new Set(ids).size !== ids.length || leftOf(state.rounds[0]!) !== stock.length) return false;
      const { journal } = await store.cut();
      const journaled = journal.flatMap(({ packed }) => unpackEntry(packed)).map(({ prizeId }) => prizeId);
      return JSON.stringify(journaled.sort()) === JSON.stringify(ids.sort()) && state.seq === ids.length;
    }),
    { numRuns: 150 },
  );
});
