import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { slotOf } from "@hongbao/preprocess";
import { temporaryState, tryHongbao } from "@hongbao/infra";
import { againstText, checkRehearsed, holdAgainst, type Rehearsed } from "../plan/simulate/against.ts";
import type { SimulateCommandOptions } from "../plan/simulate/commands.ts";
import { calibrated, MEASURED, readCosts } from "../plan/simulate/costs.ts";
import { firstPresses } from "../plan/simulate/crowd.ts";
import { simulate, type Outcome } from "../plan/simulate/engine.ts";
import { Lines } from "../plan/simulate/lines.ts";
import { picture } from "../plan/simulate/picture.ts";
import { reportOf, reportText, type VariantReport } from "../plan/simulate/report.ts";
import { readRequest } from "../plan/simulate/request.ts";

const read = (options: Partial<SimulateCommandOptions>) =>
  readRequest({ press: "even", lend: "both", users: "2000", prizes: "900", ...options });

/** One variant of a request. */
async function play(
  options: Partial<SimulateCommandOptions>,
  { lend = true, lost = true } = {},
): Promise<{ outcome: Outcome; variant: VariantReport }> {
  const request = await read(options);
  const scenario = { ...request.base, lend, losses: lost ? request.losses : [] };
  const outcome = simulate(scenario, request.crowd);
  return { outcome, variant: reportOf(request, [outcome]).variants[0]! };
}

const sum = (list: readonly number[]): number => list.reduce((all, each) => all + each, 0);

t.test("whatever happens, prizes are conserved and nobody gets too many", async (t) => {
  const scenarios = fc.record({
    users: fc.integer({ min: 1, max: 400 }),
    prizes: fc.integer({ min: 1, max: 600 }),
    perUser: fc.integer({ min: 1, max: 3 }),
    buckets: fc.integer({ min: 1, max: 9 }),
    spread: fc.constantFrom("0", "0.5", "4"),
    press: fc.constantFrom("even" as const, "front" as const),
    lend: fc.boolean(),
    lose: fc.constantFrom<string[]>([], ["b0@0.2+1"], ["zone0@0.1"], ["b0@0+0.5", "b0@1+0.5"]),
    connections: fc.constantFrom(undefined, "3"),
    machineCores: fc.constantFrom(undefined, "1"),
    latency: fc.constantFrom("0", "10", "5000"),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  await fc.assert(
    fc.asyncProperty(scenarios, async ({ users, prizes, perUser, buckets, seed, lend, ...rest }) => {
      const each = rest.connections === undefined ? perUser : 1;
      const numbers = { users, prizes, perUser: each, buckets, seed };
      const texts = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)]));
      const { outcome, variant } = await play({ ...rest, ...texts } as Partial<SimulateCommandOptions>, {
        lend,
      });
      t.equal(sum(outcome.issued) + sum(outcome.left) + outcome.underWay, prizes);
      t.ok(variant.mostOfOneUser <= perUser);
      t.ok(variant.winners <= users && variant.issued <= users * perUser);
      t.ok(outcome.left.every((left) => left >= 0));
      t.ok(lend || outcome.loans === 0);
    }),
    { numRuns: 60 },
  );
});

t.test("the seed decides everything", async (t) => {
  const options = { come: "600", skew: "0.6", buckets: "5", lose: ["b1@0.5+1"] };
  const one = (await play({ ...options, seed: "7" })).variant;
  t.same((await play({ ...options, seed: "7" })).variant, one);
  t.not((await play({ ...options, seed: "8" })).variant.answers["busy"], one.answers["busy"]);
});

t.test("without lending prizes strand where few come; with it they do not", async (t) => {
  const skewed = { users: "8000", come: "3500", prizes: "3000", skew: "0.9", spread: "8" };
  const off = await play(skewed, { lend: false });
  const on = await play(skewed);
  // 350 come to the other bucket's half of the prizes.
  const half = off.variant.buckets[1]!.prizes;
  t.match(off.variant, { soldOut: false, stranded: half - 350, loans: 0 });
  t.equal(off.variant.buckets[1]!.left, half - 350);
  t.match(on.variant, { soldOut: true, stranded: 0, issued: 3000 });
  t.ok(on.variant.loans > 0);
  const few = await play({ ...skewed, come: "2000" });
  t.equal(few.variant.left, 1000, "who had no need of them left them");
  t.equal(few.variant.stranded, 0);
});

t.test("a lost bucket touches its own users, and sells out when it is back", async (t) => {
  const options = { buckets: "4", users: "8000", prizes: "4000", spread: "4" };
  const back = await play({ ...options, lose: ["b2@1+6"] });
  t.ok(back.variant.buckets[2]!.lastWin! > 6, "its people ask until it is there");
  t.equal(back.variant.left, 0);
  const gone = await play({ ...options, lose: ["b2@1"] });
  t.ok(gone.variant.buckets[2]!.left > 0);
  t.equal(gone.variant.stranded, gone.variant.buckets[2]!.left);
  t.equal(sum(gone.outcome.left), gone.variant.buckets[2]!.left, "the others sell out");
  t.ok(gone.variant.gaveUp > 0);
  const zone = await play({ ...options, zones: "2", lose: ["zone1@1"] });
  t.same(
    zone.variant.buckets.map(({ left }) => left > 0),
    [false, true, false, true],
  );
});

t.test("service times bound what is served", async (t) => {
  const { machineWonUs, frontPassedUs } = MEASURED;
  const loop = await play({
    users: "20000",
    prizes: "15000",
    spread: "0",
    machineCores: "2",
    connections: "128",
  });
  const seconds = (15_000 * machineWonUs) / 2 / 1e6;
  t.ok(Math.abs(loop.variant.secondsToLastWin! / seconds - 1) < 0.1, `${loop.variant.secondsToLastWin} s`);
  // Each bucket has a prize for each of its users, so nothing needs to move.
  const crowd = { users: "40000", prizes: "40000", buckets: "8", again: "0" };
  const front = await play({ ...crowd, spread: "0.1", frontCores: "1" }, { lend: false });
  const frontSeconds = (40_000 * frontPassedUs) / 1e6;
  t.ok(Math.abs(front.variant.secondsToLastWin! / frontSeconds - 1) < 0.1);
  t.ok(front.variant.waitMs.p99! > 1_000, "people wait for a front that is too small");
  const wide = await play({ ...crowd, spread: "1" }, { lend: false });
  t.ok(wide.variant.waitMs.p99! < 50);
});

t.test("who asks once more gets nothing more, and everybody who asks is told", async (t) => {
  const { outcome, variant } = await play({ again: "1", prizes: "2000", spread: "1" });
  t.match(variant, { finished: true, issued: 2000, mostOfOneUser: 1 });
  // After the end everywhere HAProxy says so before it looks who asks.
  t.equal(variant.answers["repeat"]! + variant.answers["ended"]!, 2000);
  t.equal(sum(outcome.tally.answered), sum(Object.values(variant.answers)));
});

t.test("users go to the product's slots, and press as the pattern says", async (t) => {
  const request = await read({ buckets: "4", users: "5000" });
  const own = [0, 0, 0, 0];
  for (let number = 1; number <= 5000; number += 1) own[slotOf(`u${number}`) >> 8]! += 1;
  t.same(request.crowd.usersOf, own);
  const press = { spreadMs: 1000, againShare: 0, checksResult: false };
  const even = firstPresses(10_000, { ...press, shape: "even" }, 1, 1);
  const front = firstPresses(10_000, { ...press, shape: "front" }, 1, 1);
  const early = (list: Int32Array): number => list.filter((ms) => ms < 140).length / list.length;
  t.ok(Math.abs(early(even) - 0.14) < 0.02 && Math.abs(early(front) - 0.5) < 0.02);
  t.ok(front.every((ms) => ms >= 0 && ms < 1000));
  const peak = await play({ users: "30000", peak: "20000", buckets: "2", prizes: "30000", again: "0" });
  t.ok(Math.abs(peak.variant.peak.requests / 20_000 - 1) < 0.05);
});

t.test("an event file and its lists may be simulated", async (t) => {
  const dir = temporaryState(t);
  const users = Array.from(
    { length: 300 },
    (_, index) => `p${index},n,${index % 3 === 0 ? "family" : "staff"}\n`,
  );
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("")}`);
  const event = join(dir, "event.yaml");
  writeFileSync(
    event,
    `event: e
title: { zh: e, en: e }
currency: CNY
timezone: Asia/Shanghai
budget: 500.00
users: users.csv
rounds:
  - { id: 4, kind: envelope, opensAt: manual, closesAt: +9m, count: 90, budget: 90.00, groups: [family], split: { method: equal } }
`,
  );
  const request = await readRequest({ press: "even", lend: "on", event, buckets: "3" });
  t.equal(request.crowd.bucketOf.length, 100, "only those who may take part");
  t.equal(sum(request.base.stock), 90);
  await t.rejects(readRequest({ press: "even", lend: "on", event, round: "1" }), {
    message: /--round: found 1, expected one of 4/,
  });
});

t.test("the report says it in words and draws it", async (t) => {
  const request = await read({ skew: "0.9", come: "950", spread: "2" });
  const outcomes = [true, false].map((lend) =>
    simulate({ ...request.base, lend, losses: [] }, request.crowd),
  );
  const report = reportOf(request, outcomes);
  t.match(reportText(report), /^950 of 2,000 users[^]*stranded, of all prizes[^]*no lending: left in b1/);
  t.match(picture(outcomes, report.variants), /^<svg [^]*no lending[^]*<\/svg>\n$/);
  t.notMatch(picture(outcomes, report.variants), /NaN|Infinity/);
});

const rehearsed: Rehearsed = {
  perUser: 1,
  connections: 128,
  spreadSeconds: 5,
  secondsToLastWin: 5,
  answers: { won: 1000 },
  series: { stepMs: 100, answers: [10, 10], wins: [10, 10] },
  buckets: [
    { bucket: "b0", users: 950, generated: 1000, left: 50 },
    { bucket: "b1", users: 100, generated: 1000, left: 900 },
  ],
};

t.test("a rehearsal is compared in time and in what was left", async (t) => {
  const options = { costs: MEASURED, lend: false, seed: 1, cores: 2 };
  const { report } = holdAgainst(rehearsed, options);
  t.equal(report.kept, true);
  t.match(againstText(report), /kept +1\.000 +left in b0/);
  const slow = holdAgainst({ ...rehearsed, secondsToLastWin: 9 }, options).report;
  t.same(
    slow.rows.map(({ kept }) => kept),
    [false, true, true],
  );
  t.equal(holdAgainst(rehearsed, { ...options, lend: true }).report.kept, false, "it did not lend");
  const wrong = { ...rehearsed, buckets: [{ bucket: "b0", users: -1, generated: 1, left: 0 }] };
  t.throws(() => checkRehearsed(wrong, "r.json"), {
    message: /^r\.json: buckets\[0\]\.users: found -1, expected/,
  });
  t.throws(() => checkRehearsed({}, "r.json"), { message: /buckets: found nothing, expected the list/ });
});

t.test("service times come from a bench's report", async (t) => {
  const path = join(temporaryState(t), "bench.json");
  const system = (id: string) => ({ id, cpuUs: { haproxy: 20, service: 10, redis: 5 }, wrkUs: 10 });
  const write = (ids: string[]) => writeFileSync(path, JSON.stringify({ systems: ids.map(system) }));
  write(["hongbao", "hongbao-one", "ended-token", "ended-over"]);
  t.match(readCosts(path), { frontPassedUs: 20, serviceUs: 10, machineWonUs: 45, machinePassedUs: 40 });
  write(["hongbao"]);
  t.throws(() => readCosts(path), { message: /found no system "hongbao-one" in / });
});

/** Reports of `hongbao rehearse --json` on two cores, 25 November 2026; `lend` was added by hand. docs/simulation.md. */
function recorded(name: string): Rehearsed & { lend: boolean } {
  const path = join(import.meta.dirname, "rehearsed", `${name}.json`);
  return JSON.parse(readFileSync(path, "utf8")) as Rehearsed & { lend: boolean };
}

t.test("the model is within 20 % of real rehearsals, whatever the seed", async (t) => {
  const cores = 2;
  for (const name of ["skewed-sells-out", "skewed-some-left", "skewed-without-lending"]) {
    const real = recorded(name);
    for (const seed of [1, 2, 3]) {
      const { report } = holdAgainst(real, { costs: MEASURED, lend: real.lend, seed, cores });
      t.equal(report.kept, true, `${name}, seed ${seed}:\n${againstText(report)}`);
    }
  }
  // At full load the machine decides, so each of two runs tells what a win costs in the other.
  const pair = ["full-load", "full-load-without-lending"];
  for (const [name, other] of [pair, pair.toReversed()] as [string, string][]) {
    const real = recorded(name);
    const costs = calibrated(MEASURED, recorded(other), cores, other);
    const { report } = holdAgainst(real, { costs, lend: real.lend, seed: 1, cores });
    t.equal(report.kept, true, `${name}:\n${againstText(report)}`);
  }
});

t.test("a rehearsal at full load tells what a win costs where it ran", async (t) => {
  const wins = [3, 500, 400, 600, 500, 500, 500, 20];
  const answers = [3, 500, 400, 600, 500, 500, 520, 900];
  const run = { series: { stepMs: 100, answers, wins }, spreadSeconds: null };
  const costs = calibrated(MEASURED, run, 2, "r.json");
  // 500 in a tenth of a second on two cores.
  t.equal(costs.machineWonUs, 400);
  t.equal(costs.machineOwnUs / costs.machineWonUs, MEASURED.machineOwnUs / MEASURED.machineWonUs);
  t.equal(costs.serviceUs, MEASURED.serviceUs);
  const message = /--calibrate: found no half second of wins alone in r\.json/;
  t.throws(() => calibrated(MEASURED, { ...run, spreadSeconds: 3 }, 2, "r.json"), { message });
});

t.test("one clear error for each bad input", async (t) => {
  const bad: [Partial<SimulateCommandOptions>, RegExp][] = [
    [{ users: "0" }, /--users: found "0", expected a whole number from 1/],
    [{ come: "3000" }, /--come: found "3000", expected a whole number from 1 to 2000/],
    [{ spread: "-1" }, /--spread: found "-1", expected a number/],
    [{ spread: "400" }, /--spread: found 400 s, expected less than --seconds 300/],
    [{ spread: "1", peak: "9" }, /--peak: found it with --spread/],
    [{ skew: "1.5" }, /--skew: found "1\.5", expected a number from 0 to 1/],
    [{ skew: "0.9", come: "2000" }, /--skew: found 0\.9 of 2000 who come, expected/],
    [{ lose: ["b9@1"] }, /--lose: found bucket "b9", expected one of b0 to b1/],
    [{ lose: ["zone3@1"] }, /--lose: found zone 3, expected 0 to 2/],
    [{ lose: ["b0"] }, /--lose: found "b0", expected a bucket or zone/],
    [{ machineCores: "2", frontCores: "2" }, /--machine-cores: found it with --front-cores/],
    [{ topology: "t.yaml" }, /--topology: found it without --event/],
    [{ costs: "nowhere.json" }, /--costs: found nowhere\.json: .*expected a report/],
  ];
  for (const [options, message] of bad) await t.rejects(read(options), { message, exitCode: 2 });
  const { code, stderr } = await tryHongbao(["simulate", "--against", "nowhere.json", "--lend", "on"]);
  t.equal(code, 2);
  t.match(stderr, /^hongbao: --against: found nowhere\.json: [^\n]*\n$/);
});

t.test("people stand in one line at a time, first come first served", async (t) => {
  const lines = new Lines({ next: new Int32Array(4) }, 2);
  for (const person of [2, 0, 3]) lines.push(1, person);
  t.same([lines.shift(1), lines.length[1]], [2, 2]);
  lines.push(0, 2);
  t.same([lines.shift(1), lines.shift(1), lines.shift(1), lines.shift(0)], [0, 3, -1, 2]);
});
