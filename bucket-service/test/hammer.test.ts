import t from "tap";
import { auditBucket } from "../src/audit/audit.ts";
import { world, type World } from "./world.ts";

function envelopes(count: number, perUser: number): string {
  return `
  - id: 7
    kind: envelope
    opensAt: now+0s
    closesAt: now+1h
    count: ${count}
    budget: ${count}.00
    split: { method: lucky, min: 0.01, max: 20.00 }
    perUser: ${perUser}
`;
}

/** Runs jobs with a bounded number under way. */
async function inParallel<T>(
  jobs: readonly T[],
  underWayMax: number,
  run: (job: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: underWayMax }, async () => {
      while (next < jobs.length) await run(jobs[next++]!);
    }),
  );
}

async function figures(w: World): Promise<{ issued: number; left: number; violations: unknown[] }> {
  const audits = await Promise.all(
    w.topology.buckets.map(({ id }) => auditBucket({ topology: w.topology, bucket: id, pack: w.pack })),
  );
  const rounds = audits.flatMap((audit) => audit.rounds);
  return {
    issued: rounds.reduce((sum, { issued }) => sum + issued.count, 0),
    left: rounds.reduce((sum, { left }) => sum + left.count, 0),
    violations: audits.flatMap((audit) => audit.violations),
  };
}

t.test("1,000 prizes, 200 users, 4 processes: every prize goes once, never 1,001", async (t) => {
  const w = await world(t, {
    buckets: 2,
    services: 2,
    users: 200,
    rounds: envelopes(1000, 10),
    budget: "1000.00",
  });
  await w.open(7, "k");
  const prizes = new Map<string, string>();
  const words = new Map<string, number>();
  const rounds = Array.from({ length: 10 }, (_, index) => index + 1);
  for (const n of rounds) {
    // Everybody taps three times, at either process, in any order.
    const taps = w.users.flatMap((user) => [0, 1, 1].map((service) => ({ user, service })));
    await inParallel(taps, 100, async ({ user, service }) => {
      const { body } = await w.grab(user, { round: 7, n, service });
      const word = String(body["result"]);
      words.set(word, (words.get(word) ?? 0) + 1);
      if (word !== "won") return;
      const { id } = body["prize"] as { id: string };
      const owner = `${user} ${n}`;
      t.equal(prizes.get(id) ?? owner, owner, "a prize has one owner");
      prizes.set(id, owner);
    });
  }
  t.equal(prizes.size, 1000);
  t.equal(new Set(prizes.values()).size, 1000, "an owner has one prize for each n");
  t.same(
    [...words.keys()].filter((word) => !["won", "busy", "ended", "bad_request"].includes(word)),
    [],
  );
  t.same(await figures(w), { issued: 1000, left: 0, violations: [] });
});

t.test("fewer prizes than perUser allows, one user, one bucket, seven buckets, none left", async (t) => {
  const one = await world(t, { users: 1, rounds: envelopes(5, 3), budget: "5.00" });
  await one.open(7, "k");
  for (const n of [1, 2, 3]) t.match(await one.grab("u1", { round: 7, n }), { status: 200 });
  t.same(await figures(one), { issued: 3, left: 2, violations: [] });

  const seven = await world(t, { buckets: 7, users: 30, rounds: envelopes(10, 1), budget: "10.00" });
  await seven.open(7, "k");
  const answers = await Promise.all(seven.users.map((user) => seven.grab(user, { round: 7 })));
  t.equal(answers.filter(({ body }) => body["result"] === "won").length, 10);
  t.equal(answers.filter(({ body }) => body["result"] === "busy").length, 20, "some may come yet");
  await seven.sayFinal(7);
  const again = await Promise.all(seven.users.map((user) => seven.grab(user, { round: 7 })));
  t.ok(again.every(({ body }) => body["result"] === "ended"));
  t.same(await figures(seven), { issued: 10, left: 0, violations: [] });
});
