import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
import type { Registry } from "@hongbao/monitoring";
import type { Pack } from "@hongbao/preprocess";
import { mysqlPolicy } from "../mysql/connect.ts";
import { inSnapshot } from "../mysql/snapshot.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { RoundBooks } from "./books.ts";
import { burnedAtCut, readBurned } from "./burned.ts";

export const livePolicy = {
  /** Whoever collects more often is told the last figures. */
  ageMsMin: 5_000,
  /** Reading may take one part of so many of the time: counting a million claims takes MySQL a while. */
  restFactor: 20,
} as const;

/**
 * The bucket's books as metrics: what the audit proves, in counts alone and as far as it is cheap. Read when somebody collects,
 * in a process that is not on the way of grabs. While a store is away the last figures stay.
 */
export function bookMetrics(parts: {
  registry: Registry;
  store: BucketStore;
  pool: Pool;
  pack: Pack;
  bucket: string;
}): void {
  const { registry } = parts;
  let nextAtMs = -Infinity;
  registry.onCollect(async () => {
    const began = performance.now();
    if (began < nextAtMs) return;
    nextAtMs = began + livePolicy.ageMsMin;
    for (const { round, claimed, paid, unbalanced, counts } of await readBooks(parts)) {
      const label = { round: String(round) };
      registry.gauge("prizes_burned").set(label, counts.burned);
      registry.gauge("prizes_borrowed").set(label, counts.borrowed);
      registry.gauge("prizes_lent_out").set(label, counts.lentOut);
      registry.gauge("prizes_rolled_in").set(label, counts.rolledIn);
      registry.gauge("prizes_rolled_out").set(label, counts.rolledOut);
      registry.gauge("prizes_claimed").set(label, claimed);
      registry.gauge("prizes_paid").set(label, paid);
      registry.gauge("prizes_unbalanced").set(label, unbalanced);
    }
    const tookMs = performance.now() - began;
    nextAtMs = Math.max(nextAtMs, began + tookMs * livePolicy.restFactor);
  });
}

interface LiveBooks {
  round: number;
  claimed: number;
  paid: number;
  /** 0 in right books. */
  unbalanced: number;
  counts: ReturnType<RoundBooks["counts"]>;
}

async function readBooks({
  store,
  pool,
  pack,
  bucket,
}: Omit<Parameters<typeof bookMetrics>[0], "registry">): Promise<LiveBooks[]> {
  const connection = await pool.getConnection();
  // MySQL first, as in the audit.
  const { claimed, paid, burned } = await inSnapshot(connection, async () => ({
    claimed: await countByRound(connection, "claims"),
    paid: await countByRound(connection, "payouts WHERE state = 'paid'"),
    burned: await readBurned(connection),
  })).finally(() => connection.release());
  const cut = await store.cut({ journal: false });
  return cut.state.rounds.flatMap((state) => {
    const round = pack.manifest.rounds.find(({ id }) => id === state.round);
    if (round === undefined) return [];
    const counts = new RoundBooks(
      pack,
      bucket,
      round,
      state,
      cut.moves,
      burnedAtCut(burned, cut, round.id),
    ).counts();
    return {
      round: round.id,
      claimed: claimed.get(round.id) ?? 0,
      paid: paid.get(round.id) ?? 0,
      unbalanced:
        counts.generated +
        counts.borrowed +
        counts.rolledIn -
        (state.issued + counts.left + counts.burned + counts.lentOut + counts.rolledOut),
      counts,
    };
  });
}

async function countByRound(connection: Connection, rows: string): Promise<Map<number, number>> {
  const sql = `SELECT round_id, COUNT(*) AS n FROM ${rows} GROUP BY round_id`;
  const [found] = await connection.query<RowDataPacket[]>({ sql, timeout: mysqlPolicy.queryTimeoutMs });
  return new Map(found.map((row) => [row["round_id"] as number, Number(row["n"])]));
}
