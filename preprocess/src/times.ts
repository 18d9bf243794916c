/** Times and durations as an event file or a command writes them, and what they mean at a given moment. */
import { BadInput } from "./errors.ts";

/**
 * - at: a moment, in ms since 1970 (`2027-02-05T20:00:00+08:00`)
 * - after: that long after the event is loaded (`now+30s`)
 * - afterOpening: that long after the round opens (`+10m`; only for closesAt)
 * - manual: by command only (closesAt only when opensAt is manual too; what a round without times has)
 */
export type TimeExpression =
  | { kind: "at"; ms: number }
  | { kind: "after"; ms: number }
  | { kind: "afterOpening"; ms: number }
  | { kind: "manual" };

/** When a round opens and closes, in ms since 1970; null as long as only a command will decide. */
export interface RoundTimes {
  opensAtMs: number | null;
  closesAtMs: number | null;
}

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/;
const DURATION_MS_MAX = 366 * 86_400_000;
const TIMESTAMP = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::(\d\d)(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/;

/** `30s`, `10m`, `1.5h`, `2d`, `500ms` in ms, or null when it is none (or longer than a year). */
export function durationMs(text: string): number | null {
  const parts = DURATION.exec(text);
  if (!parts) return null;
  const ms = Math.round(Number(parts[1]) * UNIT_MS[parts[2]!]!);
  return ms <= DURATION_MS_MAX ? ms : null;
}

/** A duration in ms. Throws BadInput naming `where` (an option or a field). */
export function parseDuration(text: string, where: string): number {
  const ms = durationMs(text);
  if (ms === null)
    throw new BadInput(`${where}: found "${text}", expected a duration such as 30s, 10m or 2h`);
  return ms;
}

/** An ISO 8601 time with its timezone in ms since 1970, or null when it is none (30 February is none). */
export function timestampMs(text: string): number | null {
  const parts = TIMESTAMP.exec(text);
  if (!parts) return null;
  const [, date, minutes, seconds = "00", fraction = "", zone] = parts;
  const ms = Date.parse(`${date}T${minutes}:${seconds}${fraction}${zone}`);
  // JavaScript moves 30 February to March; the day must come back as it was written.
  const sameDay = new Date(Date.parse(`${date}T00:00:00Z`) || 0).toISOString().startsWith(date!);
  return Number.isNaN(ms) || !sameDay ? null : ms;
}

/** Reads any of the four forms; null when the text is none of them. */
export function readTimeExpression(text: string): TimeExpression | null {
  if (text === "manual") return { kind: "manual" };
  const relative = /^(now)?\+(.*)$/.exec(text);
  if (relative) {
    const ms = durationMs(relative[2]!);
    return ms === null ? null : { kind: relative[1] ? "after" : "afterOpening", ms };
  }
  const ms = timestampMs(text);
  return ms === null ? null : { kind: "at", ms };
}

/** The shape of a round that the functions here need. */
export interface Scheduled {
  id: number;
  opensAt: TimeExpression;
  closesAt: TimeExpression;
}

/**
 * Fixes the rounds' times for a load at `nowMs`. A manual opening has opensAtMs null, and closesAtMs null too
 * when it closes a while after the opening (see `closingTime`).
 * Throws BadInput for a round that would close before it opens.
 */
export function resolveTimes(rounds: Iterable<Scheduled>, nowMs: number): Map<number, RoundTimes> {
  const times = new Map<number, RoundTimes>();
  for (const { id, opensAt, closesAt } of rounds) {
    const opensAtMs = momentOf(opensAt, nowMs, null);
    const closesAtMs = momentOf(closesAt, nowMs, opensAtMs);
    if (opensAtMs !== null && closesAtMs !== null && closesAtMs <= opensAtMs) {
      const [opening, closing] = [opensAtMs, closesAtMs].map((ms) => new Date(ms).toISOString());
      throw new BadInput(
        `round ${id}: closesAt: found ${closing}, expected a time after its opening, ${opening}`,
      );
    }
    times.set(id, { opensAtMs, closesAtMs });
  }
  return times;
}

/** When a round that a command opens at `openedAtMs` closes; null when its closing is fixed in itself. */
export function closingTime(closesAt: TimeExpression, openedAtMs: number): number | null {
  return closesAt.kind === "afterOpening" ? openedAtMs + closesAt.ms : null;
}

function momentOf(time: TimeExpression, nowMs: number, opensAtMs: number | null): number | null {
  switch (time.kind) {
    case "at":
      return time.ms;
    case "after":
      return nowMs + time.ms;
    case "afterOpening":
      return opensAtMs === null ? null : opensAtMs + time.ms;
    case "manual":
      return null;
  }
}

/** Shifts all rounds alike, so that the first one that has a time opens at `firstOpensAtMs`. */
export function shiftTimes(times: Map<number, RoundTimes>, firstOpensAtMs: number): Map<number, RoundTimes> {
  const openings = [...times.values()].flatMap(({ opensAtMs }) => (opensAtMs === null ? [] : [opensAtMs]));
  if (openings.length === 0) return times;
  const shiftMs = firstOpensAtMs - openings.reduce((first, ms) => Math.min(first, ms));
  const shift = (ms: number | null): number | null => (ms === null ? null : ms + shiftMs);
  return new Map(
    Array.from(times, ([id, { opensAtMs, closesAtMs }]) => [
      id,
      { opensAtMs: shift(opensAtMs), closesAtMs: shift(closesAtMs) },
    ]),
  );
}

/** A duration in its largest whole unit: 600000 → "10m". */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNIT_MS[unit]!;
    if (ms > 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** A time expression as an event file would have it; moments in UTC. */
export function formatTimeExpression(time: TimeExpression): string {
  switch (time.kind) {
    case "at":
      return new Date(time.ms).toISOString();
    case "after":
      return `now+${formatDuration(time.ms)}`;
    case "afterOpening":
      return `+${formatDuration(time.ms)}`;
    case "manual":
      return "manual";
  }
}
