/** The budget guard: which claims may be paid at all. Pure. */
import { isUserId, type Pack } from "@hongbao/preprocess";
import type { OpenClaim } from "../mysql/payouts.ts";

/** A row of range_moves, as far as the guard needs it. */
export interface MovedRun {
  direction: "in" | "out";
  round: number;
  lo: number;
  count: number;
  amountMinor: number;
}

export interface Sum {
  count: number;
  amountMinor: number;
}

/** What a bucket may pay: the prizes that it owns, by round: generated for it, and moved in, without those that moved out. */
export class Guard {
  readonly #pack: Pick<Pack, "amountOf" | "holds" | "manifest">;
  readonly #generated = new Map<number, { lo: number; count: number }>();
  readonly #moves: Map<number, MovedRun[]>;
  readonly #budgets = new Map<number, Sum>();
  /** Whether the rounds' budgets together are within the event's; else every payment is counted against the event as well. */
  readonly withinEvent: boolean;

  constructor(
    pack: Pick<Pack, "amountOf" | "holds" | "manifest">,
    bucket: string,
    moves: readonly MovedRun[],
  ) {
    this.#pack = pack;
    this.#moves = new Map(
      pack.manifest.rounds.map(({ id }) => [id, moves.filter(({ round }) => round === id)]),
    );
    for (const range of pack.manifest.ranges) {
      if (range.bucket !== bucket) continue;
      this.#generated.set(range.round, range);
      this.#budgets.set(range.round, { count: range.count, amountMinor: range.amountMinor });
    }
    for (const { direction, round, count, amountMinor } of moves) {
      const budget = this.#budgets.get(round) ?? { count: 0, amountMinor: 0 };
      this.#budgets.set(round, budget);
      const sign = direction === "in" ? 1 : -1;
      budget.count += sign * count;
      budget.amountMinor += sign * amountMinor;
    }
    const total = [...this.#budgets.values()].reduce((sum, { amountMinor }) => sum + amountMinor, 0);
    this.withinEvent = total <= pack.manifest.event.budgetMinor;
  }

  get eventBudgetMinor(): number {
    return this.#pack.manifest.event.budgetMinor;
  }

  budgetOf(round: number): Sum {
    return this.#budgets.get(round) ?? { count: 0, amountMinor: 0 };
  }

  /** Why a claim must not be paid; null: it may, as far as it can be told without the books. */
  objection({ prizeId, round, user, amountMinor }: OpenClaim): string | null {
    if (!isUserId(user)) return "the user ID is not one";
    if (!this.#pack.holds(prizeId)) return "the prize is not one of the pack's";
    const worth = this.#pack.amountOf(prizeId);
    if (amountMinor !== worth) return `the claim is worth ${amountMinor}, the pack's prize ${worth}`;
    if (!this.#owns(round, prizeId)) return `the prize does not belong to this bucket in round ${round}`;
    return null;
  }

  #owns(round: number, id: number): boolean {
    const range = this.#generated.get(round);
    let times = range !== undefined && id >= range.lo && id < range.lo + range.count ? 1 : 0;
    for (const { direction, lo, count } of this.#moves.get(round) ?? []) {
      if (id >= lo && id < lo + count) times += direction === "in" ? 1 : -1;
    }
    return times === 1;
  }
}

/** What may still be booked; the strict way counts every claim against it. */
export class Remaining {
  readonly #rounds: Map<number, Sum>;
  #eventMinor: number;

  constructor(guard: Guard, granted: ReadonlyMap<number, Sum>) {
    this.#rounds = new Map(
      [...granted].map(([round, { count, amountMinor }]) => {
        const budget = guard.budgetOf(round);
        return [round, { count: budget.count - count, amountMinor: budget.amountMinor - amountMinor }];
      }),
    );
    const spent = [...granted.values()].reduce((sum, { amountMinor }) => sum + amountMinor, 0);
    this.#eventMinor = guard.eventBudgetMinor - spent;
  }

  /** Counts a claim; or says why it does not fit, and counts nothing. */
  take({ round, amountMinor }: { round: number; amountMinor: number }): string | null {
    const left = this.#rounds.get(round) ?? { count: 0, amountMinor: 0 };
    if (left.count < 1 || left.amountMinor < amountMinor)
      return `it would exceed the budget of round ${round}`;
    if (this.#eventMinor < amountMinor) return "it would exceed the event's budget";
    left.count -= 1;
    left.amountMinor -= amountMinor;
    this.#eventMinor -= amountMinor;
    return null;
  }
}
