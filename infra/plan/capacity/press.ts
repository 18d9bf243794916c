/** How people press after an opening, and the highest rate that comes of it. Pure. */

/** So large a part of the users press for the first time within so many seconds after the opening, evenly. */
export interface PressPart {
  share: number;
  seconds: number;
}

export interface PressPattern {
  parts: PressPart[];
  /** Presses of each user, one every `againSeconds`. */
  presses: number;
  againSeconds: number;
}

/** A stretch of time, from the opening, with one rate. */
export interface Stretch {
  fromSeconds: number;
  toSeconds: number;
  perSecond: number;
}

/** The rate of presses over time: a step wherever a part begins or ends, or presses again. */
export function pressRates(pattern: PressPattern, users: number): Stretch[] {
  const steps = new Map<number, number>();
  const add = (at: number, perSecond: number): void => void steps.set(at, (steps.get(at) ?? 0) + perSecond);
  for (const { share, seconds } of pattern.parts) {
    const perSecond = (share * users) / seconds;
    for (let press = 0; press < pattern.presses; press++) {
      add(press * pattern.againSeconds, perSecond);
      add(press * pattern.againSeconds + seconds, -perSecond);
    }
  }
  const times = [...steps.keys()].sort((a, b) => a - b);
  let perSecond = 0;
  return times.slice(0, -1).map((fromSeconds, index) => {
    // Differences of fractions leave crumbs.
    perSecond = Math.max(0, perSecond + steps.get(fromSeconds)!);
    return { fromSeconds, toSeconds: times[index + 1]!, perSecond };
  });
}

export function pressPeak(pattern: PressPattern, users: number): number {
  return Math.max(0, ...pressRates(pattern, users).map(({ perSecond }) => perSecond));
}

/** When so many presses have come; infinite when there are fewer. */
export function whenPressed(rates: readonly Stretch[], wanted: number): number {
  let left = wanted;
  for (const { fromSeconds, toSeconds, perSecond } of rates) {
    const here = (toSeconds - fromSeconds) * perSecond;
    // Sums of fractions leave crumbs.
    if (here >= left * (1 - 1e-9))
      return perSecond > 0 ? Math.min(toSeconds, fromSeconds + left / perSecond) : fromSeconds;
    left -= here;
  }
  return Number.POSITIVE_INFINITY;
}
