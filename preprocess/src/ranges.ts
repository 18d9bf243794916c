/** Sharing prizes and budgets: over buckets by their eligible users, over blocks by their prizes. Pure. */

/**
 * Shares a whole amount in proportion to weights, exactly (largest remainder; ties to the first).
 * Every share is the exact one rounded up or down. Throws RangeError when all weights are 0.
 */
export function shareOut(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((all, weight) => all + BigInt(weight), 0n);
  if (sum === 0n) throw new RangeError("nothing to share by: all weights are 0");
  const parts = weights.map((weight, index) => {
    const product = BigInt(total) * BigInt(weight);
    return { index, share: Number(product / sum), remainder: product % sum };
  });
  const shares = parts.map((part) => part.share);
  let left = total - shares.reduce((all, share) => all + share, 0);
  const byRemainder = parts.toSorted((a, b) =>
    a.remainder === b.remainder ? a.index - b.index : a.remainder < b.remainder ? 1 : -1,
  );
  for (const { index } of byRemainder) {
    if (left === 0) break;
    shares[index]!++;
    left--;
  }
  return shares;
}

/** Cuts a count into blocks of at most `blockMax`, and its budget with it: each block's share fits the same bounds. */
export function* blocksOf(
  count: number,
  budgetMinor: number,
  blockMax: number,
): Generator<{ count: number; budgetMinor: number }> {
  let done = 0;
  let spentMinor = 0;
  while (done < count) {
    const size = Math.min(blockMax, count - done);
    done += size;
    // The budget of everything up to here, rounded down: differences of these are within a unit of the exact share.
    const spendMinor = Number((BigInt(budgetMinor) * BigInt(done)) / BigInt(count));
    yield { count: size, budgetMinor: spendMinor - spentMinor };
    spentMinor = spendMinor;
  }
}
