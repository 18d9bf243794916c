import type { Pool } from "mysql2/promise";
import { recordedOutIds } from "../moves/record.ts";
import { countClaims, readMeta, writeFence, writeSeen, type BucketMeta } from "../mysql/bucket-record.ts";
import type { BucketState, BucketStore } from "../redis/scripts.ts";

/** How often a process that sees claims being issued tells MySQL how many. */
const SEEN_EVERY_MS = 500;

/**
 * `trusted`: with the state that was held against MySQL. `unknown`: MySQL could not be asked. `doubt`: with the epoch of
 * MySQL's record, or null when it is no case for a fence (not loaded yet, or being rebuilt).
 */
export type Verdict =
  | { verdict: "trusted"; state: BucketState }
  | { verdict: "unknown" }
  | { verdict: "doubt"; why: string; epoch: string | null };

/** What a process needs to know whether its bucket's Redis may be used, and to tell the others when it may not. */
export interface Fence {
  prove(): Promise<Verdict>;
  /**
   * Writes the doubt where every process finds it: into this copy of Redis, whose scripts refuse from then on, and into
   * MySQL, for who starts later. Both only if they still are what was doubted. Never rejects; tells whether both know.
   */
  mark(doubt: { shownEpoch: string; epoch: string; why: string }): Promise<boolean>;
  /** This process has seen so many claims issued. Cheap; never rejects. */
  saw(epoch: string, seq: number): void;
}

/** Holds the state of a Redis against MySQL's record. Pure; the state must be younger than the record. */
export function judge(
  meta: BucketMeta,
  state: BucketState,
  expected: { pack: string; rounds: number; claims: number },
): Verdict {
  const doubt = (why: string): Verdict => ({ verdict: "doubt", why, epoch: meta.epoch });
  if (state.epoch === "") return doubt("Redis is empty");
  if (state.epoch.startsWith("fenced:")) return doubt("Redis carries the mark of a fence");
  if (state.epoch !== meta.epoch)
    return doubt(`Redis is of load ${state.epoch}, MySQL of load ${meta.epoch}`);
  if (state.rounds.length !== expected.rounds)
    return doubt(`Redis holds ${state.rounds.length} rounds, expected ${expected.rounds}`);
  if (state.seq < expected.claims)
    return doubt(`Redis has issued ${state.seq}, MySQL holds ${expected.claims} claims`);
  if (state.seq < meta.seen) return doubt(`Redis has issued ${state.seq}, before it had issued ${meta.seen}`);
  return { verdict: "trusted", state };
}

/**
 * Reads MySQL first and Redis afterwards, so that a claim that is made in between cannot look like a loss; nor can a move: what
 * has left by MySQL's word had left Redis before.
 * Errors: those of MySQL and Redis.
 */
export async function proveRedis(
  pool: Pool,
  store: BucketStore,
  pack: string,
  rounds: number,
): Promise<Verdict> {
  const meta = await readMeta(pool);
  const noCase = (why: string): Verdict => ({ verdict: "doubt", why, epoch: null });
  if (meta.pack !== pack) return noCase(`MySQL holds pack ${meta.pack || "none"}, this process ${pack}`);
  if (!meta.complete) return noCase("the load has not come to its end");
  if (meta.rebuilding !== null) return noCase("a rebuild has begun and not ended: run it again");
  if (meta.fence !== null) return { verdict: "doubt", why: meta.fence, epoch: meta.epoch };
  const claims = await countClaims(pool);
  const gone = await recordedOutIds(pool);
  const verdict = judge(meta, await store.state(), { pack, rounds, claims });
  if (verdict.verdict !== "trusted" || gone.length === 0) return verdict;
  const noted = new Set(
    (await store.moves()).flatMap(({ direction, id }) => (direction === "out" ? id : [])),
  );
  const unknown = gone.find((id) => !noted.has(id));
  if (unknown === undefined) return verdict;
  const why = `MySQL says that move ${unknown} left this bucket, Redis still has its prizes`;
  return { verdict: "doubt", why, epoch: meta.epoch };
}

export function bucketFence(parts: {
  pool: Pool;
  store: BucketStore;
  packDigest: string;
  rounds: number;
}): Fence {
  const { pool, store } = parts;
  let told = { epoch: "", seq: 0, atMs: -Infinity };
  // A MySQL that hangs would keep all its connections busy with one question each.
  let telling = false;
  return {
    prove: () =>
      proveRedis(pool, store, parts.packDigest, parts.rounds).catch(() => ({ verdict: "unknown" as const })),
    async mark({ shownEpoch, epoch, why }) {
      const done = await Promise.allSettled([store.fence(shownEpoch, why), writeFence(pool, epoch, why)]);
      return done.every(({ status }) => status === "fulfilled");
    },
    saw(epoch, seq) {
      const nowMs = performance.now();
      const isKnown = epoch === told.epoch && seq <= told.seq;
      if (telling || isKnown || nowMs - told.atMs < SEEN_EVERY_MS) return;
      told = { epoch, seq, atMs: nowMs };
      telling = true;
      writeSeen(pool, epoch, seq)
        .catch(() => undefined)
        .finally(() => (telling = false));
    },
  };
}
