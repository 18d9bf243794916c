/** The built-in ledger and order book: written in the transaction that says "paid". */
import type { Connection, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "./connect.ts";

/** The company's account; a user's is userAccount(). User IDs hold no colon, so they never meet. */
export const COMPANY_ACCOUNT = "company";

export function userAccount(user: string): string {
  return `user:${user}`;
}

export interface LedgerCredit {
  prizeId: number;
  user: string;
  amountMinor: number;
}

const timeout = mysqlPolicy.queryTimeoutMs;
const NOW = "UTC_TIMESTAMP(3)";

/** User IDs stand in the text as they are: their alphabet (checked when a claim is written) holds nothing that needs escaping. */
function checked(user: string): string {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(user)) return user;
  throw new Error(`user ID is damaged: ${JSON.stringify(user)}`);
}

/**
 * Books credits: a credit and a debit a prize, then the balances. Accounts are touched in the order of their names, the company's
 * last, so that pullers meet as little as can be. ER_DUP_ENTRY: a prize was booked before.
 */
export async function bookCredits(connection: Connection, credits: readonly LedgerCredit[]): Promise<void> {
  if (credits.length === 0) return;
  let entries = "";
  let sumMinor = 0;
  const balances = new Map<string, number>();
  for (const { prizeId, user, amountMinor } of credits) {
    const account = userAccount(checked(user));
    entries +=
      `${entries === "" ? "" : ","}(${prizeId},'credit','${account}',${amountMinor},@at),` +
      `(${prizeId},'debit','${COMPANY_ACCOUNT}',${-amountMinor},@at)`;
    balances.set(account, (balances.get(account) ?? 0) + amountMinor);
    sumMinor += amountMinor;
  }
  await connection.query({ sql: `SET @at = ${NOW}`, timeout });
  await connection.query({
    sql: `INSERT INTO ledger_entries (prize_id, side, account, amount_minor, booked_at) VALUES ${entries}`,
    timeout,
  });
  const sorted = [...balances].sort(([a], [b]) => (a < b ? -1 : 1));
  await addToBalances(connection, sorted);
  await addToBalances(connection, [[COMPANY_ACCOUNT, -sumMinor]]);
}

/** VALUES() is what both servers understand here. */
async function addToBalances(
  connection: Connection,
  sums: [account: string, minor: number][],
): Promise<void> {
  const values = sums.map(([account, minor]) => `('${account}',${minor})`).join(",");
  await connection.query({
    sql:
      `INSERT INTO ledger_accounts (account, balance_minor) VALUES ${values} ` +
      `ON DUPLICATE KEY UPDATE balance_minor = balance_minor + VALUES(balance_minor)`,
    timeout,
  });
}

/** Which of these prizes stand in the ledger or in the order book already. */
export async function bookedAlready(connection: Connection, ids: readonly number[]): Promise<Set<number>> {
  if (ids.length === 0) return new Set();
  const listed = ids.join(",");
  const [rows] = await connection.query<RowDataPacket[]>({
    sql:
      `SELECT prize_id FROM ledger_entries WHERE prize_id IN (${listed}) UNION ` +
      `SELECT prize_id FROM orders WHERE prize_id IN (${listed})`,
    timeout,
  });
  return new Set(rows.map((row) => row["prize_id"] as number));
}

export interface ItemOrder {
  prizeId: number;
  round: number;
  user: string;
  sku: string;
  priceMinor: number;
}

/** Places orders in the built-in order book. ER_DUP_ENTRY: one was placed before. */
export async function bookOrders(connection: Connection, orders: readonly ItemOrder[]): Promise<void> {
  if (orders.length === 0) return;
  const values = orders.map(
    ({ prizeId, round, user, sku, priceMinor }) =>
      `(${prizeId},${round},'${checked(user)}',${connection.escape(sku)},${priceMinor},${NOW})`,
  );
  await connection.query({
    sql: `INSERT INTO orders (prize_id, round_id, user_id, sku, price_minor, placed_at) VALUES ${values.join(",")}`,
    timeout,
  });
}
