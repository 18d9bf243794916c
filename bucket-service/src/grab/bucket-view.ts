import { setTimeout as sleep } from "node:timers/promises";
import type { BucketState, BucketStore, RoundState } from "../redis/scripts.ts";
import type { Fence } from "./fence.ts";

/**
 * What this process believes about its bucket, and whether it may use its Redis.
 *
 *        start ──> unproven ──proved──> ok ──call failed, or a connection ended──> away ──poll answers quickly──> unproven
 *                     │                  │
 *                     └──── the bucket went back in time ──> fenced (until proof succeeds: after a rebuild)
 *
 * A process that is sure of a loss tells the others at once (fence.ts): a restarted one would know nothing of it. Where a
 * connection has ended, another Redis may answer on the next one, or an older copy of the same: whatever was proved before
 * the end does not hold behind it.
 *
 * Only in `ok` may a grab go to Redis: this is the circuit breaker of the grab path, closed in `ok` and open otherwise. The poll
 * is both the probe that finds Redis back and the news of rounds.
 */
export type TrustState = "unproven" | "ok" | "away" | "fenced";

export const viewPolicy = {
  pollMs: 250,
  pollMsInDoubt: 100,
  refreshMsMin: 20,
  /** A Redis that was away is back when it answers within this; else it would be asked and given up in turn. */
  probeMsMax: 500,
} as const;

export class BucketView {
  readonly #store: BucketStore;
  readonly #fenceOf: Fence;
  readonly #listeners: ((state: BucketState) => void)[] = [];
  readonly #stop = new AbortController();
  #trust: TrustState = "unproven";
  #fenceReason: string | null = null;
  /** What this process knows for sure of a Redis that it has seen going back; it holds for that epoch. */
  #loss: { epoch: string; why: string } | null = null;
  /** The copy of Redis whose mark stands, and MySQL's too. */
  #marked: string | null = null;
  #state: BucketState | null = null;
  #rounds = new Map<number, RoundState>();
  #epoch = "";
  #seq = 0;
  /** How many connections have ended: what was asked before an end proves nothing of what comes behind it. */
  #endings = 0;
  #clockOffsetMs = 0;
  #refreshing: Promise<void> | null = null;
  #refreshedAtMs = 0;

  constructor(store: BucketStore, fence: Fence) {
    this.#store = store;
    this.#fenceOf = fence;
    store.onConnection({
      closed: () => {
        this.#endings += 1;
        if (this.#trust === "ok") this.#trust = "away";
      },
      ready: () => void this.refresh(),
    });
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
    if (message.startsWith("FENCED-SEQ")) {
      this.#loss = { epoch: this.#epoch, why: message };
      // The others may have seen less than this process, and would go on until their next poll.
      void this.#fenceAll(this.#epoch, this.#epoch, message);
    } else if (message.startsWith("FENCED") || message.startsWith("LOST")) this.#fence(message);
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
      const endingsBefore = this.#endings;
      const askedMs = performance.now();
      const state = await this.#store.state();
      if (this.#trust === "away" && performance.now() - askedMs > viewPolicy.probeMsMax) return;
      this.#clockOffsetMs = state.timeMs - (asked + Date.now()) / 2;
      const judged = await this.#judge(state, seqBefore, endingsBefore);
      this.#state = judged;
      this.#rounds = new Map(judged.rounds.map((round) => [round.round, round]));
      if (this.#trust === "ok") for (const listener of this.#listeners) listener(judged);
    } catch {
      if (this.#trust === "ok") this.#trust = "away";
    }
  }

  /** @returns the state to go by: the one that was proved, when a proof was needed. */
  async #judge(state: BucketState, seqBefore: number, endingsBefore: number): Promise<BucketState> {
    const isSame = state.epoch === this.#epoch;
    if (isSame && state.seq < seqBefore) {
      const why = `Redis shows ${state.seq} claims issued, this process has seen ${seqBefore}`;
      this.#loss = { epoch: state.epoch, why };
    }
    if (this.#loss !== null && this.#loss.epoch === state.epoch) {
      await this.#fenceAll(state.epoch, state.epoch, this.#loss.why);
      return state;
    }
    if (this.#trust === "ok" && isSame) {
      this.sawSeq(state.seq);
      this.#fenceOf.saw(state.epoch, this.#seq);
      return state;
    }
    const proof = await this.#fenceOf.prove();
    if (this.#endings !== endingsBefore) return state;
    if (proof.verdict === "doubt") {
      if (proof.epoch === null) this.#fence(proof.why);
      else await this.#fenceAll(state.epoch, proof.epoch, proof.why);
      return state;
    }
    if (proof.verdict === "unknown") {
      // Without MySQL a process may go on with what it knew, but it may not begin, and not with another epoch.
      if (this.#epoch !== "" && !isSame)
        this.#fence(`Redis is of load ${state.epoch || "none"}, not ${this.#epoch}`);
      else if (this.#epoch !== "") this.#use(state);
      return state;
    }
    this.#use(proof.state);
    return proof.state;
  }

  #use(state: BucketState): void {
    this.#seq = state.epoch === this.#epoch ? Math.max(this.#seq, state.seq) : state.seq;
    this.#trust = "ok";
    this.#fenceReason = null;
    this.#loss = null;
    this.#marked = null;
    this.#epoch = state.epoch;
  }

  async #fenceAll(shownEpoch: string, epoch: string, why: string): Promise<void> {
    this.#fence(why);
    if (this.#marked === shownEpoch) return;
    this.#marked = shownEpoch;
    if (!(await this.#fenceOf.mark({ shownEpoch, epoch, why }))) this.#marked = null;
  }

  #fence(why: string): void {
    this.#trust = "fenced";
    this.#fenceReason = why;
  }
}
