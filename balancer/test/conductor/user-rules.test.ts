import t, { type Test } from "tap";
import type { UserRuleSet } from "@hongbao/bucket-service";
import { BadInput } from "@hongbao/preprocess";
import { waitUntil } from "@hongbao/infra";
import { UserRulesDesk } from "../../src/conductor/user-rules.ts";
import type { ControlStore } from "../../src/control/store.ts";
import { memoryStore } from "./memory-store.ts";

/** A process that obeys rules. */
function obedient(id: string) {
  const process = {
    bucket: "b0",
    id,
    set: { v: 0, rules: [] } as UserRuleSet,
    away: false,
    puts: 0,
    client: {
      async get() {
        if (process.away) throw new Error("away");
        return process.set;
      },
      async put(set: UserRuleSet) {
        if (process.away) throw new Error("away");
        process.puts += 1;
        if (set.v > process.set.v) process.set = set;
        return { v: process.set.v, written: true };
      },
    },
  };
  return process;
}

function desk(t: Test, store: ControlStore, processes: ReturnType<typeof obedient>[]): UserRulesDesk {
  const made = new UserRulesDesk({
    store,
    processes,
    nowMs: () => 1_800_000_000_000,
    monotonicMs: () => performance.now(),
    self: "controller c0",
  });
  made.start();
  t.teardown(() => made.stop());
  return made;
}

const soon = (what: string, is: () => boolean): Promise<unknown> =>
  waitUntil(async () => is(), { what, timeoutMsMax: 10_000 });
const deny = (user: string) => ({ user, round: 0, rule: "deny" as const });
const ann = { by: "ann", why: "bots" };

t.test("a word is in the store, in the log and in every process", async (t) => {
  const store = memoryStore();
  const processes = [obedient("s0"), obedient("s1"), obedient("pay0")];
  const made = desk(t, store, processes);
  processes[1]!.away = true;
  const set = await made.change(deny("u1"), ann);
  t.same(set, { v: 1, rules: [deny("u1")] });
  await soon("a push", () => processes[0]!.set.v === 1 && processes[2]!.set.v === 1);
  await soon("the state", () => made.state().processes[0]!.v === 1);
  t.same(made.state().processes[1], { bucket: "b0", id: "s1", v: null });
  processes[1]!.away = false;
  await soon("the one that was away", () => processes[1]!.set.v === 1);
  t.match(JSON.parse([...store.records].find(([name]) => name.startsWith("log/"))![1].value), {
    by: "ann",
    what: "denied user u1",
    why: "bots",
  });
  const { puts } = processes[0]!;
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.equal(processes[0]!.puts, puts, "nothing is pushed again");
});

t.test("a process that was started anew is told again", async (t) => {
  const process = obedient("s0");
  const made = desk(t, memoryStore(), [process]);
  await made.change(deny("u1"), ann);
  await soon("a push", () => process.set.v === 1);
  process.set = { v: 0, rules: [] };
  await soon("another push", () => process.set.v === 1);
});

t.test("two controllers change and push at once, and no word is lost", async (t) => {
  const store = memoryStore();
  const process = obedient("s0");
  const both = [desk(t, store, [process]), desk(t, store, [process])];
  const users = Array.from({ length: 12 }, (_, n) => `u${n}`);
  for (let n = 0; n < users.length; n += 2) {
    await Promise.all(both.map((made, index) => made.change(deny(users[n + index]!), ann)));
  }
  await soon("the last version", () => process.set.v === 12);
  t.same(process.set.rules.map(({ user }) => user).sort(), [...users].sort());
  t.equal((await store.list("log/")).length, 12);
});

t.test("a change whose author died before the log is logged by whoever finds it", async (t) => {
  const store = memoryStore();
  const change = { atMs: 1_800_000_000_000, by: "ann", what: "denied user u1", why: "" };
  await store.put("users", JSON.stringify({ v: 3, rules: [deny("u1")], change }));
  desk(t, store, [obedient("s0")]);
  await soon("the log", () => [...store.records.keys()].some((name) => /^log\/.*-users-000003$/.test(name)));
});

t.test("a lost control store is filled from the processes", async (t) => {
  const store = memoryStore();
  const process = obedient("s0");
  process.set = { v: 7, rules: [deny("u1")] };
  const made = desk(t, store, [process]);
  await soon("the record", () => made.state().v === 7);
  t.same((await made.change(deny("u2"), ann)).rules, [deny("u1"), deny("u2")]);
});

t.test("an older copy of the control store counts, under a newer version", async (t) => {
  const store = memoryStore();
  const change = { atMs: 1_800_000_000_000, by: "ann", what: "denied user u1", why: "" };
  await store.put("users", JSON.stringify({ v: 3, rules: [deny("u1")], change }));
  const process = obedient("s0");
  process.set = { v: 7, rules: [] };
  desk(t, store, [process]);
  await soon("the newer version", () => process.set.v === 8);
  t.same(process.set.rules, [deny("u1")]);
});

t.test("too many rules are refused, a store that is away is told", async (t) => {
  const store = memoryStore();
  const change = { atMs: 1, by: "ann", what: "x", why: "" };
  const rules = Array.from({ length: 500 }, (_, n) => deny(`u${n}`));
  await store.put("users", JSON.stringify({ v: 1, rules, change }));
  const made = desk(t, store, []);
  await t.rejects(made.change(deny("more"), ann), BadInput);
  store.away = true;
  await t.rejects(made.change(deny("u1"), ann), /away/);
});
