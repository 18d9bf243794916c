import fc from "fast-check";
import t from "tap";
import type { AnswerWord } from "../src/grab/answers.ts";
import { gatePolicy, OrderGate, type Known } from "../src/grab/gate.ts";

type Listener = (word: AnswerWord, prizeId: number, stock: number) => void;

/** A gate, and a Redis that answers when it is told to. */
class Scene {
  size: number;
  nowMs = 0;
  known: Known | null = null;
  calls = 0;
  readonly asked: { field: string; listener: Listener }[] = [];
  /** By field: what was told. */
  readonly told = new Map<string, AnswerWord[]>();
  readonly gate = new OrderGate({
    size: () => this.size,
    known: () => this.known,
    ask: (field, listener) => {
      this.calls += 1;
      this.asked.push({ field, listener });
    },
    nowMs: () => this.nowMs,
  });

  constructor(size: number) {
    this.size = size;
  }

  enter(field: string): void {
    this.told.set(field, []);
    this.gate.enter(field, (word) => this.told.get(field)!.push(word));
  }

  async answer(count: number, word: AnswerWord): Promise<void> {
    for (const { listener } of this.asked.splice(0, count)) listener(word, word === "won" ? 1 : 0, 0);
    await Promise.resolve();
  }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `u${index}`);

t.test("never more inside than its size, first come first served, everybody answered once", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("enter" as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({
      kind: fc.constant("answer" as const),
      count: fc.integer({ min: 1, max: 20 }),
      word: fc.constantFrom<AnswerWord>("won", "busy", "ended"),
    }),
    fc.record({ kind: fc.constant("size" as const), count: fc.integer({ min: 1, max: 8 }) }),
    fc.record({ kind: fc.constant("wait" as const), count: fc.integer({ min: 1, max: 400 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const it = new Scene(3);
      let entered = 0;
      let insideMax = it.size;
      const order: string[] = [];
      for (const { kind, count, ...more } of steps) {
        if (kind === "enter") for (let i = 0; i < count; i += 1) it.enter(`u${entered++}`);
        else if (kind === "answer") await it.answer(count, (more as { word: AnswerWord }).word);
        else if (kind === "wait") it.nowMs += count;
        else it.size = count;
        insideMax = Math.max(insideMax, it.size);
        if (it.gate.inside > insideMax || it.gate.inside !== it.asked.length) return false;
        // Who shrank the gate waits until it is as empty as that; who widened it, for the next answer.
        if (it.gate.inside === 0 && it.gate.waiting > 0) return false;
        for (const { field } of it.asked) if (!order.includes(field)) order.push(field);
      }
      while (it.asked.length > 0) await it.answer(1, "won");
      const numbers = order.map((field) => Number(field.slice(1)));
      return (
        it.gate.waiting === 0 &&
        [...it.told.values()].every((words) => words.length === 1) &&
        numbers.every((number, at) => at === 0 || number > numbers[at - 1]!)
      );
    }),
  );
});

t.test("once the stock was seen empty all who wait are told so without a call", async (t) => {
  const it = new Scene(10);
  for (const user of names(5_000)) it.enter(user);
  t.equal(it.calls, 10);
  it.known = { word: "ended", stock: 7 };
  await it.answer(10, "ended");
  t.equal(it.calls, 10, "nobody else asked");
  t.same([...new Set([...it.told.values()].map((words) => words.join()))], ["ended"]);
});

t.test(
  "a whole batch is answered before the next ones go: its last answer may say that nothing is left",
  async (t) => {
    const it = new Scene(10);
    for (const user of names(100)) it.enter(user);
    const batch = it.asked.splice(0, 10);
    batch[0]!.listener("won", 1, 0);
    it.known = { word: "busy", stock: 0 };
    for (const { listener } of batch.slice(1)) listener("busy", 0, 0);
    await Promise.resolve();
    t.equal(it.calls, 10);
  },
);

t.test("who waited too long takes nothing, and past the bound it is busy", async (t) => {
  const it = new Scene(1);
  for (const user of names(gatePolicy.waitingMax + 2)) it.enter(user);
  t.same(it.told.get(`u${gatePolicy.waitingMax + 1}`), ["busy"], "one too many");
  it.nowMs = gatePolicy.waitMsMax + 1;
  it.enter("late");
  t.same(it.told.get("late"), ["busy"], "there is no room before somebody has gone");
  await it.answer(1, "won");
  t.same(it.told.get("u0"), ["won"]);
  t.same(it.told.get("u1"), ["busy"]);
  t.equal(it.gate.waiting, 0);
  it.enter("next");
  t.equal(it.asked[0]?.field, "next");
});

t.test(
  "a listener that answers at once does not let in more than there is room for, nor overflow",
  async (t) => {
    let calls = 0;
    const gate = new OrderGate({
      size: () => 1,
      known: () => null,
      ask: (_field, listener) => {
        calls += 1;
        if (calls === 1) setImmediate(() => listener("busy", 0, 0));
        else listener("busy", 0, 0);
      },
    });
    let told = 0;
    for (const user of names(15_000)) gate.enter(user, () => (told += 1));
    await new Promise((resolve) => setTimeout(resolve, 0));
    while (gate.waiting > 0) await new Promise((resolve) => setImmediate(resolve));
    t.equal(told, 15_000);
    t.equal(gate.inside, 0);
  },
);
