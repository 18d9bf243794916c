/**
 * The server's time, as well as a page can know it.
 *
 * The phone's clock may be wrong by hours, so it is never used to decide anything once one answer has come.
 * Every answer bounds the difference between the server's clock and this page's monotonic clock: `Date` +
 * `Age` is the server's time when the answer left, cut to whole seconds, and the way here took between
 * nothing and the whole round trip. The bounds of many answers are intersected (Marzullo's idea), so the
 * countdown soon is right to a fraction of a second although each `Date` is only right to a second.
 */

/**
 * A difference between wall clock and monotonic clock beyond this means that the device slept or was set
 * anew.
 */
const JUMP_MS = 2000;
const SECOND_MS = 1000;

/**
 * @typedef {object} Sample What one answer says about the server's time.
 * @property {number | null} dateMs The `Date` header, milliseconds since 1970, or null when it cannot be
 *   read.
 * @property {number} ageS The `Age` header in seconds, 0 when absent.
 * @property {number | null} atLeastMs A moment that had passed when the answer was made (`serverTime`), or
 *   null.
 * @property {number} sentAtMs Monotonic time at which the request left.
 * @property {number} receivedAtMs Monotonic time at which the answer's headers were here.
 */

/**
 * @param {{ monotonicMs: () => number, wallMs: () => number }} source
 */
export function createClock({ monotonicMs, wallMs }) {
  // Bounds of (server time - monotonic time), in milliseconds.
  let lowMs = -Infinity;
  let highMs = Infinity;
  let replaceNext = false;
  let wallMinusMonotonicMs = wallMs() - monotonicMs();

  /** @param {number} low @param {number} high */
  function narrow(low, high) {
    const apart = low > highMs || high < lowMs;
    if (replaceNext || apart) {
      lowMs = low;
      highMs = high;
      replaceNext = false;
      return;
    }
    lowMs = Math.max(lowMs, low);
    highMs = Math.min(highMs, high);
  }

  return {
    /** Takes in what an answer says. Unreadable values are left out. @param {Sample} sample */
    learn({ dateMs, ageS, atLeastMs, sentAtMs, receivedAtMs }) {
      if (dateMs !== null && Number.isFinite(dateMs)) {
        const age = Number.isFinite(ageS) && ageS > 0 ? ageS : 0;
        const leftMs = dateMs + age * SECOND_MS;
        // `Date` is cut to a second, and so is `Age` when a cache has added one.
        const cutMs = age > 0 ? 2 * SECOND_MS : SECOND_MS;
        const wayMs = Math.max(0, receivedAtMs - sentAtMs);
        narrow(leftMs - receivedAtMs, leftMs + cutMs + wayMs - receivedAtMs);
      }
      if (atLeastMs !== null && Number.isFinite(atLeastMs)) {
        // A cached answer's serverTime may be old, so it is a lower bound and no more.
        const low = atLeastMs - receivedAtMs;
        if (low > highMs + JUMP_MS) narrow(low, Infinity);
        else if (low > lowMs) lowMs = Math.min(low, highMs);
      }
    },

    /** True once any answer has told the server's time. */
    known() {
      return Number.isFinite(lowMs);
    },

    /** The server's time in milliseconds; the phone's own until the first answer. */
    nowMs() {
      if (!Number.isFinite(lowMs)) return wallMs();
      const offsetMs = Number.isFinite(highMs) ? (lowMs + highMs) / 2 : lowMs;
      return monotonicMs() + offsetMs;
    },

    /**
     * True once after the device slept or its clock was set: some devices stop the monotonic clock while they
     * sleep, so the next answer replaces what was known and the caller should ask for one now.
     */
    jumped() {
      const differenceMs = wallMs() - monotonicMs();
      const moved = Math.abs(differenceMs - wallMinusMonotonicMs) > JUMP_MS;
      wallMinusMonotonicMs = differenceMs;
      if (moved) replaceNext = true;
      return moved;
    },
  };
}

/** @typedef {ReturnType<typeof createClock>} Clock */
