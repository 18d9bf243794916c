/** The money side on a bucket's admin port: any process of the bucket answers, because all of it is in MySQL. */
import type { Router } from "@koa/router";
import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { AdminError, readJson } from "../admin/server.ts";
import { inTransaction } from "../mysql/transaction.ts";
import { retryDead } from "../mysql/payouts.ts";
import { ledgerFigures, payoutFigures } from "./figures.ts";

/** Payouts on one page of an export. */
export const EXPORT_ROWS_MAX = 5_000;
/** Prizes named in one retry. */
const RETRY_IDS_MAX = 1_000;
/** Dead letters and guarded claims that a status shows. */
const REASONS_MAX = 20;

/** One claim with what became of it. */
export interface ExportRow {
  prize: number;
  round: number;
  user: string;
  n: number;
  amount: number;
  claimedAt: string;
  state: "pending" | "paid" | "dead" | "held";
  attempts: number;
  paidAt: string | null;
  reason: string | null;
}

export function payoutRoutes(parts: { pool: Pool; pack: Pack; bucket: string }): (router: Router) => void {
  const { pool, pack } = parts;
  return (router) => {
    router.get("/payouts", async (context) => {
      const [rounds, ledger, reasons] = await Promise.all([
        payoutFigures(pool),
        ledgerFigures(pool),
        topReasons(pool),
      ]);
      context.body = { bucket: parts.bucket, rounds, ledger, reasons };
    });
    router.post("/payouts/retry", async (context) => {
      const which = checkRetry(await readJson(context), pack);
      context.body = { retried: await inTransaction(pool, (connection) => retryDead(connection, which)) };
    });
    router.get("/payouts/export", async (context) => {
      const after = whole(context.query["after"] ?? "0", "after");
      const limit = Math.min(
        whole(context.query["limit"] ?? String(EXPORT_ROWS_MAX), "limit"),
        EXPORT_ROWS_MAX,
      );
      context.body = { rows: await exportPage(pool, after, limit) };
    });
  };
}

function whole(value: unknown, name: string): number {
  if (typeof value === "string" && /^\d{1,16}$/.test(value)) return Number(value);
  throw new AdminError(400, `${name}: found ${JSON.stringify(value)}, expected a whole number`);
}

function checkRetry(body: Record<string, unknown>, pack: Pack): { prizeIds?: number[]; round?: number } {
  const { prizes, round } = body;
  const which: { prizeIds?: number[]; round?: number } = {};
  if (round !== undefined) {
    if (!pack.manifest.rounds.some(({ id }) => id === round))
      throw new AdminError(400, `round: found ${JSON.stringify(round)}, expected one of the event's rounds`);
    which.round = round as number;
  }
  if (prizes !== undefined) {
    const isList =
      Array.isArray(prizes) &&
      prizes.length > 0 &&
      prizes.length <= RETRY_IDS_MAX &&
      prizes.every((id) => Number.isSafeInteger(id) && id > 0);
    if (!isList) throw new AdminError(400, `prizes: expected a list of 1 to ${RETRY_IDS_MAX} prize IDs`);
    which.prizeIds = prizes as number[];
  }
  return which;
}

/** Why payouts are dead, or are not through yet, the most frequent first. */
async function topReasons(
  pool: Pool | Connection,
): Promise<{ state: string; reason: string; count: number }[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    "SELECT state, COALESCE(reason, '') AS reason, COUNT(*) AS n FROM payouts WHERE state IN ('dead', 'held') OR " +
      `(state = 'pending' AND reason IS NOT NULL) GROUP BY state, reason ORDER BY n DESC LIMIT ${REASONS_MAX}`,
  );
  return rows.map((row) => ({
    state: row["state"] as string,
    reason: row["reason"] as string,
    count: Number(row["n"]),
  }));
}

async function exportPage(pool: Pool, after: number, limit: number): Promise<ExportRow[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    "SELECT c.prize_id, c.round_id, c.user_id, c.n, c.amount_minor, c.claimed_at, COALESCE(p.state, 'pending') AS state, " +
      "COALESCE(p.attempts, 0) AS attempts, p.paid_at, p.reason FROM claims c LEFT JOIN payouts p ON p.prize_id = c.prize_id " +
      "WHERE c.prize_id > ? ORDER BY c.prize_id LIMIT ?",
    [after, limit],
  );
  const iso = (value: unknown): string | null => (value instanceof Date ? value.toISOString() : null);
  return rows.map((row) => ({
    prize: row["prize_id"] as number,
    round: row["round_id"] as number,
    user: row["user_id"] as string,
    n: row["n"] as number,
    amount: row["amount_minor"] as number,
    claimedAt: iso(row["claimed_at"])!,
    state: row["state"] as ExportRow["state"],
    attempts: Number(row["attempts"]),
    paidAt: iso(row["paid_at"]),
    reason: row["reason"] as string | null,
  }));
}
