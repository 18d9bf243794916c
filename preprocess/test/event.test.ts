import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { BadInput, readEvent, Unreachable } from "../src/index.ts";
import type { RoundFields } from "./fixtures.ts";
import { eventText, ITEM, temporaryDir, writeEvent } from "./fixtures.ts";

t.test("reads an event with everything in it", async (t) => {
  const dir = temporaryDir(t);
  const text = eventText(
    [
      {
        opensAt: "2027-02-05T20:00:00+08:00",
        closesAt: "2027-02-05T20:10:00+08:00",
        groups: "[staff]",
        perUser: "2",
        leftovers: "hold",
        title: "Round one",
      },
      { id: "2", split: "{ method: normal, min: 1.00, max: 19.00 }", opensAt: "manual", closesAt: "+10m" },
      { ...ITEM, gate: "10", spreadMs: "500" },
      {
        id: "4",
        split: "{ method: tiers, tiers: [{ amount: 55.00, count: 1 }, { amount: 5.00, count: 9 }] }",
      },
      { id: "5", split: "{ method: equal }" },
    ],
    { ack: "database", journalMax: "5000" },
  );
  const event = readEvent(writeEvent(dir, { event: text }));
  t.match(event, {
    id: "party",
    title: { zh: "新春红包", en: "Party" },
    currency: "CNY",
    budgetMinor: 100_000_000,
    usersPath: join(dir, "users.csv"),
    greetingsPath: join(dir, "greetings.txt"),
    ack: "database",
    journalMax: 5000,
  });
  const [first, second, third, fourth, fifth] = event.rounds;
  t.match(first, {
    id: 1,
    kind: "envelope",
    title: { zh: "Round one", en: "Round one" },
    opensAt: { kind: "at", ms: Date.UTC(2027, 1, 5, 12) },
    count: 10,
    budgetMinor: 10_000,
    split: { method: "lucky", minMinor: 1, maxMinor: 5000 },
    perUser: 2,
    groups: ["staff"],
    leftovers: "hold",
  });
  t.match(second, { opensAt: { kind: "manual" }, closesAt: { kind: "afterOpening", ms: 600_000 } });
  t.match(second?.split, { method: "normal", minMinor: 100, maxMinor: 1900, deviationMinor: 300 });
  t.match(third, {
    kind: "item",
    budgetMinor: 0,
    split: { method: "none" },
    gate: 10,
    spreadMs: 500,
    groups: null,
  });
  t.match(third?.item, { sku: "PHONE-1", title: { zh: "手机", en: "Phone" }, priceMinor: 100 });
  t.match(fourth?.split, {
    method: "tiers",
    tiers: [
      { amountMinor: 5500, count: 1 },
      { amountMinor: 500, count: 9 },
    ],
  });
  t.match(fifth, { split: { method: "equal" }, perUser: 1, leftovers: "next", spreadMs: 0 });
});

t.test("greetings may be left out, and lucky needs no bounds", async (t) => {
  const event = eventText([{ split: "{ method: lucky }" }], { greetings: "" });
  const plan = readEvent(writeEvent(temporaryDir(t), { event }));
  t.equal(plan.greetingsPath, null);
  t.equal(plan.journalMax, 200_000);
  t.match(plan.rounds[0]?.split, { minMinor: 1, maxMinor: 10_000 });
});

interface Refusal {
  what: string;
  rounds?: RoundFields[];
  fields?: RoundFields;
  text?: string;
  message: RegExp;
}

const at = (time: string): string => `2027-02-05T${time}:00+08:00`;

const REFUSALS: Refusal[] = [
  {
    what: "a budget above count × max",
    rounds: [{ budget: "500.01" }],
    message:
      /event\.yaml:14: rounds\[0\]\.budget: found 500\.01, expected 0\.10 to 500\.00 \(10 prizes of 0\.01 to 50\.00\)/,
  },
  {
    what: "a budget below count × min",
    rounds: [{ budget: "0.09" }],
    message: /:14: .*found 0\.09, expected 0\.10 to/,
  },
  {
    what: "min above max",
    rounds: [{ split: "{ method: normal, min: 9.00, max: 1.00 }" }],
    message: /:15: rounds\[0\]\.split\.min: found 9\.00, expected at most max, 1\.00/,
  },
  {
    what: "an equal share below a cent",
    rounds: [{ budget: "0.09", split: "{ method: equal }" }],
    message: /0\.01 for each/,
  },
  {
    what: "budgets that exceed the event's",
    rounds: [{}, { id: "2" }],
    fields: { budget: "199.99" },
    message:
      /event\.yaml:5: budget: found 199\.99, expected at least 200\.00, the sum of the rounds' budgets/,
  },
  {
    what: "tiers with another count",
    rounds: [{ split: "{ method: tiers, tiers: [{ amount: 10.00, count: 9 }] }" }],
    message: /split\.tiers: found 9 prizes in all tiers, expected 10/,
  },
  {
    what: "tiers with another sum",
    rounds: [{ split: "{ method: tiers, tiers: [{ amount: 10.01, count: 10 }] }" }],
    message: /split\.tiers: found 100\.10 in all tiers, expected 100\.00/,
  },
  {
    what: "a prize of nothing",
    rounds: [{ split: "{ method: lucky, min: 0, max: 1.00 }" }],
    message: /split\.min: found 0, expected an amount from 0\.01/,
  },
  {
    what: "half a cent",
    rounds: [{ budget: "100.005" }],
    message: /:14: rounds\[0\]\.budget: found 100\.005, expected .*2 decimals/,
  },
  {
    what: "an unknown split",
    rounds: [{ split: "{ method: fair }" }],
    message: /split.*method.*found "fair", expected .*lucky \| equal/,
  },
  {
    what: "a closing before the opening",
    rounds: [{ opensAt: at("20:00"), closesAt: at("19:00") }],
    message:
      /event\.yaml:12: rounds\[0\]\.closesAt: found 2027-02-05T11:00:00\.000Z, expected a time after opensAt/,
  },
  {
    what: "a closing at the opening",
    rounds: [{ opensAt: "now+30s", closesAt: "now+30s" }],
    message: /closesAt: found now\+30s/,
  },
  { what: "a closing after no time", rounds: [{ closesAt: "+0s" }], message: /closesAt: found \+0/ },
  {
    what: "a timestamp without timezone",
    rounds: [{ opensAt: "2027-02-05T20:00:00" }],
    message:
      /event\.yaml:11: rounds\[0\]\.opensAt: found "2027-02-05T20:00:00", expected a time with its timezone/,
  },
  {
    what: "a closing by command of a round that opens by itself",
    rounds: [{ opensAt: "now+1m", closesAt: "manual" }],
    message: /rounds\[0\]\.closesAt: is missing, expected a time/,
  },
  { what: "an opening after the opening", rounds: [{ opensAt: "+10m" }], message: /opensAt: found "\+10m"/ },
  {
    what: "a round id twice",
    rounds: [{}, { id: "1" }],
    message: /event\.yaml:16: rounds\[1\]\.id: found 1 again \(also rounds\[0\]\), expected a new id/,
  },
  {
    what: "a round id of 100",
    rounds: [{ id: "100" }],
    message: /:9: rounds\[0\]\.id: found 100, expected a whole number from 1 to 99/,
  },
  {
    what: "a count of 0",
    rounds: [{ count: "0" }],
    message: /count: found 0, expected a whole number from 1/,
  },
  { what: "half a prize", rounds: [{ count: "1.5" }], message: /count: found 1\.5, expected a whole number/ },
  {
    what: "a missing field",
    rounds: [{ count: "" }],
    message: /:9: rounds\[0\]\.count: is missing, expected a whole number/,
  },
  {
    what: "an unknown field",
    rounds: [{ bugdet: "1.00" }],
    message: /:16: rounds\[0\]\.bugdet: found an unknown field/,
  },
  {
    what: "an unknown field at the top",
    fields: { journalmax: "1" },
    message: /:8: journalmax: found an unknown field/,
  },
  {
    what: "an unknown kind",
    rounds: [{ kind: "cash" }],
    message: /rounds\[0\]\.kind: found "cash", expected .*envelope or kind: item/,
  },
  {
    what: "an item round with a budget",
    rounds: [{ ...ITEM, budget: "1.00" }],
    message: /budget: found an unknown field/,
  },
  { what: "a gate for envelopes", rounds: [{ gate: "10" }], message: /gate: found an unknown field/ },
  {
    what: "groups twice",
    rounds: [{ groups: "[staff, staff]" }],
    message: /groups: found staff, staff, expected each group once/,
  },
  { what: "no groups", rounds: [{ groups: "[]" }], message: /groups: found \[\], expected a list of 1/ },
  {
    what: "an event id in capitals",
    fields: { event: "Party" },
    message: /event\.yaml:1: event: found "Party", expected an id/,
  },
  {
    what: "an event id that is too long",
    fields: { event: "x".repeat(33) },
    message: /event: found "x+", expected an id of 1 to 32/,
  },
  {
    what: "an unknown timezone",
    fields: { timezone: "Asia/Peking2" },
    message: /:4: timezone: found "Asia\/Peking2", expected a timezone/,
  },
  { what: "a currency in words", fields: { currency: "yuan" }, message: /:3: currency: found "yuan"/ },
  {
    what: "an unknown ack",
    fields: { ack: "memory" },
    message: /ack: found "memory", expected one of journal, database/,
  },
  { what: "broken YAML", text: "event: [party\n", message: /event\.yaml:2:1: found .*expected YAML/ },
  {
    what: "an alias of nothing",
    text: "event: *spring\n",
    message: /event\.yaml: found .*alias.*expected YAML/i,
  },
  { what: "a field twice", text: "event: party\nevent: party\n", message: /event\.yaml:2:1: found .*unique/ },
  { what: "a list", text: "- 1\n", message: /event\.yaml:1: found \[1\], expected an event/ },
  { what: "an empty file", text: "", message: /event\.yaml:1: found null, expected an event/ },
  {
    what: "no rounds",
    text: eventText([]),
    message: /rounds: found null, expected a list of 1 to 99 rounds/,
  },
];

for (const { what, rounds, fields, text, message } of REFUSALS) {
  t.test(`refuses ${what}`, async (t) => {
    const path = writeEvent(temporaryDir(t), { event: text ?? eventText(rounds, fields) });
    t.throws(() => readEvent(path), { message, exitCode: 2 });
    t.throws(() => readEvent(path), BadInput);
  });
}

t.test("an event file that is not there is not reachable", async (t) => {
  t.throws(() => readEvent(join(temporaryDir(t), "event.yaml")), Unreachable);
});

t.test("an event file in another encoding is refused", async (t) => {
  const path = join(temporaryDir(t), "event.yaml");
  writeFileSync(path, Buffer.concat([Buffer.from("event: "), Buffer.from([0xd0, 0xc2, 0x0a])]));
  t.throws(() => readEvent(path), { message: /event\.yaml: found bytes that are not UTF-8/ });
});

t.test("a round without times is opened and closed by command", async (t) => {
  const text = eventText([{ opensAt: "manual", closesAt: "manual" }]).replace(
    /^ +(opensAt|closesAt): .*\n/gm,
    "",
  );
  const { rounds } = readEvent(writeEvent(temporaryDir(t), { event: text }));
  t.match(rounds[0], { opensAt: { kind: "manual" }, closesAt: { kind: "manual" } });
});
