/**
 * What time it is, by the buckets' Redis clocks: a controller whose own clock is wrong, or jumps, must neither reveal a
 * key early nor open late. Time between two looks is measured with the monotonic clock, which does not jump.
 */

/** Samples older than this say nothing about a clock that was set since. */
const SAMPLE_AGE_MS_MAX = 3_000;
const SAMPLES_MAX = 32;

/** One bucket's clock, seen through answers that were some time on their way. */
export class BucketClock {
  #samples: { offsetMs: number; atMs: number }[] = [];
  #lastOffsetMs: number | null = null;

  /** `timeMs` was the bucket's time at some moment before `monotonicMs`. */
  saw(timeMs: number, monotonicMs: number): void {
    const sinceMs = monotonicMs - SAMPLE_AGE_MS_MAX;
    this.#samples = this.#samples.filter(({ atMs }) => atMs >= sinceMs).slice(1 - SAMPLES_MAX);
    this.#samples.push({ offsetMs: timeMs - monotonicMs, atMs: monotonicMs });
    this.#lastOffsetMs = Math.max(...this.#samples.map(({ offsetMs }) => offsetMs));
  }

  /**
   * Each sample is a lower bound (the answer took its time), so the largest is the closest; null before the first one.
   * Never ahead of the bucket's clock, unless that was set back within the last seconds.
   */
  nowMs(monotonicMs: number): number | null {
    return this.#lastOffsetMs === null ? null : monotonicMs + this.#lastOffsetMs;
  }
}

/**
 * The median of the clocks within reach; null without any. An even number gets our own clock as one voice more, so that
 * one wrong clock, whichever, never decides; a single bucket is believed.
 */
export function judgeNow(bucketClocksMs: number[], ownMs: number): number | null {
  if (bucketClocksMs.length === 0) return null;
  const voices = bucketClocksMs.length % 2 === 0 ? [...bucketClocksMs, ownMs] : bucketClocksMs;
  return voices.toSorted((a, b) => a - b)[(voices.length - 1) / 2]!;
}
