import t from "tap";
import { reasonsAgainst, type RestFacts } from "../../src/archive/reasons.ts";
import { csvCells, csvLine, csvLines } from "../../src/archive/csv.ts";

const none = { count: 0, amount: 0 };
const books = { pending: none, held: none, dead: none };
const facts = (over: object = {}, round: object = {}): RestFacts =>
  ({
    rounds: [{ round: 1, state: "closed" }],
    buckets: [{ id: "b0", open: [], waiting: 0 }],
    audit: { ok: true, underWay: [], violations: [], rounds: [{ round: 1, ...books, ...round }] },
    currency: "CNY",
    ...over,
  }) as unknown as RestFacts;

t.test("nothing speaks against an event at rest, nor does what an operator holds", async (t) => {
  t.same(reasonsAgainst(facts()), []);
  const held = { count: 2, amount: 20 };
  t.same(reasonsAgainst(facts({}, { pending: held, held })), []);
});

t.test("what is given or on its way to MySQL cannot be overruled", async (t) => {
  for (const [over, what] of [
    [{ rounds: [{ round: 1, state: "open" }] }, "round 1 is open"],
    [{ buckets: [{ id: "b0", open: [1], waiting: 0 }] }, "round 1 is open in b0"],
    [
      { buckets: [{ id: "b0", open: [], waiting: 3 }] },
      "3 claims of bucket b0 are in the journal, not in MySQL",
    ],
  ] as const)
    t.match(reasonsAgainst(facts(over)), [{ what, canForce: false }]);
});

t.test("what is not paid, not clean or still to come can be overruled", async (t) => {
  t.match(reasonsAgainst(facts({ rounds: [{ round: 1, state: "scheduled" }] })), [
    { what: "round 1 has not been yet", canForce: true },
  ]);
  const some = { count: 3, amount: 350 };
  t.match(reasonsAgainst(facts({}, { pending: some, held: { count: 1, amount: 50 }, dead: some })), [
    { what: "2 payouts are pending (3.00 CNY)", canForce: true },
    { what: "3 payouts are dead (3.50 CNY)", canForce: true },
  ]);
  const audit = {
    ok: false,
    underWay: [{ kind: "lend", move: "t1", count: 4 }],
    violations: [{}],
    rounds: [],
  };
  t.match(reasonsAgainst(facts({ audit })), [
    { what: "4 prizes are on their way (lend t1)", canForce: true },
    { what: "the audit found 1 violations", canForce: true },
  ]);
});

t.test("any text comes back out of CSV, however the file is cut", async (t) => {
  const rows = [
    ["a", 1, null, ""],
    ['say "so", then', -2, 'x\ny\r\n"', null],
    [null, 0, "", 'end"'],
    ["", 3, "plain", "#"],
  ];
  const text = rows.map(csvLine).join("");
  const expected = rows.map((row) => row.map((cell) => (typeof cell === "number" ? String(cell) : cell)));
  for (let size = 1; size <= text.length; size += 1) {
    async function* pieces(): AsyncGenerator<string> {
      for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
    }
    const found: (string | null)[][] = [];
    for await (const lines of csvLines(pieces())) found.push(...lines.map(csvCells));
    t.same(found, expected, `in pieces of ${size}`);
  }
  await t.rejects(async () => {
    for await (const lines of csvLines(
      (async function* () {
        yield "a,b";
      })(),
    ))
      void lines;
  }, /the last line is cut/);
  t.throws(() => csvCells('"a"b,c'), /a quote that does not end/);
});
