/** A bucket's Redis is lost in a running cluster, and operators bring it back with the commands that people have. */
import { connect } from "node:net";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { startTestCluster, waitUntil, type TestCluster } from "@hongbao/infra";
import { bucketOf, readSecrets, signToken } from "@hongbao/preprocess";

const EVENT = `event: loss
title: { zh: 一, en: Loss }
currency: CNY
timezone: Asia/Shanghai
budget: 300.00
journalMax: 50
users: users.csv
rounds:
  - { id: 1, kind: envelope, opensAt: now+2s, closesAt: now+1h, count: 300, budget: 300.00, split: { method: lucky, min: 0.01, max: 9.00 } }
`;

interface Won {
  result: string;
  prize: { id: string };
  receipt: string;
}

/** FLUSHALL, as a hand that slipped would do it. */
async function flush(url: string): Promise<void> {
  const { port, password } = new URL(url);
  await new Promise<void>((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1");
    let said = "";
    socket.on("error", reject);
    socket.on("data", (data) => {
      said += String(data);
      if (said.split("+OK").length > 2) resolve(void socket.destroy());
    });
    socket.write(`AUTH ${password}\r\nFLUSHALL\r\n`);
  });
}

const json = async <T>(cluster: TestCluster, args: string[], code = 0): Promise<T> => {
  const outcome = await cluster.hongbao([...args, "--json"]);
  if (outcome.code !== code) throw new Error(`${args.join(" ")}: exit ${outcome.code}: ${outcome.stderr}`);
  return JSON.parse(outcome.stdout) as T;
};

t.test("loss, rebuild, receipts, release, reveal and the check of the draw", async (t) => {
  const dir = t.testdir({
    "event.yaml": EVENT,
    "users.csv": `id,name,group\n${Array.from({ length: 200 }, (_, n) => `u${n},N,staff\n`).join("")}`,
  });
  const cluster = await startTestCluster(t, { event: join(dir, "event.yaml"), buckets: 2, services: 2 });
  const { topology, url } = cluster;
  const { token: tokenSecret } = readSecrets(topology, ["token"]);
  const token = (user: string): string =>
    signToken(user, tokenSecret[0]!, Math.floor(Date.now() / 1000) + 3600);
  const call = async (user: string, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token(user)}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  let key = "";
  const looked = async (): Promise<boolean> => {
    const text = await (await fetch(`${url}/start/1.js`)).text();
    key = /"key":"([^"]+)"/.exec(text)?.[1] ?? "";
    return key !== "";
  };
  await waitUntil(looked, { what: "the opening", timeoutMsMax: 30_000 });
  const won = new Map<string, Won>();
  const grab = async (user: string): Promise<string> => {
    const { body } = await call(user, "POST", `/v1/rounds/1/grab?k=${key}`);
    if (body["result"] === "won") won.set(user, body as unknown as Won);
    return String(body["result"]);
  };
  const users = Array.from({ length: 200 }, (_, n) => `u${n}`);
  for (const user of users.slice(0, 60)) t.equal(await grab(user), "won");
  type Status = { buckets: { id: string; state: string; redis: { url: string } }[] };
  const bucket = async (id: string) =>
    (await json<Status>(cluster, ["status"])).buckets.find((each) => each.id === id)!;
  const ofB0 = users.filter((user) => bucketOf(topology, user) === 0);
  const last = ofB0.filter((user) => !won.has(user)).slice(0, 5);
  for (const user of last) await grab(user);
  await flush((await bucket("b0")).redis.url);
  await waitUntil(async () => (await bucket("b0")).state !== "ok", {
    what: "the fence",
    timeoutMsMax: 10_000,
  });
  t.equal(await grab(ofB0.at(-1)!), "busy");
  t.equal(await grab(users.findLast((user) => bucketOf(topology, user) === 1)!), "won", "b1 goes on");

  const load = await cluster.hongbao(["preprocess", "load", topology.pack]);
  t.equal(load.code, 2);
  t.match(load.stderr, /only rebuild may fill it/);
  t.match(await cluster.hongbao(["rebuild", "--bucket", "b9", "--yes"]), {
    code: 2,
    stderr: /expected one of b0, b1/,
  });
  t.match(await cluster.hongbao(["rebuild", "--bucket", "b0"]), {
    code: 2,
    stderr: /burned; receipts bring[\s\S]*--yes/,
  });
  type Rebuilt = {
    outcome: string;
    rounds: { burned: { count: number }; holes: object; beyond: { count: number }; why: string }[];
  };
  const rebuilt = await json<Rebuilt>(cluster, [
    "rebuild",
    "--bucket",
    "b0",
    "--yes",
    "--by",
    "li",
    "--why",
    "drill",
  ]);
  t.match(rebuilt, {
    bucket: "b0",
    outcome: "rebuilt",
    rounds: [{ round: 1, beyond: { count: 50 }, why: /beyond/ }],
  });
  const again = await cluster.hongbao(["rebuild", "--bucket", "b0", "--yes"]);
  t.match(again, { code: 0, stdout: /b0 is whole: nothing was done/ });
  await waitUntil(async () => (await grab(ofB0.at(-1)!)) === "won", {
    what: "the key, installed by the conductor",
    timeoutMsMax: 10_000,
    // Slower than the limit of a user.
    intervalMs: 300,
  });

  const mine = last[0]!;
  const shown = await call(mine, "POST", "/v1/receipts", [won.get(mine)!.receipt, won.get("u0")!.receipt]);
  t.match(shown, {
    status: 200,
    body: { receipts: [{ result: /restored|known/ }, { result: "refused", why: /another user/ }] },
  });
  t.match(await call(mine, "POST", "/v1/receipts", ["x".repeat(70_000)]), {
    body: { result: "bad_request" },
  });
  t.match(await call(mine, "GET", "/v1/receipts"), { status: 404 });
  const file = join(dir, "receipts.txt");
  writeFileSync(file, [...won.values()].map(({ receipt }) => receipt).join("\n"));
  type Restored = { restored: number; known: number; refused: number };
  const restored = await json<Restored>(cluster, ["receipts", "restore", file]);
  t.equal(restored.restored + restored.known, won.size);
  writeFileSync(file, `${won.get("u0")!.receipt}\nb0:1:1:5:ghost:aaaaaaaaaaaaaaaaaaaaaa\nb7:x\n`);
  const refused = await cluster.hongbao(["receipts", "restore", file]);
  t.match(refused, {
    code: 1,
    stdout: /line 2: refused: its code[\s\S]*line 3: refused: it names no bucket[\s\S]*2 refused/,
  });
  for (const [user, { prize }] of [...won]) {
    t.equal(await grab(user), "won");
    t.equal(won.get(user)!.prize.id, prize.id, "the same prize again");
  }
  type Audit = {
    ok: boolean;
    rounds: { burned: { count: number }; issued: { count: number }; left: { count: number } }[];
  };
  const books = await json<Audit>(cluster, ["audit"]);
  t.match(books, { ok: true, violations: [] });
  const burned = books.rounds[0]!.burned.count;
  t.equal(
    burned,
    rebuilt.rounds[0]!.burned.count -
      restored.restored -
      (JSON.stringify(shown).includes('"restored"') ? 1 : 0),
  );

  t.match(await cluster.hongbao(["round", "release", "1", "--yes"]), {
    code: 0,
    stdout: new RegExp(`b0 +${burned}`),
  });
  t.match(await json<Audit>(cluster, ["audit"]), { ok: true, rounds: [{ burned: { count: 0 } }] });

  t.match(await cluster.hongbao(["round", "reveal", "1", "--yes"]), { code: 2, stderr: /open: its seed/ });
  t.match(await cluster.hongbao(["preprocess", "fair", topology.pack, "--round", "1"]), {
    code: 3,
    stderr: /not revealed/,
  });
  await cluster.hongbao(["round", "close", "1", "--yes"]);
  const { seed } = await json<{ seed: string }>(cluster, ["round", "reveal", "1", "--yes", "--by", "li"]);
  const published = async (): Promise<boolean> => {
    const { rounds } = (await (await fetch(`${url}/rounds.json`)).json()) as { rounds: { seed?: string }[] };
    return rounds[0]!.seed === seed;
  };
  await waitUntil(published, { what: "the seed in rounds.json", timeoutMsMax: 10_000 });
  t.not(seed, readFileSync(`${topology.pack}.seed`, "utf8").trim(), "not the master seed");
  t.match(await cluster.hongbao(["preprocess", "fair", topology.pack, "--round", "1"]), {
    code: 0,
    stdout: /is fair: 300/,
  });
  const { entries } = await json<{ entries: { what: string; by: string; why: string }[] }>(cluster, ["log"]);
  const log = JSON.stringify(entries);
  for (const what of [
    "rebuild of bucket b0 ordered",
    "b0 rebuilt: burned round 1",
    "receipts: ",
    "released burned IDs: b0",
    "revealed the seed",
  ])
    t.ok(log.includes(what), what);
  t.match(
    entries.find(({ what }) => what.startsWith("rebuild")),
    { by: "li", why: "drill" },
  );
});
