import type { Pool, PoolConnection, RowDataPacket } from "mysql2/promise";
import { lockEpoch, readMeta } from "../mysql/bucket-record.ts";
import { CLAIM_COLUMNS, valuesOf, type ClaimRow } from "../mysql/claims.ts";
import { mysqlErrorCode, mysqlPolicy } from "../mysql/connect.ts";
import { feedPayout } from "../mysql/payout-feed.ts";
import type { RebuildScripts } from "../rebuild/rebuild-scripts.ts";
import { claimField, parseClaimField } from "../redis/keys.ts";
import { judgeWin, type LostWin, type WinFacts, type WinVerdict } from "./judge.ts";

export const restorePolicy = {
  /** Wins in one transaction. */
  batchMax: 200,
  /** Times that a batch is tried again when a rebuild or another writer came between. */
  attemptsMax: 4,
} as const;

export type Restored = { result: "restored" } | { result: "known" } | { result: "refused"; why: string };

export interface RestoreParts {
  pool: Pool;
  scripts: RebuildScripts;
}

/**
 * Brings lost wins back, each of which the caller vouches for: burned IDs become claims of their users again.
 *
 *   reserve (Redis: nobody else gets this user's place) ──> claims row and burned.state, one transaction ──> settle (Redis)
 *
 * Each step is idempotent, and a crash between them is found by finishRestores. Errors: those of MySQL and Redis, then
 * nothing or only the reservation was made, and asking again is safe.
 */
export async function restoreWins(parts: RestoreParts, wins: readonly ClaimRow[]): Promise<Restored[]> {
  const results: Restored[] = [];
  for (let from = 0; from < wins.length; from += restorePolicy.batchMax) {
    results.push(...(await restoreBatch(parts, wins.slice(from, from + restorePolicy.batchMax))));
  }
  return results;
}

async function restoreBatch(parts: RestoreParts, wins: readonly ClaimRow[]): Promise<Restored[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await tryBatch(parts, wins);
    } catch (error) {
      const code = mysqlErrorCode(error);
      const isRace = error instanceof EpochChanged || code === "ER_DUP_ENTRY" || code === "ER_LOCK_DEADLOCK";
      if (!isRace || attempt >= restorePolicy.attemptsMax) throw error;
    }
  }
}

class EpochChanged extends Error {}

interface Candidate {
  win: ClaimRow;
  place: { round: number; field: string; prizeId: number };
  index: number;
}

async function tryBatch({ pool, scripts }: RestoreParts, wins: readonly ClaimRow[]): Promise<Restored[]> {
  const { epoch, seen } = await readMeta(pool);
  const facts = await readFacts(pool, wins);
  const results = wins.map((win, index): Restored | null =>
    wins.findIndex(({ prizeId, user, n }) => prizeId === win.prizeId && user === win.user && n === win.n) <
    index
      ? { result: "known" }
      : resultOf(judgeWin(win, facts)),
  );
  const candidates: Candidate[] = [];
  for (const [index, win] of wins.entries()) {
    const place = { round: win.round, field: claimField(win.user, win.n), prizeId: win.prizeId };
    // Its restoration may have been broken off between the transaction and the last step.
    if (results[index]?.result === "known") await scripts.settle(epoch, place, true);
    if (results[index] !== null) continue;
    if (judgeWin(win, facts).verdict === "unburned") {
      const held = await scripts.store.client.hget(scripts.store.keys.claims(win.round), place.field);
      if (held !== String(win.prizeId)) await mustBeWhole(scripts, { epoch, seen });
      results[index] =
        held === String(win.prizeId) ? { result: "known" } : refused("the prize is not burned");
      continue;
    }
    const reserved = await scripts.reserve(epoch, place);
    if (reserved === "stands") results[index] = { result: "known" };
    else if (reserved === "other")
      results[index] = refused(`the user holds another prize as number ${win.n} of this round`);
    else candidates.push({ win, place, index });
  }
  if (candidates.length === 0) return results as Restored[];
  const verdicts = await claimBurned(
    pool,
    epoch,
    candidates.map(({ win }) => win),
  );
  for (const [at, { place, index }] of candidates.entries()) {
    const verdict = verdicts[at]!;
    await scripts.settle(epoch, place, verdict.verdict !== "refused");
    results[index] =
      verdict.verdict === "free" ? { result: "restored" } : (resultOf(verdict) ?? refused("not burned"));
  }
  return results as Restored[];
}

/**
 * A Redis that has lost its data remembers nobody, and what it held is not burned before the rebuild: until then nobody is refused
 * for it. Errors: LOST.
 */
async function mustBeWhole(
  { store }: RebuildScripts,
  expected: { epoch: string; seen: number },
): Promise<void> {
  const { epoch, seq } = await store.state();
  if (epoch === expected.epoch && seq >= expected.seen) return;
  throw new Error("LOST this bucket's Redis is not what MySQL expects: receipts count once it is rebuilt");
}

function refused(why: string): Restored {
  return { result: "refused", why };
}

function resultOf(verdict: ReturnType<typeof judgeWin>): Restored | null {
  if (verdict.verdict === "known") return { result: "known" };
  return verdict.verdict === "refused" ? refused(verdict.why) : null;
}

/**
 * The transaction: judges again under the epoch's lock, which keeps rebuild and release away, and writes what is free.
 * Another restoration of the same prize or place makes the insert fail; the next attempt finds its row.
 */
async function claimBurned(pool: Pool, epoch: string, wins: readonly ClaimRow[]): Promise<WinVerdict[]> {
  const connection = await pool.getConnection();
  const timeout = mysqlPolicy.queryTimeoutMs;
  try {
    await connection.query({ sql: "START TRANSACTION", timeout });
    if ((await lockEpoch(connection, "share")) !== epoch) throw new EpochChanged("a rebuild came between");
    const facts = await readFacts(connection, wins);
    const verdicts = wins.map((win): WinVerdict => {
      const verdict = judgeWin(win, facts);
      return verdict.verdict === "unburned"
        ? { verdict: "refused", why: "the prize is not burned" }
        : verdict;
    });
    const free = wins.filter((_win, index) => verdicts[index]!.verdict === "free");
    if (free.length > 0) {
      await connection.query({
        sql: `INSERT INTO claims (${CLAIM_COLUMNS}) VALUES ${valuesOf(free)}`,
        timeout,
      });
      const ids = free.map(({ prizeId }) => prizeId);
      await connection.query({
        sql: `UPDATE burned SET state = 'restored' WHERE state = 'burned' AND prize_id IN (${ids.join(",")})`,
        timeout,
      });
      await feedPayout(connection, ids);
    }
    await connection.query({ sql: "COMMIT", timeout });
    connection.release();
    return verdicts;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function readFacts(connection: Pool | PoolConnection, wins: readonly LostWin[]): Promise<WinFacts> {
  const timeout = mysqlPolicy.queryTimeoutMs;
  const ids = wins.map(({ prizeId }) => prizeId).join(",");
  const [burned] = await connection.query<RowDataPacket[]>({
    sql: `SELECT prize_id, round_id, state FROM burned WHERE prize_id IN (${ids})`,
    timeout,
  });
  // By prize and by user, in two questions: MySQL would not use both keys in one.
  const select = "SELECT prize_id, round_id, user_id, n FROM claims WHERE";
  const [byPrize] = await connection.query<RowDataPacket[]>({
    sql: `${select} prize_id IN (${ids})`,
    timeout,
  });
  const users = [...new Set(wins.map(({ user }) => user))];
  const [bySeat] = await connection.query<RowDataPacket[]>({
    sql: `${select} user_id IN (${users.map(() => "?").join(",")})`,
    timeout,
    values: users,
  });
  return {
    claims: [...byPrize, ...bySeat].map((row) => ({
      prizeId: row["prize_id"] as number,
      round: row["round_id"] as number,
      user: row["user_id"] as string,
      n: row["n"] as number,
    })),
    burned: burned.map((row) => ({
      prizeId: row["prize_id"] as number,
      round: row["round_id"] as number,
      state: row["state"] as string,
    })),
  };
}

/** Ends restorations that a crash left between their steps. @returns how many there were. */
export async function finishRestores(
  parts: RestoreParts & { amountOf: (prizeId: number) => number },
): Promise<number> {
  const { scripts, pool } = parts;
  const reserved = await scripts.reserved();
  if (reserved.length === 0) return 0;
  const results = await restoreWins(
    parts,
    reserved.map(({ round, field, prizeId }) => ({
      prizeId,
      round,
      ...parseClaimField(field),
      amountMinor: parts.amountOf(prizeId),
      claimedAtMs: Date.now(),
    })),
  );
  const { epoch } = await readMeta(pool);
  for (const [index, place] of reserved.entries())
    if (results[index]!.result === "refused") await scripts.settle(epoch, place, false);
  return reserved.length;
}
