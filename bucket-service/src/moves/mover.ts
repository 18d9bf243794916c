/**
 * One bucket's side of moves. `out` is the lender's half, `in` the borrower's; a rollover is both in one bucket. Each half
 * is two steps, of which the conductor need not know: when it fails in between, asking again finishes it.
 *
 *   out   leave (Redis: the IDs are nobody's to issue) ──> record (MySQL: range_moves, ranges)
 *   in    record (MySQL) ──> enter (Redis: the stock number grows, grabs get them)
 *
 * So nothing can be issued before MySQL has it, and nothing is recorded that could still be issued.
 */
import type { Pool } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import type { BucketStore } from "../redis/scripts.ts";
import type { MoveNote } from "./note.ts";
import {
  borrowedWorth,
  EpochChanged,
  prizesOf,
  recordIn,
  recordOut,
  recordedIns,
  recordedMove,
  type PricedNote,
} from "./record.ts";
import { countOf, worthOf, type Run } from "./runs.ts";

export const movePolicy = {
  /** Runs of one move; it bounds records and requests. What is left over goes by the next move. */
  runsMax: 500,
} as const;

/** The move cannot be made, now or as it was asked for; the message says why. */
export class MoveRefused extends Error {}

/** The bucket is of another epoch than the move was planned in: it has to be planned anew. */
export class MoveOutdated extends Error {}

/** What the conductor asks the lender for. */
export interface OutOrder extends Omit<MoveNote, "runs" | "direction"> {
  /** Epoch of this bucket when the move was planned. */
  epoch: string;
  /** IDs at most; null is all that is left. */
  count: number | null;
}

/** What the conductor tells the borrower: the runs that `out` has answered. */
export type InOrder = Omit<MoveNote, "direction">;

export class Mover {
  readonly #parts: {
    bucket: string;
    pack: Pack;
    store: BucketStore;
    pool: Pool;
    /** The highest seq that this process has seen: a Redis that went back in time neither lends nor borrows. */
    seq: () => number;
  };

  constructor(parts: { bucket: string; pack: Pack; store: BucketStore; pool: Pool; seq: () => number }) {
    this.#parts = parts;
  }

  /**
   * @returns the runs that left, none when nothing was left, and the number of notes in Redis.
   * Errors: MoveRefused, MoveOutdated, those of the stores (then ask again).
   */
  async out(order: OutOrder): Promise<{ runs: Run[]; moves: number }> {
    const { bucket, pool, store } = this.#parts;
    const { epoch, count, ...move } = order;
    const isRoll = order.kind === "roll";
    this.#checkWay(order);
    const out = { ...move, direction: "out" as const };
    const recorded = await recordedMove(pool, order.id, "out");
    if (recorded !== null) {
      sameMove(recorded, out);
      return { runs: recorded.runs, moves: (await store.state()).moves };
    }
    if (isRoll) await this.#checkWorth((await this.#leftRuns(order.round)) ?? []);
    const left = await outdated(
      store.leave(out, {
        epoch,
        seq: this.#parts.seq(),
        countMax: count ?? Number.MAX_SAFE_INTEGER,
        runsMax: movePolicy.runsMax,
        closed: isRoll,
      }),
    );
    if (left === null) throw new MoveRefused(`round ${order.round} has not closed in bucket ${bucket} yet`);
    const { note, moves } = left;
    sameMove(note, out);
    if (note.runs.length === 0) return { runs: [], moves };
    await this.#checkWorth(note.runs);
    const priced = this.#priced(note);
    const came = { ...priced, direction: "in" as const, round: order.peerRound, peerRound: order.round };
    const { runs } = await outdated(recordOut(pool, epoch, priced, isRoll ? came : null));
    return { runs, moves };
  }

  /** @returns the round's stock number with the IDs in it. Errors: as out(). */
  async in(order: InOrder): Promise<{ stock: number; moves: number }> {
    const { pool, store, seq } = this.#parts;
    const note: MoveNote = { ...order, direction: "in" };
    this.#checkWay(order);
    const recorded = await recordedMove(pool, order.id, "in");
    if (recorded === null) await this.#checkIn(note);
    else sameMove(recorded, note, note.runs);
    const epoch = await recordIn(pool, this.#priced(note));
    const notes = await recordedIns(pool, order.round);
    const { stock, moves } = await outdated(store.enter(order.round, notes, { epoch, seq: seq() }));
    return { stock, moves };
  }

  #checkWay({ id, kind, peerBucket, round, peerRound }: Omit<MoveNote, "runs" | "direction">): void {
    const isHere = peerBucket === this.#parts.bucket;
    const isSameRound = peerRound === round;
    if (kind === "roll" ? isHere && !isSameRound : !isHere && isSameRound) return;
    throw new MoveRefused(
      `move ${id}: a rollover goes to another round of its own bucket, a loan to the same round of another`,
    );
  }

  async #leftRuns(round: number): Promise<Run[] | null> {
    const state = await this.#parts.store.state();
    const found = state.rounds.find((each) => each.round === round);
    if (found === undefined) return null;
    return [{ lo: found.lo, count: found.left }, ...found.waitingRanges].filter(({ count }) => count > 0);
  }

  #priced(note: MoveNote): PricedNote {
    const { pack } = this.#parts;
    return { ...note, amountsMinor: note.runs.map((run) => worthOf([run], (id) => pack.amountOf(id))) };
  }

  /** The budget guard: what MySQL says that these prizes are worth must be what was generated. */
  async #checkWorth(runs: readonly Run[]): Promise<void> {
    const { pack, bucket, pool } = this.#parts;
    for (const run of runs) {
      for (const { lo, count, bucket: generatedIn } of rangesWithin(pack, run)) {
        // Prizes that were generated for another bucket stand in its table.
        if (generatedIn !== bucket) continue;
        const found = await prizesOf(pool, { lo, count });
        const amountMinor = worthOf([{ lo, count }], (id) => pack.amountOf(id));
        if (found.count === count && found.amountMinor === amountMinor) continue;
        throw new MoveRefused(
          `prizes ${lo} to ${lo + count - 1}: MySQL holds ${found.count} worth ${found.amountMinor}, ` +
            `expected ${count} worth ${amountMinor} as generated; nothing is moved before "hongbao audit" is clean`,
        );
      }
    }
  }

  async #checkIn(note: MoveNote): Promise<void> {
    const { pack, bucket, pool } = this.#parts;
    const { event, rounds, ranges } = pack.manifest;
    const target = rounds.find(({ id }) => id === note.round)!;
    for (const { lo, count } of note.runs) {
      if (!pack.holds(lo) || !pack.holds(lo + count - 1)) {
        throw new MoveRefused(`move ${note.id}: prizes ${lo} to ${lo + count - 1} are not of this event`);
      }
    }
    const kinds = note.runs
      .flatMap((run) => rangesWithin(pack, run))
      .map(({ round }) => rounds.find(({ id }) => id === round)!.kind);
    if (kinds.some((kind) => kind !== target.kind)) {
      throw new MoveRefused(`move ${note.id}: round ${note.round} gives ${target.kind}s, found another kind`);
    }
    if (note.kind !== "lend") return;
    const generated = ranges
      .filter((range) => range.bucket === bucket)
      .reduce((sum, { amountMinor }) => sum + amountMinor, 0);
    const worth = worthOf(note.runs, (id) => pack.amountOf(id));
    const afterMinor = generated + (await borrowedWorth(pool)) + worth;
    if (afterMinor <= event.budgetMinor) return;
    throw new MoveRefused(
      `move ${note.id}: bucket ${bucket} would own prizes worth ${afterMinor}, the event's budget is ${event.budgetMinor}`,
    );
  }
}

/** The parts of a run by the pack's ranges. */
function rangesWithin(pack: Pack, run: Run): (Run & { bucket: string; round: number })[] {
  const end = run.lo + run.count;
  return pack.manifest.ranges.flatMap(({ lo, count, bucket, round }) => {
    const from = Math.max(lo, run.lo);
    const to = Math.min(lo + count, end);
    return from < to ? [{ lo: from, count: to - from, bucket, round }] : [];
  });
}

/** One ID is one move. Without this a move of another memory of the same name could bring its IDs a second time. */
function sameMove(found: MoveNote, asked: Omit<MoveNote, "runs">, runs?: readonly Run[]): void {
  const facts = ({ kind, round, peerBucket, peerRound }: Omit<MoveNote, "runs">): string =>
    `${kind} of round ${round} with bucket ${peerBucket}, round ${peerRound}`;
  const isSame =
    facts(found) === facts(asked) &&
    (runs === undefined || JSON.stringify(found.runs) === JSON.stringify(runs));
  if (isSame) return;
  throw new MoveRefused(
    `move ${found.id} is known as ${facts(found)}, ${countOf(found.runs)} prizes; asked was ${facts(asked)}`,
  );
}

async function outdated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof EpochChanged || message.startsWith("EPOCH")) throw new MoveOutdated(message);
    throw error;
  }
}
