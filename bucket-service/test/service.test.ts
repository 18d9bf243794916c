import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket } from "../src/audit/audit.ts";
import { world, type World } from "./world.ts";

interface Won {
  result: string;
  prize: { id: string; amount: number };
}

const item = `
  - id: 1
    kind: envelope
    opensAt: now+0s
    closesAt: now+1h
    count: 60
    budget: 60.00
    split: { method: lucky, min: 0.01, max: 20.00 }
    perUser: 3
  - id: 2
    kind: item
    item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
    opensAt: manual
    closesAt: +1h
    count: 1
`;

async function audited(t: Test, w: World): Promise<void> {
  for (const { id } of w.topology.buckets) {
    const { violations } = await auditBucket({ topology: w.topology, bucket: id });
    t.same(violations, []);
  }
}

t.test("one event, from loading to the audit", async (t) => {
  const w = await world(t, { buckets: 2, services: 2, users: 40, rounds: item, budget: "60.00" });

  t.test("before the opening nothing is issued, whoever asks and however", async (t) => {
    for (const key of ["k", "", "guess", "k2"]) {
      const { status, body } = await w.grab("u1", { key });
      t.equal(status, 403);
      t.equal(body["result"], "not_open");
    }
    t.equal((await w.admin(0).state()).rounds[0]!.issued, 0);
  });

  t.test("once it is open a user wins, and asking again gives the same prize", async (t) => {
    await w.open(1, "k");
    const first = await w.grab("u1");
    t.equal(first.status, 200);
    t.match(first.body, {
      result: "won",
      round: 1,
      n: 1,
      prize: { kind: "envelope", currency: "CNY", id: /^\d+$/ },
    });
    t.match(first.body["receipt"], /^b[01]:1:1:\d+:u1:[\w-]{22}$/);
    t.same((await w.grab("u1", { service: 1 })).body, first.body);
    t.same((await w.grab("u1", { headers: { "x-hongbao-second-pass": "1" } })).body, first.body);
    t.same((await w.get("u1", "/v1/rounds/1/result")).body, { round: 1, wins: [first.body] });
    t.same((await w.get("u1", "/v1/wins")).body, { wins: [{ ...first.body, payout: "pending" }] });
  });

  t.test("n counts up to perUser, one after the other", async (t) => {
    t.match(await w.grab("u1", { n: 3 }), { status: 400, body: { result: "bad_request" } });
    t.match(await w.grab("u1", { n: 2 }), { status: 200, body: { result: "won", n: 2 } });
    t.match(await w.grab("u1", { n: 3 }), { status: 200, body: { result: "won", n: 3 } });
    for (const n of [4, 0, -1, "x", "1.5", "1e1", "99999999999"]) {
      t.match(await w.grab("u1", { n }), { status: 400, body: { result: "bad_request" } });
    }
  });

  t.test("every other answer has its word", async (t) => {
    t.match(await w.grab("u1", { round: 9 }), { status: 404, body: { result: "no_such_round" } });
    t.match(await w.grab("u1", { token: "x.y.z" }), { status: 401, body: { result: "unauthorized" } });
    t.match(await w.grab("u1", { key: "other" }), { status: 403, body: { result: "not_open" } });
    t.match(await w.grab("stranger"), { status: 403, body: { result: "not_eligible" } });
    t.match(await w.grab("u1", { round: 2 }), { status: 403, body: { result: "not_open" } });
    const other = 1 - w.bucketOf("u1");
    t.match(
      await w.grab("u1", { bucket: other }),
      { status: 503, body: { result: "busy" } },
      "a user of another bucket",
    );
    t.match(await w.get("u1", "/nothing"), { status: 404, body: { result: "not_found" } });
    t.match(await w.get("u1", "/v1/rounds/7/result"), { status: 404, body: { result: "no_such_round" } });
    t.same((await w.get("u5", "/v1/rounds/1/result")).body, { round: 1, wins: [] });
  });

  t.test("every prize goes once, then all is ended, with the stock's number for the balancer", async (t) => {
    const all = await Promise.all(
      w.users.flatMap((user) => [0, 1, 0].map((service) => w.grab(user, { service }))),
    );
    const won = all.filter(({ body }) => body["result"] === "won");
    t.equal(new Set(won.map(({ body }) => (body as unknown as Won).prize.id)).size, 40 - countEnded(all));
    for (let n = 2; n <= 3; n += 1) await Promise.all(w.users.map((user) => w.grab(user, { n })));
    await w.sayFinal(1);
    for (let b = 0; b < 2; b += 1) {
      const [round] = (await w.admin(b).state()).rounds;
      t.equal(round!.left, 0);
      const loser = w.users.find((user) => w.bucketOf(user) === b)!;
      const ended = await w.grab(loser, { n: 3 });
      if (ended.body["result"] !== "won") t.match(ended, { body: { result: "ended" }, stock: "1" });
    }
  });

  t.test("an item prize shows the item", async (t) => {
    await w.open(2, "i");
    const answers = await Promise.all(w.users.map((user) => w.grab(user, { round: 2, key: "i" })));
    const won = answers.filter(({ body }) => body["result"] === "won");
    t.equal(won.length, 1);
    t.match(won[0]!.body["prize"], {
      kind: "item",
      sku: "PHONE-1",
      title: { zh: "手机", en: "Phone" },
      price: 100,
    });
  });

  t.test("after the close nothing is issued", async (t) => {
    await w.close(2);
    const issued = (await Promise.all([0, 1].map((b) => w.admin(b).state()))).map(
      ({ rounds }) => rounds[1]!.issued,
    );
    for (const key of ["i", "k"]) {
      const answers = await Promise.all(w.users.map((user) => w.grab(user, { round: 2, key })));
      t.notOk(answers.some(({ body, status }) => body["result"] === "won" && status !== 200));
    }
    const after = (await Promise.all([0, 1].map((b) => w.admin(b).state()))).map(
      ({ rounds }) => rounds[1]!.issued,
    );
    t.same(after, issued);
  });

  t.test("the audit proves it, also while claims are on their way", async (t) => audited(t, w));
});

function countEnded(answers: { body: Record<string, unknown> }[]): number {
  return new Set(answers.filter(({ body }) => body["result"] === "ended")).size / 3;
}

t.test("a bucket whose Redis is away is busy at once, the other one works, and it comes back", async (t) => {
  const w = await world(t, { buckets: 2, users: 40 });
  await w.open(1, "k");
  const of = (bucket: number): string[] => w.users.filter((user) => w.bucketOf(user) === bucket);
  w.redis[0]!.kill("SIGSTOP");
  await waitUntil(async () => (await w.grab(of(0)[0]!)).status === 503, {
    what: "busy",
    timeoutMsMax: 10_000,
  });
  t.match(await w.grab(of(1)[0]!), { status: 200, body: { result: "won" } });
  t.match(await w.get(of(0)[1]!, "/v1/rounds/1/result"), { status: 503, body: { result: "busy" } });
  w.redis[0]!.kill("SIGCONT");
  await waitUntil(async () => (await w.grab(of(0)[0]!)).status === 200, {
    what: "won again",
    timeoutMsMax: 10_000,
  });
  await audited(t, w);
});

t.test("while a store is away nobody is told only some of their wins", async (t) => {
  const w = await world(t, { users: 4, rounds: item, budget: "60.00" });
  await w.open(1, "k");
  const result = (user: string): ReturnType<World["get"]> => w.get(user, "/v1/rounds/1/result");
  const journal = async (): Promise<number> => (await w.admin(0).state()).journal.waiting;
  for (const n of [1, 2, 3]) await w.grab("u2", { n });
  await w.grab("u1");
  await waitUntil(async () => (await journal()) === 0, { what: "the commit", timeoutMsMax: 10_000 });
  w.mysql[0]!.kill("SIGSTOP");
  t.match(await w.grab("u1", { n: 2 }), { status: 200, body: { result: "won", n: 2 } });
  w.redis[0]!.kill("SIGSTOP");
  w.mysql[0]!.kill("SIGCONT");
  // MySQL alone knows of the first one; who has won all that there is for one user misses nothing.
  t.match(await result("u1"), { status: 503, body: { result: "busy" } });
  await waitUntil(async () => (await result("u2")).status === 200, { what: "MySQL", timeoutMsMax: 10_000 });
  t.equal(((await result("u2")).body["wins"] as unknown[]).length, 3);
  w.redis[0]!.kill("SIGCONT");
  await waitUntil(async () => (await result("u1")).status === 200, { what: "Redis", timeoutMsMax: 10_000 });
  t.equal(((await result("u1")).body["wins"] as unknown[]).length, 2);
});

t.test("with MySQL away grabs go on, up to journalMax, and everything arrives later", async (t) => {
  const w = await world(t, { users: 30, event: "journalMax: 10" });
  await w.open(1, "k");
  w.mysql[0]!.kill("SIGSTOP");
  const answers = [];
  for (const user of w.users) answers.push((await w.grab(user)).body["result"]);
  t.equal(answers.filter((word) => word === "won").length, 10);
  t.equal(answers.filter((word) => word === "busy").length, 20);
  w.mysql[0]!.kill("SIGCONT");
  await waitUntil(
    async () => {
      const { journal, rounds } = await w.admin(0).state();
      return rounds[0]!.issued === 10 && journal.waiting === 0;
    },
    {
      what: "an empty journal",
      timeoutMsMax: 30_000,
    },
  );
  t.match(await w.grab(w.users.at(-1)!), { body: { result: "won" } });
  await audited(t, w);
});

t.test("ack: database tells a win only when MySQL has it", async (t) => {
  const w = await world(t, { users: 20, event: "ack: database", persist: false });
  await w.open(1, "k");
  t.match(await w.grab("u1"), { status: 503, body: { result: "busy" } }, "popped, but not committed");
  t.same((await w.get("u1", "/v1/rounds/1/result")).body, { round: 1, wins: [] });
  t.match(await w.grab("u1"), { status: 503 }, "a repeat does not tell it either");
  await w.startPersist(0);
  await waitUntil(async () => (await w.grab("u1")).status === 200, {
    what: "the commit",
    timeoutMsMax: 10_000,
  });
  t.equal(((await w.get("u1", "/v1/rounds/1/result")).body["wins"] as unknown[]).length, 1);
  t.match(
    await Promise.all(w.users.map((user) => w.grab(user))),
    w.users.map(() => ({ status: 200, body: { result: "won" } })),
  );
  w.mysql[0]!.kill("SIGSTOP");
  await waitUntil(async () => (await w.admin(0).state()).mysql === "down", {
    what: "MySQL seen down",
    timeoutMsMax: 10_000,
  });
  const { issued } = (await w.admin(0).state()).rounds[0]!;
  t.match(await w.grab("u2"), { status: 503 });
  t.equal((await w.admin(0).state()).rounds[0]!.issued, issued, "nothing is popped while MySQL is away");
  w.mysql[0]!.kill("SIGCONT");
  await waitUntil(async () => (await w.grab("u2")).status === 200, {
    what: "the way back",
    timeoutMsMax: 10_000,
  });
  await audited(t, w);
});
