/** What becomes of claims that came up for payment: one transaction each. */
import type { PoolConnection } from "mysql2/promise";
import {
  grant,
  readTotals,
  ungrant,
  writePayouts,
  type DueRow,
  type OpenClaim,
  type PayoutRow,
} from "../mysql/payouts.ts";
import type { UserRules } from "../users/rules.ts";
import { Remaining, type Guard, type Sum } from "./guard.ts";
import type { InsideTarget, PayoutOrder, PayoutTarget } from "./target.ts";

/** The round's budget would be exceeded; the transaction is to be rolled back and done again in the careful way. */
export class BudgetExceeded extends Error {}

/** A claim that was kept from being paid by the guard: for the alarm. */
export interface GuardedClaim {
  prizeId: number;
  round: number;
  user: string;
  reason: string;
}

export interface Decisions {
  rows: PayoutRow[];
  /** To be paid now, in this transaction. */
  inside: PayoutOrder[];
  held: number;
  guarded: GuardedClaim[];
}

/** The slow way, taken when the fast one met an obstacle: every claim is held against the books before it is paid. */
export class Careful {
  readonly #remaining: Remaining;
  readonly #paidAlready: ReadonlySet<number>;

  constructor(remaining: Remaining, paidAlready: ReadonlySet<number> = new Set()) {
    this.#remaining = remaining;
    this.#paidAlready = paidAlready;
  }

  objection(claim: OpenClaim): string | null {
    if (this.#paidAlready.has(claim.prizeId)) return "the ledger has this prize already";
    return this.#remaining.take(claim);
  }
}

export interface DecideParts {
  guard: Guard;
  rules: UserRules;
  targetOf: (round: number) => PayoutTarget;
  orderOf: (claim: OpenClaim) => PayoutOrder;
}

/**
 * A claim is dead when the guard objects, held when its user is denied, paid at once by a target inside MySQL, and pending for one
 * outside. `before` holds the rows of claims that came up again. Pure.
 */
export function decide(
  claims: readonly OpenClaim[],
  before: ReadonlyMap<number, DueRow>,
  careful: Careful | null,
  { guard, rules, targetOf, orderOf }: DecideParts,
): Decisions {
  const decisions: Decisions = { rows: [], inside: [], held: 0, guarded: [] };
  const orphans = new Map(before);
  for (const claim of claims) {
    const { prizeId, round, user, amountMinor } = claim;
    const known = before.get(prizeId);
    orphans.delete(prizeId);
    const row = (state: PayoutRow["state"], granted: boolean, reason: string | null): void => {
      decisions.rows.push({
        prizeId,
        round,
        state,
        attempts: known?.attempts ?? 0,
        amountMinor,
        granted,
        reason,
      });
    };
    const isGranted = known?.granted === true;
    const objection = guard.objection(claim);
    if (objection === null && rules.denies(user, round)) {
      decisions.held += 1;
      row("held", isGranted, "the user is denied");
      continue;
    }
    const reason = objection ?? (isGranted ? null : (careful?.objection(claim) ?? null));
    if (reason !== null) {
      decisions.guarded.push({ prizeId, round, user, reason });
      row("dead", false, reason);
      continue;
    }
    if (targetOf(round).kind === "inside") {
      decisions.inside.push(orderOf(claim));
      row("paid", true, null);
    } else row("pending", true, null);
  }
  for (const { prizeId, round, attempts, amountMinor } of orphans.values()) {
    const reason = "there is no claim for it";
    decisions.rows.push({ prizeId, round, state: "dead", attempts, amountMinor, granted: false, reason });
    decisions.guarded.push({ prizeId, round, user: "", reason });
  }
  return decisions;
}

/**
 * Decides on claims and writes it down, money and budget included. The rows that all pullers share (the company's account, the
 * totals) come last, so that they are locked for the length of a commit only. Throws BudgetExceeded, and ER_DUP_ENTRY when a prize
 * stands in the ledger, unless it is `careful`.
 */
export async function settle(
  connection: PoolConnection,
  claims: readonly OpenClaim[],
  before: ReadonlyMap<number, DueRow>,
  isCareful: boolean,
  parts: DecideParts & { inside: InsideTarget | null },
): Promise<Decisions> {
  let careful: Careful | null = null;
  if (isCareful) {
    const remaining = new Remaining(parts.guard, await readTotals(connection, { lock: true }));
    const ids = claims.map(({ prizeId }) => prizeId);
    careful = new Careful(remaining, await parts.inside?.paidAlready(connection, ids));
  }
  const decisions = decide(claims, before, careful, parts);
  if (decisions.rows.length > 0) await writePayouts(connection, decisions.rows, { replace: before.size > 0 });
  if (decisions.inside.length > 0) await parts.inside!.pay(connection, decisions.inside);
  for (const [round, sum] of newlyGranted(decisions.rows, before)) {
    if (await grant(connection, round, sum, parts.guard.budgetOf(round))) continue;
    throw new BudgetExceeded(`the budget of round ${round} would be exceeded`);
  }
  for (const { prizeId, round, granted, amountMinor } of decisions.rows) {
    if (!granted && before.get(prizeId)?.granted === true)
      await ungrant(connection, round, { count: 1, amountMinor });
  }
  return decisions;
}

/** In the order of rounds, so that pullers do not wait for each other in a circle. */
function newlyGranted(rows: readonly PayoutRow[], before: ReadonlyMap<number, DueRow>): [number, Sum][] {
  const sums = new Map<number, Sum>();
  for (const { prizeId, round, granted, amountMinor } of rows) {
    if (!granted || before.get(prizeId)?.granted === true) continue;
    const sum = sums.get(round) ?? { count: 0, amountMinor: 0 };
    sums.set(round, sum);
    sum.count += 1;
    sum.amountMinor += amountMinor;
  }
  return [...sums].sort(([a], [b]) => a - b);
}
