import { answerTable, type AnswerWord } from "./answers.ts";
import { hashUser, type UserHash } from "./user-hash.ts";

/** Answers that a service process remembers; 16 bytes each. A power of two. */
export const RECENT_MAX = 131_072;

/** One answer to a grab. */
export interface Attempt {
  atMs: number;
  round: number;
  /** Numbers from N_MAX on are told as N_MAX. */
  n: number;
  result: AnswerWord;
}

const WORDS = Object.keys(answerTable) as AnswerWord[];
const CODES = Object.fromEntries(WORDS.map((word, code) => [word, code])) as Record<AnswerWord, number>;
/** What is packed into 32 bits: 4 for the word, 7 for the round, the rest for n. */
const ROUND_SHIFT = 4;
const N_SHIFT = 11;
export const N_MAX = 2 ** (32 - N_SHIFT) - 1;

/**
 * The last answers to grabs, for the question why a user did or did not win. It is written on the way of every grab, so it is
 * a ring of numbers that makes no garbage: users stand in it as their hashes.
 */
export class RecentAttempts {
  readonly #first = new Uint32Array(RECENT_MAX);
  readonly #second = new Uint32Array(RECENT_MAX);
  readonly #packed = new Uint32Array(RECENT_MAX);
  /** Since the start of the ring, in ms: 49 days. */
  readonly #at = new Uint32Array(RECENT_MAX);
  readonly #beganMs = Date.now();
  readonly #hash: UserHash = { first: 0, second: 0 };
  #written = 0;

  note(user: string, round: number, n: number, word: AnswerWord): void {
    const at = this.#written & (RECENT_MAX - 1);
    hashUser(user, this.#hash);
    this.#first[at] = this.#hash.first;
    this.#second[at] = this.#hash.second;
    this.#packed[at] = CODES[word] | (round << ROUND_SHIFT) | ((n < N_MAX ? n : N_MAX) << N_SHIFT);
    this.#at[at] = Date.now() - this.#beganMs;
    this.#written += 1;
  }

  /** Newest first. */
  of(user: string, limit: number, round?: number): Attempt[] {
    hashUser(user, this.#hash);
    const { first, second } = this.#hash;
    const found: Attempt[] = [];
    const oldest = Math.max(0, this.#written - RECENT_MAX);
    for (let i = this.#written - 1; i >= oldest && found.length < limit; i -= 1) {
      const at = i & (RECENT_MAX - 1);
      if (this.#first[at] !== first || this.#second[at] !== second) continue;
      const packed = this.#packed[at]!;
      const ofRound = (packed >>> ROUND_SHIFT) & 0x7f;
      if (round !== undefined && ofRound !== round) continue;
      found.push({
        atMs: this.#beganMs + this.#at[at]!,
        round: ofRound,
        n: packed >>> N_SHIFT,
        result: WORDS[packed & 0xf]!,
      });
    }
    return found;
  }

  /** All answers after this moment are remembered. */
  get sinceMs(): number {
    const isFull = this.#written >= RECENT_MAX;
    return isFull ? this.#beganMs + this.#at[this.#written & (RECENT_MAX - 1)]! : this.#beganMs;
  }
}
