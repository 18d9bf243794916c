/** What stands in the stores when all is quiet: plain data, so that the checker can be tested with doctored facts. */

export interface Run {
  lo: number;
  count: number;
}

export interface ClaimFact {
  bucket: string;
  prize: number;
  round: number;
  user: string;
  n: number;
  amount: number;
  /** By the clock of the bucket's Redis, ms since 1970. */
  atMs: number;
}

export interface RoundFact {
  round: number;
  kind: "envelope" | "item";
  perUser: number;
  count: number;
  budget: number;
  /** What the operator (here: the harness) has ordered; null: never opened, or not closed by a given time. */
  orderedOpensAtMs: number | null;
  orderedClosesAtMs: number | null;
  leftovers: "next" | "hold";
}

/** One round in one bucket's Redis. */
export interface StockFact {
  bucket: string;
  round: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  left: Run[];
  /** Claim field (user or user#n) and prize. */
  claims: [string, number][];
}

export interface LedgerFact {
  bucket: string;
  prize: number;
  side: "credit" | "debit";
  account: string;
  amount: number;
}

export interface Facts {
  /** Generated IDs, each with what it is worth: `amounts[i]` is of `firstId + i`. */
  firstId: number;
  amounts: number[];
  /** The event's, in minor units. */
  budget: number;
  rounds: RoundFact[];
  stocks: StockFact[];
  claims: ClaimFact[];
  payouts: { bucket: string; prize: number; state: string; amount: number }[];
  ledger: LedgerFact[];
  accounts: { bucket: string; account: string; balance: number }[];
  orders: { bucket: string; prize: number; user: string }[];
  /** A wallet's own books; null: the ledger pays. */
  wallet: { key: string; user: string; amount: number; contradictions: number }[] | null;
  burned: { bucket: string; prize: number; state: string }[];
  /** Prizes that have left one bucket or round and not come to another. */
  underWay: number;
  conflicts: number;
  audit: {
    ok: boolean;
    violations: { promise: number; what: string; prize?: number; user?: string }[];
  } | null;
}

/** What the buckets have left of a round. */
export function leftIn(facts: Facts, round: number): number {
  const runs = facts.stocks.filter((stock) => stock.round === round).flatMap(({ left }) => left);
  return runs.reduce((sum, { count }) => sum + count, 0);
}
