import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Pool } from "mysql2/promise";
import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { inTransaction } from "../../src/mysql/transaction.ts";
import { readTotals, retryDead } from "../../src/mysql/payouts.ts";
import { writeRules } from "../../src/mysql/user-rules.ts";
import { httpTarget, outcomeOfConfirm, outcomeOfSend } from "../../src/payout/http-target.ts";
import { Payout } from "../../src/payout/payout.ts";
import { payoutPolicy, type PayoutPolicy } from "../../src/payout/policy.ts";
import { builtInLedger, type PayoutOrder } from "../../src/payout/target.ts";
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
import { startWallet, type TestWallet, type Trick } from "./test-wallet.ts";

const books = await startBooks(t);
const quick: Partial<PayoutPolicy> = {
  timeoutMs: 200,
  retryDelayMs: () => 30,
  confirmDelayMs: () => 30,
  idleMs: 20,
  probeDelayMs: 20,
};

function start(
  t: Test,
  { pack, pool }: { pack: TestPack; pool: Pool },
  wallets: { wallet?: TestWallet; orders?: TestWallet },
  policy: Partial<PayoutPolicy> = {},
): Seen {
  const { observer: watch, seen } = observer();
  const target = (name: "wallet" | "orders") => {
    const place = wallets[name];
    return place === undefined ? builtInLedger : httpTarget({ name, ...place, timeoutMs: 200 });
  };
  const payout = new Payout({
    pool,
    pack,
    bucket: "b0",
    targets: { envelope: target("wallet"), item: target("orders") },
    runs: () => true,
    observer: watch,
    policy: { ...quick, ...policy },
  });
  const running = payout.run();
  t.teardown(async () => {
    payout.stop();
    await running;
  });
  return seen;
}

const come = (pool: Pool, wanted: Record<string, number>): Promise<unknown> =>
  waitUntil(async () => JSON.stringify(sorted(await states(pool))) === JSON.stringify(sorted(wanted)), {
    what: JSON.stringify(wanted),
    timeoutMsMax: 60_000,
  });
const sorted = (record: object): unknown => Object.entries(record).sort();

/** What the wallet has paid is what was claimed, each prize once. */
function isPaidOnce(t: Test, wallet: TestWallet, pack: TestPack, ids: number[]): void {
  t.equal(wallet.paid.size, ids.length);
  for (const id of ids) {
    const payment = wallet.paid.get(`${pack.spec.event}:${id}`);
    if (payment?.times === 1 && payment.amount === worth(id)) continue;
    t.fail(`prize ${id}: found ${JSON.stringify(payment)}, expected one payment of ${worth(id)}`);
  }
}

t.test(
  "a wallet that fails, hangs, loses answers, accepts and forgets is asked until all is paid once",
  async (t) => {
    const event = await books.event();
    const wallet = await startWallet(t);
    const tricks: Trick[] = [
      "pay",
      "fail",
      "hang",
      "pay-and-hang",
      "pay-and-fail",
      "accept",
      "accept-and-forget",
      "mix-up",
    ];
    wallet.trick = (key, before) =>
      before === 0 ? tricks[Number(key.split(":")[1]) % tricks.length]! : "pay";
    const claims = claimsOf(event.pack, { count: 400 });
    await persistClaims(event.pool, claims);
    start(t, event, { wallet });
    start(t, event, { wallet });
    await come(event.pool, { paid: 400 });
    isPaidOnce(
      t,
      wallet,
      event.pack,
      claims.map(({ prizeId }) => prizeId),
    );
    t.equal(wallet.unsigned, 0);
    t.same(await one(event.pool, "SELECT COUNT(*) AS n FROM ledger_entries"), { n: 0 });
    const sum = claims.reduce((total, { amountMinor }) => total + amountMinor, 0);
    t.same((await readTotals(event.pool as never, { lock: false })).get(1), { count: 400, amountMinor: sum });
  },
);

t.test("pullers that are killed while they send leave nothing unpaid and nothing doubled", async (t) => {
  const event = await books.event();
  const wallet = await startWallet(t);
  const claims = claimsOf(event.pack, { count: 3000 });
  await persistClaims(event.pool, claims);
  const words = JSON.stringify({
    mysql: books.server.plainUrl,
    spec: event.pack.spec,
    wallet: { url: wallet.url, secret: wallet.secret, timeoutMs: 200 },
  });
  const script = join(import.meta.dirname, "puller.ts");
  const children = [1, 2].map(() => {
    const flags = ["--disable-warning=ExperimentalWarning"];
    return spawn(process.execPath, [...flags, script, words], { stdio: ["ignore", "ignore", "inherit"] });
  });
  const ended = children.map((child) => new Promise((resolve) => child.once("exit", resolve)));
  t.teardown(() => children.forEach((child) => child.kill("SIGKILL")));
  await waitUntil(async () => wallet.paid.size > 300, { what: "payments", timeoutMsMax: 20_000 });
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(ended);
  const before = wallet.paid.size;
  t.ok(before < 3000);
  // A dead puller's leases outlive it; nobody waits for them here.
  await event.pool.query("UPDATE payouts SET next_at = UTC_TIMESTAMP(3) WHERE state = 'pending'");
  start(t, event, { wallet }, { inFlightMax: 64 });
  await come(event.pool, { paid: 3000 });
  isPaidOnce(
    t,
    wallet,
    event.pack,
    claims.map(({ prizeId }) => prizeId),
  );
});

t.test("refused payouts, and those that fail too often, are dead letters; a retry pays them", async (t) => {
  const event = await books.event();
  const wallet = await startWallet(t);
  const claims = claimsOf(event.pack, { count: 4 });
  const bad = claims[1]!.prizeId;
  const never = claims[2]!.prizeId;
  wallet.trick = (key) => (key.endsWith(`:${bad}`) ? "refuse" : key.endsWith(`:${never}`) ? "fail" : "pay");
  await persistClaims(event.pool, claims);
  const seen = start(t, event, { wallet }, { attemptsMax: 3 });
  await come(event.pool, { paid: 2, dead: 2 });
  const row = (id: number) => one(event.pool, `SELECT attempts, reason FROM payouts WHERE prize_id = ${id}`);
  t.match(await row(bad), { attempts: 1, reason: /answered 422 .*account closed/ });
  t.match(await row(never), { attempts: 3, reason: /3 attempts, the last: answered 500/ });
  const spent = claims.filter(({ prizeId }) => prizeId !== bad && prizeId !== never);
  t.match((await readTotals(event.pool as never, { lock: false })).get(1), {
    count: 2,
    amountMinor: spent.reduce((sum, { amountMinor }) => sum + amountMinor, 0),
  });
  t.match(seen.outcomes, { paid: 2, dead: 2, retry: 2 });
  wallet.trick = () => "pay";
  const retried = await inTransaction(event.pool, (connection) =>
    retryDead(connection, { prizeIds: [bad, never] }),
  );
  t.equal(retried, 2);
  await come(event.pool, { paid: 4 });
  isPaidOnce(
    t,
    wallet,
    event.pack,
    claims.map(({ prizeId }) => prizeId),
  );
});

t.test(
  "a wallet that is away opens the circuit: few attempts are spent, and all is paid when it is back",
  async (t) => {
    const event = await books.event();
    const wallet = await startWallet(t);
    let away = true;
    wallet.trick = () => (away ? "fail" : "pay");
    const claims = claimsOf(event.pack, { count: 500 });
    await persistClaims(event.pool, claims);
    const seen = start(
      t,
      event,
      { wallet },
      { failuresMax: 10, inFlightMax: 16, probeDelayMs: 50, retryDelayMs: () => 10 },
    );
    await waitUntil(async () => (seen.outcomes["retry"] ?? 0) >= 16, {
      what: "failures",
      timeoutMsMax: 10_000,
    });
    const requests = wallet.requests;
    await new Promise((resolve) => setTimeout(resolve, 500));
    t.ok(
      wallet.requests - requests < 30,
      `${wallet.requests - requests} requests while the circuit was open`,
    );
    away = false;
    await come(event.pool, { paid: 500 });
    isPaidOnce(
      t,
      wallet,
      event.pack,
      claims.map(({ prizeId }) => prizeId),
    );
  },
);

t.test("a denied user's payment is not sent; one that was on its way is told as paid", async (t) => {
  const event = await books.event();
  const wallet = await startWallet(t);
  const claims = claimsOf(event.pack, { count: 3 });
  const [first, second] = claims.map(({ user }) => user);
  wallet.trick = () => "pay-and-hang";
  await persistClaims(event.pool, [claims[0]!]);
  start(t, event, { wallet });
  await waitUntil(async () => wallet.paid.size === 1, { what: "the first payment", timeoutMsMax: 5_000 });
  await writeRules(event.pool, {
    v: 1,
    rules: [first!, second!].map((user) => ({ user, round: 0, rule: "deny" as const })),
  });
  wallet.trick = () => "pay";
  await persistClaims(event.pool, claims.slice(1));
  await waitUntil(async () => (await states(event.pool))["paid"] === 1, {
    what: "the third",
    timeoutMsMax: 5_000,
  });
  await come(event.pool, { paid: 1, held: 2 });
  t.notOk([...wallet.paid.values()].some(({ user }) => user === second));
  await writeRules(event.pool, { v: 2, rules: [] });
  await come(event.pool, { paid: 3 });
  isPaidOnce(
    t,
    wallet,
    event.pack,
    claims.map(({ prizeId }) => prizeId),
  );
});

t.test("only orders of items reach the order system", async (t) => {
  const event = await books.event({
    rounds: [
      { id: 1, lo: 1_000_001, count: 100, kind: "envelope" },
      { id: 3, lo: 1_000_101, count: 10, kind: "item" },
    ],
  });
  const orders = await startWallet(t);
  orders.trick = (_, before) => (before === 0 ? "accept" : "pay");
  await persistClaims(event.pool, [
    ...claimsOf(event.pack, { count: 5 }),
    ...claimsOf(event.pack, { count: 10, round: 3 }),
  ]);
  start(t, event, { orders });
  await come(event.pool, { paid: 15 });
  t.equal(orders.paid.size, 10);
  t.match([...orders.paid.values()][0], { sku: "PHONE-1", price: 100 });
  t.same(await one(event.pool, "SELECT COUNT(*) AS n FROM ledger_entries WHERE side = 'credit'"), { n: 5 });
});

t.test("a wrong secret pays nothing and says why", async (t) => {
  const event = await books.event();
  const wallet = await startWallet(t);
  await persistClaims(event.pool, claimsOf(event.pack, { count: 1 }));
  start(t, event, { wallet: { ...wallet, secret: "another-secret-than-its" } });
  await come(event.pool, { dead: 1 });
  t.match(await one(event.pool, "SELECT reason FROM payouts"), { reason: /answered 401/ });
  t.equal(wallet.paid.size, 0);
});

t.test("what an answer means", async (t) => {
  const order = { key: "e:7", amountMinor: 5 } as PayoutOrder;
  const send = (status: number, body: unknown = {}) =>
    outcomeOfSend(status, JSON.stringify(body), order).kind;
  const confirm = (status: number, body: unknown = {}) =>
    outcomeOfConfirm(status, JSON.stringify(body), order).kind;
  t.equal(send(200), "paid");
  t.equal(send(201, { status: "paid", key: "e:7", amount: 5 }), "paid");
  t.equal(send(200, { key: "e:8" }), "retry", "an answer about another payout");
  t.equal(send(200, { amount: 6 }), "refused", "another amount");
  t.equal(send(200, { status: "nonsense" }), "retry");
  t.equal(send(202), "accepted");
  for (const status of [400, 401, 403, 404, 410, 422]) t.equal(send(status), "refused");
  for (const status of [301, 408, 409, 425, 429, 500, 502, 503]) t.equal(send(status), "retry");
  t.equal(confirm(200, { status: "paid" }), "paid");
  t.equal(confirm(200, {}), "retry", "silence confirms nothing");
  t.equal(confirm(200, { status: "pending" }), "accepted");
  t.equal(confirm(200, { status: "refused" }), "refused");
  t.equal(confirm(404), "unknown");
  t.equal(confirm(500), "retry");
  t.equal(outcomeOfSend(200, "not JSON", order).kind, "paid");
});

t.test("an hour without its wallet costs a payout no dead letter", async (t) => {
  let ms = 0;
  for (let attempts = 1; attempts < payoutPolicy.attemptsMax; attempts += 1)
    ms += payoutPolicy.retryDelayMs(attempts, 0.5);
  t.ok(ms > 3_600_000, `${Math.round(ms / 60_000)} minutes`);
});
