import t from "tap";
import { commitmentOf, roundSeed, type TimeExpression } from "@hongbao/preprocess";
import type { RoundRecord } from "../../src/conductor/records.ts";
import { closeNow, move, openNow, parseMoment, reveal } from "../../src/conductor/requests.ts";

const NOW = 1_800_000_000_000;
const moment = { nowMs: NOW, slowestMs: NOW - 7 };
const wish = { by: "li", why: "the minister is late" };
const tenMinutes: TimeExpression = { kind: "afterOpening", ms: 600_000 };
const MINUTE = 60_000;

function record(fields: Partial<RoundRecord> = {}): RoundRecord {
  const change = { atMs: NOW - 1, by: "x", what: "x", why: "" };
  return {
    round: 4,
    v: 3,
    n: 5,
    state: "scheduled",
    opensAtMs: NOW + MINUTE,
    closesAtMs: NOW + 2 * MINUTE,
    published: false,
    change,
    ...fields,
  };
}

const refused = (message: RegExp) => ({ exitCode: 2, message });

t.test("open: now everywhere, also by the slowest clock; logged with who and why", (t) => {
  const next = openNow(record(), wish, moment, null);
  t.match(next, {
    state: "open",
    opensAtMs: NOW - 7,
    closesAtMs: NOW + 2 * MINUTE,
    v: 4,
    n: 6,
    published: false,
  });
  t.match(next.change, {
    by: "li",
    why: "the minister is late",
    what: /^opened by command \(planned: 2027-01-15T08:01:00.000Z\)$/,
    atMs: NOW,
  });
  const manual = record({ opensAtMs: null, closesAtMs: null });
  t.match(openNow(manual, wish, moment, tenMinutes), {
    closesAtMs: NOW - 7 + 600_000,
    change: { what: "opened by command" },
  });
  t.match(openNow(manual, wish, moment, null), { closesAtMs: null });
  t.match(openNow(manual, { ...wish, closesAtMs: NOW + 5 }, moment, tenMinutes), { closesAtMs: NOW + 5 });
  const tied = record({ closesAtMs: NOW + MINUTE + 600_000 });
  t.match(
    openNow(tied, wish, moment, tenMinutes),
    { closesAtMs: NOW - 7 + 600_000 },
    "ten minutes after the opening",
  );
  t.throws(() => openNow(record({ state: "open" }), wish, moment, null), refused(/round 4 is open already/));
  t.throws(() => openNow(record({ state: "closed" }), wish, moment, null), refused(/closed/));
  t.throws(
    () => openNow(record({ closesAtMs: NOW }), wish, moment, null),
    refused(/past; move the closing first/),
  );
  t.end();
});

t.test("close: now everywhere, and for good", (t) => {
  t.match(closeNow(record({ state: "open", published: true }), wish, moment), {
    state: "closed",
    closesAtMs: NOW - 7,
    v: 4,
    published: true,
    change: { what: /closed by command/ },
  });
  t.match(closeNow(record(), wish, moment), { state: "closed", closesAtMs: NOW - 7 }, "before it opened");
  t.throws(() => closeNow(record({ state: "closed" }), wish, moment), refused(/closed already/));
  t.end();
});

t.test("move: only what has not come yet", (t) => {
  const later = { ...wish, opensAtMs: NOW + 5 * MINUTE };
  t.match(move(record(), { ...later, closesAtMs: NOW + 6 * MINUTE }, moment, null), {
    opensAtMs: NOW + 5 * MINUTE,
    closesAtMs: NOW + 6 * MINUTE,
    v: 4,
    state: "scheduled",
  });
  t.match(move(record(), { ...wish, closesAtMs: NOW + 9 * MINUTE }, moment, null), {
    opensAtMs: NOW + MINUTE,
    closesAtMs: NOW + 9 * MINUTE,
  });
  const tied = record({ closesAtMs: NOW + MINUTE + 600_000 });
  t.match(
    move(tied, later, moment, tenMinutes),
    { closesAtMs: NOW + 5 * MINUTE + 600_000 },
    "the closing follows",
  );
  t.match(
    move(record({ closesAtMs: NOW + 20 * MINUTE }), later, moment, tenMinutes),
    { closesAtMs: NOW + 20 * MINUTE },
    "but not one that was moved by itself",
  );
  t.match(move(record({ opensAtMs: null, closesAtMs: null }), later, moment, tenMinutes), {
    opensAtMs: NOW + 5 * MINUTE,
    closesAtMs: NOW + 15 * MINUTE,
  });
  t.match(
    move(record(), { ...wish, opensAtMs: NOW - 1 }, moment, null),
    { opensAtMs: NOW - 1 },
    "a moment ago is now",
  );
  const opened = record({ state: "open", opensAtMs: NOW - MINUTE });
  t.match(move(opened, { ...wish, closesAtMs: NOW + MINUTE }, moment, null), {
    state: "open",
    closesAtMs: NOW + MINUTE,
    v: 4,
  });

  t.throws(() => move(record(), wish, moment, null), refused(/nothing to move/));
  t.throws(() => move(opened, later, moment, null), refused(/is open: its opening cannot be moved/));
  t.throws(
    () => move(record({ state: "closed" }), later, moment, null),
    refused(/closed round stays closed/),
  );
  t.throws(
    () => move(record(), { ...wish, opensAtMs: NOW - MINUTE }, moment, null),
    refused(/--opens-at: .*after now/),
  );
  t.throws(
    () => move(record(), { ...wish, closesAtMs: NOW }, moment, null),
    refused(/--closes-at: .*"round close"/),
  );
  t.throws(() => move(record(), later, moment, null), refused(/would close .* before it opens .* move both/));
  t.end();
});

t.test("times as people write them", (t) => {
  t.equal(parseMoment("+5m", "--opens-at", NOW), NOW + 5 * MINUTE);
  t.equal(parseMoment("now+30s", "--opens-at", NOW), NOW + 30_000);
  t.equal(parseMoment("2027-02-05T20:00:00+08:00", "--opens-at", NOW), Date.parse("2027-02-05T12:00:00Z"));
  for (const text of [
    "",
    "5m",
    "-5m",
    "+5",
    "tomorrow",
    "2027-02-05",
    "2027-02-05T20:00:00",
    "2027-02-30T20:00:00Z",
    "manual",
  ]) {
    t.throws(
      () => parseMoment(text, "--opens-at", NOW),
      refused(/^--opens-at: found ".*", expected a time such as/),
      text,
    );
  }
  t.end();
});

t.test("reveal: only a closed round, only the seed that was committed to, once", (t) => {
  const seed = roundSeed(Buffer.alloc(32, 1), 4);
  const draw = { seed: seed.toString("hex"), commitment: commitmentOf(seed) };
  const closed = record({ state: "closed" });
  const next = reveal(closed, wish, moment, draw);
  t.match(next, { seed: draw.seed, v: 3, n: 6, change: { by: "li", what: /revealed the seed/ } });
  t.equal(reveal(next, wish, moment, draw), next, "again: nothing changes");
  for (const state of ["scheduled", "open"] as const) {
    t.throws(() => reveal(record({ state }), wish, moment, draw), refused(new RegExp(`is ${state}`)));
  }
  const other = { ...draw, seed: roundSeed(Buffer.alloc(32, 1), 5).toString("hex") };
  t.throws(() => reveal(closed, wish, moment, other), refused(/not the seed/));
  t.throws(() => reveal(closed, wish, moment, { ...draw, seed: "" }), refused(/not the seed/));
  t.end();
});
