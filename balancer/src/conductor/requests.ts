/** What an operator asks for, as the round's next record: pure functions that throw BadInput with the reason. */
import {
  BadInput,
  closingTime,
  commitmentOf,
  durationMs,
  timestampMs,
  type TimeExpression,
} from "@hongbao/preprocess";
import { changed } from "./decide.ts";
import type { RoundRecord } from "./records.ts";

export interface Wish {
  by: string;
  why: string;
  opensAtMs?: number;
  closesAtMs?: number;
}

export interface Moment {
  /** The time by the buckets' clocks. */
  nowMs: number;
  /** The slowest bucket's clock: what happens "now" happens everywhere. */
  slowestMs: number;
}

/** An opening that was asked for a moment ago is not in the past. */
const LATE_MS_MAX = 10_000;

/** `2027-02-05T20:00:00+08:00`, or `+5m` from now. Throws BadInput naming the option. */
export function parseMoment(text: string, option: string, nowMs: number): number {
  const fromNow = /^(?:now)?\+(.+)$/.exec(text)?.[1];
  const distanceMs = fromNow === undefined ? null : durationMs(fromNow);
  const ms = distanceMs === null ? timestampMs(text) : nowMs + distanceMs;
  if (ms !== null) return Math.round(ms);
  const forms = "a time such as 2027-02-05T20:00:00+08:00, or +5m (five minutes from now)";
  throw new BadInput(`${option}: found "${text}", expected ${forms}`);
}

const iso = (ms: number | null): string => (ms === null ? "by command" : new Date(ms).toISOString());

/** Opens the round now: for a manual round the ordinary way, for another one an early opening. */
export function openNow(
  record: RoundRecord,
  wish: Wish,
  { nowMs, slowestMs }: Moment,
  closesAt: TimeExpression | null,
): RoundRecord {
  const { round } = record;
  if (record.state === "open") throw new BadInput(`round ${round} is open already`);
  if (record.state === "closed") throw new BadInput(`round ${round} is closed; a closed round stays closed`);
  const opensAtMs = Math.floor(slowestMs);
  const closesAtMs = wish.closesAtMs ?? closingAfter(record, closesAt, opensAtMs);
  if (closesAtMs !== null && closesAtMs <= nowMs) {
    throw new BadInput(`round ${round}: closes at ${iso(closesAtMs)}, which is past; move the closing first`);
  }
  const early = record.opensAtMs === null ? "" : ` (planned: ${iso(record.opensAtMs)})`;
  return changed(record, {
    atMs: nowMs,
    by: wish.by,
    why: wish.why,
    what: `opened by command${early}`,
    state: "open",
    v: record.v + 1,
    opensAtMs,
    closesAtMs,
  });
}

/** Closes the round now, also one that has not opened. */
export function closeNow(record: RoundRecord, wish: Wish, { nowMs, slowestMs }: Moment): RoundRecord {
  if (record.state === "closed") throw new BadInput(`round ${record.round} is closed already`);
  const planned = record.closesAtMs === null ? "" : ` (planned: ${iso(record.closesAtMs)})`;
  return changed(record, {
    atMs: nowMs,
    by: wish.by,
    why: wish.why,
    what: `closed by command${planned}`,
    state: "closed",
    v: record.v + 1,
    closesAtMs: Math.floor(slowestMs),
  });
}

/** Changes times that have not come yet. */
export function move(
  record: RoundRecord,
  wish: Wish,
  { nowMs }: Moment,
  closesAt: TimeExpression | null,
): RoundRecord {
  const { round } = record;
  if (wish.opensAtMs === undefined && wish.closesAtMs === undefined) {
    throw new BadInput(`round ${round}: nothing to move: give --opens-at, --closes-at or both`);
  }
  if (record.state === "closed") throw new BadInput(`round ${round} is closed; a closed round stays closed`);
  if (record.state === "open" && wish.opensAtMs !== undefined) {
    throw new BadInput(`round ${round} is open: its opening cannot be moved any more, only its closing`);
  }
  const opensAtMs = openingOf(record, wish, nowMs);
  const closesAtMs = wish.closesAtMs ?? closingAfter(record, closesAt, opensAtMs);
  if (wish.closesAtMs !== undefined && wish.closesAtMs <= nowMs) {
    throw new BadInput(
      `--closes-at: found ${iso(wish.closesAtMs)}, expected a time after now, ${iso(nowMs)}; "round close" closes at once`,
    );
  }
  if (opensAtMs !== null && closesAtMs !== null && closesAtMs <= opensAtMs) {
    throw new BadInput(
      `round ${round} would close at ${iso(closesAtMs)}, before it opens at ${iso(opensAtMs)}: move both with --opens-at and --closes-at`,
    );
  }
  const what = `moved: opens ${iso(record.opensAtMs)} -> ${iso(opensAtMs)}, closes ${iso(record.closesAtMs)} -> ${iso(closesAtMs)}`;
  const fields = { opensAtMs, closesAtMs, v: record.v + 1 };
  return changed(record, { atMs: nowMs, by: wish.by, why: wish.why, what, ...fields });
}

/** Lets the rest of a closed round go on, also when the event says that it is held. `target` is where to, if anywhere. */
export function rollOver(
  record: RoundRecord,
  wish: Pick<Wish, "by" | "why">,
  { nowMs }: Moment,
  target: number | null,
): RoundRecord {
  const { round } = record;
  if (record.state !== "closed")
    throw new BadInput(`round ${round} is ${record.state}: only what a closed round did not give goes on`);
  if (target === null) {
    throw new BadInput(
      `round ${round}: no later round of the same kind, item and groups is still to close, so what is left is held`,
    );
  }
  const what = `rollover into round ${target} by command`;
  return changed(record, { atMs: nowMs, by: wish.by, why: wish.why, what, rollover: true });
}

/** Publishes the seed of a closed round: nothing of it can be won any more, so everybody may see how it was drawn. */
export function reveal(
  record: RoundRecord,
  wish: Wish,
  { nowMs }: Moment,
  { seed, commitment }: { seed: string; commitment: string },
): RoundRecord {
  const { round } = record;
  if (record.state !== "closed") {
    throw new BadInput(`round ${round} is ${record.state}: its seed can be revealed once it is closed`);
  }
  if (!/^[0-9a-f]{64}$/.test(seed) || commitmentOf(Buffer.from(seed, "hex")) !== commitment) {
    throw new BadInput(`round ${round}: this is not the seed that was committed to (${commitment})`);
  }
  if (record.seed === seed) return record;
  return changed(record, {
    atMs: nowMs,
    by: wish.by,
    why: wish.why,
    what: "revealed the seed of the draw",
    seed,
  });
}

/** A closing that the event ties to the opening (`+10m`) goes with it, unless it was moved by itself before. */
function closingAfter(
  record: RoundRecord,
  closesAt: TimeExpression | null,
  opensAtMs: number | null,
): number | null {
  if (closesAt === null || opensAtMs === null) return record.closesAtMs;
  const asPlanned = record.opensAtMs === null ? null : closingTime(closesAt, record.opensAtMs);
  return record.closesAtMs === asPlanned
    ? (closingTime(closesAt, opensAtMs) ?? record.closesAtMs)
    : record.closesAtMs;
}

function openingOf(record: RoundRecord, wish: Wish, nowMs: number): number | null {
  if (wish.opensAtMs === undefined) return record.opensAtMs;
  if (wish.opensAtMs < nowMs - LATE_MS_MAX) {
    throw new BadInput(
      `--opens-at: found ${iso(wish.opensAtMs)}, expected a time after now, ${iso(nowMs)}; "round open" opens at once`,
    );
  }
  return wish.opensAtMs;
}
