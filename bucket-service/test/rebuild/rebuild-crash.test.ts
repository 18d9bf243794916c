import { execFile } from "node:child_process";
import { join } from "node:path";
import t from "tap";
import { waitUntil } from "@hongbao/infra";
import { auditBucket } from "../../src/audit/audit.ts";
import type { RebuildReport } from "../../src/rebuild/rebuild.ts";
import { scene } from "./scene.ts";

const KILLER = join(import.meta.dirname, "killer.ts");

function killer(
  topology: string,
  step: string,
): Promise<{ signal: string | null; report: RebuildReport | null }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [KILLER, topology, step], (error, stdout, stderr) => {
      if (error !== null && error.signal !== "SIGKILL") return reject(new Error(stderr));
      resolve({
        signal: error === null ? null : (error.signal ?? null),
        report: stdout === "" ? null : (JSON.parse(stdout) as RebuildReport),
      });
    });
  });
}

t.test(
  "kill -9 of a rebuild at each of its steps: run again it ends the same, and burns nothing more",
  async (t) => {
    const s = await scene(t, { event: "journalMax: 20" });
    const topology = join(s.w.dir, "topology.yaml");
    await s.startPersist("p1");
    const users = [...s.w.users];
    const steps = [
      "fencing",
      "salvaging",
      "deciding",
      "writing",
      "committing",
      "emptying",
      "filling",
      "finishing",
      "clearing",
    ];
    let burned = 0;
    for (const step of steps) {
      await s.w.open(1, "k");
      await waitUntil(async () => (await s.admin.state()).fenced === null, {
        what: "no fence",
        timeoutMsMax: 5000,
      });
      t.same(await s.grabs(users.splice(0, 10)), { won: 10 });
      await s.persisted();
      await s.inStores(({ store }) => store.client.flushall());
      await s.fenced();
      const cut = await killer(topology, step);
      t.equal(cut.signal, "SIGKILL", `killed at ${step}`);
      t.not((await s.admin.state()).fenced, null, "not usable half-way");
      const { report } = await killer(topology, "");
      const isDecided = ["emptying", "filling", "finishing", "clearing"].includes(step);
      t.equal(report!.outcome, isDecided ? "resumed" : "rebuilt", step);
      t.match(report!.rounds[0], { round: 1, holes: { count: 0 }, beyond: { count: 20 } });
      burned += 20;
      await s.w.open(1, "k");
      const { rounds, violations } = await auditBucket({
        topology: s.w.topology,
        bucket: "b0",
        pack: s.w.pack,
      });
      t.same(violations, []);
      t.equal(rounds[0]!.burned.count, burned);
      t.equal(rounds[0]!.issued.count, s.told.size);
    }
    t.equal(new Set([...s.told.values()].map(({ prize }) => prize)).size, s.told.size, "no ID twice");

    const [released] = [await s.operator.release(1)];
    t.equal(released.released.count, burned);
    t.match(
      await s.operator.release(1),
      { released: { count: 0 }, finished: 0 },
      "repeated, it changes nothing",
    );
    const { rounds, violations } = await auditBucket({
      topology: s.w.topology,
      bucket: "b0",
      pack: s.w.pack,
    });
    t.same(violations, []);
    t.equal(rounds[0]!.burned.count, 0);
    t.equal(rounds[0]!.left.count, 400 - s.told.size);
    await s.w.open(1, "k");
    while (users.length > 0) {
      await s.grabs(users.splice(0, 20));
      await s.persisted();
    }
    t.equal(s.told.size, 400, "everything went");
    t.equal(new Set([...s.told.values()].map(({ prize }) => prize)).size, s.told.size, "no ID twice");
    t.same((await auditBucket({ topology: s.w.topology, bucket: "b0", pack: s.w.pack })).violations, []);
  },
);

t.test("a transaction of a frozen process does not hold the rebuild up", async (t) => {
  const s = await scene(t);
  await s.startPersist("p1");
  await s.w.open(1, "k");
  await s.grabs(s.w.users.slice(0, 10));
  await s.persisted();
  await s.inStores(async ({ mysql, store }) => {
    await mysql.query("START TRANSACTION");
    await mysql.query("SELECT value FROM meta WHERE name = 'epoch' LOCK IN SHARE MODE");
    mysql.on("error", () => undefined);
    await store.client.flushall();
    await s.fenced();
    t.match(await s.rebuild(), { outcome: "rebuilt" });
    await t.rejects(mysql.query("SELECT 1"), "its connection was ended");
  });
});
