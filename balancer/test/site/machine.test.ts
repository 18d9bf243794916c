import * as fc from "fast-check";
import t from "tap";
import * as machine from "../../site/machine.js";

type Play = ReturnType<typeof machine.createPlay>;
type Event = Parameters<typeof machine.step>[1];
type Round = Parameters<typeof machine.createPlay>[0];
type Win = Parameters<typeof machine.createPlay>[1][number];

const NOW_MS = 1_800_000_000_000;
const ROUND: Round = {
  id: 7,
  kind: "envelope",
  title: null,
  opensAtMs: NOW_MS,
  closesAtMs: NOW_MS + 600_000,
  state: "scheduled",
  count: 10,
  perUser: 1,
  spreadMs: 400,
  item: null,
};
const START = { type: "start", key: "k1", opensAtMs: NOW_MS, closesAtMs: NOW_MS + 600_000 };

const won = (n: number): Win => ({
  round: 7,
  n,
  prize: { id: String(100 + n), kind: "envelope", amount: 8 },
});

/** Runs events, each with the `seq` that its effect had, and keeps what the last one led to. */
function run(events: Event[], { round = ROUND, wins = [] as Win[], random = 0.5, nowMs = NOW_MS } = {}) {
  let play: Play = machine.createPlay(round, wins);
  let effects: ReturnType<typeof machine.step>["effects"] = [];
  for (const event of events) {
    const dated = ["armed", "grabAnswer", "resultAnswer"].includes(event.type)
      ? { seq: play.seq, ...event }
      : event;
    ({ play, effects } = machine.step(play, dated, { nowMs, random }));
  }
  return { play, effects, state: play.state };
}

const answer = (result: string, more: object = {}): Event => ({
  type: "grabAnswer",
  result,
  retryAfterMs: 0,
  ...more,
});
const opened: Event[] = [{ type: "begin" }, START, { type: "armed" }, { type: "press" }];
const ended: Event[] = [...opened, answer("ended")];
const nothing: Event = { type: "resultAnswer", result: "wins", wins: [], retryAfterMs: 0 };

void t.test("the good way: wait, spread, ready, one press, won", async (t) => {
  t.match(run([{ type: "begin" }]).effects, [{ do: "poll" }]);
  t.match(run([{ type: "begin" }, { ...START, key: null }]), { state: "waiting", effects: [] });
  t.match(run([{ type: "begin" }, START]), { state: "arming", effects: [{ do: "arm", afterMs: 200 }] });
  t.equal(run([{ type: "begin" }, START, { type: "armed" }]).state, "ready");
  t.match(run(opened), { state: "opening", effects: [{ do: "grab", afterMs: 0, n: 1, key: "k1" }] });
  t.match(
    run([...opened, { type: "press" }]),
    { state: "opening", effects: [] },
    "a second press is nothing",
  );
  const end = run([...opened, answer("won", { wins: [won(1)] })]);
  t.match(end, { state: "won", effects: [{ do: "keep" }] });
  t.equal(machine.isSettled(end.play), true);
});

void t.test("only the first arming is spread", async (t) => {
  const again = run([...opened, answer("not_open", { opensAtMs: null }), START]);
  t.match(again, { state: "arming", effects: [{ do: "arm", afterMs: 0 }] });
});

void t.test(
  "busy, failures and answers without sense: again, later and later, honouring Retry-After",
  async (t) => {
    const delays = [1, 2, 3].map((times) => {
      const { effects, state } = run([...opened, ...Array<Event>(times).fill(answer("busy"))]);
      t.equal(state, "retrying");
      return (effects[0] as { afterMs: number }).afterMs;
    });
    t.ok(delays[0]! < delays[1]! && delays[1]! < delays[2]!);
    t.match(run([...opened, answer("nonsense", { retryAfterMs: 3_000 })]).effects[0], { do: "grab", n: 1 });
    for (const random of [0, 0.999]) {
      const [effect] = run([...opened, answer("busy", { retryAfterMs: 3_000 })], { random }).effects;
      t.ok((effect as { afterMs: number }).afterMs >= 3_000);
    }
    t.ok(machine.retryDelayMs(machine.GRAB_RETRY, 50, 1e12, 1) < 60_000, "no wait is endless");
    t.match(run([...opened, answer("limited", { retryAfterMs: 1_000 })]), {
      state: "retrying",
      play: { why: "pace" },
    });
  },
);

void t.test("asking again is bounded, in number and in time, and can be begun anew", async (t) => {
  const busy = Array<Event>(20).fill(answer("busy"));
  const given = run([...opened, ...busy.slice(0, machine.GRAB_RETRY.attemptsMax + 1)]);
  t.equal(given.state, "unclear");
  const { play } = run(opened);
  const late = machine.step(
    { ...play },
    { ...answer("busy"), seq: play.seq },
    { nowMs: NOW_MS + 61_000, random: 0 },
  );
  t.equal(late.play.state, "unclear");
  const again = machine.step(given.play, { type: "again" }, { nowMs: NOW_MS, random: 0 });
  t.match(again, { play: { state: "retrying", attempt: 0 }, effects: [{ do: "grab", afterMs: 0, n: 1 }] });
  const afterEnd = machine.step(given.play, { type: "again" }, { nowMs: NOW_MS + 700_000, random: 0 });
  t.match(afterEnd, { play: { state: "checking" }, effects: [{ do: "result" }] });
});

void t.test(
  "ended: /result is asked once, 1 to 10 s later, and a win that was lost on the way is found",
  async (t) => {
    for (const [random, afterMs] of [
      [0, 1_000],
      [1, 10_000],
    ] as const) {
      t.match(run(ended, { random }), { state: "checking", effects: [{ do: "result", afterMs }] });
    }
    const end = run([...ended, nothing]);
    t.match(end, { state: "ended" });
    t.notOk(end.effects.some((effect) => effect.do === "result"));
    t.equal(run([...ended, { ...nothing, wins: [won(1)] }]).state, "won");
    t.equal(
      run([...ended, { ...nothing, wins: [{ ...won(1), round: 8 }] }]).state,
      "ended",
      "of this round only",
    );
    t.match(run([...ended, { ...nothing, result: "busy" }]), {
      state: "checking",
      effects: [{ do: "result" }],
    });
    t.equal(run([...ended, ...Array<Event>(6).fill({ ...nothing, result: "busy" })]).state, "unclear");
  },
);

void t.test("the other words", async (t) => {
  const states = ["not_eligible", "unauthorized", "no_such_round", "bad_request"].map(
    (w) => run([...opened, answer(w)]).state,
  );
  t.same(states, ["barred", "signin", "ended", "unclear"]);
  const moved = run([...opened, answer("not_open", { opensAtMs: NOW_MS + 5_000 })]);
  t.match(moved, {
    state: "waiting",
    play: { key: null, round: { opensAtMs: NOW_MS + 5_000 } },
    effects: [{ do: "poll" }],
  });
  t.match(run([...opened, answer("unauthorized"), { type: "session" }]), {
    state: "waiting",
    effects: [{ do: "poll" }],
  });
  t.equal(run([{ type: "begin" }, { type: "signedOut" }]).state, "signin");
});

void t.test("answers that come too late change nothing", async (t) => {
  const { play } = run([...opened, answer("busy")]);
  for (const type of ["grabAnswer", "resultAnswer", "armed"]) {
    const event = { type, seq: play.seq - 1, result: "ended", wins: [], retryAfterMs: 0 };
    t.equal(machine.step(play, event, { nowMs: NOW_MS, random: 0 }).play, play);
  }
});

void t.test("the round closes: over for who did not press, asked for who did, a win stays", async (t) => {
  t.equal(run([{ type: "begin" }, { type: "closed" }]).state, "ended");
  t.equal(run([...opened, { type: "closed" }]).state, "opening", "the server answers a press");
  t.equal(run([...opened, answer("not_open"), { type: "closed" }]).state, "checking");
  t.equal(run([{ type: "closed" }], { wins: [won(1)] }).state, "won");
  const open = { ...ROUND, state: "open" as const };
  t.equal(
    run([{ type: "begin" }, { type: "closed" }, { type: "schedule", round: open }]).state,
    "waiting",
    "moved",
  );
});

void t.test("several prizes each: the next n after a win, also after a reload", async (t) => {
  const round = { ...ROUND, perUser: 2 };
  const first: Event[] = [...opened, answer("won", { wins: [won(1)] })];
  const next = run([...first, { type: "another" }], { round });
  t.match(next, { state: "opening", play: { n: 2 }, effects: [{ do: "grab", n: 2 }] }, "asking is the press");
  t.equal(run([...first, { type: "another" }]).state, "won", "not beyond perUser");
  t.match(run([{ type: "another" }], { round, wins: [won(1)] }), {
    state: "waiting",
    effects: [{ do: "poll" }],
  });
  t.match(run([], { round, wins: [won(2), won(1)] }), { state: "won", play: { n: 2 } });
});

void t.test("the list of wins brings a win back, and never interrupts a press", async (t) => {
  const told = { type: "wins", wins: [{ ...won(1), payout: "paid" }] };
  t.equal(run([{ type: "begin" }, told]).state, "won");
  t.match(run([...opened, told]), { state: "opening", effects: [] });
  t.equal(run([told], { wins: [won(1)] }).play.wins[0]?.payout, "paid");
});

void t.test("any course of events: bounded, one n at a time, no call without a press", async () => {
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.constantFrom<Event>(
      START,
      { ...START, key: null },
      { type: "armed" },
      { type: "press" },
      { type: "closed" },
    ),
    fc.constantFrom<Event>(
      { type: "again" },
      { type: "another" },
      { type: "session" },
      { type: "signedOut" },
    ),
    fc
      .constantFrom("ended", "busy", "limited", "not_open", "not_eligible", "unauthorized", "?")
      .map((w) => answer(w)),
    fc.integer({ min: 1, max: 3 }).map((n) => answer("won", { wins: [won(n)] })),
    fc.constantFrom<Event>(nothing, { ...nothing, result: "busy" }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (events, perUser) => {
      let play: Play = machine.createPlay({ ...ROUND, perUser }, []);
      for (const one of events) {
        const isAnswer = one.type === "grabAnswer";
        // Answers come only to questions: a grab's in opening or retrying, a result's in checking.
        if (isAnswer && play.state !== "opening" && play.state !== "retrying") continue;
        if (one.type === "resultAnswer" && play.state !== "checking") continue;
        const before = play;
        const next = machine.step(play, { ...one, seq: play.seq }, { nowMs: NOW_MS, random: 0.3 });
        play = next.play;
        for (const effect of next.effects) {
          if (effect.do !== "grab") continue;
          const pressed = one.type === "press" || one.type === "again" || isAnswer;
          if (!pressed || !play.pressed || effect.n !== play.n || play.n > perUser) return false;
          if (isAnswer && effect.n !== before.n) return false;
        }
        if (play.attempt > machine.GRAB_RETRY.attemptsMax || play.seq < before.seq) return false;
        if (play.state === "ready" && play.key === null) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
});
