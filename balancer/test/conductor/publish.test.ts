import t from "tap";
import { roundsJson, startFile } from "../../src/conductor/publish.ts";
import type { RoundRecord } from "../../src/conductor/records.ts";
import { manifestOf } from "./model.ts";

const NOW = Date.parse("2027-02-05T12:00:00.123Z");
const change = { atMs: NOW, by: "x", what: "x", why: "" };
const record: RoundRecord = {
  round: 1,
  v: 2,
  n: 3,
  state: "open",
  opensAtMs: NOW - 123,
  closesAtMs: NOW + 600_000,
  published: true,
  change,
};

t.test("the start file, to the letter", (t) => {
  t.equal(
    startFile(record, "KEY", NOW),
    'hongbaoStart({"round":1,"key":"KEY","opensAt":"2027-02-05T12:00:00.000Z","closesAt":"2027-02-05T12:10:00.123Z","serverTime":"2027-02-05T12:00:00.123Z"});',
  );
  t.equal(
    startFile({ ...record, published: false }, "KEY", NOW),
    'hongbaoStart({"round":1,"key":null,"opensAt":"2027-02-05T12:00:00.000Z","closesAt":"2027-02-05T12:10:00.123Z","serverTime":"2027-02-05T12:00:00.123Z"});',
    "a key that is decided and not yet in the buckets is not shown",
  );
  t.match(
    startFile(
      { ...record, published: false, opensAtMs: null, closesAtMs: null, state: "scheduled" },
      null,
      NOW,
    ),
    '"key":null,"opensAt":null,"closesAt":null',
  );
  t.end();
});

t.test("the schedule", (t) => {
  const manifest = manifestOf([1, 2]);
  manifest.rounds[1] = {
    ...manifest.rounds[1]!,
    kind: "item",
    title: { zh: "二", en: "Two" },
    item: { sku: "PHONE-1", title: { zh: "手机", en: "Phone" }, priceMinor: 100 },
  };
  const second: RoundRecord = {
    ...record,
    round: 2,
    state: "scheduled",
    published: false,
    opensAtMs: null,
    closesAtMs: null,
  };
  t.equal(roundsJson(manifest, new Map([[1, record]]), NOW), null, "half a schedule is none");
  t.strictSame(
    JSON.parse(
      roundsJson(
        manifest,
        new Map([
          [1, record],
          [2, second],
        ]),
        NOW,
      )!,
    ),
    {
      event: "test",
      title: { zh: "测试", en: "Test" },
      currency: "CNY",
      serverTime: "2027-02-05T12:00:00.123Z",
      rounds: [
        {
          id: 1,
          kind: "envelope",
          title: { zh: "测试", en: "Test" },
          opensAt: "2027-02-05T12:00:00.000Z",
          closesAt: "2027-02-05T12:10:00.123Z",
          state: "open",
          count: 20,
          perUser: 1,
          spreadMs: 500,
          commitment: "c".repeat(64),
        },
        {
          id: 2,
          kind: "item",
          title: { zh: "二", en: "Two" },
          opensAt: null,
          closesAt: null,
          state: "scheduled",
          count: 20,
          perUser: 1,
          spreadMs: 500,
          commitment: "c".repeat(64),
          item: { sku: "PHONE-1", title: { zh: "手机", en: "Phone" }, price: 100 },
        },
      ],
    },
  );
  t.end();
});
