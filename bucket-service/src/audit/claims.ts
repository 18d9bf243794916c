import type { Connection, RowDataPacket } from "mysql2/promise";
import type { ClaimRow } from "../mysql/claims.ts";
import type { PayoutState } from "../mysql/payouts.ts";
import { claimField } from "../redis/keys.ts";
import type { BucketStore } from "../redis/scripts.ts";

/** A claim with what became of its payout; one that nobody has looked at yet is pending. */
export interface AuditClaim extends Omit<ClaimRow, "claimedAtMs"> {
  payout: PayoutState;
}

const PAGE_ROWS_MAX = 10_000;
/** Fields in one question to Redis: it must not hold up grabs. */
const FIELDS_MAX = 500;

/** Streams all claims in ID order, page by page; the next page is on its way while one is looked at. Errors: those of MySQL. */
export async function* claimPages(mysql: Connection): AsyncGenerator<AuditClaim[]> {
  const read = async (after: number): Promise<ClaimTuple[]> => {
    const [rows] = await mysql.query<RowDataPacket[]>({
      sql:
        "SELECT c.prize_id, c.round_id, c.user_id, c.n, c.amount_minor, p.state FROM claims c " +
        `LEFT JOIN payouts p ON p.prize_id = c.prize_id WHERE c.prize_id > ${after} ORDER BY c.prize_id LIMIT ${PAGE_ROWS_MAX}`,
      rowsAsArray: true,
    });
    return rows as unknown as ClaimTuple[];
  };
  let page = read(0);
  for (;;) {
    const rows = await page;
    const last = rows.at(-1);
    const isLast = last === undefined || rows.length < PAGE_ROWS_MAX;
    if (!isLast) {
      page = read(last[0]);
      // Its error is met where it is awaited, if the reader comes so far.
      page.catch(() => undefined);
    }
    yield rows.map(([prizeId, round, user, n, amountMinor, state]) => ({
      prizeId,
      round,
      user,
      n,
      amountMinor,
      payout: state ?? "pending",
    }));
    if (isLast) return;
  }
}

type ClaimTuple = [number, number, string, number, number, PayoutState | null];

/** The claims that Redis does not remember as they are, and what it has in their place. Errors: those of Redis. */
export async function redisMemory(
  store: BucketStore,
  claims: readonly AuditClaim[],
): Promise<{ claim: AuditClaim; held: string | null }[]> {
  const byRound = new Map<number, AuditClaim[]>();
  for (const claim of claims) {
    const list = byRound.get(claim.round);
    if (list === undefined) byRound.set(claim.round, [claim]);
    else list.push(claim);
  }
  const different: { claim: AuditClaim; held: string | null }[] = [];
  for (const [round, list] of byRound) {
    for (let from = 0; from < list.length; from += FIELDS_MAX) {
      const some = list.slice(from, from + FIELDS_MAX);
      const fields = some.map(({ user, n }) => claimField(user, n));
      const held = await store.client.hmget(store.keys.claims(round), ...fields);
      for (const [index, claim] of some.entries()) {
        const prize = held[index] ?? null;
        if (prize !== String(claim.prizeId)) different.push({ claim, held: prize });
      }
    }
  }
  return different;
}
