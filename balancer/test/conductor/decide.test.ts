import fc from "fast-check";
import t from "tap";
import {
  decide,
  isOver,
  keyHash,
  type Action,
  type SeenBucket,
  type SeenRound,
  type World,
} from "../../src/conductor/decide.ts";
import type { RoundRecord } from "../../src/conductor/records.ts";

const NOW = 1_800_000_000_000;
const KEY = "a-key-of-the-round";

function record(fields: Partial<RoundRecord> = {}): RoundRecord {
  return {
    round: 1,
    v: 1,
    n: 1,
    state: "scheduled",
    opensAtMs: NOW + 60_000,
    closesAtMs: NOW + 120_000,
    published: false,
    change: { atMs: NOW, by: "test", what: "test", why: "" },
    ...fields,
  };
}

function seen(fields: Partial<SeenRound> = {}): SeenRound {
  return {
    v: 1,
    opensAtMs: NOW + 60_000,
    closesAtMs: NOW + 120_000,
    keyHash: null,
    stock: 1,
    left: 5,
    issued: 0,
    state: "scheduled",
    dry: false,
    final: false,
    ...fields,
  };
}

function bucket(
  id: string,
  round: Partial<SeenRound> | null = {},
  fields: Partial<SeenBucket> = {},
): SeenBucket {
  return {
    id,
    reachable: true,
    unsure: false,
    refusing: false,
    fenced: false,
    mysql: true,
    epoch: "e1",
    moves: 0,
    nowMs: NOW,
    rounds: new Map<number, SeenRound>(round === null ? [] : [[1, seen(round)]]),
    ...fields,
  };
}

function world(fields: Partial<World> & { record?: RoundRecord; key?: string }): World {
  const { record, key, ...rest } = fields;
  return {
    nowMs: NOW,
    buckets: [bucket("b0"), bucket("b1")],
    rounds: [1],
    records: new Map(record === undefined ? [] : [[1, record]]),
    keys: new Map(key === undefined ? [] : [[1, key]]),
    plans: [{ id: 1, kind: "envelope", groups: null, leftovers: "next" }],
    transfers: [],
    lends: () => true,
    self: "controller c0",
    ...rest,
  };
}

const open = { state: "open" as const, v: 2, opensAtMs: NOW - 1_000 };
const installed = { v: 2, opensAtMs: NOW - 1_000, keyHash: keyHash(KEY), state: "open" as const };
const away = { reachable: false, nowMs: null };

t.test("the first record is what the load put into the buckets; the newest counts", (t) => {
  const [action] = decide(world({ buckets: [bucket("b0"), bucket("b1", { v: 3, opensAtMs: NOW + 5 })] }));
  t.match(action, {
    kind: "change",
    next: { v: 3, opensAtMs: NOW + 5, state: "scheduled", published: false, n: 1 },
  });
  t.same(decide(world({ buckets: [bucket("b0", {}, away), bucket("b1", null)] })), [], "nobody to ask");
  t.end();
});

t.test("nothing is due before its time, and nothing at all while no bucket tells the time", (t) => {
  t.same(decide(world({ record: record() })), []);
  const late = record({ opensAtMs: NOW - 1, closesAtMs: NOW + 1 });
  t.same(decide(world({ record: late, nowMs: null, buckets: [bucket("b0", {}, away)] })), []);
  t.same(
    decide(
      world({
        record: record({ opensAtMs: null, closesAtMs: null }),
        buckets: [bucket("b0", { opensAtMs: null, closesAtMs: null })],
      }),
    ),
    [],
    "manual",
  );
  t.end();
});

t.test("an opening, step by step", (t) => {
  const due = record({ opensAtMs: NOW });
  const dueBuckets = [bucket("b0", { opensAtMs: NOW }), bucket("b1", { opensAtMs: NOW })];
  t.match(decide(world({ record: due, buckets: dueBuckets })), [
    { kind: "change", next: { state: "open", v: 2, published: false, change: { what: "opened on time" } } },
  ]);
  t.match(decide(world({ record: record(open) })), [{ kind: "decideKey", round: 1 }]);
  const installs = decide(world({ record: record(open), key: KEY }));
  t.match(installs, [
    { kind: "install", bucket: "b0", installation: { v: 2, key: KEY, opensAtMs: NOW - 1_000 } },
    { kind: "install", bucket: "b1", installation: { v: 2, key: KEY } },
  ]);
  const half = decide(
    world({ record: record(open), key: KEY, buckets: [bucket("b0", installed), bucket("b1")] }),
  );
  t.match(half, [{ kind: "install", bucket: "b1" }]);
  t.equal(half.length, 1, "not published: a bucket within reach has no key yet");
  const ready = {
    record: record(open),
    key: KEY,
    buckets: [bucket("b0", installed), bucket("b1", installed)],
  };
  t.match(decide(world(ready)), [
    { kind: "change", next: { published: true, v: 2, change: { what: /2 of 2/ } } },
  ]);
  t.same(decide(world({ ...ready, record: record({ ...open, published: true }) })), [], "done");
  t.end();
});

t.test(
  "a bucket that is away, or refuses, does not hold the others up; one that nobody has looked at does",
  (t) => {
    const opening = { record: record(open), key: KEY };
    const first = bucket("b0", installed);
    t.match(decide(world({ ...opening, buckets: [first, bucket("b1", {}, away)] })), [
      { kind: "change", next: { change: { what: /1 of 2/ } } },
    ]);
    const refused = decide(world({ ...opening, buckets: [first, bucket("b1", {}, { refusing: true })] }));
    t.match(refused, [
      { kind: "install", bucket: "b1" },
      { kind: "change", next: { published: true } },
    ]);
    t.same(
      decide(world({ ...opening, buckets: [first, bucket("b1", null, { ...away, unsure: true })] })),
      [],
    );
    t.same(
      decide(world({ ...opening, buckets: [bucket("b0", {}, { refusing: true })] })).map(({ kind }) => kind),
      ["install"],
      "nowhere installed, not published",
    );
    const lost = bucket("b0", installed, { refusing: true });
    t.match(
      decide(world({ ...opening, buckets: [lost] })),
      [{ kind: "change", next: { published: true } }],
      "the answer was lost, the work was done",
    );
    const back = decide(
      world({ record: record({ ...open, published: true }), key: KEY, buckets: [first, bucket("b1")] }),
    );
    t.match(
      back,
      [{ kind: "install", bucket: "b1", installation: { key: KEY } }],
      "it takes the key when it is back",
    );
    t.end();
  },
);

t.test("closing: on time, whatever came before; a round that was missed never opens", (t) => {
  const past = { closesAtMs: NOW - 1, opensAtMs: NOW - 100 };
  const buckets = [bucket("b0", past)];
  t.match(decide(world({ record: record(past), buckets })), [
    { kind: "change", next: { state: "closed", v: 1 } },
  ]);
  const opened = [bucket("b0", { ...installed, ...past })];
  t.match(decide(world({ record: record({ ...open, ...past }), key: KEY, buckets: opened })), [
    { kind: "change", next: { state: "closed", v: 2 } },
  ]);
  t.same(
    decide(world({ record: record({ ...open, ...past, state: "closed" }), key: KEY, buckets: opened })),
    [],
  );
  const behind = [bucket("b0")];
  t.match(
    decide(world({ record: record({ ...open, ...past, state: "closed" }), key: KEY, buckets: behind })),
    [{ kind: "install", installation: { closesAtMs: NOW - 1 } }],
    "also a bucket that comes back late is told",
  );
  t.end();
});

t.test("a control store that knows less than the buckets becomes newer than all of them", (t) => {
  const ahead = [bucket("b0", { v: 7, keyHash: keyHash("another key") }), bucket("b1")];
  t.match(decide(world({ record: record(), buckets: ahead })), [
    { kind: "change", next: { v: 8, state: "scheduled" } },
  ]);
  const differs = [bucket("b0", { opensAtMs: NOW + 1 })];
  t.match(decide(world({ record: record(), buckets: differs })), [{ kind: "change", next: { v: 2 } }]);
  t.end();
});

t.test("over: confirmed in every bucket, never guessed", (t) => {
  const opened = record({ ...open, published: true });
  const over = (buckets: SeenBucket[], of: RoundRecord = opened): boolean =>
    isOver(world({ record: of, key: KEY, buckets }), 1);
  const dry = { ...installed, left: 0, final: true };
  const closedIn = { ...installed, state: "closed" as const };
  t.ok(over([bucket("b0", dry), bucket("b1", closedIn)]));
  t.notOk(over([bucket("b0", dry), bucket("b1", installed)]), "one has some left");
  t.notOk(over([bucket("b0", dry), bucket("b1", { ...dry, v: 1 })]), "one has older times");
  t.notOk(over([bucket("b0", dry), bucket("b1", { ...dry, state: "scheduled" })]), "one has not opened");
  t.notOk(over([bucket("b0", dry), bucket("b1", dry, { fenced: true })]), "one is not to be believed");
  t.notOk(over([bucket("b0", dry), bucket("b1", dry, away)]), "one is away: what it has left is not known");
  t.notOk(over([bucket("b0", dry), bucket("b1", null, away)]), "one was never seen");
  t.notOk(
    over([bucket("b0", dry), bucket("b1", installed, { ...away, nowMs: NOW + 120_000 })]),
    "its clock has just come there",
  );
  t.ok(
    over([bucket("b0", dry), bucket("b1", installed, { ...away, nowMs: NOW + 122_000 })]),
    "by its own clock it has closed",
  );
  t.notOk(over([bucket("b0", dry), bucket("b1", dry)], record({ v: 2 })), "a scheduled round is not over");
  t.notOk(isOver(world({ buckets: [bucket("b0", dry)] }), 1), "nor is one that nobody knows");
  t.end();
});

const anySeen = fc.record({
  v: fc.integer({ min: 1, max: 4 }),
  opensAtMs: fc.constantFrom(null, NOW - 1_000, NOW + 60_000),
  closesAtMs: fc.constantFrom(null, NOW - 500, NOW + 120_000),
  keyHash: fc.constantFrom(null, keyHash(KEY), keyHash("another")),
  left: fc.constantFrom(0, 3),
});
const anyBucket = fc.record({
  seen: fc.option(anySeen),
  reachable: fc.boolean(),
  refusing: fc.boolean(),
  unsure: fc.boolean(),
});
const anyWorld = fc
  .record({
    buckets: fc.array(anyBucket, { minLength: 1, maxLength: 4 }),
    record: fc.option(
      fc.record({
        v: fc.integer({ min: 1, max: 4 }),
        state: fc.constantFrom("scheduled" as const, "open" as const, "closed" as const),
        opensAtMs: fc.constantFrom(null, NOW - 1_000, NOW + 60_000),
        closesAtMs: fc.constantFrom(null, NOW - 500, NOW + 120_000),
        published: fc.boolean(),
      }),
    ),
    hasKey: fc.boolean(),
  })
  .map(({ buckets, record: fields, hasKey }): World => {
    const all = buckets.map(({ seen: round, reachable, refusing, unsure }, index) =>
      bucket(`b${index}`, round, {
        reachable,
        refusing,
        unsure: unsure && !reachable,
        nowMs: reachable ? NOW : null,
      }),
    );
    return world({
      buckets: all,
      nowMs: all.some(({ reachable }) => reachable) ? NOW : null,
      ...(fields === null ? {} : { record: record(fields) }),
      ...(hasKey && fields !== null && fields.state !== "scheduled" ? { key: KEY } : {}),
    });
  });

/** Does the actions as everything that is within reach would. */
function apply(from: World, actions: Action[]): World {
  const buckets = from.buckets.map((each) => ({ ...each, rounds: new Map(each.rounds) }));
  const next: World = { ...from, buckets, records: new Map(from.records), keys: new Map(from.keys) };
  for (const action of actions) {
    if (action.kind === "change") next.records.set(action.round, action.next);
    else if (action.kind === "decideKey") next.keys.set(action.round, KEY);
    else if (action.kind === "install") {
      const target = buckets.find(({ id }) => id === action.bucket)!;
      const { key, ...times } = action.installation;
      const known = target.rounds.get(action.round)!;
      target.rounds.set(action.round, { ...known, ...times, keyHash: key === null ? null : keyHash(key) });
      target.refusing = false;
    }
  }
  return next;
}

t.test(
  "properties: from any state it comes to rest, only forward, and never shows a key that is not installed",
  (t) => {
    const order = ["scheduled", "open", "closed"];
    fc.assert(
      fc.property(anyWorld, (start) => {
        let current = start;
        for (let step = 0; step < 20; step += 1) {
          const actions = decide(current);
          if (actions.length === 0) {
            const settled = current.records.get(1);
            if (settled?.state !== "open" || current.nowMs === null) return true;
            const reach = current.buckets.filter((each) => each.reachable && each.rounds.has(1));
            return reach.length === 0 || settled.published || current.buckets.some(({ unsure }) => unsure);
          }
          for (const action of actions) {
            const before = current.records.get(1);
            if (action.kind === "install") {
              const known = current.buckets.find(({ id }) => id === action.bucket)!.rounds.get(1)!;
              if (action.installation.v <= known.v) return false;
              if (action.installation.key !== null && !current.keys.has(1)) return false;
            } else if (action.kind === "decideKey") {
              if (before?.state !== "open") return false;
            } else if (action.kind === "change" && before !== undefined) {
              const { next } = action;
              if (order.indexOf(next.state) < order.indexOf(before.state) || next.v < before.v) return false;
              if (next.n !== before.n + 1) return false;
              const shows = next.published && !before.published;
              const has = current.buckets.some(({ rounds }) => rounds.get(1)?.keyHash === keyHash(KEY));
              if (shows && !has) return false;
              const opens = next.state === "open" && before.state === "scheduled";
              if (opens && !(before.opensAtMs !== null && before.opensAtMs <= NOW)) return false;
            }
          }
          current = apply(current, actions);
        }
        return false;
      }),
      { numRuns: 10_000 },
    );
    t.pass("held");
    t.end();
  },
);
