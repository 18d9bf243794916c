import type { RowDataPacket } from "mysql2/promise";
import t from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket, type Violation } from "../src/audit/audit.ts";
import { withBucket, type OpenBucket } from "../src/stores.ts";
import { world, type World } from "./world.ts";

const w: World = await world(t, { users: 40 });
await w.open(1, "k");
await Promise.all(w.users.map((user) => w.grab(user)));
await waitUntil(
  async () => {
    const { journal, rounds } = await w.admin(0).state();
    return rounds[0]!.issued === 40 && journal.waiting === 0;
  },
  { what: "an empty journal", timeoutMsMax: 20_000 },
);

async function audited(): Promise<Violation[]> {
  return (await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack })).violations;
}

/** Does something to the stores, shows what the audit says of it, and undoes it. */
async function tampered(
  change: (open: OpenBucket) => Promise<unknown>,
  undo: (open: OpenBucket) => Promise<unknown>,
): Promise<Violation[]> {
  return withBucket(
    { pack: w.pack, bucket: w.topology.buckets[0]!, secrets: w.secrets, name: "tamper" },
    async (open) => {
      await change(open);
      const found = await audited();
      await undo(open);
      return found;
    },
  );
}

const top = String(w.pack.firstId + 99);

t.test("a bucket at rest is clean, and every figure adds up", async (t) => {
  const { rounds, violations } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.same(violations, []);
  const [round] = rounds;
  t.same(round!.generated, { count: 100, amount: 10_000 });
  t.equal(round!.issued.count, 40);
  t.equal(round!.issued.amount + round!.left.amount, 10_000);
  t.same(round!.claimed, round!.issued);
  t.same(round!.pending, round!.issued);
  t.same(round!.waiting, { count: 0, amount: 0 });
});

t.test("a changed amount of a claim is named", async (t) => {
  const found = await tampered(
    ({ mysql }) => mysql.query("UPDATE claims SET amount_minor = amount_minor + 1 WHERE prize_id = ?", [top]),
    ({ mysql }) => mysql.query("UPDATE claims SET amount_minor = amount_minor - 1 WHERE prize_id = ?", [top]),
  );
  t.match(found, [{ promise: 4, round: 1, bucket: "b0", prize: top, user: /^u\d+$/ }]);
  t.equal(found.length, 1);
});

t.test("a changed prize is named", async (t) => {
  const found = await tampered(
    ({ mysql }) => mysql.query("UPDATE prizes SET amount_minor = amount_minor + 7 WHERE prize_id = ?", [top]),
    ({ mysql }) => mysql.query("UPDATE prizes SET amount_minor = amount_minor - 7 WHERE prize_id = ?", [top]),
  );
  t.match(found, [{ promise: 4, prize: top, what: /MySQL's prize/ }]);
});

t.test("a deleted claim is a lost win", async (t) => {
  const found = await tampered(
    async ({ mysql }) => {
      await mysql.query("CREATE TEMPORARY TABLE kept AS SELECT * FROM claims WHERE prize_id = ?", [top]);
      await mysql.query("DELETE FROM claims WHERE prize_id = ?", [top]);
    },
    ({ mysql }) => mysql.query("INSERT INTO claims SELECT * FROM kept"),
  );
  t.match(found, [{ promise: 2, prize: top, what: /neither in MySQL nor in the journal/ }]);
});

t.test("IDs from nowhere are named: outside the range, and not issued yet", async (t) => {
  for (const [id, what] of [
    ["999", /not generated/],
    [String(w.pack.firstId), /never issued/],
  ] as const) {
    const found = await tampered(
      ({ mysql }) => mysql.query("INSERT INTO claims VALUES (?, 1, 'ghost', 1, 5, '2026-01-01')", [id]),
      ({ mysql }) => mysql.query("DELETE FROM claims WHERE user_id = 'ghost'"),
    );
    t.ok(
      found.some(
        (violation) => violation.promise === 1 && violation.prize === id && what.test(violation.what),
      ),
    );
  }
});

t.test("a user who has more than perUser is named", async (t) => {
  const found = await tampered(
    ({ mysql }) => mysql.query("UPDATE claims SET n = 2 WHERE prize_id = ?", [top]),
    ({ mysql }) => mysql.query("UPDATE claims SET n = 1 WHERE prize_id = ?", [top]),
  );
  t.match(found, [{ promise: 3, prize: top }]);
});

t.test("a counter that was turned back, and a forgotten user, are seen", async (t) => {
  const back = await tampered(
    ({ store }) => store.client.incrby(store.keys.left(1), 1),
    ({ store }) => store.client.decrby(store.keys.left(1), 1),
  );
  t.ok(back.some(({ promise }) => promise === 6));
  const users = await tampered(
    async ({ store }) => {
      await store.client.hset(store.keys.claims(1), "ghost", 5);
    },
    ({ store }) => store.client.hdel(store.keys.claims(1), "ghost"),
  );
  t.match(users, [{ promise: 3, what: /remembers 41 claims/ }]);
});

t.test("a user whose claim was given to somebody else in MySQL is named", async (t) => {
  const [row] = await withBucket(
    { pack: w.pack, bucket: w.topology.buckets[0]!, secrets: w.secrets, name: "tamper" },
    async ({ mysql }) =>
      (await mysql.query<RowDataPacket[]>("SELECT user_id FROM claims WHERE prize_id = ?", [top]))[0],
  );
  const found = await tampered(
    ({ mysql }) => mysql.query("UPDATE claims SET user_id = 'thief' WHERE prize_id = ?", [top]),
    ({ mysql }) => mysql.query("UPDATE claims SET user_id = ? WHERE prize_id = ?", [row!["user_id"], top]),
  );
  t.match(found, [{ promise: 3, prize: top, user: "thief", what: /Redis does not remember the claim/ }]);
});

t.test("prizes from nowhere, and claims without their unique key, are named", async (t) => {
  const foreign = await tampered(
    ({ mysql }) => mysql.query("INSERT INTO prizes VALUES (77, 1, 'envelope', 500)"),
    ({ mysql }) => mysql.query("DELETE FROM prizes WHERE prize_id = 77"),
  );
  t.match(foreign, [{ promise: 1, prize: "77", what: /worth 500 that was not generated/ }]);
  const keyless = await tampered(
    ({ mysql }) => mysql.query("ALTER TABLE claims DROP KEY once_per_user"),
    ({ mysql }) => mysql.query("ALTER TABLE claims ADD UNIQUE KEY once_per_user (round_id, user_id, n)"),
  );
  t.match(keyless, [{ promise: 3, what: /lost their unique key/ }]);
});

t.test("the money side: what is paid is what was claimed, once", async (t) => {
  await w.startPayout(0);
  const figures = async () => {
    const { rounds } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
    return rounds[0]!;
  };
  await waitUntil(async () => (await figures()).paid.count === 40, {
    what: "40 paid claims",
    timeoutMsMax: 20_000,
  });
  const { paid, claimed, pending, dead, held } = await figures();
  t.same(paid, claimed);
  t.same([pending.count, dead.count, held.count], [0, 0, 0]);
  t.same(await audited(), []);

  const nobody = String(w.pack.firstId);
  const doubled = await tampered(
    ({ mysql }) =>
      mysql.query(
        "INSERT INTO payouts (prize_id, round_id, state, amount_minor, granted, paid_at) " +
          "SELECT ?, round_id, state, amount_minor, granted, paid_at FROM payouts WHERE prize_id = ?",
        [nobody, top],
      ),
    ({ mysql }) => mysql.query("DELETE FROM payouts WHERE prize_id = ?", [nobody]),
  );
  t.ok(
    doubled.some(({ promise, prize, what }) => promise === 4 && prize === nobody && /no claim/.test(what)),
  );
  t.ok(
    doubled.some(({ what }) =>
      /the budget guard has booked 40 payouts .*, released for payment are 41/.test(what),
    ),
  );

  const twice = await tampered(
    ({ mysql }) =>
      mysql.query("UPDATE ledger_entries SET amount_minor = amount_minor * 2 WHERE prize_id = ?", [top]),
    ({ mysql }) =>
      mysql.query("UPDATE ledger_entries SET amount_minor = amount_minor / 2 WHERE prize_id = ?", [top]),
  );
  t.ok(
    twice.some(
      ({ promise, prize, what }) => promise === 4 && prize === top && /the ledger credits/.test(what),
    ),
  );
  t.ok(twice.some(({ what }) => /the ledger is not balanced/.test(what)));

  const balance = await tampered(
    ({ mysql }) =>
      mysql.query("UPDATE ledger_accounts SET balance_minor = balance_minor + 5 WHERE account = 'user:u1'"),
    ({ mysql }) =>
      mysql.query("UPDATE ledger_accounts SET balance_minor = balance_minor - 5 WHERE account = 'user:u1'"),
  );
  t.ok(balance.some(({ promise, what }) => promise === 4 && /the balance of user:u1/.test(what)));

  const held1 = await tampered(
    ({ mysql }) => mysql.query("UPDATE payouts SET state = 'held' WHERE prize_id = ?", [top]),
    ({ mysql }) => mysql.query("UPDATE payouts SET state = 'paid' WHERE prize_id = ?", [top]),
  );
  t.ok(held1.some(({ prize, what }) => prize === top && /its payout is held/.test(what)));
});

t.test("under load the audit finds nothing wrong", async (t) => {
  const busy = await world(t, {
    users: 3000,
    rounds: `
  - { id: 1, kind: envelope, opensAt: now+0s, closesAt: now+1h, count: 2500, budget: 2500.00, split: { method: equal } }
`,
    budget: "2500.00",
  });
  await busy.open(1, "k");
  const waiting = [...busy.users];
  const people = Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let user = waiting.pop(); user !== undefined; user = waiting.pop()) await busy.grab(user);
    }),
  );
  let audits = 0;
  while (waiting.length > 0) {
    const { violations, rounds } = await auditBucket({
      topology: busy.topology,
      bucket: "b0",
      pack: busy.pack,
    });
    t.same(violations, []);
    t.equal(rounds[0]!.issued.count + rounds[0]!.left.count, 2500);
    audits += 1;
  }
  await people;
  t.ok(audits > 2);
});

t.test("it is clean again after all of this", async (t) => t.same(await audited(), []));
