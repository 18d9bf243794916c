import type { Pool } from "mysql2/promise";
import { loadRecord } from "../mysql/bucket-record.ts";
import type { Proof } from "./bucket-view.ts";

/**
 * Holds a Redis against MySQL before it is used: it must be of the load (or rebuild) that MySQL knows, and must have
 * issued at least what MySQL holds. An older copy or an empty server fails this and stays fenced.
 */
export function redisProof(pool: Pool, packDigest: string): Proof {
  return async (state) => {
    let record: Awaited<ReturnType<typeof loadRecord>>;
    try {
      record = await loadRecord(pool);
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
    return { verdict: "trusted" };
  };
}
