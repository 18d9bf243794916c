/**
 * A short piece of chaos in one real cluster: three scenarios, and then stores that somebody has tampered with, so that the
 * checker is seen to find it in real evidence too. The whole matrix: `hongbao chaos --matrix`.
 */
import { join } from "node:path";
import t from "tap";
import { ensurePackages, temporaryState } from "@hongbao/infra";
import { check } from "../../chaos/checker/check.ts";
import { readFacts, type OrderedTimes } from "../../chaos/checker/read-facts.ts";
import { play, type Played } from "../../chaos/play.ts";
import { groupsOf } from "../../chaos/run.ts";
import { readScenarios, type Scenario } from "../../chaos/scenario.ts";
import { ChaosCluster } from "../../chaos/stage/cluster.ts";

const SCENARIOS = ["redis-kill-slow-disk", "opening-kill-key", "sold-out-under-fire"];
const SEED = 20_261_125;

t.setTimeout(300_000);
await ensurePackages(["redis-server", "mariadb-server", "haproxy", "strace", "faketime"]);

t.test("three faults under load break no promise, and tampering is found", async (t) => {
  const dir = temporaryState(t);
  const known = readScenarios();
  const [group] = groupsOf(SCENARIOS.map((id) => shorter(known.get(id)!)));
  const { world, rounds, plays } = group!;
  const cluster = await ChaosCluster.start({
    dir,
    world,
    rounds,
    users: 800,
    tell: (text) => t.comment(text),
  });
  t.teardown(() => {
    // Nobody needs it any more: what takes seconds to stop well is not what is tested here.
    cluster.killAll();
    return cluster.stop();
  });
  const ordered = new Map<number, OrderedTimes>();
  let played: Played | null = null;
  for (const each of plays) {
    played = await play({
      ...each,
      cluster,
      seed: SEED,
      dir: join(dir, "logs"),
      ordered,
      tell: (text) => t.comment(text),
    });
    t.same(played.violations, [], each.scenario.id);
    t.ok(played.effect.won > 100, `${played.effect.won} prizes were told`);
  }
  const { entries, circumstances } = played!.evidence;
  const promises = async (): Promise<number[]> => {
    const found = check(entries, await readFacts(cluster, ordered, { audit: false }), circumstances);
    return [...new Set(found.map(({ promise }) => promise))].sort();
  };
  const pool = cluster.mysql("b0");
  const bucket = entries.find(({ bucket, prizes }) => bucket === "b0" && prizes.length > 0)!;
  const { prize } = bucket.prizes[0]!;
  const sql = async (text: string): Promise<void> => void (await pool.query(text));
  await sql(`UPDATE claims SET amount_minor = amount_minor + 1 WHERE prize_id = ${prize}`);
  t.match(await promises(), [2, 4], "a claim of another amount");
  await sql(`UPDATE claims SET amount_minor = amount_minor - 1 WHERE prize_id = ${prize}`);
  await sql(
    `UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE prize_id = ${prize} AND side = 'credit'`,
  );
  t.match(await promises(), [4], "a credit of another amount");
  await sql(
    `UPDATE ledger_entries SET amount_minor = amount_minor - 1 WHERE prize_id = ${prize} AND side = 'credit'`,
  );
  t.same(await promises(), [], "all is as it was");
  await sql(`UPDATE claims SET claimed_at = claimed_at - INTERVAL 1 HOUR WHERE prize_id = ${prize}`);
  t.ok((await promises()).includes(7), "a claim of before the opening");
  await sql(`DELETE FROM claims WHERE prize_id = ${prize}`);
  const found = await promises();
  for (const promise of [2, 4, 6])
    t.ok(found.includes(promise), `a claim that is gone: ${promise} in ${found.join()}`);
});

/** Fewer people, who come faster. */
function shorter(scenario: Scenario): Scenario {
  const { load, rounds } = scenario;
  return {
    ...scenario,
    load: { ...load, users: Math.round(load.users / 3), seconds: 3 },
    rounds: rounds.map((round) => ({ ...round, count: Math.round(round.count / 3) })),
  };
}
