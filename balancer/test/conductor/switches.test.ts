import t, { type Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { BadInput, NO_SWITCHES, type SwitchSet } from "@hongbao/preprocess";
import type { ControlStore } from "../../src/control/store.ts";
import { SwitchDesk } from "../../src/conductor/switches.ts";
import { memoryStore } from "./memory-store.ts";

const NOW = 1_800_000_000_000;

/** A process that obeys switches. */
function obedient(id: string, set: SwitchSet = NO_SWITCHES) {
  const process = {
    bucket: "b0",
    id,
    set,
    client: {
      get: async () => process.set,
      async put(next: SwitchSet) {
        if (next.v > process.set.v) process.set = next;
        return { v: process.set.v, written: true };
      },
    },
  };
  return process;
}

function desk(
  t: Test,
  store: ControlStore,
  processes: ReturnType<typeof obedient>[],
  nowMs: () => number = () => NOW,
): SwitchDesk {
  const made = new SwitchDesk({
    store,
    processes,
    buckets: ["b0", "b1"],
    nowMs,
    monotonicMs: () => performance.now(),
    self: "controller c0",
  });
  made.start();
  t.teardown(() => made.stop());
  return made;
}

const soon = (what: string, is: () => boolean): Promise<unknown> =>
  waitUntil(async () => is(), { what, timeoutMsMax: 10_000 });
const wish = (fields: object = {}) => ({
  name: "grab",
  value: "off",
  bucket: null,
  forMs: 60_000,
  by: "ann",
  why: "slow",
  ...fields,
});
const logOf = (store: ReturnType<typeof memoryStore>): { by: string; what: string; why: string }[] =>
  [...store.records]
    .filter(([name]) => name.startsWith("log/"))
    .map(([, { value }]) => JSON.parse(value) as { by: string; what: string; why: string });

t.test("a setting is pushed, logged, and leaves the record when its time is over, logged once", async (t) => {
  const store = memoryStore();
  const process = obedient("s0");
  let nowMs = NOW;
  const both = [desk(t, store, [process], () => nowMs), desk(t, store, [process], () => nowMs)];
  await both[0]!.order(wish({ bucket: "b1" }));
  await soon("a push", () => process.set.v === 1);
  t.match(process.set.settings, [
    { name: "grab", bucket: "b1", value: "off", untilMs: NOW + 60_000, by: "ann" },
  ]);
  await soon("the other controller", () => both[1]!.set.v === 1);
  nowMs += 60_000;
  t.same(both[0]!.live().settings, [], "at once, whoever drops it");
  await soon("the return", () => process.set.v === 2);
  t.same(process.set.settings, []);
  await soon("both", () => both.every(({ set }) => set.v === 2));
  t.match(logOf(store), [
    { by: "ann", why: "slow", what: /^switch grab of bucket b1 set to off until 2027-/ },
    { by: "controller c0", what: "returned by itself: switch grab of bucket b1 (was off, by ann; now on)" },
  ]);
  t.equal(logOf(store).length, 2);
});

t.test("two controllers change at once, and no word is lost; clearing takes all of a switch", async (t) => {
  const store = memoryStore();
  const both = [desk(t, store, []), desk(t, store, [])];
  await Promise.all([
    both[0]!.order(wish()),
    both[1]!.order(wish({ name: "ended", value: "on" })),
    both[0]!.order(wish({ bucket: "b0" })),
  ]);
  await Promise.all(both.map(async (each) => each.clear(wish({ name: "lend" }))));
  await soon("all", () => both.every(({ set }) => set.v === 3 && set.settings.length === 3));
  t.equal(logOf(store).length, 3, "clearing what is not set changes nothing");
  const { v, gone } = await both[1]!.clear(wish());
  t.same([v, gone.length], [4, 2]);
  t.match(both[1]!.set.settings, [{ name: "ended" }]);
});

t.test("lending, by bucket", async (t) => {
  const made = desk(t, memoryStore(), []);
  t.ok(made.lends("b0"));
  await made.order(wish({ name: "lend", value: "off", bucket: "b0" }));
  t.same([made.lends("b0"), made.lends("b1")], [false, true]);
});

t.test("what cannot be is refused by name, value and what is expected", async (t) => {
  const made = desk(t, memoryStore(), []);
  const refused = async (fields: object, words: RegExp): Promise<void> => {
    const error: unknown = await made.order(wish(fields)).catch((error: unknown) => error);
    t.ok(error instanceof BadInput);
    t.match((error as Error).message, words);
  };
  await refused({ name: "grap" }, /switch: found "grap", expected one of grab, ended, /);
  await refused({ value: "no" }, /grab: found "no", expected on or off/);
  await refused({ bucket: "b7" }, /--bucket: found "b7", expected one of b0, b1/);
  await refused({ forMs: 10 }, /--for: found 10 ms, expected 1s to 7d/);
  t.equal(made.set.v, 0);
});

t.test(
  "a lost control store is filled from the processes; an older copy of it counts under a newer version",
  async (t) => {
    const kept: SwitchSet = {
      v: 7,
      settings: [
        { name: "ended", bucket: null, value: "on", untilMs: NOW + 9_000, atMs: NOW, by: "li", why: "" },
      ],
    };
    const store = memoryStore();
    const made = desk(t, store, [obedient("s0", kept)]);
    await soon("the record", () => made.set.v === 7);
    t.match(made.set.settings, kept.settings);
    store.records.delete("switches");
    await soon("the record again", () => store.records.has("switches"));
    const older = memoryStore();
    const change = { atMs: NOW, by: "ann", what: "x", why: "" };
    await older.put("switches", JSON.stringify({ v: 3, settings: [], change }));
    const process = obedient("s0", kept);
    desk(t, older, [process]);
    await soon("the newer version", () => process.set.v === 8);
    t.same(process.set.settings, []);
  },
);

t.test("balancers say what they obey; one that falls silent is told apart", async (t) => {
  const made = desk(t, memoryStore(), []);
  made.heard({ id: "way-in", v: 3, requestsPerS: 10 });
  t.match(made.state().balancers, [{ id: "way-in", v: 3, requestsPerS: 10 }]);
  made.heard({ id: "way-in", v: null, requestsPerS: 0 });
  t.match(made.state().balancers, [{ id: "way-in", v: null }]);
});
