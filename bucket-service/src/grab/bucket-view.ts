import { setTimeout as sleep } from "node:timers/promises";
import type { BucketState, BucketStore, RoundState } from "../redis/scripts.ts";

/**
 * What this process believes about its bucket, and whether it may use its Redis.
 *
 *        start ──> unproven ──proved──> ok ──call failed──> away ──poll answers──> unproven
 *                     │                  │
 *                     └──── the bucket went back in time ──> fenced (until proof succeeds: after a rebuild)
 *
 * Only in `ok` may a grab go to Redis. The poll is both the probe that finds Redis back and the news of rounds.
 */
export type TrustState = "unproven" | "ok" | "away" | "fenced";

export const viewPolicy = { pollMs: 250, pollMsInDoubt: 100, refreshMsMin: 20 } as const;

/**
 * Says whether a Redis state may be trusted, by what MySQL knows of it.
 * `unknown`: MySQL could not be asked.
 */
export type Proof = (
  state: BucketState,
) => Promise<{ verdict: "trusted" | "unknown" } | { verdict: "doubt"; why: string }>;

export class BucketView {
  readonly #store: BucketStore;
  readonly #prove: Proof;
  readonly #listeners: ((state: BucketState) => void)[] = [];
  readonly #stop = new AbortController();
  #trust: TrustState = "unproven";
  #fenceReason: string | null = null;
  #state: BucketState | null = null;
  #rounds = new Map<number, RoundState>();
  #epoch = "";
  #seq = 0;
  #clockOffsetMs = 0;
  #refreshing: Promise<void> | null = null;
  #refreshedAtMs = 0;

  constructor(store: BucketStore, prove: Proof) {
    this.#store = store;
    this.#prove = prove;
  }

  get trust(): TrustState {
    return this.#trust;
  }
  get fenceReason(): string | null {
    return this.#fenceReason;
  }
  get state(): BucketState | null {
    return this.#state;
  }
  /** The epoch and the highest seq that this process has seen: sent along with every grab. */
  get epoch(): string {
    return this.#epoch;
  }
  get seq(): number {
    return this.#seq;
  }

  round(round: number): RoundState | undefined {
    return this.#rounds.get(round);
  }

  /** The time of the bucket's Redis, reckoned; ms since 1970. */
  nowMs(): number {
    return Date.now() + this.#clockOffsetMs;
  }

  onState(listener: (state: BucketState) => void): void {
    this.#listeners.push(listener);
  }

  /** A grab's reply has shown this much. */
  sawSeq(seq: number): void {
    if (seq > this.#seq) this.#seq = seq;
  }

  /** A call failed: nothing goes to Redis before a poll has succeeded. */
  callFailed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (message.startsWith("FENCED") || message.startsWith("LOST")) this.#fence(message);
    else if (this.#trust === "ok") this.#trust = "away";
  }

  /** Polls until stop() is called. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.refresh();
      const restMs = this.#trust === "ok" ? viewPolicy.pollMs : viewPolicy.pollMsInDoubt;
      await sleep(restMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Asks Redis now; callers that come while a question is under way share its answer. Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#poll().finally(() => {
      this.#refreshing = null;
      this.#refreshedAtMs = performance.now();
    });
    return this.#refreshing;
  }

  /** Like refresh, but not more often than refreshMsMin: for questions that strangers can provoke. */
  refreshSoon(): Promise<void> {
    if (performance.now() - this.#refreshedAtMs < viewPolicy.refreshMsMin) return Promise.resolve();
    return this.refresh();
  }

  async #poll(): Promise<void> {
    try {
      const asked = Date.now();
      // Replies to grabs may overtake this one on its way to us; only what was known before the question binds it.
      const seqBefore = this.#seq;
      const state = await this.#store.state();
      this.#clockOffsetMs = state.timeMs - (asked + Date.now()) / 2;
      await this.#judge(state, seqBefore);
      this.#state = state;
      this.#rounds = new Map(state.rounds.map((round) => [round.round, round]));
      if (this.#trust === "ok") for (const listener of this.#listeners) listener(state);
    } catch {
      if (this.#trust === "ok") this.#trust = "away";
    }
  }

  async #judge(state: BucketState, seqBefore: number): Promise<void> {
    const wentBack = this.#epoch !== "" && (state.epoch !== this.#epoch || state.seq < seqBefore);
    if (this.#trust === "ok" && !wentBack) return this.sawSeq(state.seq);
    const proof = await this.#prove(state);
    if (proof.verdict === "doubt") return this.#fence(proof.why);
    if (wentBack && (proof.verdict === "unknown" || state.epoch === this.#epoch)) {
      return this.#fence(
        `Redis shows epoch ${state.epoch}, seq ${state.seq}; this process has seen ${this.#epoch}, ${seqBefore}`,
      );
    }
    // Without MySQL a process may go on with what it knew, but it may not begin.
    if (proof.verdict === "unknown" && this.#epoch === "") return;
    this.#trust = "ok";
    this.#fenceReason = null;
    this.#epoch = state.epoch;
    this.#seq = wentBack ? state.seq : Math.max(this.#seq, state.seq);
  }

  #fence(why: string): void {
    this.#trust = "fenced";
    this.#fenceReason = why;
  }
}
