import fc from "fast-check";
import t from "tap";
import type { MoveKind, MoveNote } from "../../src/moves/note.ts";
import { countOf, type Run } from "../../src/moves/runs.ts";
import { leftOf, type BucketStore } from "../../src/redis/scripts.ts";
import { ask, EPOCH, testRedis, testStore } from "./harness.ts";

const redis = await testRedis(t);

const SEVEN: Run[] = [1, 2, 3, 4, 5, 6, 7].map((index) => ({ lo: index * 1000, count: index }));

function out(id: string, kind: MoveKind = "lend", round = 1): Omit<MoveNote, "runs"> {
  const peer = kind === "lend" ? { peerBucket: "b1", peerRound: round } : { peerBucket: "b0", peerRound: 2 };
  return { id, direction: "out", kind, round, ...peer };
}

interface Leave {
  epoch?: string;
  seq?: number;
  countMax?: number;
  runsMax?: number;
  closed?: boolean;
}

async function leave(
  store: BucketStore,
  note: Omit<MoveNote, "runs">,
  call: Leave = {},
): Promise<Run[] | null> {
  const answer = await store.leave(note, {
    epoch: EPOCH,
    seq: 0,
    countMax: 1e15,
    runsMax: 100,
    closed: false,
    ...call,
  });
  return answer === null ? null : answer.note.runs;
}

const come = (id: string, runs: Run[], round = 1): MoveNote => ({ ...out(id), direction: "in", round, runs });
const call = { epoch: EPOCH, seq: 0 };

t.test(
  "what leaves is cut from the end of the issue order, the lowest IDs of the last range first",
  async (t) => {
    const store = await testStore(t, redis, { ranges: SEVEN });
    t.same(await leave(store, out("m1"), { countMax: 3 }), [{ lo: 7000, count: 3 }]);
    t.same(await leave(store, out("m2"), { countMax: 12 }), [
      { lo: 7003, count: 4 },
      { lo: 6000, count: 6 },
      { lo: 5000, count: 2 },
    ]);
    t.same(
      (await ask(store, ["a", "b", "c"])).answers,
      [1000, 2001, 2000],
      "the order of issue is as it was",
    );
    t.same(await leave(store, out("m3"), { runsMax: 2 }), [
      { lo: 5002, count: 3 },
      { lo: 4000, count: 4 },
    ]);
    t.same(await leave(store, out("m4")), [{ lo: 3000, count: 3 }]);
    t.same(await leave(store, out("m5")), [], "nothing is left");
    t.equal(leftOf((await store.state()).rounds[0]!), 0);
  },
);

t.test("of the range in use the lowest IDs leave, and what is issued comes from above", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 10, count: 10 }] });
  t.same((await ask(store, ["a", "b"])).answers, [19, 18]);
  t.same(await leave(store, out("m1"), { countMax: 5 }), [{ lo: 10, count: 5 }]);
  t.same((await ask(store, ["c", "d", "e", "f"])).answers, [17, 16, 15, -5]);
});

t.test(
  "asked again the same runs come, whatever happened since; moves of nothing are remembered too",
  async (t) => {
    const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
    const first = await leave(store, out("m1"), { countMax: 4 });
    t.same(await leave(store, out("m1"), { countMax: 9 }), first);
    await leave(store, out("all"));
    t.same(await leave(store, out("none")), []);
    await store.enter(1, [come("back", [{ lo: 1, count: 4 }])], call);
    t.same(await leave(store, out("none")), [], "it moved nothing and never will");
    t.equal(leftOf((await store.state()).rounds[0]!), 4);
  },
);

t.test("what enters is issued last, makes the stock new, and enters once", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 1 }] });
  t.same((await ask(store, ["a", "b"])).answers, [1, -5]);
  t.equal(await store.setFinal(1, 1), true);
  const notes = [
    come("m1", [
      { lo: 50, count: 2 },
      { lo: 90, count: 1 },
    ]),
  ];
  t.match(await store.enter(1, notes, call), { entered: 1, stock: 2 });
  t.match(await store.enter(1, [...notes, come("m2", [{ lo: 70, count: 1 }])], call), {
    entered: 1,
    stock: 3,
  });
  t.match(await store.enter(1, notes, call), { entered: 0, stock: 3 });
  const [round] = (await store.state()).rounds;
  t.match(round, { dryAtMs: null, stock: 3 });
  t.same((await ask(store, ["b", "c", "d", "e", "f"])).answers, [51, 50, 90, 70, -5]);
  t.equal((await ask(store, ["f"])).stock, 3, "the word of before does not end it");
});

t.test("a rollover waits for the close, a loan comes too late after it", async (t) => {
  const open = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }], later: [] });
  t.equal(await leave(open, out("m1", "roll"), { closed: true }), null);
  t.equal((await open.state()).moves, 0, "and is not noted");
  const closed = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }], later: [], closesInMs: -1 });
  t.same(await leave(closed, out("m2")), []);
  t.same(await leave(closed, out("m1", "roll"), { closed: true }), [{ lo: 1, count: 5 }]);
});

t.test("another epoch, a Redis that went back, or a missing key: nothing moves", async (t) => {
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5 }] });
  await t.rejects(leave(store, out("m1"), { epoch: "e2" }), /EPOCH/);
  await t.rejects(leave(store, out("m1"), { seq: 1 }), /FENCED/);
  await t.rejects(store.enter(1, [come("m1", [{ lo: 9, count: 1 }])], { epoch: "e2", seq: 0 }), /EPOCH/);
  await t.rejects(store.enter(1, [come("m1", [{ lo: 9, count: 1 }])], { epoch: EPOCH, seq: 1 }), /FENCED/);
  await store.client.del(store.keys.left(1));
  await t.rejects(leave(store, out("m1")), /LOST/);
  await t.rejects(store.setFinal(1, 1), /LOST/);
  t.equal((await store.state()).moves, 0);
});

t.test("large IDs keep every digit", async (t) => {
  const lo = 2 ** 53 - 100;
  const store = await testStore(t, redis, { ranges: [{ lo, count: 50 }] });
  const runs = await leave(store, out("m1"), { countMax: 20 });
  t.same(runs, [{ lo, count: 20 }]);
  await store.enter(1, [come("back", runs!)], call);
  t.same((await store.state()).rounds[0]!.waitingRanges, runs);
  t.equal((await ask(store, ["a"])).answers[0], lo + 49);
});

t.test("any order of grabs, leaves and enters agrees with a model: no ID is lost or doubled", async (t) => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("grab" as const), users: fc.integer({ min: 1, max: 8 }) }),
    fc.record({
      do: fc.constant("leave" as const),
      round: fc.constantFrom(1, 2),
      count: fc.constantFrom(0, 1, 2, 3, 5, 8, 1000),
      runsMax: fc.constantFrom(1, 2, 100),
    }),
    fc.record({ do: fc.constant("again" as const), which: fc.nat() }),
    fc.record({ do: fc.constant("enter" as const), round: fc.constantFrom(1, 2), which: fc.nat() }),
  );
  const ranges = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 7 });
  await fc.assert(
    fc.asyncProperty(ranges, ranges, fc.array(step, { maxLength: 25 }), async (first, second, steps) => {
      const plan = (counts: number[], from: number): Run[] =>
        counts.map((count, index) => ({ lo: from + 100 * index, count }));
      const store = await testStore(t, redis, { ranges: plan(first, 1000), later: plan(second, 5000) });
      /** The model: IDs of each round in the order of issue, and runs that are nowhere. */
      const issueOrder = (runs: Run[]): number[] =>
        runs.flatMap(({ lo, count }) => Array.from({ length: count }, (_, index) => lo + count - 1 - index));
      const stock = new Map([
        [1, issueOrder(plan(first, 1000))],
        [2, issueOrder(plan(second, 5000))],
      ]);
      const all = [...stock.values()].flat();
      const won: number[] = [];
      const afloat: Run[][] = [];
      const left: { note: Omit<MoveNote, "runs">; runs: Run[] | null }[] = [];
      let moves = 0;
      for (const each of steps) {
        if (each.do === "grab") {
          const round = 1 + (won.length % 2);
          const users = Array.from({ length: each.users }, (_, index) => `u${moves}-${won.length}-${index}`);
          const { answers } = await ask(store, users, { round });
          const expected = users.map(() => stock.get(round)!.shift() ?? -5);
          if (JSON.stringify(answers) !== JSON.stringify(expected)) return false;
          won.push(...answers.filter((answer) => answer > 0));
          moves += 1;
        } else if (each.do === "leave") {
          const note = out(`m${(moves += 1)}`, "lend", each.round);
          const runs = await leave(store, note, { countMax: each.count, runsMax: each.runsMax });
          left.push({ note, runs });
          const mine = stock.get(each.round)!;
          const gone = runs!.flatMap(({ lo, count }) =>
            Array.from({ length: count }, (_, index) => lo + index),
          );
          // The end of the issue order, backwards.
          const end = mine.slice(mine.length - gone.length).reverse();
          if (JSON.stringify(gone) !== JSON.stringify(end)) return false;
          const isAll = gone.length === Math.min(each.count, mine.length);
          if (!isAll && runs!.length !== each.runsMax) return false;
          stock.set(each.round, mine.slice(0, mine.length - gone.length));
          if (countOf(runs!) > 0) afloat.push(runs!);
        } else if (each.do === "again" && left.length > 0) {
          const { note, runs } = left[each.which % left.length]!;
          if (JSON.stringify(await leave(store, note)) !== JSON.stringify(runs)) return false;
        } else if (each.do === "enter" && afloat.length > 0) {
          const [runs] = afloat.splice(each.which % afloat.length, 1);
          const note = come(`m${(moves += 1)}`, runs!, each.round);
          await store.enter(each.round, [note], call);
          await store.enter(each.round, [note], call);
          stock.get(each.round)!.push(...issueOrder(runs!));
        }
      }
      const state = await store.state();
      for (const { round, lo, left: inUse, waitingRanges } of state.rounds) {
        const found = issueOrder([{ lo, count: inUse }, ...waitingRanges]);
        if (JSON.stringify(found) !== JSON.stringify(stock.get(round))) return false;
      }
      const everywhere = [
        ...won,
        ...[...stock.values()].flat(),
        ...afloat.flatMap((runs) => issueOrder(runs)),
      ];
      const sorted = (ids: number[]): string => JSON.stringify(ids.sort((a, b) => a - b));
      return sorted(everywhere) === sorted(all);
    }),
    { numRuns: 200 },
  );
});
