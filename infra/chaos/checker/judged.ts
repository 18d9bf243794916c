/** Which promises a scenario could judge, and why not the others: a run says so, or "0 violations" would say little. */
import type { Entry } from "../crowd/history.ts";
import { soundGrabs, unexcusedEnds, type Circumstances } from "./check.ts";
import { leftIn, type Facts } from "./facts.ts";

/** With fewer answers nothing can be said of a sound bucket. */
const SOUND_GRABS_MIN = 30;

export const PROMISES = [1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

export interface Judged {
  /** By promise: null where it was judged, else why not. */
  [promise: number]: string | null;
}

export function judgedBy(history: readonly Entry[], facts: Facts, at: Circumstances): Judged {
  const judged: Judged = Object.fromEntries(PROMISES.map((promise) => [promise, null]));
  judged[5] = whyNotFive(history, at);
  judged[8] = whyNotEight(history, facts, at);
  return judged;
}

function whyNotFive(history: readonly Entry[], at: Circumstances): string | null {
  if (at.sound.length === 0) return "every bucket was hit, or ran dry";
  const { judged, starved } = soundGrabs(history, at);
  if (judged.length >= SOUND_GRABS_MIN) return null;
  return starved > 0 ? "the machine had no time" : "nobody asked the sound bucket meanwhile";
}

function whyNotEight(history: readonly Entry[], facts: Facts, at: Circumstances): string | null {
  const goesOn = at.rounds
    .slice(0, -1)
    .some((round) => facts.rounds.find((each) => each.round === round)!.leftovers === "next");
  if (goesOn) return null;
  if (!at.soldOut) return "there was more than was asked for";
  if (leftIn(facts, at.rounds.at(-1)!) === 0) return null;
  return unexcusedEnds(history, at).length > 0
    ? null
    : "whoever heard the end did so while no prize could move";
}
