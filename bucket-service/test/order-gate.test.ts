import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import mysql, { type RowDataPacket } from "mysql2/promise";
import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket } from "../src/audit/audit.ts";
import { world, type World } from "./world.ts";

const USERS = 1_000;
const PROCESSES = 4;
const GATE = 10;

const items = `
  - id: 1
    kind: item
    item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
    opensAt: now+0s
    closesAt: now+1h
    count: 1
    gate: ${GATE}
  - id: 2
    kind: item
    item: { sku: PHONE-2, title: { zh: 手机, en: Phone }, price: 1.00 }
    opensAt: now+0s
    closesAt: now+1h
    count: 100
    gate: ${GATE}
`;

/** Counts the calls of grab.lua that arrive at a Redis. */
async function countGrabs(t: Test, url: string): Promise<() => number> {
  const script = readFileSync(new URL("../src/redis/lua/grab.lua", import.meta.url));
  const sha = createHash("sha1").update(script).digest("hex");
  const client = new Redis(url, { lazyConnect: true });
  await client.connect();
  const monitor = await client.monitor();
  t.teardown(() => {
    monitor.disconnect();
    client.disconnect();
  });
  let calls = 0;
  monitor.on("monitor", (_time: string, args: string[]) => {
    if (args[0]?.toLowerCase() === "evalsha" && args[1] === sha) calls += 1;
  });
  return () => calls;
}

/** Everybody presses at once, and again while it is busy; they stop at the first other word. */
async function everybody(w: World, round: number): Promise<Map<string, number>> {
  const words = new Map<string, number>();
  await Promise.all(
    w.users.map(async (user, index) => {
      let word = "busy";
      while (word === "busy") {
        const { body } = await w.grab(user, { round, service: index % PROCESSES });
        word = String(body["result"]);
        if (word === "busy") await new Promise((resolve) => setTimeout(resolve, 300));
      }
      words.set(word, (words.get(word) ?? 0) + 1);
    }),
  );
  return words;
}

t.test("an item round behind its gate", async (t) => {
  const w = await world(t, { services: PROCESSES, users: USERS, rounds: items, budget: "0.00" });
  const calls = await countGrabs(t, w.redis[0]!.url);

  t.test("one unit: one winner, all others ended, and Redis hears of a handful", async (t) => {
    await w.open(1, "k");
    const words = await everybody(w, 1);
    t.same(Object.fromEntries(words), { won: 1, ended: USERS - 1 });
    // Of each process the first call, perhaps one that was on its way, and one when the stock was said to be empty for good.
    t.ok(calls() <= 4 * PROCESSES, `${calls()} calls`);
  });

  t.test("a hundred units: all go, though everybody stops at their first ended", async (t) => {
    await w.open(2, "k");
    const words = await everybody(w, 2);
    t.same(Object.fromEntries(words), { won: 100, ended: USERS - 100 });
    t.ok(calls() <= 4 * PROCESSES + 100, `${calls()} calls`);
  });

  t.test("only winners' orders reach the order book", async (t) => {
    await w.startPayout(0);
    const connection = await mysql.createConnection(`${w.mysql[0]!.url}/hongbao_world`);
    t.teardown(() => connection.end());
    const orders = async (): Promise<number> => {
      const [rows] = await connection.query<RowDataPacket[]>("SELECT COUNT(*) AS found FROM orders");
      return Number(rows[0]!["found"]);
    };
    await waitUntil(async () => (await orders()) === 101, { what: "101 orders", timeoutMsMax: 20_000 });
    t.same((await auditBucket({ topology: w.topology, bucket: "b0" })).violations, []);
    t.equal(await orders(), 101);
  });
});
