/** What users noticed of a fault: how many, how long. */
import type { Entry } from "../crowd/history.ts";

export interface Effect {
  users: number;
  requests: number;
  won: number;
  /** Grabs by the word of their answer; `none` is no answer at all. */
  grabs: Record<string, number>;
  /** Of grabs that were answered, by word. */
  latencyMs: Record<string, { p50: number; p99: number; max: number }>;
  /** Users who heard `busy` or nothing at least once, by bucket. */
  usersHit: Record<string, number>;
  /** From the first to the last such answer. */
  hitSpanMs: number;
  /** The longest time in which nobody of a bucket won anything although somebody asked, by bucket. */
  longestGapMs: Record<string, number>;
  /** From a user's first press to the answer that ended it, over all who had to ask more than once. */
  waitedMs: { users: number; p50: number; max: number };
  /** Pressed, and never heard an answer that ended it. */
  unanswered: number;
}

const ENDING = ["won", "ended"];

export function effectOf(history: readonly Entry[]): Effect {
  const grabs = history.filter(({ call }) => call === "grab");
  const hits = grabs.filter(({ word }) => !["won", "ended", "not_open"].includes(word));
  const words = Map.groupBy(grabs, ({ word }) => word);
  const hitUsers = Map.groupBy(hits, ({ bucket }) => bucket);
  const distinct = (entries: readonly Entry[]): number => new Set(entries.map(({ user }) => user)).size;
  const presses = [...Map.groupBy(grabs, ({ user, round, n }) => `${user} ${round} ${n}`).values()];
  const waits: number[] = [];
  let unanswered = 0;
  for (const press of presses) {
    const sorted = [...press].sort((a, b) => a.sentMs - b.sentMs);
    const end = sorted.find(({ word }) => ENDING.includes(word));
    if (end === undefined) unanswered += 1;
    else if (end !== sorted[0]) waits.push(end.doneMs - sorted[0]!.sentMs);
  }
  const hitTimes = hits.map(({ doneMs }) => doneMs);
  return {
    users: distinct(history),
    requests: history.length,
    won: new Set(history.flatMap(({ prizes }) => prizes.map(({ prize }) => prize))).size,
    grabs: Object.fromEntries([...words].map(([word, entries]) => [word, entries.length])),
    latencyMs: Object.fromEntries(
      [...words].map(([word, entries]) => [
        word,
        quantiles(entries.map(({ sentMs, doneMs }) => doneMs - sentMs)),
      ]),
    ),
    usersHit: Object.fromEntries([...hitUsers].map(([bucket, entries]) => [bucket, distinct(entries)])),
    hitSpanMs: hitTimes.length === 0 ? 0 : Math.round(Math.max(...hitTimes) - Math.min(...hitTimes)),
    longestGapMs: Object.fromEntries(
      [...Map.groupBy(grabs, ({ bucket }) => bucket)].map(([bucket, entries]) => [
        bucket,
        longestGap(entries),
      ]),
    ),
    waitedMs: { users: waits.length, p50: quantiles(waits).p50, max: quantiles(waits).max },
    unanswered,
  };
}

/** The longest time between two good answers, or from the first question to the first of them. */
function longestGap(grabs: readonly Entry[]): number {
  const asked = grabs.filter(({ word }) => word !== "not_open");
  const good = asked
    .filter(({ word }) => ENDING.includes(word))
    .map(({ doneMs }) => doneMs)
    .sort((a, b) => a - b);
  let last = Math.min(...asked.map(({ sentMs }) => sentMs));
  let longest = 0;
  for (const doneMs of good) {
    // A pause in which nobody had asked is none.
    const open = asked.some(
      ({ sentMs, doneMs: done }) => sentMs < doneMs && done >= last && sentMs >= last - 10_000,
    );
    if (open) longest = Math.max(longest, doneMs - last);
    last = doneMs;
  }
  return Math.round(longest);
}

function quantiles(values: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
