/** Bounds of paying. */
export interface PayoutPolicy {
  /** Runs of claims that are taken up in one transaction, and claims past which no further run is. */
  feedRunsMax: number;
  feedClaimsMax: number;
  /** While less than this waits, claims are let gather: people still press, and small transactions cost them the most. */
  gatherMs: number;
  /** Pending payouts that are taken up at once by the built-in ledger. */
  dueMax: number;
  /** Sends to one target under way in a process; also the batch of a lease. */
  inFlightMax: number;
  /** A send without an answer is unknown after this long, and asked again. */
  timeoutMs: number;
  /** After so many attempts a payout is dead, until an operator retries it. */
  attemptsMax: number;
  /** A target that took a payout must have confirmed it within this time. */
  confirmSecondsMax: number;
  /** Before the attempt after `attempts`; full jitter, so that many do not come back in the same moment. */
  retryDelayMs: (attempts: number, random: number) => number;
  /** Between two questions whether a payout was confirmed. */
  confirmDelayMs: (ageSeconds: number, random: number) => number;
  /** So many failures in a row open the circuit: then one payout at a time finds out whether the target is back. */
  failuresMax: number;
  probeDelayMs: number;
  /** Between looks when there was nothing to do. */
  idleMs: number;
  sweepEveryMs: number;
  /** Before MySQL is asked again after a failure. */
  faultDelayMs: (failures: number) => number;
}

const RETRY_MS_MAX = 600_000;

/**
 * With these a target that is away for an hour costs no dead letter: attempts from the 11th are 5 minutes apart on average, and an
 * open circuit spends attempts on one payout at a time only.
 */
export const payoutPolicy: PayoutPolicy = {
  feedRunsMax: 256,
  feedClaimsMax: 2_048,
  gatherMs: 250,
  dueMax: 1000,
  inFlightMax: 32,
  timeoutMs: 3_000,
  attemptsMax: 24,
  confirmSecondsMax: 3_600,
  retryDelayMs: (attempts, random) =>
    Math.max(100, random * Math.min(500 * 2 ** Math.min(attempts, 20), RETRY_MS_MAX)),
  confirmDelayMs: (ageSeconds, random) => (0.5 + random) * Math.min(Math.max(500, ageSeconds * 250), 30_000),
  failuresMax: 20,
  probeDelayMs: 1_000,
  idleMs: 100,
  sweepEveryMs: 60_000,
  faultDelayMs: (failures) => Math.min(50 * 2 ** Math.min(failures, 10), 2_000),
};

/** A lease outlives every send that it covers, with room for a slow commit. */
export function leaseMs({ timeoutMs }: Pick<PayoutPolicy, "timeoutMs">): number {
  return 2 * timeoutMs + 10_000;
}
