import { randomBytes } from "node:crypto";
import type { Pool, PoolConnection } from "mysql2/promise";
import {
  claimsById,
  grant,
  hasWork,
  leasePayouts,
  lockDue,
  lockPayouts,
  markDead,
  markPaid,
  postpone,
  readTotals,
  ungrant,
  writePayouts,
  type DueRow,
  type OpenClaim,
} from "../mysql/payouts.ts";
import { inTransaction } from "../mysql/transaction.ts";
import { BudgetExceeded, Careful, decide, type GuardedClaim } from "./decide.ts";
import { Remaining, type Guard } from "./guard.ts";
import type { Knowledge } from "./knowledge.ts";
import type { PayoutObserver } from "./observer.ts";
import { leaseMs, type PayoutPolicy } from "./policy.ts";
import type { Outcome, OutsideTarget, PayoutOrder } from "./target.ts";

export interface SenderParts {
  pool: Pool;
  target: OutsideTarget;
  /** The rounds whose payouts go to this target. */
  rounds: readonly number[];
  policy: PayoutPolicy;
  observer: PayoutObserver;
  orderOf: (claim: OpenClaim) => PayoutOrder;
  knowledge: Knowledge;
}

/** A payout on its way. */
interface Sending {
  row: DueRow;
  order: PayoutOrder;
}

interface Answered extends Sending {
  outcome: Outcome;
}

/**
 * Sends pending payouts to a target outside: take up under a lease → ask → write down. Only what is written down counts; a process
 * that dies in between leaves rows whose lease ends, and the next one asks again with the same key.
 *
 *   closed ──failuresMax failures in a row──> open (one payout at a time) ──an answer──> closed
 */
export class Sender {
  readonly #parts: SenderParts;
  #failures = 0;
  #isIdle = true;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.target.name;
  }

  /** One batch; answers how long to rest, in ms. Errors: those of MySQL. */
  async step(): Promise<number> {
    const { pool, policy, target, observer } = this.#parts;
    if (this.#isIdle && !(await hasWork(pool, { rounds: this.#parts.rounds, feed: false })))
      return policy.idleMs;
    const isOpen = this.#failures >= policy.failuresMax;
    const lease = randomBytes(8).toString("hex");
    const sending = await this.#takeUp(lease, isOpen ? 1 : policy.inFlightMax);
    this.#isIdle = sending.length === 0;
    if (this.#isIdle) return policy.idleMs;
    const answered = await Promise.all(
      sending.map(async ({ row, order }): Promise<Answered> => {
        const began = performance.now();
        const outcome = await (row.accepted ? target.confirm(order) : target.send(order));
        observer.answer(target.name, performance.now() - began);
        return { row, order, outcome };
      }),
    );
    for (const { outcome } of answered) this.#failures = outcome.kind === "retry" ? this.#failures + 1 : 0;
    observer.circuit?.(target.name, this.#failures >= policy.failuresMax);
    await this.#writeDown(lease, answered);
    return isOpen && this.#failures > 0 ? policy.probeDelayMs : 0;
  }

  /** What may be sent, under the lease; denied users' and what the guard objects to is written down at once. */
  async #takeUp(lease: string, limit: number, strict = false): Promise<Sending[]> {
    const { pool, policy, rounds, target, orderOf, knowledge } = this.#parts;
    try {
      const { sending, guarded, held } = await inTransaction(pool, async (connection) => {
        await knowledge.learnRules(connection);
        const due = await lockDue(connection, rounds, limit);
        if (due.length === 0) return { sending: [], guarded: [], held: 0 };
        const claims = await claimsById(
          connection,
          due.map(({ prizeId }) => prizeId),
        );
        const known = { guard: await knowledge.guardFor(connection, claims), rules: knowledge.rules };
        const before = new Map(due.map((row) => [row.prizeId, row]));
        const careful =
          strict || !known.guard.withinEvent
            ? new Careful(new Remaining(known.guard, await readTotals(connection, { lock: true })))
            : null;
        const decisions = decide(claims, before, careful, { ...known, targetOf: () => target, orderOf });
        const stopped = decisions.rows.filter(({ state }) => state !== "pending");
        if (stopped.length > 0) await writePayouts(connection, stopped, { replace: true });
        await this.#regrant(connection, decisions.rows, before, known.guard);
        const byPrize = new Map(claims.map((claim) => [claim.prizeId, claim]));
        const going = decisions.rows
          .filter(({ state }) => state === "pending")
          .map(({ prizeId }): Sending => ({
            row: before.get(prizeId)!,
            order: orderOf(byPrize.get(prizeId)!),
          }));
        for (const isAttempt of [true, false]) {
          const ids = going.filter(({ row }) => row.accepted !== isAttempt).map(({ row }) => row.prizeId);
          if (ids.length > 0)
            await leasePayouts(connection, { ids, lease, leaseMs: leaseMs(policy), isAttempt });
        }
        return { sending: going, guarded: decisions.guarded, held: decisions.held };
      });
      this.#tellStopped(guarded, held);
      return sending;
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      return this.#takeUp(lease, limit, true);
    }
  }

  /** Rows that come back from dead or held are booked on the budget anew; those that the guard stopped are taken off it. */
  async #regrant(
    connection: PoolConnection,
    rows: readonly { prizeId: number; round: number; granted: boolean; amountMinor: number }[],
    before: ReadonlyMap<number, DueRow>,
    guard: Guard,
  ): Promise<void> {
    for (const { prizeId, round, granted, amountMinor } of rows) {
      const was = before.get(prizeId)!.granted;
      const sum = { count: 1, amountMinor };
      if (granted && !was && !(await grant(connection, round, sum, guard.budgetOf(round))))
        throw new BudgetExceeded(`the budget of round ${round} would be exceeded`);
      if (!granted && was) await ungrant(connection, round, sum);
    }
  }

  #tellStopped(guarded: readonly GuardedClaim[], held: number): void {
    const { observer } = this.#parts;
    if (held > 0) observer.outcome("held", held);
    if (guarded.length > 0) observer.outcome("dead", guarded.length);
    for (const claim of guarded) observer.guarded(claim);
  }

  /**
   * "paid" is a fact and is written whoever holds the row by now; any other answer counts only while the lease is still ours and
   * nobody has held or retried the payout in between.
   */
  async #writeDown(lease: string, answered: readonly Answered[]): Promise<void> {
    const { pool, policy, observer } = this.#parts;
    const paid = answered.filter(({ outcome }) => outcome.kind === "paid");
    const counts = await inTransaction(pool, async (connection) => {
      const rows = await lockPayouts(
        connection,
        answered.map(({ row }) => row.prizeId),
      );
      const news = paid.filter(({ row }) => rows.get(row.prizeId)?.state !== "paid");
      for (const { row } of news) {
        if (rows.get(row.prizeId)?.granted === false) await this.#book(connection, row);
      }
      if (news.length > 0)
        await markPaid(
          connection,
          news.map(({ row }) => row.prizeId),
        );
      const told = { paid: news, accepted: 0, retry: 0, dead: 0 };
      for (const { row, outcome } of answered) {
        const now = rows.get(row.prizeId);
        if (outcome.kind === "paid" || now?.state !== "pending" || now.lease !== lease) continue;
        told[await this.#postponeOrBury(connection, row, outcome, policy)] += 1;
      }
      return told;
    });
    observer.outcome("paid", counts.paid.length);
    observer.paidMinor(counts.paid.reduce((sum, { order }) => sum + order.amountMinor, 0));
    for (const what of ["accepted", "retry", "dead"] as const) observer.outcome(what, counts[what]);
  }

  /** The target says it is paid, whatever the budget says: the books must show it. */
  async #book(connection: PoolConnection, { round, amountMinor }: DueRow): Promise<void> {
    const unbounded = { count: Number.MAX_SAFE_INTEGER, amountMinor: Number.MAX_SAFE_INTEGER };
    await grant(connection, round, { count: 1, amountMinor }, unbounded);
  }

  async #postponeOrBury(
    connection: PoolConnection,
    row: DueRow,
    outcome: Exclude<Outcome, { kind: "paid" }>,
    policy: PayoutPolicy,
  ): Promise<"accepted" | "retry" | "dead"> {
    const { prizeId, acceptedAgeSeconds } = row;
    const attempts = row.attempts + (row.accepted ? 0 : 1);
    const bury = async (reason: string): Promise<"dead"> => {
      await markDead(connection, [prizeId], reason);
      await ungrant(connection, row.round, { count: 1, amountMinor: row.amountMinor });
      return "dead";
    };
    if (outcome.kind === "refused") return bury(outcome.reason);
    const reason = outcome.kind === "retry" ? outcome.reason : null;
    if (row.accepted || outcome.kind === "accepted") {
      if (outcome.kind === "unknown") {
        if (attempts >= policy.attemptsMax)
          return bury(`${attempts} attempts: the target took it and lost it each time`);
        await postpone(connection, prizeId, {
          delayMs: 0,
          accepted: false,
          reason: "the target lost it; it is sent again",
        });
        return "retry";
      }
      if (row.accepted && acceptedAgeSeconds > policy.confirmSecondsMax)
        return bury(
          `not confirmed within ${policy.confirmSecondsMax} s${reason === null ? "" : `: ${reason}`}`,
        );
      const delayMs = policy.confirmDelayMs(acceptedAgeSeconds, Math.random());
      await postpone(connection, prizeId, { delayMs, accepted: true, reason });
      return outcome.kind === "retry" ? "retry" : "accepted";
    }
    if (attempts >= policy.attemptsMax)
      return bury(`${attempts} attempts, the last: ${reason ?? outcome.kind}`);
    await postpone(connection, prizeId, {
      delayMs: policy.retryDelayMs(attempts, Math.random()),
      accepted: null,
      reason,
    });
    return "retry";
  }
}
