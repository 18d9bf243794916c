import type { GuardedClaim } from "./decide.ts";

/** What a payout process tells whoever watches it. */
export interface PayoutObserver {
  /** Claims that came to a state, or were accepted by a target, or are to be sent again. */
  outcome(what: "paid" | "accepted" | "retry" | "dead" | "held", count: number): void;
  /** Money credited by this process, in minor units. */
  paidMinor(amountMinor: number): void;
  batch(claims: number, milliseconds: number): void;
  /** A target answered, or did not. */
  answer(target: string, milliseconds: number): void;
  /** After each batch: whether so many sends failed in a row that the target is only probed. */
  circuit?(target: string, isOpen: boolean): void;
  /** The guard kept a claim from being paid: somebody must look at it. */
  guarded(claim: GuardedClaim): void;
  /** MySQL did not do it; nothing is lost, it is tried again. */
  failed(what: string, error: unknown): void;
}
