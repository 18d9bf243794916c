import type { AnswerWord } from "./answers.ts";

export const gatePolicy = {
  /** Requests of one round that may wait in front of the gate; later ones are busy. */
  waitingMax: 20_000,
  /**
   * Whoever has waited this long is told `busy` when their turn comes, and takes nothing: they may be gone, and would win
   * without knowing. Shorter than the doors wait.
   */
  waitMsMax: 600,
} as const;

type Listener = (word: AnswerWord, prizeId: number, stock: number) => void;

/** What is known of the stock already, so that nobody has to ask: the answer, and the stock number with `ended`. */
export interface Known {
  word: AnswerWord;
  stock: number;
}

export interface GateParts {
  /** How many may be inside at this moment. */
  size: () => number;
  /** Null: whoever wants to know has to ask. */
  known: () => Known | null;
  /** The way to Redis. It answers each listener once, in the same turn or later. */
  ask: (field: string, listener: Listener) => void;
  nowMs?: () => number;
}

interface Waiter {
  field: string;
  listener: Listener;
  sinceMs: number;
}

/**
 * The order gate of an item round: at most `size` requests are on their way to Redis, the others wait in the order in which they
 * came. An answer of any kind, a failure too, frees a place. Once the stock was seen empty all who wait are told so
 * without a call, so one unit and 20,000 people cost Redis a handful of calls (docs/decisions/0017).
 */
export class OrderGate {
  readonly #parts: GateParts;
  readonly #nowMs: () => number;
  #inside = 0;
  #waiting: Waiter[] = [];
  /** Where the oldest of them stands: those before it have gone. */
  #oldest = 0;
  #looking = false;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#nowMs = parts.nowMs ?? (() => performance.now());
  }

  get inside(): number {
    return this.#inside;
  }
  get waiting(): number {
    return this.#waiting.length - this.#oldest;
  }

  enter(field: string, listener: Listener): void {
    if (this.waiting === 0 && this.#inside < this.#parts.size()) return this.#letIn(field, listener);
    if (this.waiting >= gatePolicy.waitingMax) return listener("busy", 0, 0);
    this.#waiting.push({ field, listener, sinceMs: this.#nowMs() });
  }

  /** Something has changed: places are free, or the stock is known to be empty. Acts after this turn's other answers. */
  look(): void {
    if (this.#looking || this.waiting === 0) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      this.#serve();
    });
  }

  #serve(): void {
    const latestMs = this.#nowMs() - gatePolicy.waitMsMax;
    for (let next = this.#peek(); next !== undefined; next = this.#peek()) {
      const known = this.#parts.known();
      if (known !== null) this.#take().listener(known.word, 0, known.stock);
      else if (next.sinceMs < latestMs) this.#take().listener("busy", 0, 0);
      else if (this.#inside < this.#parts.size()) {
        const { field, listener } = this.#take();
        this.#letIn(field, listener);
      } else return;
    }
  }

  #letIn(field: string, listener: Listener): void {
    this.#inside += 1;
    this.#parts.ask(field, (word, prizeId, stock) => {
      this.#inside -= 1;
      this.look();
      listener(word, prizeId, stock);
    });
  }

  #peek(): Waiter | undefined {
    return this.#waiting[this.#oldest];
  }

  #take(): Waiter {
    const waiter = this.#waiting[this.#oldest]!;
    this.#oldest += 1;
    if (2 * this.#oldest > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#oldest);
      this.#oldest = 0;
    }
    return waiter;
  }
}
