/** When a process believes its Redis: real connections that end, and a Redis that goes back in time; nobody polls unless told to. */
import t from "tap";
import { waitUntil } from "@hongbao/infra";
import { BucketView } from "../src/grab/bucket-view.ts";
import type { Fence, Verdict } from "../src/grab/fence.ts";
import { connectRedis } from "../src/redis/connect.ts";
import { BucketStore } from "../src/redis/scripts.ts";
import { ask, EPOCH, testRedis, testStore } from "./redis/harness.ts";

const redis = await testRedis(t);
const ranges = [{ lo: 1, count: 9 }];
const until = (look: () => boolean, what: string): Promise<void> =>
  waitUntil(async () => look(), { what, timeoutMsMax: 20_000, intervalMs: 1 });

/** A fence whose proofs the test gives, one by one; marks go into Redis alone. */
function heldFence(store: BucketStore): { fence: Fence; asked: ((verdict: Verdict) => void)[] } {
  const asked: ((verdict: Verdict) => void)[] = [];
  const fence: Fence = {
    prove: () => new Promise((resolve) => asked.push(resolve)),
    mark: ({ shownEpoch, why }) =>
      store.fence(shownEpoch, why).then(
        () => true,
        () => false,
      ),
    saw: () => undefined,
  };
  return { fence, asked };
}

/** A process's view, proved once, that polls only when its connection says so. */
async function proved(
  store: BucketStore,
): Promise<{ view: BucketView; asked: ((verdict: Verdict) => void)[] }> {
  const { fence, asked } = heldFence(store);
  const view = new BucketView(store, fence);
  const first = view.refresh();
  await until(() => asked.length === 1, "the first proof");
  asked[0]!({ verdict: "trusted", state: await store.state() });
  await first;
  return { view, asked };
}

const cut = async (from: BucketStore): Promise<void> =>
  void (await from.client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));

t.test("a connection that ends and is back at once: nothing is used before another proof", async (t) => {
  const store = await testStore(t, redis, { ranges });
  const other = await testStore(t, redis, { ranges });
  const { view, asked } = await proved(store);
  t.equal(view.trust, "ok");
  await cut(other);
  await until(() => asked.length === 2, "a second proof, asked for by nobody but the connection");
  t.equal(view.trust, "away");
  // This Redis answers, and shows the epoch and the claims that it should; only the proof knows of the rest.
  t.equal((await store.state()).epoch, EPOCH);
  asked[1]!({ verdict: "doubt", why: "a move is missing", epoch: EPOCH });
  await until(() => view.trust === "fenced", "a fence");
  t.equal(view.fenceReason, "a move is missing");
});

t.test("a proof from before the end of a connection does not hold behind it", async (t) => {
  const store = await testStore(t, redis, { ranges });
  const other = await testStore(t, redis, { ranges });
  const { view, asked } = await proved(store);
  await cut(other);
  await until(() => asked.length === 2, "a second proof");
  const before = await store.state();
  await cut(other);
  await until(() => store.client.status === "ready", "a third connection");
  asked[1]!({ verdict: "trusted", state: before });
  const isAsked = (): boolean => {
    void view.refresh();
    return asked.length === 3 || view.trust === "ok";
  };
  await until(isAsked, "a third proof");
  t.equal(view.trust, "away");
  asked[2]!({ verdict: "trusted", state: await store.state() });
  await until(() => view.trust === "ok", "trust");
});

t.test(
  "who is told by a grab that its Redis went back marks it for everybody, before anybody polls",
  async (t) => {
    const store = await testStore(t, redis, { ranges });
    const { view } = await proved(store);
    const { seq } = await ask(store, ["a", "b"]);
    view.sawSeq(seq);
    // What another process sees: a Redis of the epoch that it knows, with as many claims as it has seen.
    const client = connectRedis(redis.place, redis.password, { name: "other" });
    await client.connect();
    t.teardown(() => client.disconnect());
    const elsewhere = new BucketStore(client, store.keys, [1]);
    await client.hset(store.keys.meta, "seq", 1);
    const refused = await ask(store, ["c"], { seq: view.seq }).then(
      () => null,
      (error: unknown) => error,
    );
    t.match(refused, { message: /^FENCED-SEQ/ });
    view.callFailed(refused);
    t.equal(view.trust, "fenced");
    await waitUntil(async () => (await elsewhere.state()).epoch === `fenced:${EPOCH}`, {
      what: "the mark",
      timeoutMsMax: 20_000,
    });
    await t.rejects(ask(elsewhere, ["d"], { seq: 1 }), { message: /^FENCED / });
  },
);
