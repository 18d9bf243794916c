/** What is counted while the model runs. */

export const WORDS = ["won", "ended", "busy", "repeat", "result", "late"] as const;
export type Word = (typeof WORDS)[number];

export const BIN_MS = 100;
const WAITS_MS_MAX = 10_000;

export class Tally {
  readonly words: Record<Word, number> = { won: 0, ended: 0, busy: 0, repeat: 0, result: 0, late: 0 };
  gaveUp = 0;
  /** In each tenth of a second: requests, answers, new wins, CPU time of the front. */
  readonly asked: number[] = [];
  readonly answered: number[] = [];
  readonly wins: number[] = [];
  readonly frontUs: number[] = [];
  /** What was left in each bucket at the end of each tenth. */
  readonly left: Uint32Array[] = [];
  /** Of each bucket, in its busiest second. */
  readonly busiestOf: Uint32Array;
  readonly #askedOf: Uint32Array;
  readonly lastWinMsOf: Float64Array;
  readonly #waits = new Uint32Array(WAITS_MS_MAX + 1);
  #bin = 0;

  constructor(buckets: number) {
    this.busiestOf = new Uint32Array(buckets);
    this.#askedOf = new Uint32Array(buckets);
    this.lastWinMsOf = new Float64Array(buckets).fill(-1);
    this.#open();
  }

  #open(): void {
    for (const series of [this.asked, this.answered, this.wins, this.frontUs]) series.push(0);
  }

  arrived(bucket: number): void {
    this.asked[this.#bin]! += 1;
    this.#askedOf[bucket]! += 1;
  }

  front(us: number): void {
    this.frontUs[this.#bin]! += us;
  }

  answer(word: Word): void {
    this.words[word] += 1;
    this.answered[this.#bin]! += 1;
  }

  won(bucket: number, nowMs: number, waitedMs: number): void {
    this.wins[this.#bin]! += 1;
    this.lastWinMsOf[bucket] = nowMs;
    this.#waits[Math.min(WAITS_MS_MAX, Math.max(0, Math.round(waitedMs)))]! += 1;
  }

  /** A tenth of a second is over. */
  closeBin(left: Float64Array): void {
    this.left.push(Uint32Array.from(left));
    this.#bin += 1;
    this.#open();
    if (this.#bin % (1000 / BIN_MS) !== 0) return;
    this.#askedOf.forEach((count, bucket) => {
      this.busiestOf[bucket] = Math.max(this.busiestOf[bucket]!, count);
    });
    this.#askedOf.fill(0);
  }

  /** How long winners waited, by nearest rank; null without any. */
  waitMs(part: number): number | null {
    const all = this.#waits.reduce((sum, count) => sum + count, 0);
    if (all === 0) return null;
    let seen = 0;
    return this.#waits.findIndex((count) => (seen += count) >= part * all);
  }
}
