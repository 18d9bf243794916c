import t from "tap";
import type { Caller, Told } from "../../chaos/crowd/caller.ts";
import { Crowd } from "../../chaos/crowd/crowd.ts";
import type { Call, Entry } from "../../chaos/crowd/history.ts";
import type { ChaosUser } from "../../chaos/stage/cluster.ts";

t.test("who has won nothing sends no receipts, and keeps nobody from sending theirs", async (t) => {
  const users: ChaosUser[] = ["late", "winner"].map((id) => ({ id, bucket: "b0", token: "" }));
  const asked: string[] = [];
  const prize = { round: 1, n: 1, prize: 7, amount: 1, receipt: "r7" };
  const words: Record<string, Partial<Record<Call, Partial<Entry>>>> = {
    late: { start: {}, grab: { word: "ended" }, result: { word: "ok" } },
    winner: { start: {}, grab: { word: "won", prizes: [prize] }, receipts: { word: "ok" } },
  };
  const caller = {
    call: async (call: Call, { id }: ChaosUser, { receipts }: { receipts?: string[] }): Promise<Told> => {
      asked.push(`${id} ${call} ${receipts?.join() ?? ""}`.trim());
      const entry = { prizes: [], status: 200, ...words[id]![call] } as unknown as Entry;
      return { entry, retryAfterMs: 0, key: "k" };
    },
  };
  const crowd = new Crowd(caller as unknown as Caller, 1);
  const load = { users: 2, seconds: 0, firstBucketShare: 1, againShare: 0 };
  crowd.come(
    users.map((user) => ({ user, round: 1, perUser: 1 })),
    load,
    performance.now(),
  );
  await crowd.settled(20_000);
  await crowd.sendReceipts(users, "b0");
  t.same(
    asked.filter((text) => text.includes("receipts")),
    ["winner receipts r7"],
  );
  t.ok(asked.includes("late result"), "it has looked, and has nothing to keep");
});
