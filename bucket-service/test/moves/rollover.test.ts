/** A real event of three rounds with fewer people than prizes: what a round does not give goes on, down to the last. */
import { waitUntil } from "@hongbao/infra";
import t from "tap";
import {
  allArrived,
  booksOf,
  grab,
  grabAll,
  journalsEmpty,
  movesCluster,
  opened,
  ordered,
} from "./cluster.ts";

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

interface Audit {
  ok: boolean;
  rounds: Record<"round", number>[] & Record<string, { count: number; amount: number }>[];
}

const USERS = 40;
const round = (id: number, more: string): string =>
  `{ id: ${id}, kind: envelope, opensAt: manual, closesAt: +1h, split: { method: lucky, min: 0.01, max: 20.00 }, ${more} }`;

t.test(
  "rounds 2 and 3 hand out round 1's rest, also into an open round, and the books are clean",
  async (t) => {
    const cluster = await movesCluster(t, {
      users: USERS,
      budget: "135.00",
      rounds: [
        round(1, "count: 100, budget: 100.00"),
        round(2, "count: 10, budget: 10.00"),
        round(3, "count: 5, budget: 5.00, perUser: 2"),
        "{ id: 4, kind: item, item: { sku: A, title: { zh: 甲, en: A }, price: 1.00 }, opensAt: manual, closesAt: +1h, count: 3 }",
        round(5, "count: 20, budget: 20.00, leftovers: hold"),
      ],
    });
    const left = async (): Promise<number[]> => {
      const { rounds } = await ordered<{ rounds: { id: number; left: number }[] }>(cluster, "status");
      return rounds.map((each) => each.left);
    };
    const leftBecomes = (wanted: number[]): Promise<void> =>
      waitUntil(async () => JSON.stringify(await left()) === JSON.stringify(wanted), {
        what: `left ${wanted.join(", ")}`,
        timeoutMsMax: 20_000,
      });

    const refused = await cluster.hongbao(["round", "rollover", "1", "--yes"]);
    t.match(refused, {
      code: 2,
      stderr: /round 1 is scheduled: only what a closed round did not give goes on/,
    });

    const key1 = await opened(cluster, 1);
    t.ok(
      (await grabAll(cluster, cluster.people, { round: 1, key: key1 })).every(({ word }) => word === "won"),
    );
    await ordered(cluster, "round close 1 --yes");
    await leftBecomes([0, 70, 5, 3, 20]);
    t.same((await booksOf(cluster)).lost, []);

    const again = await cluster.hongbao(["round", "rollover", "1", "--yes", "--by", "li"]);
    t.match(again, { code: 0, stdout: "round 1 has 0 prizes left; 0 prizes went on\n" });
    t.same(await left(), [0, 70, 5, 3, 20], "repeated, it changes nothing");

    // Round 3 is open, given and ended before round 2's rest comes into it.
    const key2 = await opened(cluster, 2);
    const second = await grabAll(cluster, cluster.people, { round: 2, key: key2 });
    t.equal(second.filter(({ word }) => word === "won").length, USERS);
    const key3 = await opened(cluster, 3);
    const third = await grabAll(cluster, cluster.people, { round: 3, key: key3 });
    t.equal(third.filter(({ word }) => word === "won").length, 5);
    t.equal(third.filter(({ word }) => word === "ended").length, USERS - 5);
    await waitUntil(
      async () =>
        (await fetch(`${cluster.url}/v1/rounds/3/grab?k=${key3}`, { method: "POST" })).status === 200,
      { what: "ended everywhere, before the token check", timeoutMsMax: 20_000 },
    );
    await ordered(cluster, "round close 2 --yes");
    await leftBecomes([0, 0, 30, 3, 20]);
    await waitUntil(
      async () =>
        (await grab(cluster, cluster.people[0]!, { round: 3, key: key3, n: 1, busyMax: 0 })).word === "won",
      { what: "a win of what came after the end", timeoutMsMax: 20_000 },
    );
    const late = await grabAll(cluster, cluster.people, { round: 3, key: key3 });
    t.equal(late.filter(({ word }) => word === "won").length, 35);
    t.equal(late.filter(({ word }) => word === "ended").length, USERS - 35);

    // Nothing follows round 3; round 5 is of the same sort, and may get what is ordered into it.
    await ordered(cluster, "round close 4 --yes");
    t.match(await cluster.hongbao(["round", "rollover", "4", "--yes"]), { code: 2, stderr: /is held/ });
    await ordered(cluster, "round close 5 --yes");
    t.same(await left(), [0, 0, 0, 3, 20], "held");
    t.match(await cluster.hongbao(["round", "rollover", "5", "--yes"]), { code: 2, stderr: /is held/ });

    await allArrived(cluster);
    await journalsEmpty(cluster);
    const books = await booksOf(cluster);
    t.same([books.lost, books.doubled], [[], []]);
    t.equal(books.claims.length, 115);
    const audit = await ordered<Audit>(cluster, "audit");
    t.equal(audit.ok, true);
    t.match(audit.rounds[0], { generated: { count: 100 }, issued: { count: 40 }, rolledOut: { count: 60 } });
    t.match(audit.rounds[1], { rolledIn: { count: 60 }, issued: { count: 40 }, rolledOut: { count: 30 } });
    t.match(audit.rounds[2], {
      rolledIn: { count: 30 },
      issued: { count: 35 },
      left: { count: 0, amount: 0 },
    });
    const worth = books.claims.reduce((sum, { amountMinor }) => sum + amountMinor, 0);
    t.equal(worth, 11_500, "every cent of three rounds was given");
    const { entries } = await ordered<{ entries: { what: string }[] }>(cluster, "log");
    t.ok(
      entries.some(({ what }) => /^rolled \d+ prizes in b[01] over to round 2 \(transfer \d+\)$/.test(what)),
    );
  },
);
