/**
 * The conductor of the model. It looks, thinks and waits in the rhythm of balancer/src/conductor, and who lends what is decided by
 * the product's own planLoans(). What it knows of a bucket is what it saw there last, and, as there, nothing is decided on
 * figures older than a bucket's last transfer.
 */
import { mayLendMore, planLoans, type Holder } from "@hongbao/preprocess";
import type { Random } from "../../chaos/random.ts";
import { productPolicy, type Scenario } from "./scenario.ts";

/** What the buckets are at this moment; the engine's own arrays. */
export interface Books {
  left: Float64Array;
  issued: Float64Array;
  /** When an empty stock was first asked in vain, ms; -1: not. */
  dryAtMs: Float64Array;
  /** Told that nothing can come to this empty stock. */
  final: Uint8Array;
  down: Uint8Array;
}

interface Transfer {
  from: number;
  to: number;
  count: number;
  state: "leaving" | "arriving";
  dueMs: number;
}

export class Conductor {
  readonly #books: Books;
  readonly #scenario: Scenario;
  readonly #ids: string[];
  readonly #indexOf: Map<string, number>;
  readonly #lookAtMs: Float64Array;
  readonly #seenLeft: Float64Array;
  readonly #seenIssued: Float64Array;
  readonly #seenDry: Uint8Array;
  #nextMs = 0;
  #nextDueMs = Infinity;
  #moving: Transfer[] = [];
  readonly #finals: { bucket: number; dueMs: number }[] = [];
  loans = 0;
  moved = 0;

  constructor(scenario: Scenario, books: Books, random: Random) {
    this.#scenario = scenario;
    this.#books = books;
    this.#ids = scenario.buckets;
    this.#indexOf = new Map(this.#ids.map((id, index) => [id, index]));
    const count = this.#ids.length;
    this.#lookAtMs = Float64Array.from({ length: count }, () => random() * productPolicy.lookMs);
    this.#seenLeft = Float64Array.from(books.left);
    this.#seenIssued = new Float64Array(count);
    this.#seenDry = new Uint8Array(count);
    this.#nextMs = random() * productPolicy.tickMs;
  }

  /** Prizes that have left a bucket and not arrived anywhere yet. */
  get underWay(): number {
    return this.#moving.reduce((sum, { state, count }) => sum + (state === "arriving" ? count : 0), 0);
  }

  /** Called at every step of the model. */
  step(nowMs: number): void {
    const { down } = this.#books;
    for (let bucket = 0; bucket < down.length; bucket += 1) {
      if (this.#lookAtMs[bucket]! > nowMs) continue;
      this.#lookAtMs[bucket] = nowMs + productPolicy.lookMs;
      if (down[bucket] === 0) this.#look(bucket);
    }
    if (nowMs >= this.#nextDueMs) this.#act(nowMs);
    if (nowMs >= this.#nextMs) this.#decide(nowMs);
  }

  #look(bucket: number): void {
    const { left, issued, dryAtMs } = this.#books;
    this.#seenLeft[bucket] = left[bucket]!;
    this.#seenIssued[bucket] = issued[bucket]!;
    this.#seenDry[bucket] = left[bucket] === 0 && dryAtMs[bucket]! >= 0 ? 1 : 0;
  }

  #decide(nowMs: number): void {
    this.#nextMs = nowMs + productPolicy.tickMs;
    const { recordMs, moveMs } = this.#scenario.plant;
    const loans = this.#mayLend() ? planLoans(this.#holders()) : [];
    loans.forEach(({ from, to, count }, index) => {
      const dueMs = nowMs + (index + 1) * recordMs + moveMs;
      const [lender, borrower] = [this.#indexOf.get(from)!, this.#indexOf.get(to)!];
      this.#moving.push({ from: lender, to: borrower, count, state: "leaving", dueMs });
      this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
    });
    this.loans += loans.length;
    this.#decideFinals(nowMs + moveMs);
    // While its steps lead somewhere a tick goes on: the next look is when what was begun is done, or too slow to wait for.
    const lastMs = this.#moving.reduce((last, { dueMs }) => Math.max(last, dueMs + moveMs), 0);
    if (lastMs > 0) this.#nextMs = Math.min(lastMs, nowMs + productPolicy.stepMsMax);
  }

  #mayLend(): boolean {
    const count = this.#ids.length;
    return this.#scenario.lend && mayLendMore(this.loans, { all: count, lending: count });
  }

  #holders(): Holder[] {
    const out = new Float64Array(this.#ids.length);
    const awaits = new Uint8Array(this.#ids.length);
    for (const { from, to, count, state } of this.#moving) {
      if (state === "leaving") out[from]! += count;
      awaits[to] = 1;
    }
    const holders: Holder[] = [];
    this.#ids.forEach((id, bucket) => {
      if (this.#books.down[bucket] === 1) return;
      const left = this.#seenLeft[bucket]!;
      holders.push({
        id,
        left,
        issued: this.#seenIssued[bucket]!,
        dry: this.#seenDry[bucket] === 1,
        free: Math.max(0, left - out[bucket]!),
        awaits: awaits[bucket] === 1,
      });
    });
    return holders;
  }

  /** As mayCome() in decide-moves.ts has it: nothing is under way, and nobody else has anything. */
  #decideFinals(dueMs: number): void {
    const { left, final, down } = this.#books;
    const lends = this.#mayLend();
    const someoneHas = this.#seenLeft.some((seen, bucket) => seen > 0 && down[bucket] === 0);
    if (lends && (this.#moving.length > 0 || someoneHas)) return;
    for (let bucket = 0; bucket < left.length; bucket += 1) {
      if (this.#seenLeft[bucket]! > 0 || left[bucket]! > 0 || final[bucket] === 1) continue;
      if (down[bucket] === 1 || this.#moving.some(({ to }) => to === bucket)) continue;
      this.#finals.push({ bucket, dueMs });
      this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
    }
  }

  /** Takes what is due: steps of transfers, and last words. */
  #act(nowMs: number): void {
    const { down } = this.#books;
    for (const { bucket, dueMs } of this.#finals) {
      if (dueMs <= nowMs && this.#books.left[bucket] === 0) this.#books.final[bucket] = 1;
    }
    const late = this.#finals.filter(({ dueMs }) => dueMs > nowMs);
    this.#finals.splice(0, this.#finals.length, ...late);
    this.#moving = this.#moving.filter((transfer) => {
      if (transfer.dueMs > nowMs) return true;
      if (down[transfer.state === "leaving" ? transfer.from : transfer.to] === 1) {
        transfer.dueMs = nowMs + productPolicy.retryMs;
        return true;
      }
      return transfer.state === "leaving" ? this.#leave(transfer, nowMs) : this.#arrive(transfer);
    });
    const dues = [...this.#moving, ...this.#finals].map(({ dueMs }) => dueMs);
    this.#nextDueMs = dues.reduce((first, ms) => Math.min(first, ms), Infinity);
  }

  /** False: nothing was left to move. */
  #leave(transfer: Transfer, nowMs: number): boolean {
    const { left } = this.#books;
    transfer.count = Math.min(transfer.count, left[transfer.from]!);
    left[transfer.from]! -= transfer.count;
    this.#look(transfer.from);
    transfer.state = "arriving";
    transfer.dueMs = nowMs + this.#scenario.plant.moveMs;
    return transfer.count > 0;
  }

  /** Stock that comes has a new number: whatever was known of the empty one is void. */
  #arrive({ to, count }: Transfer): false {
    const { left, dryAtMs, final } = this.#books;
    left[to]! += count;
    dryAtMs[to] = -1;
    final[to] = 0;
    this.moved += count;
    this.#look(to);
    return false;
  }
}
