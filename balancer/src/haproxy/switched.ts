/**
 * What HAProxy obeys of the switches: pure functions. It costs a grab nothing while nothing is set, and next to nothing then:
 *
 *   ended, in all buckets    rounds.map says `over`, as for a round that is over; the first rule answers
 *   grab or ended, in some   rounds.map says `switched`; such grabs alone look their bucket up in switches.map once more, and
 *                            are sent to the bucket itself, or to a backend that answers
 *   numbers                  variables of the process, which rules read as they read constants
 */
import { switchSetSchema, valuesOf, type SwitchSet, type SwitchSetting } from "@hongbao/preprocess";
import { z } from "zod";
import type { RoundWord } from "./maps.ts";

/**
 * By name, as the rules read them.
 * - limit_user: requests a second of one user, the most that any bucket allows (services know their own); 0: any number
 * - limit_ip: requests a second without a valid token from one address; 0: any number
 * - shed_ended: 1 when whoever comes while all is overloaded is told `ended`, where that is set for all buckets
 */
export interface SwitchVariables {
  readonly "proc.limit_user": number;
  readonly "proc.limit_ip": number;
  readonly "proc.shed_ended": number;
}

export interface SwitchView {
  /** What every round that lives is, as far as switches go. */
  word: RoundWord;
  /** Bucket → where its grabs go; see SHUT. */
  places: Map<string, string>;
  variables: SwitchVariables;
}

/** Places that are no bucket: no bucket's ID has a colon. */
export const SHUT = { busy: ":busy", ended: ":ended" } as const;

export function switchView(
  settings: readonly SwitchSetting[],
  buckets: readonly string[],
  nowMs: number,
): SwitchView {
  const each = buckets.map((id) => ({ id, ...valuesOf(settings, id, nowMs) }));
  const all = valuesOf(settings, null, nowMs);
  const places = new Map(each.map(({ id, ended, grab }) => [id, ended ? SHUT.ended : grab ? id : SHUT.busy]));
  const isEverywhere = each.length > 0 && each.every(({ ended }) => ended);
  const isSomewhere = each.some(({ id }) => places.get(id) !== id);
  const limits = each.map(({ limitUser }) => limitUser);
  return {
    word: isEverywhere ? "over" : isSomewhere ? "switched" : "live",
    places,
    variables: {
      "proc.limit_user": limits.includes(0) ? 0 : Math.max(...limits, 0),
      "proc.limit_ip": all.limitIp,
      "proc.shed_ended": all.shed === "ended" ? 1 : 0,
    },
  };
}

/** For a HAProxy that was told nothing. */
export const STANDARD_VARIABLES = switchView([], ["any"], 0).variables;

export function globalVariableLines(variables: SwitchVariables): string[] {
  return Object.entries(variables).map(([name, value]) => `set-var ${name} int(${value})`);
}

/** The last word, and of which control store it is; also the copy on disk. */
export interface KnownSwitches {
  event: string;
  epoch: string;
  set: SwitchSet;
}

const knownSchema = z.object({ event: z.string(), epoch: z.string(), set: switchSetSchema });

/** The copy on disk, or null when it is damaged or of another event. */
export function readKnownSwitches(text: string, event: string | null): KnownSwitches | null {
  try {
    const known = knownSchema.parse(JSON.parse(text));
    return event !== null && known.event !== event ? null : known;
  } catch {
    return null;
  }
}

/**
 * Newer versions of the same control store count. One that was made anew knows nothing at first; until it does (the buckets tell
 * it), what was known holds.
 */
export function mergeSwitches(
  known: KnownSwitches | null,
  answers: readonly { event: string; epoch: string; switches?: SwitchSet | undefined }[],
  event: string | null,
): KnownSwitches | null {
  const ours = answers.filter((answer) => event === null || answer.event === event);
  const epoch = ours.some((answer) => answer.epoch === known?.epoch) ? known!.epoch : ours[0]?.epoch;
  const sets = ours.filter((answer) => answer.epoch === epoch).flatMap(({ switches }) => switches ?? []);
  const set = sets.reduce<SwitchSet | null>((best, each) => (each.v > (best?.v ?? 0) ? each : best), null);
  if (epoch === undefined || set === null) return known;
  if (known?.epoch === epoch && known.set.v >= set.v) return known;
  return { event: ours[0]!.event, epoch, set };
}
