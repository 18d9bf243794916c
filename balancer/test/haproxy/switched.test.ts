import t from "tap";
import type { SwitchSet, SwitchSetting } from "@hongbao/preprocess";
import { mergeNews, readNews, roundsView } from "../../src/haproxy/news.ts";
import { reconcileVariables } from "../../src/haproxy/runtime.ts";
import {
  mergeSwitches,
  readKnownSwitches,
  STANDARD_VARIABLES,
  switchView,
} from "../../src/haproxy/switched.ts";
import { ask, bearer, startRig } from "./harness.ts";
import { bucketOf } from "@hongbao/preprocess";

const NOW = 1_800_000_000_000;
const setting = (fields: Partial<SwitchSetting>): SwitchSetting => ({
  name: "grab",
  bucket: null,
  value: "off",
  untilMs: NOW + 1_000,
  atMs: NOW,
  by: "ann",
  why: "",
  ...fields,
});
const view = (...settings: Partial<SwitchSetting>[]) => {
  const { word, places, variables } = switchView(settings.map(setting), ["b0", "b1"], NOW);
  return { word, places: [...places.values()].join(" "), variables };
};

t.test("grab and ended as words of the rounds and places of the buckets", async (t) => {
  const bare = { word: "live", places: "b0 b1", variables: STANDARD_VARIABLES };
  t.same(view(), bare);
  t.match(STANDARD_VARIABLES, { "proc.limit_user": 5, "proc.limit_ip": 50, "proc.shed_ended": 0 });
  t.same(view({ untilMs: NOW }), bare, "its time is over");
  t.match(view({}), { word: "switched", places: ":busy :busy" });
  t.match(view({ bucket: "b1" }), { word: "switched", places: "b0 :busy" });
  t.match(view({ bucket: "b9" }), bare);
  const ended = { name: "ended", value: "on" } as const;
  t.match(view(ended), { word: "over", places: ":ended :ended" });
  t.match(view({}, ended), { word: "over" }, "ended counts before busy");
  t.match(view(ended, { ...ended, bucket: "b0", value: "off" }), { word: "switched", places: "b0 :ended" });
});

t.test("the limits: the most that any bucket allows; shed for all", async (t) => {
  const limit = (value: string, bucket: string | null = null) =>
    ({ name: "limit.user", value, bucket }) as const;
  const user = (...settings: Partial<SwitchSetting>[]) => view(...settings).variables["proc.limit_user"];
  t.equal(user(limit("9")), 9);
  t.equal(user(limit("2", "b0")), 5);
  t.equal(user(limit("7", "b0")), 7);
  t.equal(user(limit("off", "b1")), 0);
  t.match(view({ name: "limit.ip", value: "off" }).variables, { "proc.limit_ip": 0 });
  t.match(view({ name: "shed", value: "ended" }).variables, { "proc.shed_ended": 1 });
  t.match(view({ name: "shed", value: "ended", bucket: "b0" }).variables, { "proc.shed_ended": 0 });
});

t.test("newer versions count, and an empty control store does not undo what is known", async (t) => {
  const set = (v: number): SwitchSet => ({ v, settings: v === 0 ? [] : [setting({ value: "off" })] });
  const said = (v: number, epoch = "1", event = "e") => ({ event, epoch, switches: set(v) });
  const known = mergeSwitches(null, [said(2), said(3)], "e");
  t.equal(known?.set.v, 3);
  t.equal(mergeSwitches(known, [said(2)], "e"), known);
  t.equal(mergeSwitches(known, [{ event: "e", epoch: "1" }], "e"), known, "a controller of before");
  t.equal(mergeSwitches(known, [said(9, "1", "other")], "e"), known);
  t.equal(mergeSwitches(known, [said(0, "2")], "e"), known, "a new control store that knows nothing yet");
  t.match(mergeSwitches(known, [said(1, "2")], "e"), { epoch: "2", set: { v: 1 } });
  t.match(mergeSwitches(known, [said(8, "2"), said(4)], "e"), { epoch: "1", set: { v: 4 } });
  t.same(readKnownSwitches(JSON.stringify(known), "e"), known);
  t.equal(readKnownSwitches(JSON.stringify(known), "other"), null);
  t.equal(readKnownSwitches("", null), null);

  const news = { event: "e", epoch: "1", rounds: [{ id: 1, known: true, over: true, stocks: {} }] };
  t.match(readNews({ ...news, switches: set(3) }), { switches: { v: 3 } });
  const odd = readNews({ ...news, switches: { v: 3, settings: [{ name: "of a later version" }] } });
  t.equal(odd?.switches, undefined);
  const rounds = mergeNews(null, [odd!], null);
  t.same(
    [...roundsView(rounds, [1, 2], "switched").rounds],
    [
      [1, "over"],
      [2, "switched"],
    ],
  );
});

t.test("HAProxy answers for the buckets that are switched, and asks the others", async (t) => {
  const rig = await startRig(t);
  const of = (bucket: number): string =>
    Array.from({ length: 50 }, (_, n) => `u${n}`).find((user) => bucketOf(rig.topology, user) === bucket)!;
  const [first, second] = [of(0), of(1)];
  t.match(await rig.grab(1, first), { status: 200, json: { bucket: "b0" } });
  await rig.setPlaces({ b0: ":busy", b1: "b1" });
  t.match(await rig.grab(1, first), { status: 200, json: { bucket: "b0" } }, "not looked at yet");
  await rig.setRounds({ 1: "switched" });
  const asked = rig.services["b0"]![0]!.requests;
  t.match(await rig.grab(1, first), {
    status: 503,
    json: { result: "busy" },
    headers: { "retry-after": "1", "cache-control": "no-store" },
  });
  t.match(await rig.grab(1, second), { status: 200, json: { bucket: "b1" } });
  t.match(
    await ask(rig.port, "/v1/rounds/1/grab?k=x", { method: "POST" }),
    { status: 401 },
    "only who may ask is told to come again",
  );
  const look = (path: string) => ask(rig.port, path, { headers: bearer(first) });
  t.equal(rig.services["b0"]![0]!.requests, asked);
  t.match(await look("/v1/rounds/1/result"), { status: 200, json: { bucket: "b0" } });
  t.match(await look("/v1/wins"), { status: 200, json: { bucket: "b0" } });
  await rig.setPlaces({ b0: "b0", b1: ":ended" });
  t.match(await rig.grab(1, first), { json: { bucket: "b0" } });
  t.match(await rig.grab(1, second), { status: 200, json: { result: "ended", round: 1 } });

  const { runtime } = rig.master;
  const shown = async (name: string) => /<(\d+)>/.exec(await runtime.command(`get var ${name}`))?.[1];
  t.equal(await shown("proc.limit_user"), "0");
  await reconcileVariables(runtime, { ...STANDARD_VARIABLES, "proc.limit_user": 77, "proc.shed_ended": 1 });
  t.equal(await shown("proc.limit_user"), "77");
  t.equal(await shown("proc.limit_ip"), "50");
  t.equal(await shown("proc.shed_ended"), "1");
  await reconcileVariables(runtime, STANDARD_VARIABLES);
  t.equal(await shown("proc.limit_user"), "5");
});
