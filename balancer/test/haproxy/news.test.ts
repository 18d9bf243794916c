import fc from "fast-check";
import t from "tap";
import { SHADOW_EVENT } from "@hongbao/preprocess";
import {
  mergeNews,
  mergeShadow,
  readKnown,
  readNews,
  roundsView,
  withShadow,
  type BalancerNews,
  type KnownRounds,
} from "../../src/haproxy/news.ts";

const news = (
  rounds: [id: number, over: boolean, stocks: Record<string, number>][],
  more: Partial<BalancerNews> = {},
): BalancerNews => ({
  event: "e",
  epoch: "1",
  rounds: rounds.map(([id, over, stocks]) => ({ id, known: true, over, stocks })),
  ...more,
});

const overs = (known: KnownRounds | null): unknown => known?.rounds.map(({ id, over }) => [id, over]);

t.test("over is believed of whoever knows the newest stock, and of nobody else", (t) => {
  const dry = news([[1, true, { b0: 1, b1: 1 }]]);
  const known = mergeNews(null, [dry], "e");
  t.same(overs(known), [[1, true]]);
  const stocked = mergeNews(known, [news([[1, false, { b0: 1, b1: 2 }]])], "e");
  t.same(overs(stocked), [[1, false]], "stock came");
  t.same(
    overs(mergeNews(stocked, [dry], "e")),
    [[1, false]],
    "a controller that slept does not end it again",
  );
  t.same(mergeNews(stocked, [dry], "e")?.rounds[0]?.stocks, { b0: 1, b1: 2 }, "stock numbers only grow");
  t.same(overs(mergeNews(stocked, [dry, news([[1, true, { b0: 1, b1: 2 }]])], "e")), [[1, true]]);
  t.same(
    overs(mergeNews(known, [news([[1, false, { b0: 1, b1: 1 }]])], "e")),
    [[1, false]],
    "one that cannot confirm it any more",
  );
  t.end();
});

t.test(
  "while nobody answers the last word stands; another event, or another load of it, begins anew",
  (t) => {
    const known = mergeNews(null, [news([[1, true, { b0: 5 }]])], "e");
    t.same(mergeNews(known, [], "e"), known);
    t.same(mergeNews(known, [news([[2, true, {}]], { event: "other" })], "e"), known);
    const fresh = mergeNews(known, [news([[1, false, { b0: 1 }]], { epoch: "2" })], "e");
    t.same(fresh, { event: "e", epoch: "2", rounds: [{ id: 1, over: false, stocks: { b0: 1 } }] });
    t.equal(mergeNews(null, [], null), null);
    t.end();
  },
);

t.test("in any order of answers: stocks never shrink, and over needs the newest of all", (t) => {
  const answer = fc.record({
    over: fc.boolean(),
    b0: fc.integer({ min: 1, max: 4 }),
    b1: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(
      fc.array(fc.array(answer, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 10 }),
      (rounds) => {
        let known: KnownRounds | null = null;
        let [b0, b1] = [0, 0];
        for (const answers of rounds) {
          known = mergeNews(
            known,
            answers.map((each) => news([[1, each.over, { b0: each.b0, b1: each.b1 }]])),
            "e",
          );
          b0 = Math.max(b0, ...answers.map((each) => each.b0));
          b1 = Math.max(b1, ...answers.map((each) => each.b1));
          const [round] = known!.rounds;
          const mayBeOver = answers.some((each) => each.over && each.b0 === b0 && each.b1 === b1);
          if (round!.over !== mayBeOver || round!.stocks.b0 !== b0 || round!.stocks.b1 !== b1) return false;
        }
        return true;
      },
    ),
  );
  t.pass("held");
  t.end();
});

t.test("the copy on disk: read back as it was, or not at all", (t) => {
  const known = mergeNews(
    null,
    [
      news([
        [1, true, { b0: 5 }],
        [2, false, {}],
      ]),
    ],
    "e",
  )!;
  t.same(readKnown(JSON.stringify(known), "e"), known);
  t.equal(readKnown(JSON.stringify(known), "another"), null);
  for (const text of [
    "",
    "{",
    "[]",
    "{}",
    "null",
    '{"event":1}',
    JSON.stringify({ ...known, rounds: [{ id: 0 }] }),
  ]) {
    t.equal(readKnown(text, null), null, text);
  }
  t.equal(readNews({ event: "e" }), null);
  t.equal(readNews("nonsense"), null);
  t.end();
});

t.test("what HAProxy is told: the pack's rounds, others never; everything while nothing is known", (t) => {
  const known = mergeNews(
    null,
    [
      news([
        [1, true, { b0: 5 }],
        [7, true, { b0: 1 }],
      ]),
    ],
    "e",
  );
  const view = roundsView(known, [1, 2]);
  t.same(
    [...view.rounds],
    [
      [1, "over"],
      [2, "live"],
    ],
  );
  t.same([...view.stocks], [["1/b0", 5]]);
  t.equal(roundsView(null, null).rounds.size, 99);
  t.same([...roundsView(known, null).rounds.keys()], [1, 7]);
  t.end();
});

t.test(
  "a rehearsal's round is there while somebody tells of it, beside the event's and never in their place",
  (t) => {
    const shadow = { ...news([[99, false, { b0: 3 }]]), event: SHADOW_EVENT, epoch: "s" };
    const own = news([[1, false, { b0: 1 }]]);
    const known = mergeShadow(null, [{ ...own, shadow }]);
    const view = withShadow(roundsView(mergeNews(null, [own], "e"), [1]), known, "live");
    t.same([...view.rounds.keys()], [1, 99]);
    t.equal(view.stocks.get("99/b0"), 3);
    t.equal(mergeShadow(known, [own]), null, "nobody tells of it any more");
    t.equal(mergeShadow(known, []), null, "nobody is heard");
    t.equal(
      mergeShadow(null, [{ ...own, shadow: { ...shadow, event: "e" } }]),
      null,
      "of another name it is none",
    );
    const clash = mergeShadow(null, [
      { ...own, shadow: { ...shadow, rounds: [{ ...shadow.rounds[0]!, id: 1, over: true }] } },
    ]);
    t.equal(
      withShadow(roundsView(null, [1]), clash, "live").rounds.get(1),
      "live",
      "the event's round stays as it is",
    );
    t.end();
  },
);
