import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "mysql2/promise";
import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { inTransaction } from "../../src/mysql/transaction.ts";
import { readTotals, retryDead } from "../../src/mysql/payouts.ts";
import { writeRules } from "../../src/mysql/user-rules.ts";
import { ledgerFigures, payoutFaults, payoutFigures, type PayoutFault } from "../../src/payout/figures.ts";
import { Payout, type PayoutParts } from "../../src/payout/payout.ts";
import { builtInLedger } from "../../src/payout/target.ts";
import {
  claimsOf,
  observer,
  one,
  persistClaims,
  startBooks,
  states,
  worth,
  type Seen,
  type TestPack,
} from "./books.ts";

const books = await startBooks(t);

function start(
  t: Test,
  pack: TestPack,
  pool: Pool,
  more: Partial<PayoutParts> = {},
): { seen: Seen; payout: Payout; stop: () => Promise<void> } {
  const { observer: watch, seen } = observer();
  const payout = new Payout({
    pool,
    pack,
    bucket: "b0",
    targets: { envelope: builtInLedger, item: builtInLedger },
    runs: () => true,
    observer: watch,
    ...more,
  });
  const running = payout.run();
  const stop = async (): Promise<void> => {
    payout.stop();
    await running;
  };
  t.teardown(stop);
  return { seen, payout, stop };
}

const settled = (pool: Pool, count: number): Promise<unknown> =>
  waitUntil(
    async () => {
      const { pending = 0, ...found } = await states(pool);
      return Object.values(found).reduce((sum, n) => sum + n, 0) === count && pending >= 0;
    },
    { what: `${count} payouts`, timeoutMsMax: 60_000 },
  );

async function faults(pool: Pool): Promise<PayoutFault[]> {
  const connection = await pool.getConnection();
  try {
    const found: PayoutFault[] = [];
    for await (const fault of payoutFaults(connection)) found.push(fault);
    return found;
  } finally {
    connection.release();
  }
}

const sumOf = (claims: readonly { amountMinor: number }[]): number =>
  claims.reduce((sum, { amountMinor }) => sum + amountMinor, 0);

t.test("claims are credited once, to the cent, and the books balance", async (t) => {
  const { pack, pool } = await books.event();
  const claims = claimsOf(pack, { count: 5000 });
  await persistClaims(pool, claims);
  const { seen } = start(t, pack, pool);
  await settled(pool, 5000);
  const sum = sumOf(claims);
  t.same(await payoutFigures(pool), [
    { round: 1, pending: none, paid: { count: 5000, amount: sum }, dead: none, held: none },
  ]);
  t.same(await ledgerFigures(pool), {
    credits: 5000,
    paidMinor: sum,
    entriesMinor: 0,
    balancesMinor: 0,
    companyMinor: sum,
  });
  const { prizeId, user } = claims[17]!;
  const balance = await one(
    pool,
    `SELECT balance_minor AS minor FROM ledger_accounts WHERE account = 'user:${user}'`,
  );
  t.same(balance, { minor: worth(prizeId) });
  t.same(await faults(pool), []);
  t.same((await readTotals(pool as never, { lock: false })).get(1), { count: 5000, amountMinor: sum });
  t.same(seen.outcomes, { paid: 5000 });
});

const none = { count: 0, amount: 0 };

t.test("four pullers of which two are killed pay everything, and nothing twice", async (t) => {
  const { pack, pool } = await books.event();
  const claims = claimsOf(pack, { count: 100_000 });
  // Small batches: many transactions are cut off in the middle.
  const feeding = (async () => {
    for (let from = 0; from < claims.length; from += 500)
      await persistClaims(pool, claims.slice(from, from + 500));
  })();
  const children = await Promise.all([1, 2, 3, 4].map(() => startPuller(t, { spec: pack.spec })));
  for (const child of children.slice(0, 2)) {
    await waitUntil(async () => Number((await states(pool))["paid"] ?? 0) > 2000, {
      what: "payouts",
      timeoutMsMax: 30_000,
    });
    child.kill("SIGKILL");
  }
  await feeding;
  await settled(pool, 100_000);
  const sum = sumOf(claims);
  t.match(await ledgerFigures(pool), {
    credits: 100_000,
    paidMinor: sum,
    balancesMinor: 0,
    companyMinor: sum,
  });
  t.same(await faults(pool), []);
  t.same(await one(pool, "SELECT COUNT(*) AS n FROM payout_feed"), { n: 0 });
});

async function startPuller(t: Test, words: object): Promise<ChildProcess> {
  const script = join(import.meta.dirname, "puller.ts");
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      script,
      JSON.stringify({ mysql: books.server.plainUrl, ...words }),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return child;
}

t.test("claims that came by another way than persist are found", async (t) => {
  const { pack, pool } = await books.event();
  const [claim] = claimsOf(pack, { count: 1 });
  await persistClaims(pool, claimsOf(pack, { count: 10, from: 50 }));
  await pool.query(
    `INSERT INTO claims VALUES (${claim!.prizeId}, 1, 'restored', 1, ${claim!.amountMinor}, '2026-01-01 00:00:00.000')`,
  );
  await pool.query("DELETE FROM payout_feed");
  const { seen } = start(t, pack, pool);
  await settled(pool, 11);
  t.same(await faults(pool), []);
  t.same(seen.failures, []);
});

t.test("the guard: wrong amounts, foreign prizes and other buckets' prizes are dead letters", async (t) => {
  const { pack, pool } = await books.event({
    rounds: [
      { id: 1, lo: 1_000_001, count: 100, kind: "envelope" },
      { id: 2, lo: 1_000_101, count: 100, kind: "envelope" },
    ],
  });
  const [dear, fine] = claimsOf(pack, { count: 2 });
  const insert = (id: number, round: number, user: string, amount: number) =>
    pool.query(
      `INSERT INTO claims VALUES (${id}, ${round}, '${user}', 1, ${amount}, '2026-01-01 00:00:00.000')`,
    );
  await persistClaims(pool, [{ ...dear!, amountMinor: dear!.amountMinor + 1 }, fine!]);
  await insert(999, 1, "stranger", 5);
  await insert(1_000_150, 1, "wrong-round", worth(1_000_150));
  await pool.query("INSERT INTO payouts (prize_id, state, next_at) VALUES (77, 'pending', '2020-01-01')");
  const { seen } = start(t, pack, pool, { policy: { sweepEveryMs: 50 } });
  await settled(pool, 4);
  await sleep(150);
  t.same(
    await states(pool),
    { paid: 1, dead: 3, pending: 1 },
    "a payout of no round of ours is left to the audit",
  );
  t.match(seen.guarded.map(({ prizeId, reason }) => [prizeId, reason]).sort(), [
    [1_000_100, `the claim is worth ${dear!.amountMinor + 1}, the pack's prize ${dear!.amountMinor}`],
    [1_000_150, "the prize does not belong to this bucket in round 1"],
    [999, "the prize is not one of the pack's"],
  ]);
  t.match(await faults(pool), [{ prizeId: 77, what: "the payout (pending) has no claim" }]);
});

t.test("a prize that moved in is paid, one that moved out is not", async (t) => {
  const { pack, pool } = await books.event({
    rounds: [
      { id: 1, lo: 1_000_001, count: 100, kind: "envelope" },
      { id: 2, lo: 1_000_101, count: 100, kind: "envelope" },
    ],
  });
  const { seen } = start(t, pack, pool);
  const move = (direction: string, round: number, peer: number) =>
    pool.query(
      "INSERT INTO range_moves VALUES ('m1', ?, 1, 'roll', ?, 'b0', ?, 1000001, 10, ?, '2026-01-01')",
      [
        direction,
        round,
        peer,
        Array.from({ length: 10 }, (_, i) => worth(1_000_001 + i)).reduce((a, b) => a + b, 0),
      ],
    );
  await persistClaims(pool, claimsOf(pack, { count: 90 }));
  await settled(pool, 90);
  await move("out", 1, 2);
  await move("in", 2, 1);
  const rolled = {
    ...claimsOf(pack, { count: 1 })[0]!,
    prizeId: 1_000_010,
    round: 2,
    amountMinor: worth(1_000_010),
  };
  const stolen = { ...rolled, prizeId: 1_000_009, round: 1, user: "thief", amountMinor: worth(1_000_009) };
  await persistClaims(pool, [rolled]);
  await settled(pool, 91);
  await persistClaims(pool, [stolen]);
  await settled(pool, 92);
  t.same(await states(pool), { paid: 91, dead: 1 });
  t.match(seen.guarded, [{ prizeId: 1_000_009, user: "thief" }]);
});

t.test("the budget guard stops at the round's budget and at the event's", async (t) => {
  const { pack, pool } = await books.event({
    budgetMinor: 1000,
    rounds: [{ id: 1, lo: 1_000_001, count: 100, kind: "envelope" }],
  });
  const claims = claimsOf(pack, { count: 100 });
  await persistClaims(pool, claims);
  start(t, pack, pool);
  await settled(pool, 100);
  const { paid, dead } = (await payoutFigures(pool))[0]!;
  t.ok(paid.amount <= 1000 && paid.amount > 900, `paid ${paid.amount}`);
  t.equal(dead.count, 100 - paid.count);
  t.match(await one(pool, "SELECT DISTINCT reason FROM payouts WHERE state = 'dead'"), {
    reason: "it would exceed the event's budget",
  });
  const other = await books.event({ rounds: [{ id: 1, lo: 1_000_001, count: 100, kind: "envelope" }] });
  const all = claimsOf(other.pack, { count: 100 });
  await persistClaims(other.pool, all);
  await other.pool.query(`INSERT INTO payout_totals VALUES (1, 1, ${sumOf(all) - 500})`);
  start(t, other.pack, other.pool);
  await settled(other.pool, 100);
  const figures = (await payoutFigures(other.pool))[0]!;
  t.ok(figures.paid.amount <= 500 && figures.paid.amount > 400);
  t.match(await one(other.pool, "SELECT DISTINCT reason FROM payouts WHERE state = 'dead'"), {
    reason: "it would exceed the budget of round 1",
  });
});

t.test("a denied user's payouts are held, also older ones, and released by allow", async (t) => {
  const { pack, pool } = await books.event();
  const claims = claimsOf(pack, { count: 100 });
  const cheater = claims[3]!.user;
  await writeRules(pool, { v: 1, rules: [{ user: cheater, round: 0, rule: "deny" }] });
  await persistClaims(pool, claims);
  const { seen } = start(t, pack, pool);
  await settled(pool, 100);
  t.same(await states(pool), { paid: 99, held: 1 });
  t.equal(await writeRules(pool, { v: 1, rules: [] }), "older");
  t.same(await states(pool), { paid: 99, held: 1 });
  await writeRules(pool, { v: 2, rules: [{ user: cheater, round: 2, rule: "deny" }] });
  await waitUntil(async () => (await states(pool))["paid"] === 100, {
    what: "the release",
    timeoutMsMax: 5_000,
  });
  t.match(await ledgerFigures(pool), { credits: 100, companyMinor: sumOf(claims), balancesMinor: 0 });
  t.same(await faults(pool), []);
  t.same(seen.outcomes, { paid: 100, held: 1 });
});

t.test("dead letters are retried by command, through the guard again", async (t) => {
  const { pack, pool } = await books.event();
  const [claim, other] = claimsOf(pack, { count: 2 });
  await persistClaims(pool, [{ ...claim!, amountMinor: 1_000_000 }, other!]);
  start(t, pack, pool);
  await settled(pool, 2);
  t.same(await states(pool), { paid: 1, dead: 1 });
  const retry = (round: number) => inTransaction(pool, (connection) => retryDead(connection, { round }));
  t.equal(await retry(2), 0);
  t.equal(await retry(1), 1);
  await settled(pool, 2);
  t.same(await states(pool), { paid: 1, dead: 1 }, "nothing has changed, so it is dead again");
  await pool.query(
    `UPDATE claims SET amount_minor = ${claim!.amountMinor} WHERE prize_id = ${claim!.prizeId}`,
  );
  t.equal(await retry(1), 1);
  await settled(pool, 2);
  t.same(await states(pool), { paid: 2 });
  t.same(await faults(pool), []);
});

t.test("a claim that cannot be booked does not keep the others from being paid", async (t) => {
  const { pack, pool } = await books.event();
  const claims = claimsOf(pack, { count: 50 });
  const [twice, damaged] = claims;
  await pool.query(
    `INSERT INTO ledger_entries VALUES (${twice!.prizeId}, 'credit', 'user:x', 5, '2026-01-01'), (${twice!.prizeId}, 'debit', 'company', -5, '2026-01-01')`,
  );
  await persistClaims(
    pool,
    claims.filter((claim) => claim !== damaged),
  );
  await pool.query(
    `INSERT INTO claims VALUES (${damaged!.prizeId}, 1, 'a b', 1, ${damaged!.amountMinor}, '2026-01-01 00:00:00.000')`,
  );
  const { seen } = start(t, pack, pool, { policy: { sweepEveryMs: 50 } });
  await settled(pool, 50);
  t.same(await states(pool), { paid: 48, dead: 2 });
  t.match(seen.guarded.map(({ prizeId, reason }) => [prizeId, reason]).sort(), [
    [damaged!.prizeId, "the user ID is not one"],
    [twice!.prizeId, "the ledger has this prize already"],
  ]);
  t.same(seen.failures, []);
});

t.test(
  "a puller that is frozen in the middle of a transaction keeps nobody from paying or denying",
  async (t) => {
    const { pack, pool } = await books.event();
    const claims = claimsOf(pack, { count: 30_000 });
    await persistClaims(pool, claims);
    const frozen = await startPuller(t, { spec: pack.spec });
    await waitUntil(async () => Number((await states(pool))["paid"] ?? 0) > 0, {
      what: "payouts",
      timeoutMsMax: 20_000,
    });
    frozen.kill("SIGSTOP");
    start(t, pack, pool);
    const denied = { v: 1, rules: [{ user: "nobody", round: 0, rule: "deny" as const }] };
    await waitUntil(
      async () => {
        await writeRules(pool, denied).catch(() => undefined);
        return (await one(pool, "SELECT v FROM user_rules_version"))["v"] === 1;
      },
      { what: "the rules", timeoutMsMax: 30_000 },
    );
    await settled(pool, 30_000);
    frozen.kill("SIGCONT");
    await sleep(300);
    t.match(await ledgerFigures(pool), { credits: 30_000, paidMinor: sumOf(claims), balancesMinor: 0 });
    t.same(await faults(pool), []);
  },
);

t.test("items become orders", async (t) => {
  const { pack, pool } = await books.event({
    rounds: [
      { id: 1, lo: 1_000_001, count: 100, kind: "envelope" },
      { id: 3, lo: 1_000_101, count: 10, kind: "item" },
    ],
  });
  await persistClaims(pool, [...claimsOf(pack, { count: 5 }), ...claimsOf(pack, { count: 10, round: 3 })]);
  start(t, pack, pool);
  await settled(pool, 15);
  t.same(await one(pool, "SELECT COUNT(*) AS n, MIN(sku) AS sku, SUM(price_minor) AS price FROM orders"), {
    n: 10,
    sku: "PHONE-1",
    price: 1000,
  });
  t.match(await ledgerFigures(pool), { credits: 5 });
  t.same(await faults(pool), []);
});

t.test("while the switch is off nothing is paid", async (t) => {
  const { pack, pool } = await books.event();
  let runs = false;
  await persistClaims(pool, claimsOf(pack, { count: 10 }));
  start(t, pack, pool, { runs: () => runs });
  await sleep(300);
  t.same(await states(pool), {});
  runs = true;
  await settled(pool, 10);
});

t.test("tampered books are told", async (t) => {
  const { pack, pool } = await books.event();
  const claims = claimsOf(pack, { count: 20 });
  await persistClaims(pool, claims);
  const { stop } = start(t, pack, pool);
  await settled(pool, 20);
  await stop();
  const id = (index: number): number => claims[index]!.prizeId;
  await pool.query(`INSERT INTO payouts (prize_id, state, attempts, paid_at) VALUES (5, 'paid', 1, NOW(3))`);
  await pool.query(
    `UPDATE ledger_entries SET amount_minor = amount_minor + 7 WHERE prize_id = ${id(1)} AND side = 'credit'`,
  );
  await pool.query(
    `UPDATE ledger_accounts SET balance_minor = balance_minor + 9 WHERE account = 'user:${claims[2]!.user}'`,
  );
  await pool.query(
    `INSERT INTO ledger_entries SELECT 6, side, account, amount_minor, booked_at FROM ledger_entries WHERE prize_id = ${id(3)}`,
  );
  await pool.query(`DELETE FROM ledger_entries WHERE prize_id = ${id(4)}`);
  await pool.query(`UPDATE payouts SET amount_minor = 1000 WHERE prize_id = ${id(5)}`);
  const found = (await faults(pool)).map(
    ({ prizeId, what }) => `${prizeId ?? ""} ${what.replace(/\d+/g, "#")}`,
  );
  t.match(found, [
    "5 the payout (paid) has no claim",
    `${id(5)} the payout is of # in round #, the claim of # in round #`,
    `6 the ledger credits # to user:u# without a claim`,
    `${id(1)} the ledger credits # to user:u#, the claim is of # to u#`,
    `${id(1)} the ledger has no debit of the same amount`,
  ]);
  t.ok(found.some((text) => text.startsWith(`${id(4)} the payout says paid, but`)));
  t.ok(found.some((text) => text.includes("the balance of user:u# is #, its entries add up to #")));
});
