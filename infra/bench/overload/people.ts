/** People who press through an open loop: each wants one prize after the other, and asks again when told to come later. */
import { readFileSync } from "node:fs";
import type { Press } from "./open-loop.ts";

/** Answers that an overloaded system may give. */
const EXPECTED = new Set(["won", "ended", "busy", "limited"]);

export interface PeopleFigures {
  /** By result word, or `status N` for what is none. */
  words: Record<string, number>;
  wonMs: { p50: number; p99: number; max: number };
  refusedMs: { p50: number; p99: number };
  strange: string[];
}

export class People {
  readonly #tokens: string[];
  readonly #path: string;
  readonly #prizesEach: number;
  /** The prize that each wants next; those who wait for an answer do not press. */
  readonly #wanted: Uint16Array;
  readonly #idle: number[];
  #at = 0;
  #words = new Map<string, number>();
  #wonMs: number[] = [];
  #refusedMs: number[] = [];
  #strange: string[] = [];

  /** @param path with the key, without n. */
  constructor(parts: { tokensFile: string; path: string; prizesEach: number }) {
    this.#tokens = readFileSync(parts.tokensFile, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.slice(line.indexOf("\t") + 1));
    this.#path = parts.path;
    this.#prizesEach = parts.prizesEach;
    this.#wanted = new Uint16Array(this.#tokens.length).fill(1);
    this.#idle = this.#tokens.map((_, index) => index);
  }

  readonly next = (): Press => {
    // A ring: who was answered stands behind everybody else. With all on their way the first presses twice.
    const user = this.#at < this.#idle.length ? this.#idle[this.#at]! : 0;
    this.#at += 1;
    if (this.#at >= 65_536) {
      this.#idle.splice(0, this.#at);
      this.#at = 0;
    }
    return {
      head:
        `POST ${this.#path}&n=${this.#wanted[user]} HTTP/1.1\r\nhost: h\r\n` +
        `authorization: Bearer ${this.#tokens[user]}\r\ncontent-length: 0\r\n\r\n`,
      answered: (status, body, ms) => this.#answered(user, status, body, ms),
    };
  };

  /** What was heard since the last time. */
  take(): PeopleFigures {
    const figures = {
      words: Object.fromEntries(this.#words),
      wonMs: { ...quantiles(this.#wonMs), max: Math.max(0, ...this.#wonMs.slice(-1)) },
      refusedMs: quantiles(this.#refusedMs),
      strange: this.#strange,
    };
    this.#words = new Map();
    this.#wonMs = [];
    this.#refusedMs = [];
    this.#strange = [];
    return figures;
  }

  #answered(user: number, status: number, body: string, ms: number): void {
    this.#idle.push(user);
    const word = /^\{"result":"([a-z_]+)"/.exec(body)?.[1] ?? `status ${status}`;
    this.#words.set(word, (this.#words.get(word) ?? 0) + 1);
    if (!EXPECTED.has(word) && this.#strange.length < 5)
      this.#strange.push(`${status} ${body.slice(0, 120)}`);
    (word === "won" ? this.#wonMs : this.#refusedMs).push(ms);
    if (word === "won" && this.#wanted[user]! < this.#prizesEach) this.#wanted[user]! += 1;
  }
}

/** Sorts in place. */
function quantiles(ms: number[]): { p50: number; p99: number } {
  ms.sort((a, b) => a - b);
  const at = (part: number): number => ms[Math.min(ms.length - 1, Math.floor(ms.length * part))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}
