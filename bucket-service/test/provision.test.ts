import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection, RowDataPacket } from "mysql2/promise";
import t from "tap";
import { waitUntil } from "@hongbao/infra";
import {
  BadInput,
  Unreachable,
  generatePack,
  openPack,
  readEvent,
  readGreetings,
  readTopology,
  readUsers,
  type Pack,
} from "@hongbao/preprocess";
import { mysqlConnection } from "../src/mysql/connect.ts";
import { loadPack } from "../src/provision/load.ts";
import { verifyPack } from "../src/provision/verify.ts";
import { withBucket } from "../src/stores.ts";
import { world, type World } from "./world.ts";

const rounds = `
  - id: 1
    kind: envelope
    opensAt: now+30s
    closesAt: now+1h
    count: 700
    budget: 700.00
    split: { method: lucky, min: 0.01, max: 20.00 }
  - id: 2
    kind: item
    item: { sku: CUP-1, title: { zh: 杯, en: Cup }, price: 0.00 }
    opensAt: manual
    closesAt: +10m
    count: 3
`;

async function anotherPack(w: World, seedHex: string): Promise<Pack> {
  const event = readEvent(join(w.dir, "event.yaml"));
  const out = join(w.dir, `pack-${seedHex.slice(0, 4)}`);
  const users = await readUsers(event.usersPath);
  await generatePack({
    event,
    users,
    greetings: readGreetings(event.greetingsPath),
    topology: w.topology,
    out,
    seedHex,
  });
  return openPack(out);
}

t.test("loading and verifying", async (t) => {
  const w = await world(t, { buckets: 2, users: 31, rounds, budget: "700.00", load: false });
  const { pack, topology, secrets } = w;
  const load = (more: { pack?: Pack; opensInSeconds?: number } = {}): ReturnType<typeof loadPack> =>
    loadPack({ pack, topology, secrets, ...more });

  t.test("an empty bucket is not what the pack says", async (t) => {
    const report = await verifyPack(pack, topology, secrets);
    t.equal(report.ok, false);
    t.match(report.problems, [/bucket b0: MySQL was loaded from pack none/, /bucket b1/]);
  });

  t.test("a load fills every bucket and fixes the times", async (t) => {
    const before = Date.now();
    const report = await load();
    t.equal(report.unchanged, false);
    t.match(report.times[1], { round: 2, opensAt: null, closesAt: null });
    const opensAt = Date.parse(report.times[0]!.opensAt!);
    t.ok(opensAt >= before + 30_000 && opensAt <= Date.now() + 30_000);
    t.same((await verifyPack(pack, topology, secrets)).problems, []);
  });

  t.test("loading again changes nothing, the times neither", async (t) => {
    const first = await load();
    const again = await load({ opensInSeconds: 5 });
    t.equal(again.unchanged, true);
    t.same(again.times, first.times);
    t.match(again.notices, [/round move/]);
  });

  t.test("a load that was cut off goes on, and mends what is wrong", async (t) => {
    const connection = await mysqlConnection(topology.buckets[1]!, secrets.mysql, "world");
    t.teardown(() => connection.end());
    await connection.query("DELETE FROM meta WHERE name = 'complete'");
    await connection.query("DELETE FROM prizes WHERE round_id = 1 LIMIT 5");
    await connection.query("UPDATE prizes SET amount_minor = amount_minor + 1 WHERE round_id = 2 LIMIT 1");
    const broken = await verifyPack(pack, topology, secrets);
    t.match(broken.problems, [/bucket b1: round 1: MySQL holds \d+ prizes/, /bucket b1: round 2/]);
    const report = await load();
    t.match(report.buckets, [{ bucket: "b0" }, { bucket: "b1", resumed: true }]);
    t.same((await verifyPack(pack, topology, secrets)).problems, []);
  });

  t.test("another pack may take its place while nothing was handed out", async (t) => {
    const other = await anotherPack(w, "ab".repeat(32));
    t.equal((await load({ pack: other, opensInSeconds: 5 })).unchanged, false);
    t.same((await verifyPack(other, topology, secrets)).problems, []);
    t.equal((await verifyPack(pack, topology, secrets)).ok, false);
    await load();
  });

  t.test(
    "a Redis that lost its data is seen, and may be filled again before the first opening",
    async (t) => {
      await withBucket({ pack, bucket: topology.buckets[0]!, secrets, name: "test" }, async ({ store }) => {
        await store.client.flushdb();
        t.match((await verifyPack(pack, topology, secrets)).problems, [/bucket b0: Redis is empty/]);
        await load();
        t.same((await verifyPack(pack, topology, secrets)).problems, []);
      });
    },
  );

  t.test("once a round was opened load is refused, for an empty Redis too", async (t) => {
    await withBucket(
      { pack, bucket: topology.buckets[0]!, secrets, name: "test" },
      async ({ store, mysql }) => {
        await mysql.query("UPDATE rounds SET opened = 1 WHERE round_id = 1");
        t.equal((await load()).unchanged, true, "what stands may stay");
        await store.client.flushdb();
        await t.rejects(load(), { constructor: BadInput, message: /bucket b0: .*only rebuild/ });
        const other = await anotherPack(w, "cd".repeat(32));
        await t.rejects(load({ pack: other }), { constructor: BadInput, message: /another pack/ });
      },
    );
  });

  t.test(
    "a pack for other buckets, and a store that is away, are told before anything is written",
    async (t) => {
      const text = readFileSync(topology.path, "utf8");
      writeFileSync(
        join(w.dir, "other.yaml"),
        text.replace("[[0, 511]]", "[[0, 510]]").replace("[[512, 1023]]", "[[511, 1023]]"),
      );
      await t.rejects(loadPack({ pack, topology: readTopology(join(w.dir, "other.yaml")), secrets }), {
        constructor: BadInput,
        message: /other\.yaml: buckets/,
      });
      await withBucket({ pack, bucket: topology.buckets[0]!, secrets, name: "test" }, ({ mysql }) =>
        mysql.query("UPDATE rounds SET opened = 0"),
      );
      await w.redis[1]!.stop();
      await t.rejects(load(), {
        constructor: Unreachable,
        message: /Redis of bucket b1 at 127\.0\.0\.1:\d+/,
      });
    },
  );
});

t.test("another event is loaded only when no round is open and everybody is paid", async (t) => {
  const w = await world(t, { users: 5, event: "journalMax: 100" });
  const { topology, secrets } = w;
  writeFileSync(
    join(w.dir, "event.yaml"),
    readFileSync(join(w.dir, "event.yaml"), "utf8").replace("event: world", "event: other-one"),
  );
  const other = await anotherPack(w, "ef".repeat(32));
  const load = (): ReturnType<typeof loadPack> => loadPack({ pack: other, topology, secrets });
  const refused = (message: RegExp): Promise<unknown> =>
    t.rejects(load(), { constructor: BadInput, message });

  await w.open(1, "k");
  await refused(/^bucket b0: event world is live: its rounds 1 are open; expected one event at a time/);
  t.equal((await w.grab("u1")).body["result"], "won");
  await w.close(1);
  await refused(/event world is live: claims are not paid \((1 pending|1 in the journal)\)/);
  const bucket = topology.buckets[0]!;
  const inMysql = <T>(work: (mysql: Connection) => Promise<T>): Promise<T> =>
    withBucket({ pack: w.pack, bucket, secrets, name: "test" }, ({ mysql }) => work(mysql));
  const [there] = await inMysql((mysql) => mysql.query<RowDataPacket[]>("SHOW DATABASES LIKE 'hongbao%'"));
  t.equal(there.length, 1, "nothing was written");

  await w.startPayout(0);
  await waitUntil(
    () =>
      load().then(
        () => true,
        () => false,
      ),
    { what: "the load when all is paid", timeoutMsMax: 20_000 },
  );
  t.same((await verifyPack(other, topology, secrets)).problems, []);
  await inMysql((mysql) => mysql.query("UPDATE payouts SET state = 'held'"));
  await refused(/event world is live: claims are not paid \(1 held\)/);
});

t.test("a damaged pack is refused by the file's name before anything is written", async (t) => {
  const w = await world(t, { users: 5, rounds, budget: "700.00", load: false });
  mkdirSync(join(w.dir, "damaged"));
  const amounts = readFileSync(join(w.pack.dir, "amounts.u32"));
  amounts[17]! ^= 1;
  writeFileSync(join(w.pack.dir, "amounts.u32"), amounts);
  t.throws(() => openPack(w.pack.dir), { constructor: BadInput, message: /amounts\.u32/ });
});
