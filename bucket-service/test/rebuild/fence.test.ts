import t from "tap";
import type { BucketMeta } from "../../src/mysql/bucket-record.ts";
import { judge } from "../../src/grab/fence.ts";
import type { BucketState, RoundState } from "../../src/redis/scripts.ts";
import { testRedis, testStore } from "../redis/harness.ts";

const meta: BucketMeta = {
  epoch: "e1",
  pack: "p",
  complete: true,
  fence: null,
  rebuilding: null,
  seen: 50,
  generation: 1,
};
const state = (fields: Partial<BucketState>): BucketState => ({
  timeMs: 1,
  epoch: "e1",
  seq: 60,
  acked: 40,
  pack: "p",
  moves: 0,
  rounds: [{ round: 1 } as RoundState],
  ...fields,
});
const verdict = (fields: Partial<BucketState>, claims = 40, seen = 50) =>
  judge({ ...meta, seen }, state(fields), { pack: "p", rounds: 1, claims });

t.test("a Redis is trusted when it is of MySQL's epoch, whole, and has issued what anybody knows of", (t) => {
  t.match(verdict({}), { verdict: "trusted" });
  t.match(verdict({ seq: 50 }), { verdict: "trusted" });
  t.match(verdict({ seq: 49 }), { verdict: "doubt", why: /before it had issued 50/, epoch: "e1" });
  t.match(verdict({ seq: 39 }, 40, 0), { verdict: "doubt", why: /MySQL holds 40/ });
  t.match(verdict({ epoch: "", seq: 0, rounds: [] }), { verdict: "doubt", why: "Redis is empty" });
  t.match(verdict({ epoch: "fenced:e1" }), { verdict: "doubt", why: /mark/ });
  t.match(verdict({ epoch: "e0" }), { verdict: "doubt", why: /load e0, MySQL of load e1/ });
  t.match(verdict({ rounds: [] }), { verdict: "doubt", why: /0 rounds, expected 1/ });
  t.end();
});

t.test("the mark in Redis: only on the copy that was seen, once, and it stops the grabs", async (t) => {
  const redis = await testRedis(t);
  const store = await testStore(t, redis, { ranges: [{ lo: 1, count: 9 }] });
  await store.fence("another", "x");
  t.equal((await store.state()).epoch, "e1");
  await store.fence("e1", "why");
  await store.fence("fenced:e1", "again");
  t.equal((await store.state()).epoch, "fenced:e1");
  t.equal(await store.client.hget(store.keys.meta, "fence"), "why");
  const call = { key: "k", journalMax: 9, epoch: "e1", seq: 0, durable: false, fields: ["a"] };
  await t.rejects(store.grab(1, call), /^FENCED/);
});
