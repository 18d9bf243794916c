import t from "tap";
import { sumRounds, type RoundState } from "../src/cluster/figures.ts";
import { chooseRound } from "../src/rehearse/rehearse.ts";
import { shiftedRounds, type PublishedRound } from "../src/cluster/schedule.ts";
import { changeText, isOver, span, statusLine } from "../src/cluster/view.ts";

const at = Date.parse("2027-02-05T12:00:00Z");
const round = (state: RoundState, issued: number, left: number, opensAtMs: number | null = at) => ({
  round: 1,
  opensAtMs,
  closesAtMs: opensAtMs === null ? null : opensAtMs + 600_000,
  issued,
  left,
  state,
});
const figures = (rounds: ReturnType<typeof round>[], atMs = at, answered = 2) => ({
  atMs,
  buckets: { answered, all: 2 },
  rounds,
});

t.test("buckets are summed; open anywhere is open", async (t) => {
  t.match(sumRounds([[round("open", 3, 7)], [round("scheduled", 0, 10)]]), [
    { state: "open", issued: 3, left: 17 },
  ]);
  t.match(sumRounds([[round("closed", 3, 7)], [round("scheduled", 0, 10)]]), [{ state: "closed" }]);
  t.match(sumRounds([[round("scheduled", 0, 1)], [round("scheduled", 0, 1)]]), [{ state: "scheduled" }]);
  t.same(sumRounds([]), []);
});

t.test("the status line says what an operator asks", async (t) => {
  t.match(statusLine(figures([round("scheduled", 0, 10, at + 75_000)]), null), /round 1 opens in 1:15$/);
  t.match(statusLine(figures([round("scheduled", 0, 10, null)]), null), /round 1 opens by command/);
  const before = figures([round("open", 1_000, 9_000)]);
  const now = figures([round("open", 3_000, 7_000)], at + 2_000, 1);
  t.match(
    statusLine(now, before),
    /3,000 of 10,000 given, 1,000\/s, closes in 9:58  1 of 2 buckets do not answer$/,
  );
  t.match(statusLine(figures([round("closed", 10, 0)]), null), /round 1 closed, 10 of 10 given/);
  t.match(statusLine(figures([]), null), /no round known/);
});

t.test("without a terminal only changes are lines", async (t) => {
  const a = changeText(figures([round("open", 1, 9)]));
  t.equal(a, changeText(figures([round("open", 2, 8)])));
  t.equal(changeText(figures([round("open", 10, 0)])), "round 1 open, all 10 given");
  t.match(changeText(figures([round("open", 1, 9)], at, 1)), /1 of 2 buckets/);
  t.equal(isOver([round("closed", 1, 0)]), true);
  t.equal(isOver([]), false);
});

t.test("spans of time are short", async (t) => {
  t.same([0, -5, 900, 59_000, 60_000, 3_725_000].map(span), ["0 s", "0 s", "1 s", "59 s", "1:00", "1:02:05"]);
});

const published = (id: number, state: RoundState, opensAtMs: number | null): PublishedRound => ({
  id,
  kind: "envelope",
  state,
  opensAt: opensAtMs === null ? null : new Date(opensAtMs).toISOString(),
  closesAt: opensAtMs === null ? null : new Date(opensAtMs + 1_000).toISOString(),
  count: 1,
  perUser: 1,
});

t.test("a shift keeps the distances and leaves alone what has begun or has no time", async (t) => {
  const rounds = [
    published(1, "closed", at),
    published(2, "scheduled", at + 7_000),
    published(3, "scheduled", at + 5_000),
    published(4, "scheduled", null),
  ];
  t.same(shiftedRounds(rounds, at + 100_000), [
    { round: 2, opensAtMs: at + 102_000, closesAtMs: at + 103_000 },
    { round: 3, opensAtMs: at + 100_000, closesAtMs: at + 101_000 },
  ]);
  t.same(shiftedRounds([published(1, "open", at)], at), []);
});

t.test("a rehearsal takes the open round, else the next one", async (t) => {
  const rounds = [
    published(1, "closed", at),
    published(2, "scheduled", at + 9),
    published(3, "scheduled", at + 5),
  ];
  t.equal(chooseRound(rounds).id, 3);
  t.equal(chooseRound([...rounds, published(4, "open", at)]).id, 4);
  t.equal(chooseRound(rounds, 2).id, 2);
  t.throws(() => chooseRound(rounds, 9), { message: /--round: found 9, expected one of 1, 2, 3/ });
  t.throws(() => chooseRound(rounds, 1), { message: /round 1 is closed/ });
  t.throws(() => chooseRound([published(1, "scheduled", null)]), { message: /no round is open/ });
});
