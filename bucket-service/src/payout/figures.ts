/** The money side of one bucket in figures, for the audit, commands and metrics. Only reads. */
import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
import { mysqlPolicy } from "../mysql/connect.ts";
import { COMPANY_ACCOUNT } from "../mysql/ledger.ts";
import type { PayoutState } from "../mysql/payouts.ts";

export interface PayoutSum {
  count: number;
  /** Minor units. */
  amount: number;
}

/** The claims of one round by the state of their payout; one that nobody has looked at yet is pending. */
export interface PayoutFigures extends Record<PayoutState, PayoutSum> {
  round: number;
}

/** It reads every claim and payout once: about a second or two a million; only what finds balances that are wrong takes longer. */
const FIGURES_MS_MAX = 180_000;

const none = (): PayoutSum => ({ count: 0, amount: 0 });

/** By round, in the order of rounds; the amounts are the claims'. Errors: those of MySQL. */
export async function payoutFigures(connection: Connection | Pool): Promise<PayoutFigures[]> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql:
      "SELECT c.round_id, COALESCE(p.state, 'pending') AS state, COUNT(*), SUM(c.amount_minor) FROM claims c " +
      "LEFT JOIN payouts p ON p.prize_id = c.prize_id GROUP BY c.round_id, COALESCE(p.state, 'pending') ORDER BY c.round_id",
    timeout: FIGURES_MS_MAX,
    rowsAsArray: true,
  });
  const rounds = new Map<number, PayoutFigures>();
  for (const [round, state, count, amount] of rows as unknown as [number, PayoutState, number, number][]) {
    const figures = rounds.get(round) ?? { round, pending: none(), paid: none(), dead: none(), held: none() };
    rounds.set(round, figures);
    figures[state] = { count: Number(count), amount: Number(amount) };
  }
  return [...rounds.values()];
}

/** The ledger as a whole. In a right one `entriesMinor` and `balancesMinor` are 0 and paidMinor is what claims say was paid here. */
export interface LedgerFigures {
  credits: number;
  paidMinor: number;
  entriesMinor: number;
  balancesMinor: number;
  /** What the company's account says was paid. */
  companyMinor: number;
}

export async function ledgerFigures(connection: Connection | Pool): Promise<LedgerFigures> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql:
      "SELECT (SELECT COUNT(*) FROM ledger_entries WHERE side = 'credit') AS credits, " +
      "(SELECT COALESCE(SUM(amount_minor), 0) FROM ledger_entries WHERE side = 'credit') AS paid, " +
      "(SELECT COALESCE(SUM(amount_minor), 0) FROM ledger_entries) AS entries, " +
      "(SELECT COALESCE(SUM(balance_minor), 0) FROM ledger_accounts) AS balances, " +
      "(SELECT COALESCE(-SUM(balance_minor), 0) FROM ledger_accounts WHERE account = ?) AS company",
    timeout: FIGURES_MS_MAX,
    values: [COMPANY_ACCOUNT],
  });
  const row = rows[0]!;
  return {
    credits: Number(row["credits"]),
    paidMinor: Number(row["paid"]),
    entriesMinor: Number(row["entries"]),
    balancesMinor: Number(row["balances"]),
    companyMinor: Number(row["company"]),
  };
}

/** Something in payouts, ledger or order book that no claim, or another amount, stands behind. */
export interface PayoutFault {
  round: number;
  what: string;
  prizeId?: number;
  user?: string;
}

/** Rows of one question; the memory is that of one answer. */
const FAULT_ROWS_MAX = 10_000;

interface Question {
  /** Tells `id`, by which it goes on after the one given, and what it found. */
  sql: string;
  after: number | string;
  /** A cheaper one: only when it answers 1 there is something to be found. */
  onlyIf?: string;
}

const QUESTIONS: readonly Question[] = [
  {
    after: 0,
    sql:
      "SELECT p.prize_id AS id, COALESCE(c.round_id, p.round_id) AS round, p.prize_id AS prize, c.user_id AS user, " +
      "CASE WHEN c.prize_id IS NULL THEN CONCAT('the payout (', p.state, ') has no claim') ELSE CONCAT('the payout is of ', " +
      "p.amount_minor, ' in round ', p.round_id, ', the claim of ', c.amount_minor, ' in round ', c.round_id) END AS what " +
      "FROM payouts p LEFT JOIN claims c ON c.prize_id = p.prize_id WHERE p.prize_id > ? AND (c.prize_id IS NULL OR " +
      "(p.state <> 'dead' AND (p.amount_minor <> c.amount_minor OR p.round_id <> c.round_id))) ORDER BY p.prize_id LIMIT ?",
  },
  {
    after: 0,
    sql:
      "SELECT e.prize_id AS id, COALESCE(c.round_id, 0) AS round, e.prize_id AS prize, c.user_id AS user, CASE " +
      "WHEN c.prize_id IS NULL THEN CONCAT('the ledger credits ', e.amount_minor, ' to ', e.account, ' without a claim') " +
      "WHEN c.amount_minor <> e.amount_minor OR CONCAT('user:', c.user_id) <> e.account THEN " +
      "CONCAT('the ledger credits ', e.amount_minor, ' to ', e.account, ', the claim is of ', c.amount_minor, ' to ', c.user_id) " +
      "ELSE CONCAT('the ledger has credited it, its payout is ', COALESCE(p.state, 'missing')) END AS what " +
      "FROM ledger_entries e LEFT JOIN claims c ON c.prize_id = e.prize_id LEFT JOIN payouts p ON p.prize_id = e.prize_id " +
      "WHERE e.prize_id > ? AND e.side = 'credit' AND (c.prize_id IS NULL OR c.amount_minor <> e.amount_minor OR " +
      "CONCAT('user:', c.user_id) <> e.account OR p.state IS NULL OR p.state <> 'paid') ORDER BY e.prize_id LIMIT ?",
  },
  {
    after: 0,
    // Weighed by its ID, a credit is cancelled by its own debit only.
    onlyIf:
      "SELECT COALESCE(SUM(CAST(amount_minor AS DECIMAL(20)) * prize_id), 0) <> 0 OR SUM(side = 'credit') <> SUM(side = 'debit') FROM ledger_entries",
    sql:
      "SELECT e.prize_id AS id, 0 AS round, e.prize_id AS prize, NULL AS user, 'the ledger has no debit of the same amount' AS what " +
      "FROM ledger_entries e LEFT JOIN ledger_entries d ON d.prize_id = e.prize_id AND d.side <> e.side " +
      "WHERE e.prize_id > ? AND (d.prize_id IS NULL OR d.amount_minor <> -e.amount_minor) " +
      "AND (e.side = 'credit' OR d.prize_id IS NULL) ORDER BY e.prize_id LIMIT ?",
  },
  {
    after: 0,
    sql:
      "SELECT o.prize_id AS id, o.round_id AS round, o.prize_id AS prize, o.user_id AS user, 'an order that no claim stands behind' AS what " +
      "FROM orders o LEFT JOIN claims c ON c.prize_id = o.prize_id WHERE o.prize_id > ? AND " +
      "(c.prize_id IS NULL OR c.user_id <> o.user_id OR c.round_id <> o.round_id) ORDER BY o.prize_id LIMIT ?",
  },
  {
    after: "",
    // Adding up a million accounts takes the server most of a minute; weighed sums of both tables are the same when all balances are.
    onlyIf:
      "SELECT (SELECT COALESCE(SUM(CAST(balance_minor AS DECIMAL(20)) * CRC32(account)), 0) FROM ledger_accounts) <> " +
      "(SELECT COALESCE(SUM(CAST(amount_minor AS DECIMAL(20)) * CRC32(account)), 0) FROM ledger_entries)",
    sql:
      "SELECT a.account AS id, 0 AS round, NULL AS prize, NULL AS user, CONCAT('the balance of ', a.account, ' is ', " +
      "a.balance_minor, ', its entries add up to ', COALESCE(e.amount, 0)) AS what FROM ledger_accounts a LEFT JOIN " +
      "(SELECT account, SUM(amount_minor) AS amount FROM ledger_entries GROUP BY account) e ON e.account = a.account " +
      "WHERE a.account > ? AND a.balance_minor <> COALESCE(e.amount, 0) ORDER BY a.account LIMIT ?",
  },
];

/** Paid, it says, but neither credited nor ordered; of rounds that the built-in ledger and order book pay. */
const unbooked = (kinds: string): Question => ({
  after: 0,
  sql:
    "SELECT p.prize_id AS id, p.round_id AS round, p.prize_id AS prize, NULL AS user, " +
    "'the payout says paid, but there is neither a ledger entry nor an order' AS what FROM payouts p " +
    "LEFT JOIN ledger_entries e ON e.prize_id = p.prize_id AND e.side = 'credit' LEFT JOIN orders o ON o.prize_id = p.prize_id " +
    `WHERE p.prize_id > ? AND p.state = 'paid' AND p.round_id IN (SELECT round_id FROM rounds WHERE kind IN (${kinds})) ` +
    "AND e.prize_id IS NULL AND o.prize_id IS NULL ORDER BY p.prize_id LIMIT ?",
});

/**
 * Every payout, ledger entry, balance and order that is doubled or foreign. Begin a REPEATABLE READ transaction first when payout
 * is at work, so that all questions see one moment. `insideKinds`: what the built-in ledger and order book pay (topology: a kind
 * without a `wallet` or `orders`). Errors: those of MySQL.
 */
export async function* payoutFaults(
  connection: Connection,
  { insideKinds = ["envelope", "item"] }: { insideKinds?: readonly ("envelope" | "item")[] } = {},
): AsyncGenerator<PayoutFault> {
  const kinds = insideKinds.map((kind) => `'${kind}'`).join(",");
  const questions = kinds === "" ? QUESTIONS : [...QUESTIONS, unbooked(kinds)];
  for (const { sql, after: first, onlyIf } of questions) {
    if (onlyIf !== undefined && !(await isTrue(connection, onlyIf))) continue;
    let after = first;
    for (;;) {
      const [rows] = await connection.query<RowDataPacket[]>({
        sql,
        timeout: FIGURES_MS_MAX,
        values: [after, FAULT_ROWS_MAX],
      });
      for (const row of rows) {
        after = row["id"] as number | string;
        yield {
          round: Number(row["round"]),
          what: String(row["what"]),
          ...(row["prize"] === null ? {} : { prizeId: row["prize"] as number }),
          ...(row["user"] === null ? {} : { user: row["user"] as string }),
        };
      }
      if (rows.length < FAULT_ROWS_MAX) break;
    }
  }
}

async function isTrue(connection: Connection, sql: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout: FIGURES_MS_MAX, rowsAsArray: true });
  return (rows as unknown as unknown[][])[0]?.[0] === 1;
}

/** What metrics show; cheap also with a million payouts. */
export async function payoutGauges(pool: Pool): Promise<{
  states: Record<PayoutState, PayoutSum>;
  feedIds: number;
  ledgerMinor: number;
}> {
  const timeout = mysqlPolicy.queryTimeoutMs;
  const [[open], [totals], [others]] = await Promise.all([
    pool.query<RowDataPacket[]>({
      sql: "SELECT state, COUNT(*) AS n, SUM(amount_minor) AS minor, SUM(granted) AS granted, SUM(amount_minor * granted) AS grantedMinor FROM payouts WHERE state IN ('pending', 'dead', 'held') GROUP BY state",
      timeout,
    }),
    pool.query<RowDataPacket[]>({
      sql: "SELECT COALESCE(SUM(granted_count), 0) AS n, COALESCE(SUM(granted_minor), 0) AS minor FROM payout_totals",
      timeout,
    }),
    pool.query<RowDataPacket[]>({
      sql: "SELECT (SELECT COALESCE(SUM(id_count), 0) FROM payout_feed) AS feed, (SELECT COALESCE(-SUM(balance_minor), 0) FROM ledger_accounts WHERE account = ?) AS ledger",
      timeout,
      values: [COMPANY_ACCOUNT],
    }),
  ]);
  const states = { pending: none(), paid: none(), dead: none(), held: none() };
  states.paid = { count: Number(totals[0]!["n"]), amount: Number(totals[0]!["minor"]) };
  for (const row of open) {
    states[row["state"] as PayoutState] = { count: Number(row["n"]), amount: Number(row["minor"]) };
    states.paid.count -= Number(row["granted"]);
    states.paid.amount -= Number(row["grantedMinor"]);
  }
  const feedIds = Number(others[0]!["feed"]);
  states.pending.count += feedIds;
  return { states, feedIds, ledgerMinor: Number(others[0]!["ledger"]) };
}
