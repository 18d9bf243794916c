import fc from "fast-check";
import t from "tap";
import { loanOf } from "@hongbao/preprocess";
import { decideMoves, mayCome, targetOf, type MoveAction } from "../../src/conductor/decide-moves.ts";
import { isOver, type SeenBucket, type SeenRound, type World } from "../../src/conductor/decide.ts";
import type { RoundRecord, Transfer } from "../../src/conductor/records.ts";

const NOW = 1_800_000_000_000;

function record(round: number, state: RoundRecord["state"], fields: Partial<RoundRecord> = {}): RoundRecord {
  const change = { atMs: NOW, by: "test", what: "test", why: "" };
  const times = { opensAtMs: NOW - 1_000, closesAtMs: NOW + 60_000 };
  return { round, v: 2, n: 1, state, ...times, published: true, change, ...fields };
}

function seen(left: number, fields: Partial<SeenRound> = {}): SeenRound {
  const times = { opensAtMs: NOW - 1_000, closesAtMs: NOW + 60_000, keyHash: null };
  return { v: 2, ...times, stock: 1, left, issued: 100, state: "open", dry: false, final: false, ...fields };
}

function bucket(id: string, rounds: Record<number, SeenRound>, fields: Partial<SeenBucket> = {}): SeenBucket {
  return {
    id,
    reachable: true,
    unsure: false,
    refusing: false,
    fenced: false,
    mysql: true,
    epoch: "e1",
    moves: 0,
    nowMs: NOW,
    rounds: new Map(Object.entries(rounds).map(([round, each]) => [Number(round), each])),
    ...fields,
  };
}

function world(buckets: SeenBucket[], fields: Partial<World> & { of?: RoundRecord[] } = {}): World {
  const { of = [record(1, "open")], ...rest } = fields;
  return {
    nowMs: NOW,
    buckets,
    rounds: of.map(({ round }) => round),
    records: new Map(of.map((each) => [each.round, each])),
    keys: new Map(),
    plans: of.map(({ round }) => ({ id: round, kind: "envelope", groups: null, leftovers: "next" })),
    transfers: [],
    lends: () => true,
    self: "controller c0",
    ...rest,
  };
}

function transfer(fields: Partial<Transfer> = {}): Transfer {
  return {
    n: 1,
    step: 1,
    kind: "lend",
    from: "b1",
    to: "b0",
    round: 1,
    toRound: 1,
    count: 10,
    epoch: "e1",
    state: "leaving",
    ordered: false,
    runs: [],
    moved: 0,
    left: null,
    arrived: null,
    change: { atMs: NOW, by: "test", what: "test", why: "" },
    ...fields,
  };
}

const short = (actions: MoveAction[]): unknown[] =>
  actions.map((action) => {
    if (action.kind === "final") return `final ${action.bucket}/${action.round}`;
    const { kind, from, to, round, toRound, count } =
      action.kind === "transfer" ? action.next : action.transfer;
    const what = action.kind === "transfer" ? kind : action.kind;
    return `${what} ${from}/${round} ${to}/${toRound} ${count}`;
  });

const dry = seen(0, { dry: true });

t.test("a bucket that ran dry borrows half of what the richest one has, and says busy meanwhile", (t) => {
  const rich = [bucket("b1", { 1: seen(400) }), bucket("b2", { 1: seen(100) })];
  t.same(short(decideMoves(world([bucket("b0", { 1: dry }), ...rich]))), ["lend b1/1 b0/1 200"]);
  const unasked = bucket("b0", { 1: seen(0) });
  t.same(short(decideMoves(world([unasked, ...rich]))), [], "nobody asked: it needs none, and has not ended");
  const low = bucket("b0", { 1: seen(11) });
  t.same(short(decideMoves(world([low, ...rich]))), ["lend b1/1 b0/1 194"], "before it is dry");
  t.same(short(decideMoves(world([bucket("b0", { 1: seen(12) }), ...rich]))), [], "above the mark");
  t.same(short(decideMoves(world([bucket("b0", { 1: dry }), bucket("b1", { 1: seen(1) })]))), [
    "lend b1/1 b0/1 1",
  ]);
  t.end();
});

t.test("several dry buckets share; one that gets some already gets no more", (t) => {
  const all = [bucket("b0", { 1: dry }), bucket("b1", { 1: seen(400) }), bucket("b2", { 1: dry })];
  t.same(short(decideMoves(world(all))), ["lend b1/1 b0/1 200", "lend b1/1 b2/1 100"]);
  const first = transfer({ count: 200 });
  t.same(short(decideMoves(world(all, { transfers: [first] }))), ["out b1/1 b0/1 200", "lend b1/1 b2/1 100"]);
  const done = transfer({
    state: "done",
    moved: 200,
    left: { epoch: "e1", moves: 1 },
    arrived: { epoch: "e1", moves: 1 },
  });
  t.same(short(decideMoves(world(all, { transfers: [done] }))), [], "not looked at since: old figures");
  const later = all.map((each) => ({ ...each, moves: 1 }));
  t.match(short(decideMoves(world(later, { transfers: [done] }))), [/^lend/, /^lend/]);
  const rebuilt = all.map((each) => ({ ...each, epoch: "e2" }));
  t.match(short(decideMoves(world(rebuilt, { transfers: [done] }))), [/^lend/, /^lend/]);
  t.end();
});

t.test("fenced, unreachable or without MySQL: neither lends nor borrows; then the others end", (t) => {
  for (const fault of [{ fenced: true }, { reachable: false }, { mysql: false }]) {
    const lender = bucket("b1", { 1: seen(400) }, fault);
    t.same(short(decideMoves(world([bucket("b0", { 1: dry }), lender]))), ["final b0/1"]);
    const moves = decideMoves(world([bucket("b0", { 1: dry }, fault), bucket("b1", { 1: seen(400) })]));
    t.notOk(moves.some(({ kind }) => kind === "transfer"));
    const underWay = [transfer(), transfer({ n: 2, to: "b1", from: "b0", state: "arriving" })];
    t.same(short(decideMoves(world([bucket("b0", { 1: seen(50) }), lender], { transfers: underWay }))), []);
  }
  t.end();
});

t.test("the last word comes when nothing can: switched off, alone, all empty, nothing under way", (t) => {
  const rich = bucket("b1", { 1: seen(400) });
  t.same(short(decideMoves(world([bucket("b0", { 1: dry }), rich], { lends: () => false }))), ["final b0/1"]);
  const but = (id: string) => ({ lends: (bucket: string) => bucket !== id });
  const other = bucket("b2", { 1: seen(400) });
  t.same(short(decideMoves(world([bucket("b0", { 1: dry }), rich, other], but("b0")))), ["final b0/1"]);
  t.same(short(decideMoves(world([bucket("b0", { 1: dry }), rich, other], but("b1")))), [
    "lend b2/1 b0/1 200",
  ]);
  t.same(short(decideMoves(world([bucket("b0", { 1: seen(0) })]))), ["final b0/1"]);
  const empty = [bucket("b0", { 1: dry }), bucket("b1", { 1: seen(0) })];
  t.same(short(decideMoves(world(empty))), ["final b0/1", "final b1/1"]);
  const arriving = transfer({ state: "arriving", runs: [{ lo: 1, count: 1 }], moved: 1 });
  t.same(short(decideMoves(world(empty, { transfers: [arriving] }))), ["in b1/1 b0/1 10"]);
  const fin = seen(0, { final: true });
  const over = world([bucket("b0", { 1: fin }), bucket("b1", { 1: fin })]);
  t.same(short(decideMoves(over)), []);
  t.ok(isOver(over, 1));
  t.notOk(isOver({ ...over, transfers: [arriving] }, 1), "stock is on its way");
  t.notOk(isOver(world([bucket("b0", { 1: fin }), bucket("b1", { 1: seen(0) })]), 1), "not said yet");
  t.same(short(decideMoves({ ...over, nowMs: null })), []);
  t.end();
});

t.test("a closed round's rest goes into the next unclosed round of its sort, in every bucket", (t) => {
  const closed = (left: number): SeenRound => seen(left, { state: "closed" });
  const of = [record(1, "closed"), record(2, "open"), record(3, "scheduled")];
  const all = [
    bucket("b0", { 1: closed(5), 2: seen(9), 3: seen(1) }),
    bucket("b1", { 1: closed(0), 2: seen(9), 3: seen(1) }),
  ];
  const start = world(all, { of });
  t.same(short(decideMoves(start)), ["roll b0/1 b0/2 null"]);
  t.equal(targetOf(start, 1), 2);
  t.equal(targetOf(start, 3), null);
  const second = { ...start, records: new Map([...start.records, [2, record(2, "closed")]]) };
  t.equal(targetOf(second, 1), 3);
  const roll = transfer({ kind: "roll", from: "b0", to: "b0", toRound: 2, count: null });
  t.same(short(decideMoves({ ...start, transfers: [roll] })), ["out b0/1 b0/2 null"], "once");
  t.ok(mayCome(start, 2), "round 2 is not over");
  const held = { ...start, plans: start.plans.map((plan) => ({ ...plan, leftovers: "hold" as const })) };
  t.same(short(decideMoves(held)), []);
  const ordered = {
    ...held,
    records: new Map([...held.records, [1, record(1, "closed", { rollover: true })]]),
  };
  t.same(short(decideMoves(ordered)), ["roll b0/1 b0/2 null"], "by command");
  const other = { ...start.plans[1]!, kind: "item" as const };
  t.equal(targetOf({ ...start, plans: [start.plans[0]!, other, start.plans[2]!] }, 1), 3, "another kind");
  const staff = { ...start.plans[1]!, groups: ["staff"] };
  t.equal(targetOf({ ...start, plans: [start.plans[0]!, staff, start.plans[2]!] }, 1), 3, "other groups");
  const late = world([bucket("b0", { 1: seen(5), 2: seen(9), 3: seen(1) })], { of });
  t.same(short(decideMoves(late)), [], "its own clock has not closed it yet");
  t.end();
});

t.test("a lender that was rebuilt is asked anew, in its new epoch", (t) => {
  const all = [bucket("b0", { 1: seen(50) }), bucket("b1", { 1: seen(400) }, { epoch: "e2" })];
  const [action] = decideMoves(world(all, { transfers: [transfer()] }));
  t.match(action, { kind: "transfer", next: { n: 1, step: 2, epoch: "e2", state: "leaving" } });
  t.end();
});

t.test("properties of loans: never more than there is, no way back at once, and few", (t) => {
  fc.assert(
    fc.property(fc.nat({ max: 1_000_000 }), fc.nat({ max: 1_000_000 }), (lender, borrower) => {
      const count = loanOf(lender, borrower);
      if (count === 0) return lender === 0 || borrower > 0;
      const [after, before] = [lender - count, borrower + count];
      // Who has some left borrows only from one who has twice as much.
      return count <= lender && after <= before + 1 && (after === 0 || loanOf(before, after) === 0);
    }),
    { numRuns: 5_000 },
  );
  let loans = 0;
  for (let left = 1_000_000; left > 0; left -= loanOf(left, 0)) loans += 1;
  t.equal(loans, 20);
  t.end();
});
