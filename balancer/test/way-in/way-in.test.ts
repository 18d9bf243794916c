/**
 * The way in against a whole cluster that is attacked: what HAProxy, services and controllers do together. In full:
 * HONGBAO_TEST_GUESSES=10000 HONGBAO_TEST_OPENINGS=20 HONGBAO_TEST_IDLE=10000 (the figures are among the comments).
 */
import t from "tap";
import { contractHolds, everyAnswer, tooOften } from "./api.ts";
import { headerGames, publicPaths, rawAttacks, type Victims } from "./attacks.ts";
import { secretsStaySecret, slowAndLarge } from "./bounds.ts";
import { sameForms, sameUsers } from "./identity.ts";
import { beforeOpening, keysAreNew, killedAndAway, openings, privateDoors } from "./opening.ts";
import { ROUND, startScene } from "./scene.ts";

const size = (name: string, standard: number): number =>
  Number(process.env[`HONGBAO_TEST_${name}`] ?? standard);
const GUESSES = size("GUESSES", 1_200);
const OPENINGS = size("OPENINGS", 3);
const IDLE = size("IDLE", 1_000);
const FORMS = size("FORMS", 400);

// A whole cluster on a machine that may be busy.
t.setTimeout(300_000);

t.test("the way in", async (t) => {
  const scene = await startScene(t, OPENINGS + 1);
  await t.test("without a secret nothing is told at the private doors", (t) => privateDoors(t, scene));
  const rounds = Array.from({ length: OPENINGS }, (_, index) => ROUND.more + index);
  let keys: string[] = [];
  await t.test("a round opens in all buckets at its time", async (t) => {
    keys = await openings(t, scene, rounds);
    keysAreNew(t, scene, keys);
  });
  await t.test("with its controller killed and a bucket away, too", (t) =>
    killedAndAway(t, scene, ROUND.more + OPENINGS),
  );
  await t.test("before the opening nobody gets anything", (t) => beforeOpening(t, scene, GUESSES, keys[0]!));
  const key = await scene.open(ROUND.all);
  const winners: Victims["winners"] = [scene.fresh(0), scene.fresh(1)];
  const victims: Victims = { key, winners, waiting: scene.fresh(0) };
  await t.test("once it is open the key works", async (t) => {
    for (const user of winners) {
      const headers = scene.bearer(user);
      const answer = await scene.ask(`/v1/rounds/${ROUND.all}/grab?k=${key}`, { method: "POST", headers });
      t.match(answer, { status: 200, json: { result: "won" } });
    }
  });
  await t.test("HAProxy and the services know the same users", (t) => sameUsers(t, scene));
  await t.test("in whatever form their claims come", (t) => sameForms(t, scene, FORMS));
  await t.test("no bytes are read in two ways", (t) => rawAttacks(t, scene, victims));
  await t.test("no path leads to what is not public", (t) => publicPaths(t, scene, victims));
  await t.test("no header of a client's counts behind the balancer", (t) => headerGames(t, scene, victims));
  await t.test("slow, idle and large requests keep nobody waiting", (t) => slowAndLarge(t, scene, IDLE));
  await t.test("whoever asks too often is told so", (t) => tooOften(t, scene, victims));
  await t.test("every answer, and what leads to it", (t) => everyAnswer(t, scene, victims));
  await t.test("the API is what its document says", async (t) => contractHolds(t, scene));
  await t.test("no secret shows anywhere", async (t) => secretsStaySecret(t, scene));
  const { code, stdout } = await scene.cluster.hongbao(["audit", "--json"]);
  t.equal(code, 0, `the books are right after all of it: ${stdout.slice(0, 500)}`);
});
