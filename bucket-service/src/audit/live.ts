import { setTimeout as sleep } from "node:timers/promises";
import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
import type { Registry } from "@hongbao/monitoring";
import type { Pack } from "@hongbao/preprocess";
import { mysqlPolicy } from "../mysql/connect.ts";
import { inSnapshot } from "../mysql/snapshot.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { worthOf } from "../moves/runs.ts";
import type { Sum } from "./audit.ts";
import { RoundBooks } from "./books.ts";
import { burnedAtCut, readBurned } from "./burned.ts";

export const livePolicy = {
  /** Whoever collects more often is told the last figures. */
  ageMsMin: 5_000,
  /** Reading may take one part of so many of the time: counting a million claims takes MySQL a while. */
  restFactor: 20,
  /** Whoever collects waits so long for new figures; those that come later are told at the next look. */
  waitMsMax: 100,
} as const;

/**
 * The bucket's books as metrics: what the audit proves, as far as it is cheap (claimed and paid in money too). Read when somebody collects,
 * in a process that is not on the way of grabs. While a store is away the last figures stay.
 */
export function bookMetrics(parts: {
  registry: Registry;
  store: BucketStore;
  pool: Pool;
  pack: Pack;
  bucket: string;
}): void {
  const { registry, pack, bucket } = parts;
  for (const { round, lo, count } of pack.manifest.ranges.filter((range) => range.bucket === bucket)) {
    const worth = worthOf([{ lo, count }], (id) => pack.amountOf(id));
    registry.gauge("prizes_generated_minor").set({ round: String(round) }, worth);
  }
  let nextAtMs = -Infinity;
  parts.registry.onCollect(async () => {
    const began = performance.now();
    if (began < nextAtMs) return;
    nextAtMs = Infinity;
    const reading = tell(parts)
      // A store is away.
      .catch(() => undefined)
      .finally(() => {
        const tookMs = performance.now() - began;
        nextAtMs = began + Math.max(livePolicy.ageMsMin, tookMs * livePolicy.restFactor);
      });
    await Promise.race([reading, sleep(livePolicy.waitMsMax, undefined, { ref: false })]);
  });
}

async function tell(parts: Parameters<typeof bookMetrics>[0]): Promise<void> {
  const { registry } = parts;
  for (const { round, claimed, paid, unbalanced, counts } of await readBooks(parts)) {
    const label = { round: String(round) };
    registry.gauge("prizes_burned").set(label, counts.burned);
    registry.gauge("prizes_borrowed").set(label, counts.borrowed);
    registry.gauge("prizes_lent_out").set(label, counts.lentOut);
    registry.gauge("prizes_rolled_in").set(label, counts.rolledIn);
    registry.gauge("prizes_rolled_out").set(label, counts.rolledOut);
    registry.gauge("prizes_claimed").set(label, claimed.count);
    registry.gauge("prizes_paid").set(label, paid.count);
    registry.gauge("prizes_claimed_minor").set(label, claimed.amount);
    registry.gauge("prizes_paid_minor").set(label, paid.amount);
    registry.gauge("prizes_unbalanced").set(label, unbalanced);
  }
}

interface LiveBooks {
  round: number;
  claimed: Sum;
  paid: Sum;
  /** 0 in right books. */
  unbalanced: number;
  counts: ReturnType<RoundBooks["counts"]>;
}

async function readBooks({
  store,
  pool,
  pack,
  bucket,
}: Parameters<typeof bookMetrics>[0]): Promise<LiveBooks[]> {
  const connection = await pool.getConnection();
  // MySQL first, as in the audit.
  const { claimed, paid, burned } = await inSnapshot(connection, async () => ({
    claimed: await sumByRound(connection, "claims"),
    paid: await sumByRound(connection, "payouts WHERE state = 'paid'"),
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
      claimed: claimed.get(round.id) ?? NONE,
      paid: paid.get(round.id) ?? NONE,
      unbalanced:
        counts.generated +
        counts.borrowed +
        counts.rolledIn -
        (state.issued + counts.left + counts.burned + counts.lentOut + counts.rolledOut),
      counts,
    };
  });
}

const NONE: Sum = { count: 0, amount: 0 };

async function sumByRound(connection: Connection, rows: string): Promise<Map<number, Sum>> {
  const sql = `SELECT round_id, COUNT(*) AS n, SUM(amount_minor) AS amount FROM ${rows} GROUP BY round_id`;
  const [found] = await connection.query<RowDataPacket[]>({ sql, timeout: mysqlPolicy.queryTimeoutMs });
  return new Map(
    found.map((row) => [
      row["round_id"] as number,
      { count: Number(row["n"]), amount: Number(row["amount"]) },
    ]),
  );
}
