import fc from "fast-check";
import t from "tap";
import {
  clearSwitch,
  dropExpired,
  LiveSwitches,
  NO_SWITCHES,
  setSwitch,
  STANDARD_SWITCHES,
  SWITCH_NAMES,
  SWITCHES,
  switchPolicy,
  switchSetSchema,
  switchTrouble,
  valuesOf,
  type SwitchName,
  type SwitchSet,
  type SwitchSetting,
} from "../src/index.ts";

const NOW = 1_800_000_000_000;
const GOOD: Record<SwitchName, string[]> = {
  grab: ["on", "off"],
  ended: ["on", "off"],
  ack: ["event", "journal", "database"],
  payout: ["on", "off"],
  "limit.user": ["1", "5", "1000", "off"],
  "limit.ip": ["1", "100000", "off"],
  gate: ["1", "100000", "event"],
  lend: ["on", "off"],
  shed: ["busy", "ended"],
};
const BAD = ["", "ON", "yes", "0", "-1", "1.5", "05", "1e3", "1000001", "constructor", "off "];

const setting = (fields: Partial<SwitchSetting> = {}): SwitchSetting => ({
  name: "grab",
  bucket: null,
  value: "off",
  untilMs: NOW + 1_000,
  atMs: NOW,
  by: "ann",
  why: "",
  ...fields,
});

const anySetting = fc
  .record({
    name: fc.constantFrom(...SWITCH_NAMES),
    bucket: fc.constantFrom(null, "b0", "b1"),
    pick: fc.nat(),
    untilMs: fc.integer({ min: NOW - 5, max: NOW + 5 }),
  })
  .map(({ name, bucket, pick, untilMs }) =>
    setting({
      name,
      bucket: name === "limit.ip" ? null : bucket,
      value: GOOD[name][pick % GOOD[name].length]!,
      untilMs,
    }),
  );
const anySet = fc.array(anySetting, { maxLength: 12 }).map((all) => all.reduce(setSwitch, NO_SWITCHES));

t.test("each switch takes its own words and says what it expects of others", async (t) => {
  for (const name of SWITCH_NAMES) {
    for (const value of GOOD[name]) t.equal(switchTrouble(name, value, null), null, `${name} ${value}`);
    for (const value of BAD)
      t.match(
        switchTrouble(name, value, null),
        `${name}: found "${value}", expected ${SWITCHES[name].expected}`,
      );
    t.equal(switchTrouble(name, SWITCHES[name].standard, null), null, "the default is a value");
  }
  t.match(switchTrouble("limit.ip", "5", "b0"), /limit\.ip: found bucket b0, expected none/);
  t.equal(switchTrouble("limit.user", "5", "b0"), null);
  t.notOk(switchSetSchema.safeParse({ v: 1, settings: [setting({ value: "maybe" })] }).success);
  t.notOk(
    switchSetSchema.safeParse({ v: 1, settings: [setting({ name: "limit.ip", value: "5", bucket: "b0" })] })
      .success,
  );
});

t.test("nothing set, or nothing any more: the defaults", async (t) => {
  t.same(valuesOf([], "b0", NOW), STANDARD_SWITCHES);
  t.match(STANDARD_SWITCHES, {
    grab: true,
    ended: false,
    ack: "event",
    limitUser: 5,
    lend: true,
    shed: "busy",
  });
  fc.assert(
    fc.property(anySet, ({ settings }) => {
      t.same(valuesOf(settings, "b0", NOW + 5), STANDARD_SWITCHES);
    }),
    { numRuns: 30 },
  );
});

t.test("a bucket's own setting counts before the one for all, and only there", async () => {
  fc.assert(
    fc.property(anySet, fc.constantFrom("b0", "b1", "b2", null), ({ settings }, bucket) => {
      const values = valuesOf(settings, bucket, NOW);
      return SWITCH_NAMES.every((name) => {
        const live = settings.filter((each) => each.name === name && each.untilMs > NOW);
        const wanted =
          live.find((each) => each.bucket !== null && each.bucket === bucket) ??
          live.find((each) => each.bucket === null);
        const { field, read, standard } = SWITCHES[name];
        return values[field] === read(wanted?.value ?? standard);
      });
    }),
  );
});

t.test("a change is a new version with one setting a name and bucket, and fits the schema", async () => {
  fc.assert(
    fc.property(anySet, anySetting, (set, said) => {
      const next = setSwitch(set, said);
      const places = next.settings.map(({ name, bucket }) => `${name} ${bucket}`);
      return (
        next.v === set.v + 1 &&
        new Set(places).size === places.length &&
        next.settings.includes(said) &&
        switchSetSchema.safeParse(next).success
      );
    }),
  );
});

t.test("what is cleared or has had its time goes, all else stays", async () => {
  const isPart = (set: SwitchSet, next: { set: SwitchSet; gone: SwitchSetting[] }): boolean =>
    next.gone.length + next.set.settings.length === set.settings.length &&
    (next.gone.length === 0 ? next.set === set : next.set.v === set.v + 1);
  fc.assert(
    fc.property(
      anySet,
      fc.constantFrom(...SWITCH_NAMES),
      fc.constantFrom(null, "b0"),
      (set, name, bucket) => {
        const cleared = clearSwitch(set, name, bucket);
        const expired = dropExpired(set, NOW);
        return (
          isPart(set, cleared) &&
          cleared.gone.every((each) => each.name === name && (bucket === null || each.bucket === bucket)) &&
          !cleared.set.settings.some(
            (each) => each.name === name && (bucket === null || each.bucket === bucket),
          ) &&
          isPart(set, expired) &&
          expired.gone.every(({ untilMs }) => untilMs <= NOW) &&
          expired.set.settings.every(({ untilMs }) => untilMs > NOW)
        );
      },
    ),
  );
});

t.test("a set stays small", async (t) => {
  let set = NO_SWITCHES;
  for (let n = 0; n < switchPolicy.settingsMax; n += 1) set = setSwitch(set, setting({ bucket: `b${n}` }));
  t.throws(() => setSwitch(set, setting()), /found 200 already, expected at most 200/);
  t.equal(setSwitch(set, setting({ bucket: "b7", value: "on" })).settings.length, 200, "a change adds none");
  const longest = { by: "\u0001".repeat(100), why: "\u0001".repeat(300) };
  t.throws(() => {
    for (let n = 0; n < switchPolicy.settingsMax; n += 1)
      set = setSwitch(set, setting({ bucket: `b${n}`, ...longest }));
  }, /found \d+ bytes in all, expected at most 60000/);
  t.ok(Buffer.byteLength(JSON.stringify(set)) <= switchPolicy.bytesMax);
});

t.test("a process takes newer sets only, and returns by its own clock", async (t) => {
  let nowMs = NOW;
  const live = new LiveSwitches("b0", () => nowMs);
  const heard: boolean[] = [];
  live.onChange(({ grab }) => heard.push(grab));
  t.ok(live.take({ v: 2, settings: [setting({ untilMs: NOW + 30 })] }));
  t.equal(live.current.grab, false);
  t.notOk(live.take({ v: 1, settings: [] }), "older");
  t.notOk(live.take({ v: 2, settings: [] }), "the same version");
  t.equal(live.current.grab, false);
  nowMs += 30;
  // The timer does not hold a process alive, so something else must.
  while (!live.current.grab) await new Promise((resolve) => setTimeout(resolve, 5));
  t.same(heard, [false, true]);
  t.equal(live.set.v, 2, "the set is as it was told");
  live.take({ v: 3, settings: [setting({ bucket: "b1", untilMs: NOW + 9_000 })] });
  t.same(heard, [false, true], "another bucket's setting is no change");
  live.stop();
});
