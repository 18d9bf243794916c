/** A win that somebody brings back: by a receipt, or by a journal entry that came after a rebuild. */
export interface LostWin {
  prizeId: number;
  round: number;
  user: string;
  n: number;
}

/** What MySQL knows of some lost wins. */
export interface WinFacts {
  /** Claims on these prizes, and claims of these users in these rounds with these n. */
  claims: readonly LostWin[];
  burned: readonly { prizeId: number; round: number; state: string }[];
}

export type WinVerdict = { verdict: "free" } | { verdict: "known" } | { verdict: "refused"; why: string };

/** Whether a lost win may be claimed. Pure. `unburned`: MySQL knows nothing of this prize; only Redis may. */
export function judgeWin(win: LostWin, facts: WinFacts): WinVerdict | { verdict: "unburned" } {
  const refused = (why: string): WinVerdict => ({ verdict: "refused", why });
  const claim = facts.claims.find(({ prizeId }) => prizeId === win.prizeId);
  if (claim !== undefined) {
    const isSame = claim.round === win.round && claim.user === win.user && claim.n === win.n;
    return isSame ? { verdict: "known" } : refused("the prize is another claim's");
  }
  const burned = facts.burned.find(({ prizeId }) => prizeId === win.prizeId);
  if (burned?.state === "released") return refused("the claim period is over: the prize was released");
  const seat = facts.claims.find(
    ({ round, user, n }) => round === win.round && user === win.user && n === win.n,
  );
  if (seat !== undefined)
    return refused(`the user holds prize ${seat.prizeId} as number ${win.n} of this round`);
  if (burned === undefined) return { verdict: "unburned" };
  if (burned.round !== win.round) return refused(`the prize was burned in round ${burned.round}`);
  return { verdict: "free" };
}
