import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { checkBudgets, checkFair, openPack, parseSeedHex, roundSeed } from "../src/index.ts";
import {
  eventText,
  ITEM,
  makePack,
  runCommand,
  SEED,
  temporaryDir,
  writeEvent,
  writeTopology,
} from "./fixtures.ts";

const TIERS = "{ method: tiers, tiers: [{ amount: 8.00, count: 2 }, { amount: 0.50, count: 48 }] }";

async function setUp(t: Test): Promise<{ dir: string; pack: string }> {
  const dir = temporaryDir(t);
  const event = eventText([
    { count: "1000", budget: "5000.00" },
    { id: "2", count: "50", budget: "40.00", split: TIERS },
    { ...ITEM, id: "3", count: "5" },
    { id: "7", count: "9", budget: "9.05", split: "{ method: equal }" },
  ]);
  writeEvent(dir, { event });
  writeTopology(dir);
  await makePack(dir);
  return { dir, pack: join(dir, "pack") };
}

const seedOf = (round: number): Buffer => roundSeed(parseSeedHex(SEED), round);

t.test("every round is fair by its own seed, and by no other", async (t) => {
  const pack = openPack((await setUp(t)).pack);
  for (const [round, prizes, amountMinor] of [
    [1, 1000, 500_000],
    [2, 50, 4_000],
    [3, 5, 0],
    [7, 9, 905],
  ] as const) {
    t.same(checkFair(pack, round, seedOf(round)), { fair: true, prizes, amountMinor });
    t.match(checkFair(pack, round, seedOf(round + 1)), { fair: false, why: /commitment/ });
    const { commitment } = pack.manifest.rounds.find(({ id }) => id === round)!;
    t.match(checkFair(pack, round, seedOf(round), commitment), { fair: true });
    t.match(checkFair(pack, round, seedOf(round), "0".repeat(64)), {
      fair: false,
      why: /published was 0000/,
    });
  }
});

t.test("the first prize that differs is named", async (t) => {
  const real = openPack((await setUp(t)).pack);
  const wrong = new Set([real.firstId + 700, real.firstId + 900]);
  const changed = { ...real, amountOf: (id: number) => real.amountOf(id) + (wrong.has(id) ? 1 : 0) };
  const prizeId = real.firstId + 700;
  t.match(checkFair(changed, 1, seedOf(1)), {
    fair: false,
    prizeId,
    why: new RegExp(`prize ${prizeId} is worth`),
  });
});

t.test("the command: by --seed, by rounds.json, and what it says when it cannot", async (t) => {
  const { dir, pack } = await setUp(t);
  const run = (...args: string[]) => runCommand(["preprocess", "fair", pack, ...args], {});
  const hex = seedOf(1).toString("hex");
  const fair = await run("--round", "1", "--seed", hex);
  t.equal(fair.code, 0, fair.stderr);
  t.match(fair.stdout, /round 1 is fair: 1000 prizes worth 5000.00 CNY/);
  t.match(JSON.parse((await run("--round", "1", "--seed", hex, "--json")).stdout), {
    fair: true,
    prizes: 1000,
  });
  const unfair = await run("--round", "7", "--seed", hex);
  t.equal(unfair.code, 1);
  t.match(unfair.stderr, /round 7: the seed's commitment is/);
  t.match(await run("--round", "4", "--seed", hex), { code: 2, stderr: /expected one of 1, 2, 3, 7/ });
  t.match(await run("--round", "1", "--seed", "5eed"), { code: 2, stderr: /expected 64 hex digits/ });

  const { commitment } = openPack(pack).manifest.rounds[0]!;
  const published = {
    event: "party",
    rounds: [
      { id: 1, commitment, seed: hex },
      { id: 7, commitment: "f".repeat(64) },
    ],
  };
  const server = createServer((_request, response) => response.end(JSON.stringify(published)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/rounds.json`;
  t.match(await run("--round", "1", "--url", url), { code: 0 });
  t.match(await run("--round", "7", "--url", url), { code: 3, stderr: /not revealed yet/ });
  t.match(await run("--round", "7", "--url", url, "--seed", seedOf(7).toString("hex")), {
    code: 1,
    stderr: /published was ffff/,
  });
  t.match(await run("--round", "2", "--url", url), {
    code: 2,
    stderr: /expected the rounds.json of event party/,
  });

  // A pack whose amounts were exchanged after the event is damaged; with its digests made again it is another pack.
  const amounts = join(pack, "amounts.u32");
  copyFileSync(amounts, join(dir, "kept"));
  const bytes = readFileSync(amounts);
  bytes.writeUInt32LE(bytes.readUInt32LE(0) + 1, 0);
  writeFileSync(amounts, bytes);
  t.match(await run("--round", "1", "--seed", hex), { code: 2, stderr: /amounts.u32/ });
});

t.test("the budget guard: a draw that is not what was granted makes no pack", (t) => {
  const event = {
    budgetMinor: 300,
    rounds: [{ id: 1, budgetMinor: 300, count: 3 }],
  } as unknown as Parameters<typeof checkBudgets>[0];
  const range = { round: 1, bucket: "b0", lo: 1, count: 3, amountMinor: 300 };
  t.doesNotThrow(() => checkBudgets(event, [range]));
  t.throws(() => checkBudgets(event, [{ ...range, amountMinor: 301 }]), /drew 3 prizes worth 301/);
  t.throws(() => checkBudgets(event, [{ ...range, count: 4 }]), /drew 4 prizes/);
  t.throws(() => checkBudgets({ ...event, budgetMinor: 299 }, [range]), /event's budget is 299/);
  t.end();
});
