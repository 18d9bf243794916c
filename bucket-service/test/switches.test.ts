import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { LiveSwitches, NO_SWITCHES, setSwitch, type SwitchName, type SwitchSet } from "@hongbao/preprocess";
import { switchesClient, type SwitchesClient } from "../src/admin/money-client.ts";
import { openFrame } from "../src/process.ts";
import { SwitchKeeper, switchesPath } from "../src/switches/keeper.ts";
import { world, type World } from "./world.ts";

process.env.HONGBAO_LOG = "silent";

/** Sets switches in one process, as the conductor does. */
function desk(w: World, admin: string) {
  const client: SwitchesClient = switchesClient({
    admin,
    operatorSecret: w.secrets.operator,
    timeoutMs: 3_000,
  });
  let set: SwitchSet = NO_SWITCHES;
  return {
    client,
    put: async (name: SwitchName, value: string, fields: { forMs?: number; bucket?: string } = {}) => {
      const atMs = Date.now();
      const { forMs = 60_000, bucket = null } = fields;
      set = setSwitch(set, { name, bucket, value, untilMs: atMs + forMs, atMs, by: "ann", why: "" });
      return client.put(set);
    },
    clear: async () => {
      set = { v: set.v + 1, settings: [] };
      return client.put(set);
    },
  };
}

const serviceOf = (w: World) => (w.topology.buckets[0]!.services as { admin: string }[])[0]!;
const word = async (w: World, user: string): Promise<unknown> => (await w.grab(user)).body["result"];
const soon = (what: string, is: () => Promise<boolean>) => waitUntil(is, { what, timeoutMsMax: 20_000 });

t.test("grab and ended are obeyed by the services, return by themselves, and are kept", async (t) => {
  const w = await world(t, { users: 20 });
  const { put, clear, client } = desk(w, serviceOf(w).admin);
  await w.open(1, "k");
  t.equal(await word(w, "u1"), "won");
  t.same(await put("grab", "off", { forMs: 1_000 }), { v: 1, written: true });
  t.match(await w.grab("u2"), { status: 503, body: { result: "busy", round: 1 } });
  t.match(await w.grab("u2", { headers: { "x-hongbao-second-pass": "1" } }), { status: 503 });
  t.equal(await word(w, "stranger"), "not_eligible", "only who may take part is told to come again");
  t.match((await w.get("u1", "/v1/rounds/1/result")).body["wins"], [{ n: 1 }], "what was won is told");
  const { rounds } = await w.admin(0).state();
  t.equal(rounds[0]!.issued, 1, "nothing was taken");
  await soon("the return", async () => (await word(w, "u2")) === "won");
  t.match(await client.get(), { v: 1, values: { grab: true } }, "by itself: the set is the same");

  await put("ended", "on");
  t.match(await w.grab("u3", { key: "wrong" }), { status: 200, body: { result: "ended" }, stock: null });
  await put("grab", "off");
  t.equal(await word(w, "u3"), "ended", "ended counts before busy");
  await clear();
  t.equal(await word(w, "u3"), "won");
  await put("ended", "on", { bucket: "b7" });
  t.equal(await word(w, "u4"), "won", "another bucket's setting");

  t.same(await client.put({ v: 1, settings: [] }), { v: 5, written: true }, "an older set changes nothing");
  await t.rejects(
    client.put({ v: 9, settings: [{ name: "grab", value: "maybe" }] } as never),
    /400.*settings/s,
  );
  await put("ended", "on");
  await isKept(t, w);
});

/** A process that starts while nobody can be asked. */
async function isKept(t: Test, w: World): Promise<void> {
  const path = switchesPath(w.topology.path, "b0", "s0");
  const text = readFileSync(path, "utf8");
  t.notMatch(text, w.secrets.operator);
  const started = openFrame(w.topology, "b0", "grab", "s0");
  t.equal(started.switches.current.ended, true);
  t.equal(openFrame(w.topology, "b0", "grab", "s9").switches.current.ended, false, "another process's copy");
  for (const damaged of ["", "{}", text.replace('"event":"world"', '"event":"other"'), text.slice(0, -20)]) {
    writeFileSync(path, damaged);
    t.equal(openFrame(w.topology, "b0", "grab", "s0").switches.current.ended, false, damaged.slice(0, 30));
  }
  // A file system that refuses is no reason not to obey.
  writeFileSync(join(w.dir, "no-folder"), "");
  const live = new LiveSwitches("b0");
  const troubles: unknown[] = [];
  const keeper = new SwitchKeeper({
    live,
    path: join(w.dir, "no-folder", "s0.json"),
    event: "world",
    packDigest: w.pack.digest,
    onTrouble: (error) => troubles.push(error),
  });
  const { v, settings } = (JSON.parse(text) as { set: SwitchSet }).set;
  t.same(keeper.push({ v, settings }), { applied: true, written: false });
  t.same(keeper.push({ v: v + 1, settings }), { applied: true, written: false });
  t.equal(live.current.ended, true);
  t.equal(troubles.length, 2, "that it cannot be read, and that it cannot be written, each said once");
  live.stop();
}

t.test("ack changes while people grab, both ways, and nothing that was told is denied", async (t) => {
  const w = await world(t, { users: 20, persist: false });
  const { put, clear } = desk(w, serviceOf(w).admin);
  await w.open(1, "k");
  const result = async (user: string) => (await w.get(user, "/v1/rounds/1/result")).body;
  t.equal(await word(w, "u1"), "won", "told without MySQL");
  t.match(await result("u1"), { wins: [{ n: 1 }] });
  await put("ack", "database");
  t.equal(await word(w, "u2"), "busy", "MySQL does not have it");
  t.equal(await word(w, "u1"), "busy", "a repeat neither");
  t.match(await result("u1"), { result: "busy" }, "told before: not denied now");
  t.match(await result("u2"), { result: "busy" }, "not told before: not told now");
  t.same(await result("u3"), { round: 1, wins: [] });
  const persist = await w.startPersist(0);
  await soon("the commit", async () => (await word(w, "u2")) === "won");
  await soon("the results", async () => {
    const both = [await result("u1"), await result("u2")];
    return both.every(({ wins }) => (wins as unknown[] | undefined)?.length === 1);
  });
  t.equal(await word(w, "u4"), "won", "with MySQL it goes on");
  await persist.stop();
  await soon("persist is gone", async () => (await word(w, "u5")) === "busy");
  await clear();
  t.equal(await word(w, "u5"), "won", "as before, and the same prize");
  t.equal(await word(w, "u6"), "won");
});

t.test("payout off: nothing new is paid until it returns", async (t) => {
  const w = await world(t, { users: 20 });
  await w.startPayout(0);
  const { put } = desk(w, w.topology.buckets[0]!.payout[0]!.admin);
  await put("payout", "off", { forMs: 2_000 });
  await w.open(1, "k");
  t.equal(await word(w, "u1"), "won");
  const payout = async (): Promise<unknown> => {
    const wins = (await w.get("u1", "/v1/wins")).body["wins"] as { payout: string }[];
    return wins[0]?.payout;
  };
  await new Promise((resolve) => setTimeout(resolve, 800));
  t.equal(await payout(), "pending");
  await soon("the payment", async () => (await payout()) === "paid");
});
