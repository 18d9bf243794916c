/** The checker is itself checked: each way of breaking a promise is planted in honest evidence, and found. */
import t from "tap";
import { check } from "../../chaos/checker/check.ts";
import { effectOf } from "../../chaos/checker/effect.ts";
import { judgedBy } from "../../chaos/checker/judged.ts";
import { readAnswer } from "../../chaos/crowd/caller.ts";
import { TIMED_OUT } from "../../chaos/crowd/history.ts";
import { evidence, prizeOf, type Evidence } from "./evidence.ts";

t.test("honest evidence breaks nothing", async (t) => {
  const { history, facts, circumstances } = evidence();
  t.same(check(history, facts, circumstances), []);
});

interface Plant {
  promise: number;
  what: string;
  plant: (of: Evidence) => void;
  finds: RegExp;
}

const last = <T>(list: T[]): T => list.at(-1)!;

/** A win of somebody that both sides agree on. */
function claimTwice(of: Evidence, prize: number, n: number): void {
  const { facts, history } = of;
  facts.claims.push({ ...facts.claims[0]!, prize, n });
  facts.stocks[0]!.claims.push([n === 1 ? "u0" : `u0#${n}`, prize]);
  history.push({ ...history[0]!, n, prizes: [{ ...history[0]!.prizes[0]!, prize, n }] });
}

const PLANTS: Plant[] = [
  {
    promise: 1,
    what: "a prize is told to two users",
    plant: ({ history }) => (history[2]!.prizes[0]!.prize = prizeOf(0)),
    finds: /an answer gives a prize to a second user/,
  },
  {
    promise: 1,
    what: "a prize that was never generated is told",
    plant: ({ history }) => (history[0]!.prizes[0]!.prize = 5),
    finds: /was not generated/,
  },
  {
    promise: 1,
    what: "a prize is claimed in two buckets",
    plant: ({ facts }) => facts.claims.push({ ...facts.claims[0]!, bucket: "b1" }),
    finds: /claimed in two buckets/,
  },
  {
    promise: 1,
    what: "Redis remembers another owner than MySQL",
    plant: ({ facts }) => (facts.stocks[0]!.claims[0]![0] = "u4"),
    finds: /Redis gives a prize to a second user/,
  },
  {
    promise: 1,
    what: "a prize went to somebody who never asked",
    plant: (of) => (of.history = of.history.filter(({ user, call }) => user !== "u3" || call !== "grab")),
    finds: /never asked/,
  },
  {
    promise: 2,
    what: "a told win is not in MySQL",
    plant: ({ facts }) => facts.claims.splice(0, 1),
    finds: /not in MySQL/,
  },
  {
    promise: 2,
    what: "a told win is another claim in MySQL",
    plant: ({ facts }) => (facts.claims[0]!.n = 2),
    finds: /stands in MySQL as another claim/,
  },
  {
    promise: 2,
    what: "another amount was told than MySQL holds",
    plant: ({ history }) => (history[0]!.prizes[0]!.amount = 7),
    finds: /told was an amount/,
  },
  {
    promise: 2,
    what: "Redis has forgotten a told win",
    plant: ({ facts }) => facts.stocks[0]!.claims.splice(0, 1),
    finds: /not remembered in Redis/,
  },
  {
    promise: 2,
    what: "a receipt of a true win is refused",
    plant: ({ history }) => {
      const refused = [{ receipt: "b0:u0", why: "it is not burned" }];
      history.push({ ...last(history), call: "receipts", word: "ok", prizes: [], refused });
    },
    finds: /a receipt was refused/,
  },
  {
    promise: 3,
    what: "a user holds more than perUser",
    plant: (of) => claimTwice(of, 1_000_001, 2),
    finds: /holds 2 prizes/,
  },
  {
    promise: 3,
    what: "the same n gave another prize",
    plant: (of) => claimTwice(of, 1_000_001, 1),
    finds: /told another prize/,
  },
  {
    promise: 3,
    what: "/result has forgotten a win",
    plant: ({ history }) => (last(history).prizes = []),
    finds: /does not know of a win/,
  },
  {
    promise: 4,
    what: "a claim is not paid",
    plant: ({ facts }) => (facts.payouts[0]!.state = "pending"),
    finds: /not paid: its payout is pending/,
  },
  {
    promise: 4,
    what: "a claim is worth something else than its prize",
    plant: ({ facts }) => (facts.claims[0]!.amount += 1),
    finds: /on a prize worth/,
  },
  {
    promise: 4,
    what: "a claim was credited twice",
    plant: ({ facts }) => facts.ledger.push({ ...facts.ledger[0]! }),
    finds: /in 2 entries/,
  },
  {
    promise: 4,
    what: "a credit is a cent short",
    plant: ({ facts }) => (facts.ledger[0]!.amount -= 1),
    finds: /the ledger credits/,
  },
  {
    promise: 4,
    what: "something was paid that nobody has claimed",
    plant: ({ facts }) => facts.ledger.push({ ...facts.ledger[0]!, prize: 1_000_001 }),
    finds: /nobody has claimed/,
  },
  {
    promise: 4,
    what: "the ledger does not balance",
    plant: ({ facts }) => (facts.accounts[1]!.balance += 1),
    finds: /balances add up to 1/,
  },
  {
    promise: 4,
    what: "more was given than the budget",
    plant: ({ facts }) => (facts.budget = 100),
    finds: /the budget is 100/,
  },
  {
    promise: 4,
    what: "the wallet paid another amount",
    plant: ({ facts }) => {
      facts.wallet = facts.claims.map(({ prize, user, amount }) => ({
        key: `e:${prize}`,
        user,
        amount,
        contradictions: 0,
      }));
      facts.wallet[2]!.amount += 1;
      Object.assign(facts, { ledger: [], accounts: [] });
    },
    finds: /the wallet was asked to pay another amount/,
  },
  {
    promise: 4,
    what: "the wallet paid a prize twice, under two keys",
    plant: ({ facts }) => {
      facts.wallet = facts.claims.map(({ prize, user, amount }) => ({
        key: `e:${prize}`,
        user,
        amount,
        contradictions: 0,
      }));
      facts.wallet.push({ ...facts.wallet[0]!, key: `other:${prizeOf(0)}` });
      Object.assign(facts, { ledger: [], accounts: [] });
    },
    finds: /paid it under 2 keys/,
  },
  {
    promise: 5,
    what: "users of a sound bucket heard busy",
    plant: ({ history, circumstances }) => {
      circumstances.sound = ["b1"];
      const busy = { ...history[2]!, word: "busy", status: 503, prizes: [] };
      history.push(...Array.from({ length: 25 }, () => busy));
    },
    finds: /25 of 28 grabs in bucket b1 failed/,
  },
  {
    promise: 6,
    what: "a prize is left and claimed",
    plant: ({ facts }) => (facts.stocks[0]!.left[0]!.count += 1),
    finds: /claimed and left in b0/,
  },
  {
    promise: 6,
    what: "a prize is nowhere",
    plant: ({ facts }) => (facts.stocks[0]!.left[0]!.count -= 1),
    finds: /1 prizes are nowhere/,
  },
  {
    promise: 6,
    what: "two buckets have the same prize left",
    plant: ({ facts }) => facts.stocks[1]!.left.push({ lo: 1_000_001, count: 1 }),
    finds: /left in b0, round 1 and left in b1/,
  },
  {
    promise: 6,
    what: "the audit finds something",
    plant: ({ facts }) =>
      (facts.audit = { ok: false, violations: [{ promise: 6, what: "1 prize too many" }] }),
    finds: /audit: 1 prize too many/,
  },
  {
    promise: 7,
    what: "a prize was issued before the opening that was ordered",
    plant: ({ facts }) => (facts.rounds[0]!.orderedOpensAtMs! += 30_000),
    finds: /issued before its round opened/,
  },
  {
    promise: 7,
    what: "a prize was issued after the bucket's own closing",
    plant: ({ facts }) => (facts.stocks[0]!.closesAtMs! -= 59_500),
    finds: /issued after its round closed/,
  },
  {
    promise: 7,
    what: "a win was told before the opening",
    plant: ({ history }) => (history[0]!.doneAtMs -= 10_000),
    finds: /told before the round opened/,
  },
  {
    promise: 8,
    what: "something is left where everything should have gone",
    plant: soldOutTooSoon,
    finds: /4 prizes of round 1 are left, and 1 grabs heard "ended"/,
  },
  {
    promise: 9,
    what: "somebody saw a page of 500",
    plant: ({ history }) => Object.assign(last(history), { word: "strange", what: "500 <html>" }),
    finds: /was answered 500/,
  },
  {
    promise: 9,
    what: "somebody got no answer",
    plant: ({ history }) => Object.assign(history[0]!, { word: "none", status: 0, prizes: [] }),
    finds: /got no answer/,
  },
];

/** Prizes are left, and 5 s after the opening somebody hears that there are none. */
function soldOutTooSoon({ history, circumstances }: Evidence): void {
  circumstances.soldOut = true;
  history.push({ ...history[0]!, user: "u9", word: "ended", prizes: [], sentMs: 5_000, doneMs: 5_010 });
}

function soundBucketBusy({ history, circumstances }: Evidence): void {
  circumstances.sound = ["b1"];
  const busy = { ...history[2]!, word: "busy", status: 503, prizes: [], sentMs: 3_000, doneMs: 4_000 };
  history.push(...Array.from({ length: 40 }, () => busy));
}

t.test("an excuse holds for its own time and promise only, and the report says so", async (t) => {
  const judge = (...plants: ((doctored: Evidence) => void)[]) => {
    const doctored = evidence();
    for (const plant of plants) plant(doctored);
    const { history, facts, circumstances } = doctored;
    const found = check(history, facts, circumstances).map(({ promise }) => promise);
    return { found, judged: judgedBy(history, facts, circumstances) };
  };
  const starved =
    (fromMs: number, toMs: number) =>
    ({ circumstances }: Evidence): void =>
      void circumstances.starved.push({ fromMs, toMs });
  const outage =
    (fromMs: number, toMs: number) =>
    ({ circumstances }: Evidence): void =>
      void circumstances.outages.push({ fromMs, toMs });
  t.match(judge(), {
    found: [],
    judged: { 1: null, 5: /every bucket was hit/, 8: /more than was asked for/ },
  });
  t.match(judge(soundBucketBusy), { found: [5], judged: { 5: null } });
  t.match(
    judge(soundBucketBusy, starved(2_900, 3_100)),
    { found: [5] },
    "a moment is no excuse for a second",
  );
  t.match(judge(soundBucketBusy, starved(2_900, 4_100)), { found: [], judged: { 5: /machine had no time/ } });
  t.match(judge(soundBucketBusy, starved(5_000, 9_000)), { found: [5] }, "nor is another time");
  t.match(judge(soldOutTooSoon), { found: [8], judged: { 8: null } });
  t.match(judge(soldOutTooSoon, outage(2_000, 4_500)), { found: [], judged: { 8: /no prize could move/ } });
  for (const [fromMs, toMs] of [
    [0, 900],
    [5_100, 9_000],
  ] as const)
    t.match(
      judge(soldOutTooSoon, outage(fromMs, toMs)),
      { found: [8], judged: { 8: null } },
      "long before, or after",
    );
  const silent = ({ history }: Evidence): void =>
    void Object.assign(history[0]!, { word: "none", what: TIMED_OUT, status: 0, prizes: [], doneMs: 9_000 });
  t.match(judge(silent), { found: [9] });
  t.match(judge(silent, starved(1_000, 9_000)), { found: [] });
  t.match(judge(silent, starved(1_000, 2_000)), { found: [9] });
});

for (const { promise, what, plant, finds } of PLANTS) {
  t.test(`promise ${promise}: ${what}`, async (t) => {
    const doctored = evidence();
    plant(doctored);
    const found = check(doctored.history, doctored.facts, doctored.circumstances);
    t.ok(
      found.some((violation) => violation.promise === promise && finds.test(violation.what)),
      JSON.stringify(found),
    );
  });
}

t.test("answers that no user should see are strange, whoever gave them", async (t) => {
  const word = (status: number, text: string): string => readAnswer("grab", { status, text }, 1).word;
  t.equal(word(503, '{"result":"busy"}'), "busy");
  t.equal(word(200, '{"result":"ended","round":1}'), "ended");
  for (const [status, text] of [
    [500, '{"result":"busy"}'],
    [502, '{"result":"busy"}'],
    [504, '{"result":"busy"}'],
    [502, "<html><body><h1>502 Bad Gateway</h1></body></html>"],
    [200, '{"result":"won","round":1,"n":1}'],
    [200, '{"result":"won","round":2,"n":1,"prize":{"id":"7","kind":"envelope","amount":1}}'],
    [200, '{"result":"busy"}'],
    [404, "Not Found"],
    [503, "Error: at Object.<anonymous> (/srv/x.ts:1:1)"],
  ] as const)
    t.equal(word(status, text), "strange", `${status} ${text}`);
});

t.test("the effect tells how many users noticed, and for how long", async (t) => {
  const { history } = evidence();
  const busy = { ...history[0]!, word: "busy", status: 503, prizes: [], sentMs: 100, doneMs: 110 };
  const effect = effectOf([busy, ...history]);
  t.match(effect, {
    users: 6,
    won: 6,
    grabs: { won: 6, busy: 1 },
    usersHit: { b0: 1 },
    waitedMs: { users: 1, max: 905 },
    unanswered: 0,
  });
});
