import t from "tap";
import { waitUntil } from "@hongbao/infra";
import { payoutClient, usersClient } from "../src/admin/money-client.ts";
import {
  changeRules,
  NO_RULES,
  USER_RULES_MAX,
  UserRules,
  withRules,
  type UserRuleSet,
} from "../src/users/rules.ts";
import { world } from "./world.ts";

t.test("one word after the other", (t) => {
  const say = (set: UserRuleSet, user: string, round: number, rule: "allow" | "deny") =>
    changeRules(set, { user, round, rule });
  const one = say(say(say(NO_RULES, "b", 2, "deny"), "a", 0, "allow"), "b", 1, "deny");
  t.same(one, {
    v: 3,
    rules: [
      { user: "a", round: 0, rule: "allow" },
      { user: "b", round: 1, rule: "deny" },
      { user: "b", round: 2, rule: "deny" },
    ],
  });
  t.same(say(one, "b", 2, "allow").rules[2], { user: "b", round: 2, rule: "allow" });
  t.same(
    say(one, "b", 0, "allow").rules.filter(({ user }) => user === "b"),
    [{ user: "b", round: 0, rule: "allow" }],
    "a word about all rounds replaces the others",
  );
  let full = NO_RULES;
  for (let n = 0; n < USER_RULES_MAX; n += 1) full = say(full, `u${n}`, 0, "deny");
  t.throws(() => say(full, "one-more", 0, "deny"), RangeError);
  t.equal(
    say(full, "u7", 0, "allow").rules.length,
    USER_RULES_MAX,
    "a known user can always be said something of",
  );
  t.ok(JSON.stringify(full).length < 65_536);
  t.end();
});

t.test("a rule for the round counts before one for all, and both before the user list", (t) => {
  const rules = new UserRules();
  const table = withRules({ mayTakePart: (user: string) => user === "known" }, rules);
  t.equal(table.mayTakePart("known", 1), true);
  t.equal(table.mayTakePart("late", 1), false);
  rules.take({
    v: 2,
    rules: [
      { user: "known", round: 0, rule: "deny" },
      { user: "known", round: 2, rule: "allow" },
      { user: "late", round: 1, rule: "allow" },
    ],
  });
  t.equal(table.mayTakePart("known", 1), false);
  t.equal(table.mayTakePart("known", 2), true);
  t.equal(table.mayTakePart("late", 1), true);
  t.equal(table.mayTakePart("late", 2), false);
  t.equal(rules.denies("known", 1), true);
  t.equal(rules.denies("late", 2), false, "unknown is not denied");
  t.equal(rules.take({ v: 2, rules: [] }), false);
  t.equal(rules.take({ v: 1, rules: [] }), false);
  t.equal(rules.of("known", 1), "deny");
  t.end();
});

t.test(
  "live: grabs stop, payouts are held, a late joiner gets in, and all of it survives a restart",
  async (t) => {
    const w = await world(t, { buckets: 1, services: 2 });
    const { operator } = w.secrets;
    const admins = [
      ...(w.topology.buckets[0]!.services as { admin: string }[]),
      w.topology.buckets[0]!.payout[0]!,
    ].map(({ admin }) => admin);
    const clients = admins.map((admin) => usersClient({ admin, operatorSecret: operator, timeoutMs: 3000 }));
    const payouts = payoutClient({ admin: admins[0]!, operatorSecret: operator, timeoutMs: 3000 });
    await w.open(1, "k");
    t.equal((await w.grab("u1")).body["result"], "won");
    t.equal((await w.grab("late")).body["result"], "not_eligible");

    const set: UserRuleSet = {
      v: 1,
      rules: [
        { user: "u1", round: 0, rule: "deny" },
        { user: "late", round: 0, rule: "allow" },
      ],
    };
    t.same(await clients[0]!.put(set), { v: 1, written: true });
    t.equal((await w.grab("u1")).body["result"], "not_eligible");
    t.equal((await w.grab("late")).body["result"], "won");
    await waitUntil(async () => (await clients[1]!.get()).v === 1, {
      what: "the other service, which nobody told",
      timeoutMsMax: 3_000,
    });
    t.equal((await w.grab("u1", { service: 1 })).status, 403);

    const payoutOf = async (user: string): Promise<unknown> => {
      const { body } = await w.get(user, "/v1/wins");
      return (body["wins"] as { payout: string }[]).map(({ payout }) => payout);
    };
    t.same(await payoutOf("u1"), ["held"], "before payout has looked at it");
    t.same(await payoutOf("late"), ["pending"]);
    await w.startPayout(0);
    await waitUntil(async () => String(await payoutOf("late")) === "paid", {
      what: "a payment",
      timeoutMsMax: 5_000,
    });
    t.same(await payoutOf("u1"), ["held"]);
    const metrics = await (await fetch(`http://${admins[2]}/metrics`)).text();
    t.match(metrics, /hongbao_payouts\{state="paid",[^}]*\} 1/);
    t.match(metrics, /hongbao_payouts\{state="held",[^}]*\} 1/);
    t.match(metrics, /hongbao_payout_claims_total\{outcome="paid",[^}]*\} 1/);
    t.match(metrics, /hongbao_payout_ledger_minor\{[^}]*\} [1-9]/);
    t.match(await payouts.status(), { rounds: [{ round: 1, paid: { count: 1 }, held: { count: 1 } }] });

    t.match(await clients[1]!.put({ v: 2, rules: [] }), { v: 2 });
    await waitUntil(async () => String(await payoutOf("u1")) === "paid", {
      what: "the release",
      timeoutMsMax: 5_000,
    });
    await waitUntil(async () => (await clients[0]!.get()).v === 2, {
      what: "the first service",
      timeoutMsMax: 3_000,
    });
    t.equal((await w.grab("u1")).body["result"], "won", "the same prize again");
    t.match(await clients[0]!.put(set), { v: 2 }, "an older set changes nothing");
    const [row, ...rest] = await payouts.page(0, 1);
    t.match(row, { round: 1, state: "paid", attempts: 0, reason: null });
    t.same(rest, []);
    t.equal((await payouts.page(row!.prize, 10)).length, 1);
    await t.rejects(payouts.retry({ round: 9 }), /round: found 9/);
    await t.rejects(payouts.retry({ prizes: [] }), /prizes: expected a list/);
    t.equal(await payouts.retry({ round: 1 }), 0);
    await t.rejects(
      clients[0]!.put({ v: 3, rules: [{ user: "a b", round: 0, rule: "deny" }] }),
      /answered 400/,
    );
  },
);

t.test("with MySQL away a deny is live in the process that was told", async (t) => {
  const w = await world(t, { services: 1 });
  const { admin } = (w.topology.buckets[0]!.services as { admin: string }[])[0]!;
  const client = usersClient({ admin, operatorSecret: w.secrets.operator, timeoutMs: 10_000 });
  await w.open(1, "k");
  w.mysql[0]!.kill("SIGSTOP");
  const put = client.put({ v: 1, rules: [{ user: "u1", round: 1, rule: "deny" }] });
  await waitUntil(async () => (await client.get()).v === 1, { what: "the rule", timeoutMsMax: 5_000 });
  t.equal((await w.grab("u1")).body["result"], "not_eligible");
  t.equal((await w.grab("u2")).body["result"], "won");
  w.mysql[0]!.kill("SIGCONT");
  await put;
});
