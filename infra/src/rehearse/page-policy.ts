/** How people behave, for those who press in a rehearsal and those who only press in `hongbao simulate`. */

/** Bounds of the page (balancer/site/machine.js), and what a person does when the page has given up. */
export const peoplePolicy = {
  attemptsMax: 8,
  floorMs: 150,
  baseMs: 700,
  factor: 1.8,
  windowMsMax: 8_000,
  /** What every `busy` asks for. */
  retryAfterMs: 1_000,
  /** An answer that takes longer is none. */
  timeoutMs: 8_000,
  /** Presses "ask again" after a look at the page, and gives up after so many rounds of it. */
  againMsMin: 500,
  againMsSpan: 2_000,
  roundsOfAskingMax: 3,
  /** To the next press of somebody who may have several. */
  thinkMsMin: 200,
  thinkMsSpan: 600,
  onceMoreMs: 3_000,
  resultMsMin: 1_000,
  resultMsSpan: 9_000,
} as const;

/** The page's wait before it asks again, after what the server asked for. `random` is from 0 to 1. */
export function retryMs(
  attempt: number,
  random: number,
  retryAfterMs: number = peoplePolicy.retryAfterMs,
): number {
  const { floorMs, baseMs, factor, windowMsMax } = peoplePolicy;
  return retryAfterMs + floorMs + random * Math.min(windowMsMax, baseMs * factor ** attempt);
}
