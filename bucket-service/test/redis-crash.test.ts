import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { ensurePackages, startRedis, waitUntil } from "@hongbao/infra";
import { auditBucket } from "../src/audit/audit.ts";
import { world } from "./world.ts";

const rounds = `
  - id: 1
    kind: envelope
    opensAt: now+0s
    closesAt: now+1h
    count: 5000
    budget: 5000.00
    split: { method: lucky, min: 0.01, max: 20.00 }
`;

await ensurePackages(["strace"]);

t.test("kill -9 of Redis under load while its disk is slow loses no win that was told", async (t) => {
  const w = await world(t, { users: 3000, rounds, budget: "5000.00", appendfsync: "always", services: 2 });
  await w.open(1, "k");
  const told = new Map<string, string>();
  const waiting = [...w.users];
  let stop = false;
  const people = Array.from({ length: 60 }, async (_, index) => {
    while (!stop) {
      const user = waiting.pop();
      if (user === undefined) return;
      const answer = await w.grab(user, { service: index % 2 }).catch(() => null);
      const body = answer?.body ?? {};
      if (body["result"] === "won") told.set(user, JSON.stringify(body));
      else waiting.unshift(user);
    }
  });
  await waitUntil(async () => told.size > 300, { what: "load", timeoutMsMax: 20_000 });
  // Every fsync takes a quarter of a second longer from here on.
  const slow = spawn(
    "strace",
    [
      "-f",
      "-q",
      "-p",
      String(w.redis[0]!.pid),
      "-e",
      "trace=fdatasync,fsync",
      "-e",
      "inject=fdatasync,fsync:delay_enter=250000",
    ],
    { stdio: "ignore" },
  );
  t.teardown(() => slow.kill("SIGKILL"));
  const before = told.size;
  await sleep(1500);
  t.ok(told.size > before, "grabs go on, slowly");
  w.redis[0]!.kill("SIGKILL");
  await w.redis[0]!.exited;
  await sleep(300);
  stop = true;
  await Promise.all(people);
  const toldBefore = new Map(told);
  const { port } = w.redis[0]!;
  w.redis[0] = await startRedis({
    dir: join(w.dir, "redis-0"),
    port,
    password: w.secrets.redis,
    appendfsync: "always",
  });
  await waitUntil(async () => (await w.grab(w.users[0]!)).status === 200, {
    what: "recovery",
    timeoutMsMax: 20_000,
  });
  for (const [user, body] of toldBefore) t.equal(JSON.stringify((await w.grab(user)).body), body);
  await waitUntil(async () => (await w.admin(0).state()).journal.waiting === 0, {
    what: "an empty journal",
    timeoutMsMax: 20_000,
  });
  const { violations } = await auditBucket({ topology: w.topology, bucket: "b0", pack: w.pack });
  t.same(violations, []);
});
