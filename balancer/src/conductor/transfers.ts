/** The conductor's transfers: what stands of them in the control store, and the steps that decide() asks for. */
import { BadInput, Unreachable } from "@hongbao/preprocess";
import type { BucketWatch } from "./bucket-watch.ts";
import { describe, newTransfer } from "./decide-moves.ts";
import type { World } from "./decide.ts";
import type { Records, Stored, Transfer } from "./records.ts";

/** A step that failed waits this long: the bucket may be coming back, or the reason has to be seen to. */
const RETRY_MS = 250;
const TRIES_MAX = 5;
/** Records that are read at once when a controller starts. */
const READ_MAX = 50;

export interface TransfersParts {
  /** `controller c0`, for the log. */
  self: string;
  records: Records;
  buckets: BucketWatch[];
  /** The name of the control store: moves of another memory are other moves, also when their numbers are the same. */
  epoch: () => string;
  monotonicMs: () => number;
  /** The buckets' time, for the log. */
  nowMs: () => number;
}

export interface LendOrder {
  round: number;
  from: string;
  to: string;
  count: number;
  by: string;
  why: string;
}

export class Transfers {
  readonly #parts: TransfersParts;
  readonly #known = new Map<number, Stored<Transfer>>();
  /** By number: a step is being taken, or failed and waits. */
  readonly #underWay = new Set<number>();
  readonly #retryAtMs = new Map<number, number>();
  readonly #troubles = new Map<number, string>();
  #isRead = false;

  constructor(parts: TransfersParts) {
    this.#parts = parts;
  }

  /** In the order of their numbers. */
  all(): Transfer[] {
    return Array.from(this.#known.values(), ({ value }) => value);
  }

  /** Why a transfer does not go on, or null. */
  troubleOf(n: number): string | null {
    return this.#troubles.get(n) ?? null;
  }

  /** Whether a transfer's next step may be taken now. */
  isDue({ n }: Transfer): boolean {
    return !this.#underWay.has(n) && (this.#retryAtMs.get(n) ?? -Infinity) <= this.#parts.monotonicMs();
  }

  /** Reads what may have changed: those under way, and those that are new. Errors: Unreachable. */
  async read(): Promise<void> {
    const { records } = this.#parts;
    if (!this.#isRead) {
      const newest = await records.newestTransfer();
      for (let from = 1; from <= newest; from += READ_MAX) {
        const numbers = Array.from(
          { length: Math.min(READ_MAX, newest + 1 - from) },
          (_, index) => from + index,
        );
        for (const stored of await Promise.all(numbers.map((n) => records.transfer(n))))
          if (stored !== null) await this.#keep(stored);
      }
      this.#isRead = true;
    }
    for (const { state, n } of this.all()) if (state !== "done") await this.#reread(n);
    while (await this.#reread(this.#known.size + 1));
  }

  async #reread(n: number): Promise<boolean> {
    const stored = await this.#parts.records.transfer(n);
    if (stored !== null) await this.#keep(stored);
    return stored !== null;
  }

  /** A change whose author was killed before it was logged is logged by whoever reads it. */
  async #keep(stored: Stored<Transfer>): Promise<void> {
    const known = this.#known.get(stored.value.n);
    if (known?.etag === stored.etag) return;
    if (known !== undefined && known.value.step > stored.value.step) return;
    await this.#parts.records.logTransfer(stored.value);
    this.#known.set(stored.value.n, stored);
  }

  /** Creates or changes a record as it was decided. False: another controller was faster. Errors: Unreachable. */
  async put(next: Transfer): Promise<boolean> {
    const before = this.#known.get(next.n) ?? null;
    // What was decided on an older state of the record is void.
    if ((before?.value.step ?? 0) !== next.step - 1) return false;
    const stored = await this.#parts.records.putTransfer(next, before);
    if (stored === null) await this.#reread(next.n);
    else this.#known.set(next.n, stored);
    return stored !== null;
  }

  /**
   * Takes the next step of a transfer, unless one is being taken; it never rejects for a bucket's sake, then it waits and is
   * tried again. Answers in words what came of it. Errors: Unreachable (the control store).
   */
  async take(transfer: Transfer): Promise<string> {
    if (!this.isDue(transfer)) return "is being done";
    this.#underWay.add(transfer.n);
    try {
      const taken = await this.#ask(transfer).catch((error: unknown) => (error as Error).message);
      if (typeof taken === "string") {
        this.#retryAtMs.set(transfer.n, this.#parts.monotonicMs() + RETRY_MS);
        this.#troubles.set(transfer.n, taken);
        return taken;
      }
      this.#troubles.delete(transfer.n);
      return (await this.put(taken)) ? "done" : "another controller was faster";
    } finally {
      this.#underWay.delete(transfer.n);
    }
  }

  /** The record after the step, or why it could not be taken. Errors: Unreachable (the bucket). */
  async #ask(transfer: Transfer): Promise<Transfer | string> {
    const isOut = transfer.state === "leaving";
    const bucket = this.#bucket(isOut ? transfer.from : transfer.to);
    const { kind, count, runs } = transfer;
    const id = `${this.#parts.epoch().slice(0, 12)}-${transfer.n}`;
    if (isOut) {
      const { round, to: peerBucket, toRound: peerRound, epoch } = transfer;
      const order = { id, kind, round, peerBucket, peerRound, epoch, count };
      const answer = await bucket.move((client) => client.moveOut(order));
      if (!answer.ok) return answer.why;
      const moved = answer.runs.reduce((sum, run) => sum + run.count, 0);
      const left = { epoch, moves: answer.moves };
      if (moved === 0) return this.#after(transfer, { state: "done", left });
      return this.#after(transfer, { state: "arriving", runs: answer.runs, moved, left });
    }
    const { toRound: round, from: peerBucket, round: peerRound } = transfer;
    const order = { id, kind, round, peerBucket, peerRound, runs };
    const answer = await bucket.move((client) => client.moveIn(order));
    if (!answer.ok) return answer.why;
    return this.#after(transfer, {
      state: "done",
      runs: [],
      arrived: { epoch: bucket.seen().epoch, moves: answer.moves },
    });
  }

  #after(transfer: Transfer, fields: Partial<Transfer>): Transfer {
    const next = { ...transfer, ...fields, step: transfer.step + 1 };
    const verb = { leaving: "moves", arriving: "moves", done: next.kind === "lend" ? "lent" : "rolled" }[
      next.state
    ];
    const change = {
      atMs: Math.max(1, Math.round(this.#parts.nowMs())),
      by: transfer.ordered ? transfer.change.by : this.#parts.self,
      what: describe(next, verb, next.moved),
      why: transfer.change.why,
    };
    return { ...next, change };
  }

  #bucket(id: string): BucketWatch {
    const bucket = this.#parts.buckets.find((each) => each.id === id);
    if (bucket !== undefined) return bucket;
    throw new Unreachable(`bucket ${id} is not in the topology`);
  }

  /** An operator's loan, written down; its steps follow. Errors: BadInput, Unreachable. */
  async lend(order: LendOrder, world: World): Promise<Transfer> {
    const { round, from, to, count, by, why } = order;
    const ids = world.buckets.map(({ id }) => id);
    for (const [option, id] of [
      ["--from", from],
      ["--to", to],
    ] as const) {
      if (!ids.includes(id))
        throw new BadInput(`${option}: found "${id}", expected one of ${ids.join(", ")}`);
    }
    if (from === to) throw new BadInput(`--to: found "${to}", expected another bucket than --from`);
    const record = world.records.get(round);
    if (record === undefined) throw new Unreachable(`round ${round} is not known yet`);
    if (record.state === "closed")
      throw new BadInput(
        `round ${round} is closed: "round rollover ${round}" moves its rest into a later round`,
      );
    for (const { id, reachable, fenced, mysql, rounds } of world.buckets) {
      if (id !== from && id !== to) continue;
      if (!reachable || !mysql) throw new Unreachable(`bucket ${id} is out of reach, or its stores are`);
      if (fenced) throw new BadInput(`bucket ${id} is fenced: it neither lends nor borrows before a rebuild`);
      if (id === from && (rounds.get(round)?.left ?? 0) === 0)
        throw new BadInput(`--from: bucket ${from} has nothing left in round ${round}`);
    }
    const { epoch } = world.buckets.find(({ id }) => id === from)!;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const plan = { kind: "lend" as const, from, to, round, toRound: round, count, epoch };
      const change = { atMs: this.#parts.nowMs(), by, why, ordered: true };
      const next = newTransfer({ ...plan, n: this.#known.size + 1 }, change);
      if (await this.put(next)) return next;
      await this.read();
    }
    throw new Unreachable("other transfers keep coming first; try again");
  }
}
