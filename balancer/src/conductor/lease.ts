/** Which controller says that it leads: for people who look. Nothing is decided by it. */
import type { Records } from "./records.ts";

const BEAT_MS = 1_000;
/** A lease that has not changed for so long is taken over. No clock of another machine is compared. */
const SILENCE_MS_MAX = 3_000;

export class Lease {
  readonly #id: string;
  readonly #records: Records;
  readonly #monotonicMs: () => number;
  #seenEtag: string | null = null;
  #seenSinceMs = -Infinity;
  #lookedAtMs = -Infinity;
  #mine: { etag: string; beat: number; atMs: number } | null = null;

  constructor(id: string, records: Records, monotonicMs: () => number) {
    this.#id = id;
    this.#records = records;
    this.#monotonicMs = monotonicMs;
  }

  get leading(): boolean {
    return this.#mine !== null && this.#monotonicMs() - this.#mine.atMs < SILENCE_MS_MAX;
  }

  /** Renews ours, or takes over a silent one; at most once a second. Errors: Unreachable. */
  async beat(): Promise<void> {
    const nowMs = this.#monotonicMs();
    if (nowMs - this.#lookedAtMs < BEAT_MS) return;
    this.#lookedAtMs = nowMs;
    const found = await this.#records.lease();
    if (found?.etag !== this.#seenEtag) {
      this.#seenEtag = found?.etag ?? null;
      this.#seenSinceMs = nowMs;
    }
    const isFree = found === null || found.value.id === "" || found.value.id === this.#id;
    if (!isFree && nowMs - this.#seenSinceMs < SILENCE_MS_MAX) {
      this.#mine = null;
      return;
    }
    const beat = (found?.value.beat ?? 0) + 1;
    const etag = await this.#records.putLease(this.#id, beat, found?.etag ?? null);
    this.#mine = etag === null ? null : { etag, beat, atMs: nowMs };
    if (etag !== null) this.#seenEtag = etag;
  }

  /** At an orderly end, so that the other one need not wait. */
  async release(): Promise<void> {
    if (this.#mine === null) return;
    const { etag, beat } = this.#mine;
    this.#mine = null;
    await this.#records.putLease("", beat + 1, etag);
  }
}
