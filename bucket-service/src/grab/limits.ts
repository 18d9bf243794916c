import { hashUser, type UserHash } from "./user-hash.ts";

export const limitPolicy = {
  /** So many seconds' worth of requests may come at once. */
  burstSeconds: 2,
  /** Users that are remembered: `sets` groups of `ways`; 16 bytes each. More than a process serves in burstSeconds. */
  sets: 32_768,
  ways: 4,
  /** Who asks a process again within this time is made known to HAProxy, which counts over all of them. */
  oftenMs: 2_000,
} as const;

/**
 * What one user may ask of this process: so many requests a second for long, and those of burstSeconds at once. Everybody is
 * counted here; HAProxy counts over all processes those whom one of them has found to ask often (docs/decisions/0016).
 *
 * Of each user only the moment is kept at which all they have asked for so far would be paid off at the pace allowed (the
 * "virtual scheduling" of ATM's GCRA, which is a token bucket with one number). The users stand in arrays of a fixed size; where
 * a group is full the one goes that is paid off first, and that user begins anew.
 */
export class UserLimits {
  readonly #perSecond: () => number;
  readonly #nowMs: () => number;
  readonly #sets: number;
  readonly #ways: number;
  readonly #first: Uint32Array;
  readonly #second: Uint32Array;
  readonly #paidOffMs: Float64Array;
  readonly #hash: UserHash = { first: 0, second: 0 };
  #askedOften = false;

  /**
   * @param perSecond what holds at this moment; 0: any number.
   * @param parts.sets a power of two.
   */
  constructor(perSecond: () => number, parts: { nowMs?: () => number; sets?: number; ways?: number } = {}) {
    this.#perSecond = perSecond;
    this.#nowMs = parts.nowMs ?? (() => performance.now());
    this.#sets = parts.sets ?? limitPolicy.sets;
    this.#ways = parts.ways ?? limitPolicy.ways;
    const size = this.#sets * this.#ways;
    this.#first = new Uint32Array(size);
    this.#second = new Uint32Array(size);
    this.#paidOffMs = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  }

  /** Whether the user of the last call of `allows` had asked this process a moment before. */
  get askedOften(): boolean {
    return this.#askedOften;
  }

  /** Counts a request of this user; false: it is one too many, and was not counted. */
  allows(user: string): boolean {
    const perSecond = this.#perSecond();
    this.#askedOften = false;
    if (perSecond === 0) return true;
    const nowMs = this.#nowMs();
    const at = this.#placeOf(user);
    const eachMs = 1000 / perSecond;
    this.#askedOften = nowMs - this.#paidOffMs[at]! < limitPolicy.oftenMs - eachMs;
    const paidOffMs = Math.max(nowMs, this.#paidOffMs[at]!);
    // Half a request of slack, so that rounding decides nothing.
    if (paidOffMs - nowMs > (limitPolicy.burstSeconds * perSecond - 0.5) * eachMs) return false;
    this.#paidOffMs[at] = paidOffMs + eachMs;
    return true;
  }

  /** Where the user stands, or is put. */
  #placeOf(user: string): number {
    hashUser(user, this.#hash);
    const { first, second } = this.#hash;
    const begin = (first & (this.#sets - 1)) * this.#ways;
    let soonest = begin;
    for (let at = begin; at < begin + this.#ways; at += 1) {
      if (this.#second[at] === second && this.#first[at] === first) return at;
      if (this.#paidOffMs[at]! < this.#paidOffMs[soonest]!) soonest = at;
    }
    this.#first[soonest] = first;
    this.#second[soonest] = second;
    this.#paidOffMs[soonest] = Number.NEGATIVE_INFINITY;
    return soonest;
  }
}
