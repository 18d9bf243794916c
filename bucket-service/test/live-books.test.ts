import t from "tap";
import { createRegistry } from "@hongbao/monitoring";
import { livePolicy, bookMetrics } from "../src/audit/live.ts";
import { mysqlPool } from "../src/mysql/connect.ts";
import { openStore } from "../src/stores.ts";
import { waitUntil } from "@hongbao/infra";
import { world } from "./world.ts";

t.test("a persist process shows the books as gauges, and whether they balance", async (t) => {
  const w = await world(t, { users: 30 });
  await w.open(1, "k");
  await Promise.all(w.users.map((user) => w.grab(user)));
  await waitUntil(async () => (await w.admin(0).state()).journal.waiting === 0, {
    what: "an empty journal",
    timeoutMsMax: 20_000,
  });
  const [place] = w.topology.buckets[0]!.persist;
  let text = "";
  const isFresh = async (): Promise<boolean> => {
    text = await (await fetch(`http://${place!.admin}/metrics`)).text();
    return gauge("prizes_left") === 70 && gauge("prizes_claimed") === 30;
  };
  const gauge = (name: string): number =>
    Number(new RegExp(`^hongbao_${name}\\{round="1",[^}]*bucket="b0"[^}]*\\} (.+)$`, "m").exec(text)?.[1]);
  await waitUntil(isFresh, { what: "gauges of after the grabs", timeoutMsMax: 20_000 });
  t.equal(gauge("prizes_generated"), 100);
  t.equal(gauge("prizes_issued"), 30);
  t.equal(gauge("prizes_paid"), 0);
  for (const name of ["burned", "borrowed", "lent_out", "rolled_in", "rolled_out", "unbalanced"])
    t.equal(gauge(`prizes_${name}`), 0, name);
});

t.test("a prize that was lost or doubled is seen at the next look, which is not at once", async (t) => {
  const w = await world(t, { users: 5 });
  const bucket = w.topology.buckets[0]!;
  const store = await openStore({ bucket, secrets: w.secrets, name: "test" }, "world", [1]);
  const pool = mysqlPool(bucket, w.secrets.mysql, "world");
  t.teardown(async () => {
    store.client.disconnect();
    await pool.end();
  });
  const registry = createRegistry({ labels: {} });
  bookMetrics({ registry, store, pool, pack: w.pack, bucket: "b0" });
  const unbalanced = async (of = registry): Promise<string | undefined> =>
    /^hongbao_prizes_unbalanced\{round="1"\} (.+)$/m.exec(await of.text())?.[1];
  t.equal(await unbalanced(), "0");
  await store.client.decr(store.keys.left(1));
  t.equal(await unbalanced(), "0", `figures are ${livePolicy.ageMsMin} ms old at least`);
  const later = createRegistry({ labels: {} });
  bookMetrics({ registry: later, store, pool, pack: w.pack, bucket: "b0" });
  t.equal(await unbalanced(later), "1");
});
