/** A real Redis with one bucket of one event in it, for tests of the scripts. */
import { startRedis, temporaryState } from "@hongbao/infra";
import type { BucketPlace } from "@hongbao/preprocess";
import { connectRedis } from "../../src/redis/connect.ts";
import { bucketKeys } from "../../src/redis/keys.ts";
import { BucketStore } from "../../src/redis/scripts.ts";

export const EPOCH = "e1";

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

export async function testRedis(t: Teardown): Promise<{ place: BucketPlace; password: string; dir: string }> {
  const dir = temporaryState(t);
  const password = "0123456789abcdef";
  const server = await startRedis({ dir, password, appendfsync: "no" });
  t.teardown(() => server.stop());
  const place = { id: "b0", redis: { url: server.plainUrl, tls: false, cluster: false } } as BucketPlace;
  return { place, password, dir };
}

let events = 0;

/** A store on a bucket of its own: round 1 has the given ranges, and is open with key "k" unless told otherwise. */
export async function testStore(
  t: Teardown,
  { place, password }: { place: BucketPlace; password: string },
  plan: {
    ranges: { lo: number; count: number }[];
    perUser?: number;
    opensInMs?: number;
    closesInMs?: number;
    key?: string;
    /** Ranges of round 2, which is there when they are given. */
    later?: { lo: number; count: number }[];
  },
): Promise<BucketStore> {
  const client = connectRedis(place, password, { name: "test" });
  await client.connect();
  t.teardown(() => client.disconnect());
  events += 1;
  const store = new BucketStore(client, bucketKeys(`event-${events}`, "b0"), plan.later ? [1, 2] : [1]);
  const opensAtMs = Date.now() + (plan.opensInMs ?? -1000);
  const closesAtMs = plan.closesInMs === undefined ? null : Date.now() + plan.closesInMs;
  await store.load({
    event: `event-${events}`,
    pack: "p1",
    epoch: EPOCH,
    rounds: [plan.ranges, ...(plan.later ? [plan.later] : [])].map((ranges) => ({
      opensAtMs,
      closesAtMs,
      perUser: plan.perUser ?? 1,
      ranges,
    })),
  });
  const key = plan.key ?? "k";
  for (const round of plan.later ? [1, 2] : [1]) {
    if (key !== "") await store.installRound(round, { v: 2, opensAtMs, closesAtMs, key });
  }
  return store;
}

export function ask(
  store: BucketStore,
  fields: string[],
  more: {
    round?: number;
    key?: string;
    journalMax?: number;
    epoch?: string;
    seq?: number;
    durable?: boolean;
  } = {},
): ReturnType<BucketStore["grab"]> {
  const { round = 1, ...call } = more;
  return store.grab(round, {
    key: "k",
    journalMax: 1_000_000,
    epoch: EPOCH,
    seq: 0,
    durable: false,
    ...call,
    fields,
  });
}
