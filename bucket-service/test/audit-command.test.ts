/** `hongbao audit` and `why` on a whole cluster, with hands in its MySQL. */
import { join } from "node:path";
import mysql, { type RowDataPacket } from "mysql2/promise";
import t from "tap";
import { startTestCluster, waitUntil } from "@hongbao/infra";
import { bucketOf, readSecrets, signToken } from "@hongbao/preprocess";
import type { Sum, Violation } from "../src/audit/audit.ts";

t.setTimeout(300_000);

interface AuditReport {
  rounds: Record<"paid", Sum>[];
  violations: Violation[];
}

const zero: Sum = { count: 0, amount: 0 };

const EVENT = `event: audited
title: { zh: 一, en: Audited }
currency: CNY
timezone: Asia/Shanghai
budget: 60.00
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+1s, closesAt: now+1h, count: 60, budget: 60.00, split: { method: lucky, min: 0.01, max: 9.00 } }
`;

t.test(
  "the command: clean and paid, then each hand in MySQL is named; and why a user won or not",
  async (t) => {
    const dir = t.testdir({
      "event.yaml": EVENT,
      "users.csv": `id,name,group\n${Array.from({ length: 40 }, (_, n) => `u${n},N,staff\n`).join("")}`,
    });
    const cluster = await startTestCluster(t, { event: join(dir, "event.yaml"), buckets: 2, services: 1 });
    const { topology, url } = cluster;
    const { token } = readSecrets(topology, ["token"]);
    const grab = async (user: string, key: string): Promise<Record<string, unknown>> => {
      const authorization = `Bearer ${signToken(user, token[0]!, Math.floor(Date.now() / 1000) + 3600)}`;
      const path = `${url}/v1/rounds/1/grab?k=${key}`;
      return (await (await fetch(path, { method: "POST", headers: { authorization } })).json()) as Record<
        string,
        unknown
      >;
    };
    let key = "";
    const looked = async (): Promise<boolean> => {
      const text = await (await fetch(`${url}/start/1.js`)).text();
      key = /"key":"([^"]+)"/.exec(text)?.[1] ?? "";
      return key !== "";
    };
    await waitUntil(looked, { what: "the opening", timeoutMsMax: 30_000 });
    t.match(await grab("u0", "wrong"), { result: "not_open" });
    for (let n = 0; n < 40; n += 1) t.match(await grab(`u${n}`, key), { result: "won" });
    t.match(await grab("stranger", key), { result: "not_eligible" });
    const audit = async (code: number): Promise<AuditReport> => {
      const outcome = await cluster.hongbao(["audit", "--json"]);
      t.equal(outcome.code, code, outcome.stderr);
      return JSON.parse(outcome.stdout) as AuditReport;
    };
    await waitUntil(async () => (await audit(0)).rounds[0]!.paid.count === 40, {
      what: "40 paid claims",
      timeoutMsMax: 30_000,
    });
    const clean = await audit(0);
    t.match(clean, {
      ok: true,
      underWay: [],
      violations: [],
      rounds: [{ pending: zero, dead: zero, held: zero, waiting: zero }],
    });
    t.match((await cluster.hongbao(["audit"])).stdout, /clean: every prize is accounted for/);

    const { stdout } = await cluster.hongbao(["status", "--json"]);
    const place = (JSON.parse(stdout) as { buckets: { mysql: { url: string } }[] }).buckets[0]!.mysql.url;
    const books = await mysql.createConnection({ uri: place, database: "hongbao_audited" });
    t.teardown(() => books.end());
    const mine = Array.from({ length: 40 }, (_, n) => `u${n}`).filter(
      (user) => bucketOf(topology, user) === 0,
    );
    const [rows] = await books.query<RowDataPacket[]>(
      "SELECT prize_id, user_id FROM claims ORDER BY prize_id",
    );
    t.equal(rows.length, mine.length);
    const [changed, deleted, paidTwice] = rows.map((row) => String(row["prize_id"]));
    await books.query("UPDATE claims SET amount_minor = amount_minor + 1 WHERE prize_id = ?", [changed]);
    await books.query("DELETE FROM claims WHERE prize_id = ?", [deleted]);
    await books.query("INSERT INTO claims VALUES (99, 1, ?, 1, 5, '2027-01-01')", ["u999"]);
    await books.query("UPDATE ledger_entries SET amount_minor = 2 * amount_minor WHERE prize_id = ?", [
      paidTwice,
    ]);
    const { violations } = await audit(1);
    const names = (prize: string | undefined, promise: number, what: RegExp): void =>
      void t.ok(
        violations.some((each) => each.prize === prize && each.promise === promise && what.test(each.what)),
        `${what}: ${JSON.stringify(violations)}`,
      );
    names(changed, 4, /the claim is worth \d+, generated was \d+/);
    names(deleted, 2, /its claim is neither in MySQL nor in the journal/);
    names(deleted, 4, /the payout \(paid\) has no claim/);
    names("99", 1, /not generated/);
    names(paidTwice, 4, /the ledger credits/);
    t.match((await cluster.hongbao(["audit"])).stdout, new RegExp(`prize ${changed}.*the claim is worth`));

    const why = await cluster.hongbao(["why", "u0"]);
    t.equal(why.code, 0, why.stderr);
    t.match(why.stdout, /User u0, bucket b\d: in the event's user list, group staff\./);
    t.match(why.stdout, /Round 1: may take part\./);
    t.match(why.stdout, /Round 1, number 1: \d+\.\d\d CNY, prize \d+, won .* UTC; paid .* UTC\./);
    t.match(why.stdout, /Limits: 5 requests a second, 10 at once/);
    t.match(why.stdout, /round 1, number 1, s0: won .*\n.*: came before the opening, or with a wrong key/);
    const json = JSON.parse(
      (await cluster.hongbao(["why", "stranger", "--round", "1", "--json"])).stdout,
    ) as object;
    t.match(json, {
      user: "stranger",
      listed: false,
      rounds: [{ round: 1, mayTakePart: false, rule: null }],
      attempts: [{ round: 1, result: "not_eligible", process: "s0" }],
      wins: [],
      complete: true,
    });
    t.match(await cluster.hongbao(["why", "no blanks"]), { code: 2, stderr: /user: found "no blanks"/ });
    t.match(await cluster.hongbao(["why", "u0", "--round", "9"]), { code: 2, stderr: /--round: found 9/ });
  },
);
