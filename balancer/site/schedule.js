/**
 * The schedule as the page needs it: reading rounds.json with distrust, choosing the round to show, and when
 * to ask for what. Everything here is pure; `random` is a number in [0, 1).
 */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** The page turns to the next round this long before it opens. */
export const TURN_BEFORE_MS = 2 * MINUTE_MS;
/** A round counts as closed by the clock only this long after its time, because the clock is not exact. */
const CLOSED_AFTER_MS = 2 * SECOND_MS;
const ROUNDS_MAX = 99;
const SPREAD_MS_MAX = 10 * SECOND_MS;
const PER_USER_MAX = 100;

/**
 * How often the start file is asked for. Before the opening a stretch begins `fromMs` ahead of it; after it,
 * when the key is late, `fromMs` behind it. The first entry whose stretch has begun counts. Asking before the
 * opening only serves rounds that are opened early by command, so it is rare.
 */
const POLL_BEFORE = [
  { fromMs: MINUTE_MS, everyMs: 10 * SECOND_MS },
  { fromMs: 10 * MINUTE_MS, everyMs: 20 * SECOND_MS },
];
const POLL_FAR_MS = MINUTE_MS;
const POLL_AFTER = [
  { fromMs: 15 * MINUTE_MS, everyMs: 15 * SECOND_MS },
  { fromMs: 2 * MINUTE_MS, everyMs: 5 * SECOND_MS },
];
const POLL_NEAR_MS = SECOND_MS;
/** The first question that can be answered comes within this time after the opening, at random. */
const POLL_OPENING_MS = SECOND_MS;
const POLL_BY_HAND_MS = 5 * SECOND_MS;
const POLL_JITTER = 0.25;

/** rounds.json is asked for again every so often, so that rounds moved or opened by hand are seen. */
const SCHEDULE_EVERY_MS = 30 * SECOND_MS;
const SCHEDULE_JITTER = 0.4;

/** Early connects happen in the last minute, but not in its last seconds. */
const CONNECT_WITHIN_MS = MINUTE_MS;
const CONNECT_NOT_WITHIN_MS = 2 * SECOND_MS;

/** @typedef {string | Record<string, string> | null} Titles A title, or one for each language. */

/**
 * @typedef {object} Round
 * @property {number} id
 * @property {"envelope" | "item"} kind
 * @property {Titles} title
 * @property {number | null} opensAtMs Null when the round is opened by hand.
 * @property {number | null} closesAtMs
 * @property {"scheduled" | "open" | "closed"} state
 * @property {number | null} count
 * @property {number} perUser
 * @property {number} spreadMs
 * @property {{ title: Titles, priceMinor: number | null } | null} item
 */

/** @typedef {{ event: string, title: Titles, currency: string, rounds: Round[] }} Schedule */

/** @param {unknown} value @returns {number | null} */
export function readTime(value) {
  if (typeof value !== "string") return null;
  const ms = Date.parse(value);
  return Number.isFinite(ms) ? ms : null;
}

/** @param {unknown} value @param {number} low @param {number} high @param {number} otherwise */
function readInteger(value, low, high, otherwise) {
  if (typeof value !== "number" || !Number.isFinite(value)) return otherwise;
  return Math.min(high, Math.max(low, Math.trunc(value)));
}

/** @param {unknown} value @returns {Titles} */
function readTitle(value) {
  if (typeof value === "string") return value;
  return value !== null && typeof value === "object" ? /** @type {Record<string, string>} */ (value) : null;
}

/** @param {any} raw @returns {Round | null} */
function readRound(raw) {
  if (raw === null || typeof raw !== "object" || !Number.isInteger(raw.id)) return null;
  const item = raw.item !== null && typeof raw.item === "object" ? raw.item : null;
  const price = item === null ? null : (item.priceMinor ?? item.price);
  return {
    id: raw.id,
    kind: raw.kind === "item" ? "item" : "envelope",
    title: readTitle(raw.title),
    opensAtMs: readTime(raw.opensAt),
    closesAtMs: readTime(raw.closesAt),
    state: raw.state === "open" || raw.state === "closed" ? raw.state : "scheduled",
    count: typeof raw.count === "number" ? raw.count : null,
    perUser: readInteger(raw.perUser, 1, PER_USER_MAX, 1),
    spreadMs: readInteger(raw.spreadMs, 0, SPREAD_MS_MAX, 0),
    item:
      item === null
        ? null
        : { title: readTitle(item.title), priceMinor: typeof price === "number" ? price : null },
  };
}

/**
 * Reads rounds.json. What is missing gets a harmless value; null only when it is no schedule at all.
 * @param {any} raw @returns {Schedule | null}
 */
export function readSchedule(raw) {
  if (raw === null || typeof raw !== "object" || !Array.isArray(raw.rounds)) return null;
  const rounds = raw.rounds.slice(0, ROUNDS_MAX).map(readRound).filter(Boolean);
  return {
    event: typeof raw.event === "string" ? raw.event : "",
    title: readTitle(raw.title),
    currency: typeof raw.currency === "string" ? raw.currency : "CNY",
    rounds: /** @type {Round[]} */ (rounds),
  };
}

/**
 * Whether the round is over, by the server's word or by the clock.
 * @param {Round} round
 * @param {number} nowMs
 */
export function isOver(round, nowMs) {
  return (
    round.state === "closed" || (round.closesAtMs !== null && nowMs > round.closesAtMs + CLOSED_AFTER_MS)
  );
}

/** Whether the round is open or due. @param {Round} round @param {number} nowMs */
export function isDue(round, nowMs) {
  if (isOver(round, nowMs)) return false;
  return round.state === "open" || (round.opensAtMs !== null && round.opensAtMs <= nowMs);
}

/** Soonest first; rounds opened by hand after those with a time. @param {Round} a @param {Round} b */
function bySoonest(a, b) {
  const difference = (a.opensAtMs ?? Infinity) - (b.opensAtMs ?? Infinity);
  return Number.isNaN(difference) || difference === 0 ? a.id - b.id : difference;
}

/**
 * The round to show: an open one in which something can still be done; else the next one when it is near;
 * else the one that is on show; else an open one, the next one, the last one. What the user chose comes
 * before all of it, until another round opens or comes near after the choice.
 * @param {object} about
 * @param {Round[]} about.rounds
 * @param {number} about.nowMs
 * @param {number | null} about.shown The round on show now.
 * @param {{ id: number, atMs: number } | null} about.chosen What the user chose to see, and when.
 * @param {(round: Round) => boolean} about.settled Whether nothing more can come of a round for this user.
 * @returns {Round | null}
 */
export function pickRound({ rounds, nowMs, shown, chosen, settled }) {
  const sorted = [...rounds].sort(bySoonest);
  const due = sorted.filter((round) => isDue(round, nowMs));
  const playable = due.filter((round) => !settled(round));
  const next = nextRound(rounds, nowMs);
  const nearSinceMs = next === null || next.opensAtMs === null ? Infinity : next.opensAtMs - TURN_BEFORE_MS;
  const choice = sorted.find((round) => round.id === chosen?.id);
  if (choice !== undefined && chosen !== null) {
    const opened = playable.some((round) => round !== choice && (round.opensAtMs ?? -Infinity) > chosen.atMs);
    const cameNear = nearSinceMs <= nowMs && nearSinceMs > chosen.atMs;
    if (!opened && !cameNear) return choice;
  }
  const onShow = sorted.find((round) => round.id === shown);
  const play = playable.find((round) => round === onShow) ?? playable[playable.length - 1];
  if (play !== undefined) return play;
  if (nearSinceMs <= nowMs) return next;
  return onShow ?? due[due.length - 1] ?? next ?? sorted[sorted.length - 1] ?? null;
}

/**
 * The soonest round that has not opened.
 * @param {Round[]} rounds
 * @param {number} nowMs
 * @returns {Round | null}
 */
export function nextRound(rounds, nowMs) {
  const ahead = rounds.filter((round) => !isOver(round, nowMs) && !isDue(round, nowMs)).sort(bySoonest);
  return ahead[0] ?? null;
}

/** @param {number} ms @param {number} share @param {number} random */
function jitter(ms, share, random) {
  return Math.round(ms * (1 - share + 2 * share * random));
}

/**
 * How long to wait before asking for the start file again. The jitter keeps many pages from asking in step; a
 * wait never reaches over into the next, faster stretch by more than its jitter, and never over the opening.
 * @param {number} nowMs @param {number | null} opensAtMs @param {number} random
 */
export function pollDelayMs(nowMs, opensAtMs, random) {
  if (opensAtMs === null) return jitter(POLL_BY_HAND_MS, POLL_JITTER, random);
  const untilMs = opensAtMs - nowMs;
  const stretch =
    untilMs <= 0
      ? POLL_AFTER.find((entry) => -untilMs >= entry.fromMs)
      : POLL_BEFORE.find((entry) => untilMs <= entry.fromMs);
  const everyMs = stretch?.everyMs ?? (untilMs <= 0 ? POLL_NEAR_MS : POLL_FAR_MS);
  // The next stretch ahead is the faster one: do not sleep into it.
  const ahead = POLL_BEFORE.filter((entry) => entry.fromMs < untilMs).pop();
  const delayMs = jitter(
    ahead === undefined ? everyMs : Math.min(everyMs, Math.max(ahead.everyMs, untilMs - ahead.fromMs)),
    POLL_JITTER,
    random,
  );
  if (untilMs <= 0 || delayMs < untilMs) return delayMs;
  return Math.round(untilMs + random * POLL_OPENING_MS);
}

/** How long to wait before asking for rounds.json again. @param {number} random */
export function scheduleDelayMs(random) {
  return jitter(SCHEDULE_EVERY_MS, SCHEDULE_JITTER, random);
}

/**
 * How long from now the page connects ahead of the opening: a random moment of the last minute, so that the
 * TLS handshakes of everyone are spread over it. Null when it is not yet the last minute, or too late to be
 * of use.
 * @param {number} nowMs @param {number | null} opensAtMs @param {number} random
 */
export function connectDelayMs(nowMs, opensAtMs, random) {
  if (opensAtMs === null) return null;
  const untilMs = opensAtMs - nowMs;
  if (untilMs > CONNECT_WITHIN_MS || untilMs <= CONNECT_NOT_WITHIN_MS) return null;
  return Math.floor(random * (untilMs - CONNECT_NOT_WITHIN_MS));
}
