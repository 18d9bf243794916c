/** The simulator's Redis and the real one, driven with the same calls: what they answer and what they hold is the same. */
import t from "tap";
import { testRedis, testStore } from "../../../bucket-service/test/redis/harness.ts";
import type { BucketStore } from "../../../bucket-service/src/redis/scripts.ts";
import { randomFrom } from "../conductor/simulation.ts";
import { RedisModel } from "./redis-model.ts";

const SEEDS = 40;
const CALLS = 60;
const NEXT_ID = 1_000_100;
const EPOCH = "e1";

const redis = await testRedis(t);

/** What both must have in common after each call. */
async function held(store: BucketStore): Promise<unknown> {
  const { seq, acked, moves, rounds } = await store.state();
  const [{ left, stock, issued, waitingRanges, lo }] = rounds as [(typeof rounds)[number]];
  const claims = await store.client.hgetall(store.keys.claims(1));
  return { seq, acked, moves, left, stock, issued, waitingRanges, lo: left === 0 ? 0 : lo, claims };
}

function heldByModel({ seq, acked, moves, rounds }: RedisModel): unknown {
  const { left, stock, issued, ranges, lo, claims } = rounds.get(1)!;
  const named = Object.fromEntries([...claims].map(([field, prize]) => [field, String(prize)]));
  const plain = { seq, acked, moves: moves.size, left, stock, issued, waitingRanges: ranges };
  return { ...plain, lo: left === 0 ? 0 : lo, claims: named };
}

/** Whether an empty stock may get something yet depends on the time that passed; both words mean that nothing was given. */
const word = (answer: number): number => (answer === -5 ? 0 : answer);

t.test("grabs, moves, acknowledgements and the last word change both in the same way", async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = randomFrom(seed);
    const ranges = [
      { lo: 1_000_001, count: 1 + Math.floor(random() * 6) },
      { lo: 1_000_050, count: 1 + Math.floor(random() * 6) },
    ];
    const store = await testStore(t, redis, { ranges, perUser: 3 });
    const model = new RedisModel(new Set());
    const [first, ...rest] = ranges as [(typeof ranges)[number], ...typeof ranges];
    model.rounds.set(1, {
      ...{
        v: 2,
        opensAtMs: 1,
        closesAtMs: null,
        key: "k",
        stock: 1,
        lo: first.lo,
        left: first.count,
        ranges: rest,
      },
      ...{ issued: 0, final: null, dryAtMs: null, claims: new Map<string, number>() },
    });
    model.rounds.get(1)!.stock = (await store.state()).rounds[0]!.stock;
    const entries: string[] = [];
    let next = NEXT_ID;
    for (let call = 0; call < CALLS; call += 1) {
      const kind = random();
      if (kind < 0.6) {
        const fields = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
          const n = 1 + Math.floor(random() * 3);
          return `u${Math.floor(random() * 6)}${n === 1 ? "" : `#${n}`}`;
        });
        const asked = { key: random() < 0.9 ? "k" : "other", journalMax: 6, epoch: EPOCH, seq: 0, fields };
        const real = await store.grab(1, { ...asked, durable: true });
        if (real.journalEnd !== "" && entries.at(-1) !== real.journalEnd) entries.push(real.journalEnd);
        // The model leaves "n - 1 was not won" to whoever calls it.
        const known = fields.filter((_field, index) => real.answers[index] !== -4);
        const answers = real.answers.filter((answer) => answer !== -4);
        const modelled = model.grab(1, { ...asked, fields: known }, 1_000);
        t.same(
          modelled.answers.map(word),
          answers.map(word),
          `seed ${seed}, call ${call}: ${fields.join(" ")}`,
        );
      } else if (kind < 0.75) {
        const note = {
          id: `m${Math.floor(random() * 4)}`,
          direction: "out" as const,
          kind: "lend" as const,
          round: 1,
          peerBucket: "b1",
          peerRound: 1,
        };
        const countMax = 1 + Math.floor(random() * 4);
        const asked = { epoch: EPOCH, countMax, closed: false };
        const real = await store.leave(note, { ...asked, seq: 0, runsMax: 500 });
        t.same(model.leave(note, asked, 1_000)?.runs, real?.note.runs, `seed ${seed}, call ${call}: leaves`);
      } else if (kind < 0.85) {
        const id = `i${Math.floor(random() * 4)}`;
        const runs = [{ lo: next, count: 1 + Math.floor(random() * 3) }];
        const note = {
          id,
          direction: "in" as const,
          kind: "lend" as const,
          round: 1,
          peerBucket: "b1",
          peerRound: 1,
          runs,
        };
        next += 10;
        const real = await store.enter(1, [note], { epoch: EPOCH, seq: 0 });
        t.same(model.enter(1, [note], EPOCH), real.stock, `seed ${seed}, call ${call}: enters`);
      } else if (kind < 0.95 && model.journal.length > 0) {
        const entry = model.journal[0]!;
        const count = Number(entry.packed.split(" ")[3]);
        await store.ack(EPOCH, [{ id: entries.shift()!, count }]);
        model.ack(EPOCH, [{ id: entry.id, count }]);
      } else {
        const { stock } = model.rounds.get(1)!;
        await store.setFinal(1, stock);
        model.setFinal(1, stock);
      }
      t.same(heldByModel(model), await held(store), `seed ${seed}, call ${call}`);
    }
  }
});
