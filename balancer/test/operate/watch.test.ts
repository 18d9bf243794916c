import t from "tap";
import type { ControllerRound, ControllerState } from "../../src/operate/controllers.ts";
import { watchLines, type Sight } from "../../src/operate/watch.ts";

const NOW = Date.parse("2027-02-05T12:00:00Z");

function round(fields: Partial<ControllerRound> = {}): ControllerRound {
  return {
    round: 1,
    state: "scheduled",
    opensAtMs: NOW + 65_000,
    closesAtMs: NOW + 600_000,
    published: false,
    marks: { openInMs: {}, publishedMs: null, firstWinMs: null },
    buckets: [
      { id: "b0", reachable: true, current: true, issued: 3, left: 7 },
      { id: "b1", reachable: true, current: true, issued: 2, left: 8 },
    ],
    ...fields,
  };
}

function sight(rounds: ControllerRound[], fields: Partial<ControllerState> = {}): Sight {
  const state: ControllerState = {
    id: "c0",
    event: "spring",
    leading: true,
    store: "ok",
    nowMs: NOW,
    serving: true,
    buckets: [
      { id: "b0", reachable: true, clockOffsetMs: 0, fenced: null, mysql: "ok", lagRows: 0 },
      { id: "b1", reachable: false, clockOffsetMs: null, fenced: null, mysql: "down", lagRows: null },
    ],
    transfers: [],
    switches: [],
    balancers: [{ id: "way-in 1", v: 0, requestsPerS: 12_345 }],
    rounds,
    ...fields,
  };
  const controllers = [
    { id: "c0", state },
    { id: "c1", state: null },
  ];
  return { controllers, startFileMs: new Map(), balancer: "ok", winsPerS: 420.4 };
}

const text = (of: Sight): string => watchLines(of).join("\n");

t.test("before: a countdown, who is there, whose clock is where", (t) => {
  const shown = text(sight([round(), round({ round: 2, opensAtMs: null })]));
  t.match(shown, "controllers: c0 ok (leading, site), c1 down   balancer: ok");
  t.match(shown, "round 1  opens in 01:05");
  t.match(shown, 'round 2  waits for "hongbao round open 2"');
  t.match(shown, /b1 +NO +\? +down/);
  t.match(text(sight([round({ opensAtMs: NOW + 7_265_000 })])), "opens in 2:01:05");
  t.end();
});

t.test("after an opening: what happened when, or what is missing", (t) => {
  const opened = {
    state: "open" as const,
    published: true,
    opensAtMs: NOW - 5_000,
    marks: { openInMs: { b0: 100, b1: 210 }, publishedMs: 300, firstWinMs: 1_000 },
  };
  const all = sight([round(opened)]);
  all.startFileMs.set(1, 900);
  t.match(text(all), "round 1  open in 2/2 buckets at +0.2 s, start file seen at +0.9 s, first win +1.0 s");
  t.match(text(all), "5 issued, 15 left, closes at 12:10:00Z");
  const buckets = [round().buckets[0]!, { id: "b1", reachable: false, current: false }];
  const marks = { openInMs: { b0: 100 }, publishedMs: null, firstWinMs: null };
  const half = text(sight([round({ ...opened, buckets, marks })]));
  t.match(
    half,
    'open in 1/2 buckets at +0.1 s, MISSING b1: see "hongbao status", start file NOT published yet, no win yet',
  );
  t.match(text(sight([round({ state: "closed" })])), "round 1  closed   5 issued, 15 left");
  t.end();
});

t.test("no controller answers: said in one line", (t) => {
  const none: Sight = {
    controllers: [{ id: "c0", state: null }],
    startFileMs: new Map(),
    balancer: "down",
    winsPerS: null,
  };
  t.match(text(none), /c0 down   balancer: down\nno controller answers/);
  t.match(text(sight([], { nowMs: null })), "time unknown: no bucket within reach");
  t.end();
});

t.test("prizes that move: how many, from where to where, and what they wait for", (t) => {
  const loan = {
    n: 3,
    kind: "lend" as const,
    from: "b1",
    to: "b0",
    round: 1,
    toRound: 1,
    count: 225,
    moved: 0,
  };
  const shown = text(
    sight([round()], {
      transfers: [
        { ...loan, state: "done", trouble: null },
        { ...loan, n: 4, state: "leaving", trouble: "bucket b1 is away" },
        {
          ...loan,
          n: 5,
          kind: "roll",
          to: "b1",
          toRound: 2,
          count: null,
          moved: 1,
          state: "arriving",
          trouble: null,
        },
      ],
    }),
  );
  t.notMatch(shown, "transfer 3");
  t.match(shown, "transfer 4: up to 225 prizes, round 1: b1 -> b0, asking b1 (waits: bucket b1 is away)");
  t.match(shown, "transfer 5: 1 prize, b1: round 1 -> 2, arriving in b1");
  t.end();
});

t.test("traffic, silent HAProxies, and the switches with owner and time left", (t) => {
  const set = { name: "grab", value: "off", atMs: NOW, by: "ann" } as const;
  const shown = text(
    sight([round()], {
      switches: [
        { ...set, bucket: "b1", untilMs: NOW + 250_000, why: "" },
        { ...set, bucket: null, untilMs: NOW + 7_300_000, why: "redis is slow" },
      ],
      balancers: [
        { id: "way-in 1", v: 3, requestsPerS: 12_345 },
        { id: "way-in 2", v: null, requestsPerS: 0 },
      ],
    }),
  );
  t.match(shown, "traffic: 12,345 requests/s at HAProxy, 420 wins/s");
  t.match(shown, "HAProxy way-in 2 is not heard");
  t.match(
    shown,
    "switch grab is off, by ann, 2 h 1 min left (redis is slow)\nswitch grab is off in bucket b1, by ann, 4 min 10 s left",
  );
  t.end();
});
