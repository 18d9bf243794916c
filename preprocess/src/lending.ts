/**
 * Sharing prizes anew while a round runs: which bucket lends how many to which. Pure, and only of figures, so that the conductor
 * decides by it and `hongbao simulate` foretells by the same. Why so, and not otherwise: docs/decisions/0011-moves.md.
 */

export const lendPolicy = {
  /** A bucket borrows when this part of what it had is left: it takes a moment, and by then it may be empty. */
  lowWaterShare: 0.1,
  /** Loans that the conductor makes by itself in a round, for each bucket. Halving empties a million in twenty. */
  loansPerBucketMax: 50,
} as const;

/** What one bucket holds of a round, as it was last seen. */
export interface Holding {
  left: number;
  issued: number;
  /** Empty, and somebody asked since. */
  dry: boolean;
}

/** A bucket that gives a round now and may lend or borrow, with figures that are newer than its last transfer. */
export interface Holder extends Holding {
  id: string;
  /** Left, without what is on its way out. */
  free: number;
  /** Something is on its way to it, so it waits for that. */
  awaits: boolean;
}

export interface Loan {
  from: string;
  to: string;
  count: number;
}

/** Whether somebody asked in vain, or soon will: a bucket that nobody asks for prizes needs none. */
export function isLow({ left, issued, dry }: Holding): boolean {
  if (left === 0) return dry;
  return issued > 0 && left <= Math.floor((left + issued) * lendPolicy.lowWaterShare);
}

/**
 * Half the difference, so that afterwards neither is poorer than the other and nothing goes straight back. An empty bucket
 * whose users ask gets the last prize too; one with some left waits until a lender has twice as much.
 */
export function loanOf(lenderLeft: number, borrowerLeft: number): number {
  if (borrowerLeft === 0) return Math.ceil(lenderLeft / 2);
  return lenderLeft >= 2 * borrowerLeft + 2 ? Math.floor((lenderLeft - borrowerLeft) / 2) : 0;
}

/** The loans that are due: the poorest first, each of whoever has most. Lowers the lenders' `free` as it goes. */
export function planLoans(holders: readonly Holder[]): Loan[] {
  const low = holders.filter((each) => isLow(each) && !each.awaits);
  low.sort((a, b) => a.free - b.free);
  return low.flatMap((borrower): Loan[] => {
    const lender = holders.reduce((best, each) => (each.free > best.free ? each : best), borrower);
    const count = loanOf(lender.free, borrower.free);
    if (lender === borrower || count === 0) return [];
    lender.free -= count;
    return [{ from: lender.id, to: borrower.id, count }];
  });
}

/** Whether the conductor may still lend by itself: `made` loans so far in this round, of a topology of so many buckets. */
export function mayLendMore(made: number, buckets: { all: number; lending: number }): boolean {
  return buckets.lending > 1 && made < lendPolicy.loansPerBucketMax * buckets.all;
}
