import type { AnswerWord } from "./answers.ts";

/** Bounds of what a service process takes upon itself (docs/decisions/0018). */
export const admissionPolicy = {
  /** How often the process looks at itself; also how late a tick may be before the process counts as deaf. */
  tickMs: 20,
  /** How long a request may wait, on average, before it goes to Redis. What comes after that is the call's own time. */
  queueMsTarget: 100,
  /** A request that has waited longer is told `busy` instead, when more wait than insideMin. */
  ageMsMax: 200,
  /** Requests that wait this long are worth a further call, however few they are. */
  eagerMs: 20,
  /** A call to Redis that takes longer opens the circuit: everybody is told `busy` until a quick answer has come. */
  callMsMax: 500,
  /** How often the bound is thought over, and by what it may change each time. */
  reviewMs: 100,
  lastReviewWeight: 0.5,
  shrinkMost: 0.5,
  growMost: 1.25,
  insideMin: 128,
  insideMax: 20_000,
} as const;

type Policy = { readonly [K in keyof typeof admissionPolicy]: number };

/**
 * How many requests may be inside the process at once: the bound that keeps the rest from waiting too long.
 *
 * The measure is the time that requests wait before they go to Redis, from when they could first have been read. A process
 * that was kept from running reads late, so what it reads then counts as old. While requests wait longer than the target the
 * bound follows what is inside (Little's law: half as many wait half as long); below it, it grows until it binds nothing. So
 * nobody has to know what a machine can do, and a slow Redis, which makes calls long and not queues, closes nothing.
 *
 *     free (bound = insideMax) ──waits too long──> limited, tells HAProxy its bound ──no waits, grown back──> free
 */
export class Admission {
  readonly #policy: Policy;
  readonly #nowMs: () => number;
  readonly #word: () => "busy" | "ended";
  #limit: number;
  #inside = 0;
  #insidePeak = 0;
  #tickedAtMs: number;
  #reviewedAtMs: number;
  /** Since the last review: requests that went to Redis and came back, and what they waited for, each way. */
  #sent = 0;
  #queueMsSum = 0;
  #answered = 0;
  #callMsSum = 0;
  /** What it comes to, over some reviews: a single one may have met a pause of the process. */
  #queueMs = 0;
  #callMs = 0;

  /** @param parts.word what those are told who are not let in; the switch `shed`. */
  constructor(parts: { policy?: Partial<Policy>; nowMs?: () => number; word?: () => "busy" | "ended" } = {}) {
    this.#policy = { ...admissionPolicy, ...parts.policy };
    this.#nowMs = parts.nowMs ?? (() => performance.now());
    this.#word = parts.word ?? (() => "busy");
    this.#limit = this.#policy.insideMax;
    this.#tickedAtMs = this.#nowMs();
    this.#reviewedAtMs = this.#tickedAtMs;
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** How many may be inside; 0 while that is no matter. HAProxy keeps what is beyond it. */
  get window(): number {
    return this.#limit < this.#policy.insideMax ? this.#limit : 0;
  }

  get inside(): number {
    return this.#inside;
  }

  /** What those are told who are too many. */
  get word(): AnswerWord {
    return this.#word();
  }

  /** Takes one in, or not. */
  enter(): boolean {
    if (this.#inside >= this.#limit) return false;
    this.#inside += 1;
    return true;
  }

  /** So many were answered. */
  leave(count: number): void {
    this.#inside -= count;
  }

  /** Since when a request has waited that is read now. */
  arrivalMs(): number {
    const nowMs = this.#nowMs();
    const { tickMs } = this.#policy;
    // Timers come first in a turn, so a tick that is late means that nothing was read since it was due; requests come evenly.
    const deafMs = nowMs - this.#tickedAtMs - tickMs;
    return deafMs > tickMs ? nowMs - deafMs / 2 : nowMs;
  }

  /** A call takes so many along, the oldest of whom has waited so long. */
  sent(count: number, queueMs: number): void {
    this.#sent += count;
    this.#queueMsSum += count * queueMs;
    if (this.#inside > this.#insidePeak) this.#insidePeak = this.#inside;
  }

  /** A call has ended. */
  called(count: number, callMs: number): void {
    this.#answered += count;
    this.#callMsSum += count * callMs;
  }

  /** @returns whether the process was running all the time since the last tick. */
  tick(): boolean {
    const nowMs = this.#nowMs();
    const { tickMs, reviewMs } = this.#policy;
    const onTime = nowMs - this.#tickedAtMs <= 2 * tickMs;
    this.#tickedAtMs = nowMs;
    if (nowMs - this.#reviewedAtMs >= reviewMs) this.#review(nowMs);
    return onTime;
  }

  #review(nowMs: number): void {
    const { queueMsTarget, shrinkMost, growMost, insideMin, insideMax, lastReviewWeight } = this.#policy;
    const queueMsNow = this.#sent === 0 ? 0 : this.#queueMsSum / this.#sent;
    const callMsNow = this.#answered === 0 ? 0 : this.#callMsSum / this.#answered;
    const queueMs = (this.#queueMs += lastReviewWeight * (queueMsNow - this.#queueMs));
    const callMs = (this.#callMs += lastReviewWeight * (callMsNow - this.#callMs));
    const factor = (queueMsTarget + callMs) / (queueMs + callMs + 1e-9);
    if (queueMs > queueMsTarget) {
      // One pause of a process that has little to do says nothing of many, so a bound that does not bind falls slowly.
      const base = Math.min(this.#limit, Math.max(this.#insidePeak, this.#limit / 2));
      this.#limit = Math.max(insideMin, Math.ceil(base * Math.max(shrinkMost, factor)));
    } else if (this.#limit < insideMax) {
      this.#limit = Math.min(insideMax, Math.ceil(this.#limit * Math.min(growMost, factor)));
    }
    this.#reviewedAtMs = nowMs;
    this.#insidePeak = this.#inside;
    this.#sent = this.#queueMsSum = this.#answered = this.#callMsSum = 0;
  }
}
