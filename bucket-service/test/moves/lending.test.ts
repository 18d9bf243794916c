/**
 * Two buckets that own half of the prizes each, and nine of ten people come to one of them. People stop at their first
 * `ended`. By itself: everything goes. With a conductor that is frozen in a transfer and wakes after its twin has finished
 * it: no prize is lost or doubled.
 */
import t from "tap";
import {
  allArrived,
  booksOf,
  grabAll,
  journalsEmpty,
  movesCluster,
  opened,
  ordered,
  type Told,
} from "./cluster.ts";

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

interface Audit {
  ok: boolean;
  rounds: ({ round: number } & Record<string, { count: number; amount: number }>)[];
}

const words = (told: Told[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { word } of told) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
};

t.test("users 90:10, prizes 50:50: everything goes, and nobody hears ended before", async (t) => {
  const cluster = await movesCluster(t, {
    users: 2_000,
    budget: "1010.00",
    rounds: [
      "{ id: 1, kind: envelope, opensAt: manual, closesAt: +1h, count: 1000, budget: 1000.00, split: { method: lucky, min: 0.01, max: 20.00 }, leftovers: hold }",
      "{ id: 2, kind: envelope, opensAt: manual, closesAt: +1h, count: 10, budget: 10.00, split: { method: equal } }",
    ],
  });
  const own = (await booksOf(cluster)).left;
  const total = own["b0/1"]! + own["b1/1"]!;
  t.equal(total, 1_000);
  const of = (bucket: number, count: number) =>
    cluster.people.filter((person) => person.bucket === bucket).slice(0, count);
  // Somebody comes late, and is told that all is gone.
  const come = [...of(0, 900), ...of(1, 100)].sort(() => Math.random() - 0.5);
  const key = await opened(cluster, 1);
  const told = await grabAll(cluster, come, { round: 1, key });
  t.same(words(told), { won: 1_000 });
  const late = await grabAll(cluster, of(0, 950).slice(900), { round: 1, key });
  t.same(words(late), { ended: 50 });

  await allArrived(cluster);
  await journalsEmpty(cluster);
  const books = await booksOf(cluster);
  t.same([books.lost, books.doubled], [[], []]);
  t.same([books.left["b0/1"], books.left["b1/1"]], [0, 0], "nothing is stranded");
  t.equal(new Set(books.claims.map(({ prizeId }) => prizeId)).size, 1_000);
  const audit = await ordered<Audit>(cluster, "audit");
  t.equal(audit.ok, true);
  const [round] = audit.rounds;
  t.match(round, { issued: { count: 1_000 }, left: { count: 0, amount: 0 }, claimed: { amount: 100_000 } });
  t.same(round!["borrowed"], round!["lentOut"]);
  t.ok(round!["borrowed"]!.count >= 400, `${round!["borrowed"]!.count} prizes were lent`);
  const { transfers } = await ordered<{ transfers: { moved: number }[] }>(cluster, "round list");
  t.comment(`transfers: ${transfers.map(({ moved }) => moved).join(", ")}`);
  const ms = told.flatMap((each) => each.ms).sort((a, b) => a - b);
  t.comment(
    `answers: ${ms.length}, p50 ${ms[ms.length >> 1]!.toFixed(0)} ms, p99 ${ms[Math.floor(ms.length * 0.99)]!.toFixed(0)} ms`,
  );

  const lent = await cluster.hongbao(
    "round lend 2 --from b1 --to b0 --count 3 --by li --why rehearsal".split(" "),
  );
  t.match(lent, { code: 0, stdout: "lent 3 prizes of round 2 from b1 to b0\n" });
  const { left } = await booksOf(cluster);
  t.same([left["b0/2"], left["b1/2"]], [own["b0/2"]! + 3, own["b1/2"]! - 3]);
  for (const [args, why] of [
    ["2 --from b1 --to b1 --count 1", /--to: found "b1", expected another bucket/],
    ["2 --from b7 --to b1 --count 1", /--from: found "b7", expected one of b0, b1/],
    ["2 --from b1 --to b0 --count 0", /--count: found "0"/],
    ["9 --from b1 --to b0 --count 1", /round: found 9/],
    ["1 --from b1 --to b0 --count 1", /--from: bucket b1 has nothing left in round 1/],
  ] as const) {
    t.match(await cluster.hongbao(["round", "lend", ...args.split(" ")]), { code: 2, stderr: why });
  }
  const { entries } = await ordered<{ entries: { by: string; what: string; why: string }[] }>(cluster, "log");
  t.match(
    entries.filter(({ by }) => by === "li"),
    [
      { what: /^moves 3 prizes from b1 to b0 \(transfer \d+\)$/, why: "rehearsal" },
      { what: /^lent 3 prizes from b1 to b0 \(transfer \d+\)$/ },
    ],
  );
  t.equal((await ordered<Audit>(cluster, "audit")).ok, true);
  t.match(await cluster.hongbao(["preprocess", "verify", cluster.topology.pack]), { code: 0 });
});
