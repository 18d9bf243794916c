import type { Pool } from "mysql2/promise";
import { loadRecord } from "../mysql/bucket-record.ts";
import { recordedOutIds } from "../moves/record.ts";
import type { BucketStore } from "../redis/scripts.ts";
import type { Proof } from "./bucket-view.ts";

/**
 * Holds a Redis against MySQL before it is used: it must be of the load (or rebuild) that MySQL knows, and must have
 * issued at least what MySQL holds, and must have given away what MySQL says that it gave. An older copy or an empty server
 * fails this and stays fenced.
 */
export function redisProof(pool: Pool, packDigest: string, store: Pick<BucketStore, "moves">): Proof {
  return async (state) => {
    let record: Awaited<ReturnType<typeof loadRecord>>;
    let goneWithoutNote: string | undefined;
    try {
      record = await loadRecord(pool);
      // MySQL first: what has left by then has left Redis before.
      const gone = await recordedOutIds(pool);
      if (gone.length > 0) {
        const noted = new Set(
          (await store.moves()).flatMap((note) => (note.direction === "out" ? note.id : [])),
        );
        goneWithoutNote = gone.find((id) => !noted.has(id));
      }
    } catch {
      return { verdict: "unknown" };
    }
    const doubt = (why: string): { verdict: "doubt"; why: string } => ({ verdict: "doubt", why });
    if (record.pack !== packDigest)
      return doubt(`MySQL holds pack ${record.pack || "none"}, this process ${packDigest}`);
    if (state.epoch === "") return doubt("Redis is empty");
    if (state.epoch !== record.epoch)
      return doubt(`Redis is of load ${state.epoch}, MySQL of load ${record.epoch}`);
    if (state.seq < record.claims)
      return doubt(`Redis has issued ${state.seq}, MySQL holds ${record.claims} claims`);
    if (goneWithoutNote !== undefined)
      return doubt(`MySQL says that move ${goneWithoutNote} left this bucket, Redis still has its prizes`);
    return { verdict: "trusted" };
  };
}
