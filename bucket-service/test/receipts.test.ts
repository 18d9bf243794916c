import fc from "fast-check";
import t from "tap";
import { auditBucket } from "../src/audit/audit.ts";
import { receiptOf } from "../src/grab/answers.ts";
import { HmacSha256 } from "@hongbao/preprocess";
import { judgeWin } from "../src/receipts/judge.ts";
import { ReceiptReader } from "../src/receipts/receipt.ts";
import { RebuildScripts } from "../src/rebuild/rebuild-scripts.ts";
import { scene } from "./rebuild/scene.ts";

const KEYS = ["current-key-current-key", "previous-key-previous-key"];
const facts = { event: "party", bucket: "b0", round: 7, n: 2, prizeId: 1_000_123, user: "li.wei_1-x" };

t.test("a receipt is read back, by the current key and by the previous one", (t) => {
  const reader = new ReceiptReader("party", KEYS);
  const { bucket, round, n, prizeId, user } = facts;
  const read = { bucket, round, n, prizeId, user };
  for (const key of KEYS) t.same(reader.read(receiptOf(facts, new HmacSha256(key))), { ok: true, ...read });
  const receipt = receiptOf(facts, new HmacSha256(KEYS[0]!));
  t.match(new ReceiptReader("another", KEYS).read(receipt), { ok: false, why: "its code is not ours" });
  t.match(reader.read(receiptOf(facts, new HmacSha256("some-other-key-some"))), { ok: false });
  for (const wrong of [
    "",
    "x",
    receipt.slice(1),
    `${receipt}A`,
    receipt.replace("7:2", "07:2"),
    "a".repeat(10_000),
  ])
    t.equal(reader.read(wrong).ok, false, wrong.slice(0, 40));
  t.end();
});

t.test("no change of a receipt is accepted", async () => {
  const reader = new ReceiptReader("party", KEYS);
  const receipt = receiptOf(facts, new HmacSha256(KEYS[0]!));
  fc.assert(
    fc.property(fc.nat({ max: receipt.length - 1 }), fc.constantFrom(..."abc019:_-"), (at, character) => {
      const changed = receipt.slice(0, at) + character + receipt.slice(at + 1);
      return changed === receipt || !reader.read(changed).ok;
    }),
  );
});

t.test("who may have a burned prize", (t) => {
  const win = { prizeId: 9, round: 1, user: "a", n: 1 };
  const burned = [{ prizeId: 9, round: 1, state: "burned" }];
  t.match(judgeWin(win, { claims: [], burned }), { verdict: "free" });
  t.match(judgeWin(win, { claims: [win], burned: [{ ...burned[0]!, state: "restored" }] }), {
    verdict: "known",
  });
  t.match(judgeWin(win, { claims: [{ ...win, user: "b" }], burned }), {
    verdict: "refused",
    why: /another claim/,
  });
  t.match(judgeWin(win, { claims: [{ ...win, prizeId: 5 }], burned }), {
    verdict: "refused",
    why: /holds prize 5/,
  });
  t.match(judgeWin(win, { claims: [{ ...win, prizeId: 5, n: 2 }], burned }), { verdict: "free" });
  t.match(judgeWin(win, { claims: [], burned: [{ ...burned[0]!, state: "released" }] }), {
    verdict: "refused",
    why: /released/,
  });
  t.match(judgeWin(win, { claims: [], burned: [{ ...burned[0]!, round: 2 }] }), {
    verdict: "refused",
    why: /round 2/,
  });
  t.match(judgeWin(win, { claims: [], burned: [] }), { verdict: "unburned" });
  t.end();
});

t.test("receipts after a loss: the own ones, once, and nobody else's", async (t) => {
  const s = await scene(t);
  const { w, told, operator } = s;
  await w.open(1, "k");
  const lost = w.users.slice(0, 30);
  await s.grabs(lost);
  t.match(
    await operator.receipts([told.get("u1")!.receipt]),
    [{ result: "known" }],
    "waits for MySQL: known",
  );
  await s.lose("delete");
  // Redis remembers nobody, or is not back, and nothing is burned yet: a refusal now would be false, and final.
  await t.rejects(operator.receipts([told.get("u1")!.receipt]));
  await s.fenced();
  await t.rejects(operator.receipts([told.get("u1")!.receipt]), { message: /once it is rebuilt/ });
  const send = async (
    user: string,
    receipts: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }> => {
    const { http } = (w.topology.buckets[0]!.services as { http: string }[])[0]!;
    const response = await fetch(`http://${http}/v1/receipts`, {
      method: "POST",
      headers: { authorization: `Bearer ${w.token(user)}` },
      body: typeof receipts === "string" ? receipts : JSON.stringify(receipts),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const receipt = (user: string): string => told.get(user)!.receipt;
  t.match(
    await send("u1", [receipt("u1")]),
    { status: 503, body: { result: "busy" } },
    "not before the rebuild",
  );
  t.match((await s.rebuild()).rounds[0], { holes: { count: 0 }, beyond: { count: 60 } });
  await w.open(1, "k");

  const forged = receipt("u2").replace(/:u2:/, ":u1:");
  t.match(await send("u1", [receipt("u1"), receipt("u2"), forged, "x", receipt("u1")]), {
    status: 200,
    body: {
      receipts: [
        { receipt: receipt("u1"), result: "restored" },
        { result: "refused", why: /another user's/ },
        { result: "refused", why: /not ours/ },
        { result: "refused", why: /no receipt/ },
        { result: "known" },
      ],
    },
  });
  t.match(await send("u1", [receipt("u1")]), { body: { receipts: [{ result: "known" }] } });
  t.match(await s.w.get("u1", "/v1/rounds/1/result"), { body: { wins: [{ receipt: receipt("u1") }] } });
  for (const wrong of ["{", "{}", "[1]", JSON.stringify(Array(500).fill("x")), `["${"x".repeat(70_000)}"]`])
    t.match(await send("u1", wrong), { status: 400, body: { result: "bad_request" } });
  t.equal(
    (
      await fetch(`http://${(w.topology.buckets[0]!.services as { http: string }[])[0]!.http}/v1/receipts`, {
        method: "POST",
        body: "[]",
      })
    ).status,
    401,
  );

  // u3 grabs anew before anything else: the place is taken, and the old prize stays burned.
  const old = receipt("u3");
  await s.grabs(["u3"]);
  t.not(receipt("u3"), old);
  t.match(await operator.receipts([old]), [{ result: "refused", why: /holds another prize|holds prize/ }]);
  await s.startPersist("p1");
  await s.persisted();
  t.match(await operator.receipts([old]), [{ result: "refused", why: /holds prize/ }]);

  // All at once, from users and operator, twice over: each once.
  const rest = lost.slice(3);
  const answers = await Promise.all([
    s.sendReceipts(rest),
    operator.receipts(rest.map(receipt)),
    operator.receipts(rest.map(receipt)),
  ]);
  t.same(
    answers.flat().filter(({ result }) => result === "refused"),
    [],
  );
  const audit = async () => auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.same((await audit()).violations, []);
  t.equal((await audit()).rounds[0]!.burned.count, 60 - 28);

  t.match(await operator.release(1), { released: { count: 32 } });
  t.match(await operator.receipts([receipt("u2"), old]), [
    { result: "refused", why: /released/ },
    { result: "refused", why: /released/ },
  ]);
  t.same((await audit()).violations, []);
});

t.test(
  "a restoration that a crash broke off is found and finished, and the books are right meanwhile",
  async (t) => {
    const s = await scene(t);
    const { w, told } = s;
    await w.open(1, "k");
    await s.grabs(["u1", "u2"]);
    await s.lose("delete");
    await s.fenced();
    const { epoch } = await s.rebuild();
    const audit = async () => auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
    await s.inStores(async ({ store, mysql }) => {
      const scripts = new RebuildScripts(store, [1, 2]);
      for (const user of ["u1", "u2"]) {
        const place = { round: 1, field: user, prizeId: told.get(user)!.prize };
        t.equal(await scripts.reserve(epoch, place), "reserved");
        t.equal(await scripts.reserve(epoch, place), "reserved", "again");
      }
      t.same((await audit()).violations, []);
      // The one of u1 came as far as MySQL.
      const prize = told.get("u1")!.prize;
      await mysql.query("INSERT INTO claims VALUES (?, 1, 'u1', 1, ?, '2027-01-01')", [
        prize,
        w.pack.amountOf(prize),
      ]);
      await mysql.query("UPDATE burned SET state = 'restored' WHERE prize_id = ?", [prize]);
      t.same((await audit()).violations, []);
    });
    // Nobody asks again: each process looks for such remains now and then.
    while ((await audit()).rounds[0]!.issued.count < 2)
      await new Promise((resolve) => setTimeout(resolve, 100));
    const { rounds, violations } = await audit();
    t.same(violations, []);
    t.match(rounds[0], { issued: { count: 2 }, burned: { count: 58 }, claimed: { count: 2 } });
  },
);
