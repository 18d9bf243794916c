/** What every client asked and was told, in the order of the answers: the evidence that everything is held against. */
import { createWriteStream, type WriteStream } from "node:fs";

/** Why there was no answer, when the client had waited for as long as the page does. */
export const TIMED_OUT = "time-out";

export type Call = "start" | "grab" | "result" | "wins" | "receipts";

/** A prize that an answer spoke of. Amount is null for items. */
export interface ToldPrize {
  n: number;
  prize: number;
  amount: number | null;
  round: number;
  receipt?: string;
}

export interface Entry {
  user: string;
  bucket: string;
  call: Call;
  round: number;
  n: number;
  /** Monotonic, ms since the history began. */
  sentMs: number;
  doneMs: number;
  /** The client's clock, ms since 1970. */
  sentAtMs: number;
  doneAtMs: number;
  /** 0: no answer came. */
  status: number;
  /** The answer's word; `none` without an answer, `strange` for one that makes no sense, `ok` for a list. */
  word: string;
  prizes: ToldPrize[];
  /** A kept connection ended under the question, and it was asked once more on a new one, as browsers do. */
  resent?: true;
  /** Of receipts: refused ones, and why. */
  refused?: { receipt: string; why: string }[];
  /** What an answer said that was strange, or why none came. */
  what?: string;
}

export class History {
  readonly entries: Entry[] = [];
  readonly path: string | null;
  readonly #file: WriteStream | null;
  readonly #beganMs = performance.now();

  /** @param path JSON lines; null keeps them in memory alone. */
  constructor(path: string | null) {
    this.path = path;
    this.#file = path === null ? null : createWriteStream(path, { mode: 0o600 });
  }

  /** Monotonic, ms since the history began. */
  nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  add(entry: Entry): void {
    this.entries.push(entry);
    this.#file?.write(`${JSON.stringify(entry)}\n`);
  }

  async end(): Promise<void> {
    const file = this.#file;
    if (file !== null) await new Promise<void>((resolve) => file.end(() => resolve()));
  }
}
