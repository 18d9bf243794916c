import t from "tap";
import { BUGS } from "./bugs.ts";
import { Simulator } from "./simulator.ts";

/** HONGBAO_SEED=n runs one seed alone, to look at a failure again; HONGBAO_SCHEDULES=n so many of them. */
const only = process.env.HONGBAO_SEED;
const SCHEDULES = Number(process.env.HONGBAO_SCHEDULES ?? 8_000);
/** A planted bug is found within so many; each seed tries one of the four kinds of schedule. */
const FOUND_WITHIN = 10_000;

t.setTimeout(600_000);

t.test("schedules with killed, frozen and confused actors at every step break no promise", async (t) => {
  const seeds =
    only === undefined ? Array.from({ length: SCHEDULES }, (_, index) => index + 1) : [Number(only)];
  const began = performance.now();
  const broken: string[] = [];
  let wins = 0;
  for (const seed of seeds) {
    const simulator = new Simulator(seed);
    for (const what of simulator.run()) broken.push(`seed ${seed} (${simulator.focus}): ${what}`);
    wins += simulator.told.length;
  }
  t.same(broken.slice(0, 5), [], `${broken.length} violations`);
  t.ok(wins > seeds.length, "people do win in them");
  const seconds = (performance.now() - began) / 1000;
  t.comment(`${seeds.length} schedules, ${Math.round(seeds.length / seconds)} a second, ${wins} wins told`);
});

for (const bug of BUGS) {
  t.test(`a planted bug is found: ${bug}`, async (t) => {
    let seed = 1;
    while (seed <= FOUND_WITHIN && new Simulator(seed, new Set([bug])).run().length === 0) seed += 1;
    t.ok(seed <= FOUND_WITHIN, `found by seed ${seed}`);
  });
}
