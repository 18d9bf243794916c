import type { Pool, RowDataPacket } from "mysql2/promise";
import t, { type Test } from "tap";
import { startMysql, temporaryState, waitUntil } from "@hongbao/infra";
import type { BucketPlace } from "@hongbao/preprocess";
import { mysqlConnection, mysqlPool } from "../../src/mysql/connect.ts";
import type { PersistableClaim } from "../../src/mysql/claims.ts";
import { migrate } from "../../src/mysql/migrate.ts";
import { Persist } from "../../src/persist/persist.ts";
import { connectRedis } from "../../src/redis/connect.ts";
import type { BucketStore } from "../../src/redis/scripts.ts";
import { RebuildScripts } from "../../src/rebuild/rebuild-scripts.ts";
import { ask, EPOCH, testRedis, testStore } from "../redis/harness.ts";

const redis = await testRedis(t);
const dir = temporaryState(t);
const password = "fedcba9876543210";
const server = await startMysql({ dir, password });
t.teardown(() => server.stop());
const place = { ...redis.place, mysql: { url: server.plainUrl, tls: false } } as BucketPlace;

let events = 0;
async function database(t: Test): Promise<{ pool: Pool; event: string }> {
  const event = `persist-${(events += 1)}`;
  const connection = await mysqlConnection(place, password);
  await migrate(connection, event);
  await migrate(connection, event);
  await connection.query("INSERT INTO meta (name, value) VALUES ('epoch', ?)", [EPOCH]);
  await connection.end();
  const pool = mysqlPool(place, password, event, { multipleStatements: true });
  t.teardown(() => pool.end());
  return { pool, event };
}

interface Watch {
  rows: number;
  conflicts: PersistableClaim[];
  failures: number;
}

async function persistOn(
  t: Test,
  store: BucketStore,
  pool: Pool,
  consumer = "p0",
): Promise<{ persist: Persist; watch: Watch }> {
  const reader = connectRedis(redis.place, redis.password, { name: consumer, blocking: true });
  await reader.connect();
  const watch: Watch = { rows: 0, conflicts: [], failures: 0 };
  const persist = new Persist({
    reader,
    store,
    pool,
    pack: { amountOf: (id) => id * 10 },
    consumer,
    ack: () => "journal",
    scripts: new RebuildScripts(store, [1]),
    observer: {
      persisted: (rows) => (watch.rows += rows),
      conflict: (claim) => watch.conflicts.push(claim),
      failed: () => (watch.failures += 1),
    },
  });
  t.teardown(() => {
    persist.stop();
    reader.disconnect();
  });
  return { persist, watch };
}

async function claims(pool: Pool): Promise<RowDataPacket[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    "SELECT prize_id, round_id, user_id, n, amount_minor FROM claims ORDER BY prize_id",
  );
  return rows.map((row) => ({ ...row }));
}

const empty = async (store: BucketStore): Promise<boolean> => {
  const { seq, acked } = await store.state();
  return seq === acked && (await store.client.xlen(store.keys.journal)) === 0;
};

t.test("claims go from the journal to MySQL once and leave the journal", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 5000 }], perUser: 2 });
  const users = Array.from({ length: 1700 }, (_, index) => `u.${index}`);
  for (let from = 0; from < users.length; from += 500) await ask(store, users.slice(from, from + 500));
  await ask(store, ["u.0#2"]);
  const { persist, watch } = await persistOn(t, store, pool);
  const running = persist.run();
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 20_000 });
  persist.stop();
  await running;
  const rows = await claims(pool);
  t.equal(rows.length, 1701);
  t.equal(watch.rows, 1701);
  t.same(rows[0], { prize_id: 3300, round_id: 1, user_id: "u.0", n: 2, amount_minor: 33_000 });
  t.same(rows.at(-1), { prize_id: 5000, round_id: 1, user_id: "u.0", n: 1, amount_minor: 50_000 });
});

t.test("user IDs that differ only in case are two users", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  await ask(store, ["Ann", "ann", "ANN"]);
  const { persist } = await persistOn(t, store, pool);
  const running = persist.run();
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 20_000 });
  persist.stop();
  await running;
  t.equal((await claims(pool)).length, 3);
});

t.test("what a dead process had read is taken over, also when it had committed already", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  await ask(store, ["a", "b"]);
  await ask(store, ["c"]);
  // The dead one read both entries, and committed the first.
  await store.client.xreadgroup("GROUP", "persist", "dead", "COUNT", 10, "STREAMS", store.keys.journal, ">");
  await pool.query(
    "INSERT INTO claims VALUES (9, 1, 'a', 1, 90, '2026-01-01 00:00:00.000'), (8, 1, 'b', 1, 80, '2026-01-01 00:00:00.000')",
  );
  const { persist, watch } = await persistOn(t, store, pool, "alive");
  const running = persist.run();
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 20_000 });
  persist.stop();
  await running;
  t.same(
    (await claims(pool)).map((row) => row["user_id"] as string),
    ["c", "b", "a"],
  );
  t.same(watch.conflicts, []);
});

t.test("its own unacknowledged entries come first after a restart under the same name", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  await ask(store, ["a"]);
  await store.client.xreadgroup("GROUP", "persist", "p0", "COUNT", 10, "STREAMS", store.keys.journal, ">");
  const { persist } = await persistOn(t, store, pool, "p0");
  const running = persist.run();
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 3_000 });
  persist.stop();
  await running;
  t.equal((await claims(pool)).length, 1);
});

t.test("a contradicting claim is kept apart and told, and the others of its batch are written", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  await pool.query("INSERT INTO claims VALUES (9, 1, 'thief', 1, 90, '2026-01-01 00:00:00.000')");
  await pool.query("INSERT INTO claims VALUES (99, 1, 'b', 1, 990, '2026-01-01 00:00:00.000')");
  await ask(store, ["a", "b", "c"]);
  const { persist, watch } = await persistOn(t, store, pool);
  const running = persist.run();
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 20_000 });
  persist.stop();
  await running;
  t.same(
    watch.conflicts.map(({ user, prizeId }) => [user, prizeId]),
    [
      ["a", 9],
      ["b", 8],
    ],
  );
  const [kept] = await pool.query<RowDataPacket[]>(
    "SELECT prize_id, user_id FROM claim_conflicts ORDER BY prize_id",
  );
  t.same(
    kept.map((row) => [row["prize_id"] as number, row["user_id"] as string]),
    [
      [8, "b"],
      [9, "a"],
    ],
  );
  t.same(
    (await claims(pool)).map((row) => row["user_id"] as string),
    ["c", "thief", "b"],
  );
});

t.test("with MySQL away the journal keeps everything, and it catches up by itself", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 900 }] });
  const { persist, watch } = await persistOn(t, store, pool);
  server.kill("SIGSTOP");
  const running = persist.run();
  await ask(
    store,
    Array.from({ length: 300 }, (_, index) => `u${index}`),
  );
  await waitUntil(async () => watch.failures > 0, { what: "a failure", timeoutMsMax: 20_000 });
  t.equal((await store.cut()).journal.length, 1, "still in the journal");
  server.kill("SIGCONT");
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 30_000 });
  persist.stop();
  await running;
  t.equal((await claims(pool)).length, 300);
  t.same(watch.conflicts, []);
});

t.test("two processes share a journal without writing anything twice", async (t) => {
  const { pool } = await database(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 20_000 }] });
  const two = [await persistOn(t, store, pool, "p0"), await persistOn(t, store, pool, "p1")];
  const running = two.map(({ persist }) => persist.run());
  for (let batch = 0; batch < 100; batch += 1) {
    await ask(
      store,
      Array.from({ length: 100 }, (_, index) => `u${batch}-${index}`),
    );
  }
  await waitUntil(() => empty(store), { what: "an empty journal", timeoutMsMax: 30_000 });
  for (const { persist } of two) persist.stop();
  await Promise.all(running);
  t.equal((await claims(pool)).length, 10_000);
  t.equal(two[0]!.watch.rows + two[1]!.watch.rows, 10_000);
});
