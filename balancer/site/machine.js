/**
 * What happens to one user in one round, as a machine with named states. It is pure: `step` takes the present
 * play and an event and gives the next play and what the page must do (effects); timers, network and chance
 * are outside.
 *
 *               key             spread over           press
 *   waiting ──────────▶ arming ─────────────▶ ready ─────────▶ opening
 *
 *   opening, retrying ── won ────────────────▶ won ── the next n ──▶ opening (waiting, when no key is known)
 *                     ── busy, limited, none ▶ retrying ── bound reached ──▶ unclear
 *                     ── ended ──────────────▶ checking ── a win is there ──▶ won
 *                                                       ── none is there ───▶ ended
 *                                                       ── bound reached ───▶ unclear
 *                     ── not open ───────────▶ waiting
 *                     ── may not take part ──▶ barred
 *                     ── nobody signed in ───▶ signin ── a session ──▶ waiting
 *   unclear           ── ask again ──────────▶ retrying (checking, when the round is over)
 *   waiting, arming, ready ── the round closes ▶ ended (won, when there is a win; checking, when the user pressed)
 *   any but opening and retrying ── the list of wins holds this n ──▶ won
 *
 * A press is never lost and never doubled: while its outcome is unknown the page only ever asks again for the
 * same `n`, which the server answers with the same prize.
 */

import { isOver } from "./schedule.js";

/**
 * Bounds of asking again after a press. Each wait is what the server asks for plus a random part that grows.
 */
export const GRAB_RETRY = Object.freeze({
  attemptsMax: 8,
  totalMsMax: 60_000,
  floorMs: 150,
  baseMs: 700,
  factor: 1.8,
  windowMsMax: 8_000,
});
/** Bounds of asking `/result` again when it does not answer. */
export const RESULT_RETRY = Object.freeze({ ...GRAB_RETRY, attemptsMax: 5, baseMs: 1_500 });
/** After `ended` the page asks once for the truth, at a random moment of this span. */
export const RESULT_AFTER_MS = Object.freeze({ min: 1_000, max: 10_000 });
/** "Ask again" waits up to this long before it asks, so that a crowd of thumbs is not one knock. */
const AGAIN_MS_MAX = 1_000;
/** No Retry-After is honoured beyond this. */
export const RETRY_AFTER_MS_MAX = 30_000;

/**
 * @typedef {"waiting" | "arming" | "ready" | "opening" | "retrying" | "won" | "checking" | "ended" |
 *   "unclear" |
 *   "barred" | "signin"} State
 */

/**
 * @typedef {object} Win What the server says of a win; fields that are not there stay undefined.
 * @property {number} round
 * @property {number} n
 * @property {any} prize
 * @property {string} [receipt]
 * @property {string} [payout]
 */

/**
 * @typedef {object} Play
 * @property {State} state
 * @property {number} seq Grows with every state entered; answers that carry an older one come too late.
 * @property {import("./schedule.js").Round} round
 * @property {string | null} key
 * @property {number} n Which prize of this user in this round is played for, from 1.
 * @property {Win[]} wins In order of n.
 * @property {number} attempt How often was asked again since the press.
 * @property {number} pressedAtMs Server time of the press that is being served.
 * @property {boolean} pressed Whether the user has pressed in this round.
 * @property {boolean} armedBefore Whether the button has been lit before, so that the spread is over.
 * @property {"crowd" | "pace"} why Why the page waits before it asks again.
 */

/**
 * @typedef {{ do: "poll", seq: number } | { do: "arm", afterMs: number, seq: number } |
 *   { do: "grab", afterMs: number, seq: number, n: number, key: string } |
 *   { do: "result", afterMs: number, seq: number } | { do: "keep", wins: Win[] } | { do: "schedule" } |
 *   { do: "signedOut" }} Effect What the page must do. One with a `seq` is void once the play has moved on.
 */

/** @typedef {{ nowMs: number, random: number }} Env */

/** @param {Win[]} wins */
function inOrder(wins) {
  return [...wins].sort((a, b) => a.n - b.n);
}

/** @param {Win[]} known @param {Win[]} more @returns {Win[]} */
function merge(known, more) {
  const byN = new Map(known.map((win) => [win.n, win]));
  for (const win of more) byN.set(win.n, { ...byN.get(win.n), ...win });
  return inOrder([...byN.values()]);
}

/** @param {Win[]} wins */
function lastN(wins) {
  return wins[wins.length - 1]?.n ?? 0;
}

/**
 * The play at the start, with what is known of earlier wins.
 * @param {import("./schedule.js").Round} round @param {Win[]} wins @returns {Play}
 */
export function createPlay(round, wins) {
  const ordered = inOrder(wins);
  return {
    state: ordered.length > 0 ? "won" : "waiting",
    seq: 0,
    round,
    key: null,
    n: Math.max(1, lastN(ordered)),
    wins: ordered,
    attempt: 0,
    pressedAtMs: 0,
    pressed: false,
    armedBefore: false,
    why: "crowd",
  };
}

/** Whether the user may go for a further prize of this round. @param {Play} play */
export function hasAnother(play) {
  return play.state === "won" && lastN(play.wins) < play.round.perUser && play.round.state !== "closed";
}

/** Whether nothing more can come of this round for this user. @param {Play} play */
export function isSettled(play) {
  if (play.state === "won") return !hasAnother(play);
  return (play.state === "ended" && play.pressed) || play.state === "barred";
}

/** Whether something is under way from which the page must not turn away. @param {Play} play */
export function isBusy(play) {
  return ["arming", "ready", "opening", "retrying", "checking"].includes(play.state);
}

/** @param {Play} play @param {State} state @param {Partial<Play>} [changes] @returns {Play} */
function enter(play, state, changes = {}) {
  return { ...play, ...changes, state, seq: play.seq + 1 };
}

/** @param {Play} play @param {Effect[]} [effects] */
function result(play, effects = []) {
  return { play, effects };
}

/** Waiting always polls. @param {Play} play @param {Partial<Play>} changes */
function wait(play, changes = {}) {
  const next = enter(play, "waiting", changes);
  return result(next, [{ do: "poll", seq: next.seq }]);
}

/** @typedef {{ readonly [name in keyof typeof GRAB_RETRY]: number }} RetryPolicy */

/** @param {RetryPolicy} policy @param {number} attempt @param {number} retryAfterMs @param {number} random */
export function retryDelayMs(policy, attempt, retryAfterMs, random) {
  const windowMs = Math.min(policy.windowMsMax, policy.baseMs * policy.factor ** attempt);
  const asked = Math.min(RETRY_AFTER_MS_MAX, Math.max(0, retryAfterMs));
  return Math.round(asked + policy.floorMs + random * windowMs);
}

/** @param {Play} play @param {number} afterMs @param {Partial<Play>} changes */
function check(play, afterMs, changes = {}) {
  const next = enter(play, "checking", { attempt: 0, ...changes });
  return result(next, [{ do: "result", afterMs, seq: next.seq }]);
}

/** @param {Play} play @param {Win[]} wins */
function win(play, wins) {
  const all = merge(play.wins, wins);
  const next = enter(play, "won", { wins: all, n: Math.max(play.n, lastN(all)) });
  return result(next, [{ do: "keep", wins }]);
}

/** @param {Play} play @param {Env} env @param {number} retryAfterMs @param {"crowd" | "pace"} why */
function askAgainLater(play, env, retryAfterMs, why) {
  const spentMs = env.nowMs - play.pressedAtMs;
  if (play.key === null || play.attempt >= GRAB_RETRY.attemptsMax || spentMs > GRAB_RETRY.totalMsMax) {
    return result(enter(play, "unclear"), [{ do: "schedule" }]);
  }
  const afterMs = retryDelayMs(GRAB_RETRY, play.attempt, retryAfterMs, env.random);
  const next = enter(play, "retrying", { attempt: play.attempt + 1, why });
  return result(next, [{ do: "grab", afterMs, seq: next.seq, n: play.n, key: play.key }]);
}

/**
 * When to ask `/result` after an end: at a random moment, so that everyone who hears the end does not ask at
 * once.
 */
function resultAfterMs(/** @type {Env} */ env) {
  const { min, max } = RESULT_AFTER_MS;
  return Math.round(min + env.random * (max - min));
}

/** What the answer to a grab leads to. @param {Play} play @param {any} event @param {Env} env */
function onGrabAnswer(play, event, env) {
  switch (event.result) {
    case "won":
      return win(play, event.wins);
    case "ended":
      return check(play, resultAfterMs(env));
    case "limited":
      return askAgainLater(play, env, event.retryAfterMs, "pace");
    case "not_open":
      return wait(play, {
        key: null,
        round: { ...play.round, opensAtMs: event.opensAtMs ?? play.round.opensAtMs },
      });
    case "not_eligible":
      return result(enter(play, "barred"));
    case "unauthorized":
      return result(enter(play, "signin"), [{ do: "signedOut" }]);
    case "no_such_round":
      return result(enter(play, "ended"), [{ do: "schedule" }]);
    case "bad_request":
      return result(enter(play, "unclear"), [{ do: "schedule" }]);
    default:
      // Busy, a failed or timed-out call, and every answer that makes no sense: asking again is always safe.
      return askAgainLater(play, env, event.retryAfterMs, "crowd");
  }
}

/** What the answer to `/result` leads to. @param {Play} play @param {any} event @param {Env} env */
function onResultAnswer(play, event, env) {
  if (event.result === "wins") {
    const wins = event.wins.filter((/** @type {Win} */ one) => one.round === play.round.id);
    const news = wins.some((/** @type {Win} */ one) => one.n >= play.n);
    if (news) return win(play, wins);
    return result(enter(play, "ended", { wins: merge(play.wins, wins) }), [{ do: "schedule" }]);
  }
  if (event.result === "unauthorized") return result(enter(play, "signin"), [{ do: "signedOut" }]);
  if (play.attempt >= RESULT_RETRY.attemptsMax) return result(enter(play, "unclear"));
  const afterMs = retryDelayMs(RESULT_RETRY, play.attempt, event.retryAfterMs, env.random);
  const next = enter(play, "checking", { attempt: play.attempt + 1 });
  return result(next, [{ do: "result", afterMs, seq: next.seq }]);
}

/** What a start file leads to. @param {Play} play @param {any} event @param {Env} env */
function onStart(play, event, env) {
  const round = {
    ...play.round,
    opensAtMs: event.opensAtMs ?? play.round.opensAtMs,
    closesAtMs: event.closesAtMs ?? play.round.closesAtMs,
  };
  if (event.key === null) return result({ ...play, round });
  const known = { ...play, round, key: event.key };
  if (play.state !== "waiting") return result(known);
  const afterMs = play.armedBefore ? 0 : Math.round(env.random * round.spreadMs);
  const next = enter(known, "arming", { armedBefore: true });
  return result(next, [{ do: "arm", afterMs, seq: next.seq }]);
}

/**
 * The schedule was read again.
 * @param {Play} play
 * @param {import("./schedule.js").Round} round
 * @param {Env} env
 */
function onSchedule(play, round, env) {
  const known = { ...play, round };
  const reopened =
    play.state === "ended" && !play.pressed && round.state === "open" && !isOver(round, env.nowMs);
  return reopened ? wait(known) : result(known);
}

/** Wins that the server told without being asked for this round. @param {Play} play @param {Win[]} wins */
function onWins(play, wins) {
  if (wins.length === 0) return result(play);
  const all = merge(play.wins, wins);
  if (play.state === "won") return result({ ...play, wins: all, n: Math.max(play.n, lastN(all)) });
  const asked = play.state === "opening" || play.state === "retrying";
  if (asked || lastN(all) < play.n) return result({ ...play, wins: all });
  return win(play, wins);
}

/** "Ask again" when all asking had come to nothing. @param {Play} play @param {Env} env */
function onAgain(play, env) {
  if (play.state !== "unclear") return result(play);
  if (play.key === null || isOver(play.round, env.nowMs))
    return check(play, Math.round(env.random * AGAIN_MS_MAX));
  const next = enter(play, "retrying", { attempt: 0, pressedAtMs: env.nowMs, why: "crowd" });
  return result(next, [{ do: "grab", afterMs: 0, seq: next.seq, n: play.n, key: play.key }]);
}

/** @param {Play} play @param {string} key @param {Env} env */
function open(play, key, env) {
  const next = enter(play, "opening", { pressed: true, attempt: 0, pressedAtMs: env.nowMs });
  return result(next, [{ do: "grab", afterMs: 0, seq: next.seq, n: play.n, key }]);
}

/** A further prize of the same round: asking for it is the press. @param {Play} play @param {Env} env */
function onAnother(play, env) {
  if (!hasAnother(play)) return result(play);
  const n = lastN(play.wins) + 1;
  return play.key === null ? wait(play, { n }) : open({ ...play, n }, play.key, env);
}

/** @param {Play} play @param {Env} env */
function onPress(play, env) {
  return play.state === "ready" && play.key !== null ? open(play, play.key, env) : result(play);
}

/**
 * The round's end came. Who has pressed hears from the server how it went.
 * @param {Play} play
 * @param {Env} env
 */
function onClosed(play, env) {
  if (!["waiting", "arming", "ready"].includes(play.state)) return result(play);
  if (play.wins.length > 0) return result(enter(play, "won"));
  return play.pressed ? check(play, resultAfterMs(env)) : result(enter(play, "ended"));
}

/**
 * @param {Play} play
 * @param {{ type: string } & Record<string, any>} event `begin`, `start`, `armed`, `press`, `grabAnswer`,
 *   `resultAnswer`, `again`, `another`, `closed`, `schedule`, `wins`, `session`, `signedOut`.
 * @param {Env} env
 * @returns {{ play: Play, effects: Effect[] }}
 */
export function step(play, event, env) {
  const late = event.seq !== undefined && event.seq !== play.seq;
  switch (event.type) {
    case "begin":
      return play.state === "waiting" ? wait(play) : result(play);
    case "start":
      return onStart(play, event, env);
    case "armed":
      return late || play.state !== "arming" ? result(play) : result(enter(play, "ready"));
    case "press":
      return onPress(play, env);
    case "grabAnswer":
      return late ? result(play) : onGrabAnswer(play, event, env);
    case "resultAnswer":
      return late ? result(play) : onResultAnswer(play, event, env);
    case "again":
      return onAgain(play, env);
    case "another":
      return onAnother(play, env);
    case "closed":
      return onClosed(play, env);
    case "schedule":
      return onSchedule(play, event.round, env);
    case "wins":
      return onWins(play, event.wins);
    case "session":
      return play.state === "signin" ? wait(play, { key: null }) : result(play);
    case "signedOut":
      return ["waiting", "arming", "ready"].includes(play.state)
        ? result(enter(play, "signin"))
        : result(play);
    default:
      return result(play);
  }
}
