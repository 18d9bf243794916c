import type { Pack, PackRound } from "@hongbao/preprocess";
import type { MoveNote } from "../moves/note.ts";
import { balanceOf, countOf, runWith, worthOf, type Run } from "../moves/runs.ts";
import type { RoundState } from "../redis/scripts.ts";
import type { PayoutState } from "../mysql/payouts.ts";
import type { RoundAudit, Sum } from "./audit.ts";
import type { BurnedBooks } from "./burned.ts";
import { IdSet } from "./id-set.ts";

/**
 * One round of one bucket at the cut: which IDs are its own, which were issued, where they were found.
 *
 *   owned = generated + came by moves - went by moves          issued = owned - left - burned
 */
export class RoundBooks {
  readonly round: PackRound;
  readonly state: RoundState | undefined;
  /** The IDs that were generated for this bucket and round. */
  readonly generated: Run;
  /** Burned IDs that a user is getting back at this very moment. */
  readonly restoring: ReadonlySet<number>;
  /** Claims on IDs that were not issued here at the cut; a bit for each of the event's prizes, made when there are any. */
  later: IdSet | null = null;
  /** What contradicts itself, one sentence each. */
  readonly faults: string[] = [];
  #claimed: IdSet | null = null;
  #waiting: IdSet | null = null;
  readonly #pack: Pack;
  readonly #bucket: string;
  readonly #notes: readonly MoveNote[];
  readonly #owned: Run[];
  readonly #left: Run[];
  readonly #burned: Run[];
  readonly #issued: Run[];
  readonly #payouts: Record<PayoutState, Sum> = { pending: none(), paid: none(), dead: none(), held: none() };

  /** @param notes the bucket's notes of moves, of the same moment as state and burned. */
  constructor(
    pack: Pack,
    bucket: string,
    round: PackRound,
    state: RoundState | undefined,
    notes: readonly MoveNote[],
    burned: BurnedBooks,
  ) {
    const range = pack.manifest.ranges.find(
      (candidate) => candidate.round === round.id && candidate.bucket === bucket,
    );
    this.#pack = pack;
    this.#bucket = bucket;
    this.round = round;
    this.state = state;
    this.generated = { lo: range?.lo ?? 0, count: range?.count ?? 0 };
    this.#notes = notes.filter((note) => note.round === round.id && note.kind !== "release");
    const came = [this.generated, ...this.#runs("in")];
    this.#owned = this.#ones(
      balanceOf(
        came.filter(({ count }) => count > 0),
        this.#runs("out"),
      ),
      "the moves of Redis have it more than once, or gave it without having it",
    );
    this.#left =
      state === undefined
        ? []
        : [{ lo: state.lo, count: state.left }, ...state.waitingRanges].filter(({ count }) => count > 0);
    const gone = this.#ones(
      balanceOf(this.#owned, this.#left),
      "Redis has it to give more than once, or without owning it",
    );
    this.restoring = burned.restoring;
    this.#burned = burned.burned;
    this.#issued = this.#ones(
      balanceOf(gone, burned.burned),
      "MySQL has it burned, although it is left or not owned",
    );
  }

  /** The owned IDs whose claims stand in MySQL; made when it is first asked for. */
  get claimed(): IdSet {
    return (this.#claimed ??= new IdSet(this.#owned));
  }
  /** And those whose claims are in the journal alone. */
  get waiting(): IdSet {
    return (this.#waiting ??= new IdSet(this.#owned));
  }

  get id(): number {
    return this.round.id;
  }
  get perUser(): number {
    return this.round.perUser;
  }

  owns(prizeId: number): boolean {
    return runWith(this.#owned, prizeId) >= 0;
  }

  /** IDs are given from the top of a range down, so what was issued is what is owned and not left. */
  wasIssued(prizeId: number): boolean {
    return this.state !== undefined && runWith(this.#issued, prizeId) >= 0;
  }

  /** A claim that MySQL holds. @returns false when its ID was not issued at the cut: it is kept for a second look. */
  claim(prizeId: number, payout: PayoutState): boolean {
    if (this.restoring.has(prizeId)) return true;
    if (!this.wasIssued(prizeId)) {
      this.later ??= new IdSet([{ lo: this.#pack.firstId, count: this.#pack.prizeCount }]);
      this.later.add(prizeId);
      return false;
    }
    this.claimed.add(prizeId);
    const sum = this.#payouts[payout];
    sum.count += 1;
    sum.amount += this.#amountOf(prizeId);
    return true;
  }

  *missing(): Generator<number> {
    for (const { lo, count } of this.#issued) {
      for (let id = lo; id < lo + count; id += 1)
        if (!this.claimed.has(id) && !this.waiting.has(id)) yield id;
    }
  }

  /** The same in counts alone, without a look at any prize. */
  counts(): Record<
    "generated" | "borrowed" | "rolledIn" | "left" | "burned" | "lentOut" | "rolledOut",
    number
  > {
    return {
      generated: this.generated.count,
      borrowed: countOf(this.#runs("in", "lend")),
      rolledIn: countOf(this.#runs("in", "roll")),
      left: countOf(this.#left),
      burned: countOf(this.#burned),
      lentOut: countOf(this.#runs("out", "lend")),
      rolledOut: countOf(this.#runs("out", "roll")),
    };
  }

  figures(): RoundAudit {
    const claimed = this.#sumOf(this.claimed);
    return {
      bucket: this.#bucket,
      round: this.id,
      generated: this.#worth([this.generated]),
      borrowed: this.#worth(this.#runs("in", "lend")),
      rolledIn: this.#worth(this.#runs("in", "roll")),
      issued: this.state === undefined ? none() : this.#worth(this.#issued),
      left: this.#worth(this.#left),
      burned: this.#worth(this.#burned),
      lentOut: this.#worth(this.#runs("out", "lend")),
      rolledOut: this.#worth(this.#runs("out", "roll")),
      waiting: this.#sumOf(this.waiting),
      claimed,
      paid: this.#payouts.paid,
      pending: plus(this.#payouts.pending, this.#payouts.held),
      dead: this.#payouts.dead,
      held: this.#payouts.held,
    };
  }

  #runs(direction: MoveNote["direction"], kind?: MoveNote["kind"]): Run[] {
    return this.#notes
      .filter((note) => note.direction === direction && (kind === undefined || note.kind === kind))
      .flatMap(({ runs }) => runs);
  }

  /** The runs of level 1; others are faults. */
  #ones(levels: (Run & { level: number })[], fault: string): Run[] {
    for (const { lo, count, level } of levels) {
      if (level !== 1) this.faults.push(`prizes ${lo} to ${lo + count - 1}: ${fault}`);
    }
    return levels.filter(({ level }) => level === 1).map(({ lo, count }) => ({ lo, count }));
  }

  #amountOf(id: number): number {
    return this.#pack.holds(id) ? this.#pack.amountOf(id) : 0;
  }

  #worth(runs: readonly Run[]): Sum {
    return { count: countOf(runs), amount: worthOf(runs, (id) => this.#amountOf(id)) };
  }

  #sumOf(ids: IdSet): Sum {
    const sum = none();
    for (const { lo, count } of this.#owned) {
      for (let id = lo; id < lo + count; id += 1) {
        if (!ids.has(id)) continue;
        sum.count += 1;
        sum.amount += this.#amountOf(id);
      }
    }
    return sum;
  }
}

function plus(one: Sum, other: Sum): Sum {
  return { count: one.count + other.count, amount: one.amount + other.amount };
}

function none(): Sum {
  return { count: 0, amount: 0 };
}
