/**
 * The page of one user: joins the clock, the schedule, one machine for each round, the API and the view. All
 * decisions are in machine.js, schedule.js and present.js; here are the timers and what is remembered between
 * them.
 */
import { createApi } from "./api.js";
import { createClock } from "./clock.js";
import { pickLanguage } from "./i18n.js";
import { createPlay, isBusy, isSettled, retryDelayMs, RESULT_RETRY, step } from "./machine.js";
import { present } from "./present.js";
import { createReceipts } from "./receipts.js";
import * as plan from "./schedule.js";
import { createStartFile } from "./start.js";
import { createStore, readToken } from "./store.js";
import { createView } from "./view.js";

const TICK_MS = 250;
/**
 * The list of wins is asked for soon after the start in quiet times, and later while a crowd is at the door.
 */
const WINS_SOON_MS = 1_500;
const WINS_LATER_MS = { min: 8_000, max: 25_000 };
const CROWD_BEFORE_MS = 60_000;
const CROWD_AFTER_MS = 30_000;
/** A payout that was under way is looked at again this often, while the page is seen. */
const PAYOUT_EVERY_MS = { min: 60_000, max: 180_000 };
const REFRESH_MS_MIN = 2_000;
/** A page that was wrong about the time by more than this, say after a sleep, has planned its questions wrongly. */
const WRONG_BY_MS = 2_000;
/** After so many failures the page says that it is crowded. */
const SLOW_AFTER = 3;

const random = Math.random;
const between = (/** @type {{ min: number, max: number }} */ { min, max }) => min + random() * (max - min);

/** Some browsers throw when storage is only looked at. */
function localStorageOrNull() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

const monotonicMs = () => performance.now();
const clock = createClock({ monotonicMs, wallMs: () => Date.now() });
const store = createStore(localStorageOrNull());
const startFile = createStartFile({ document, global: window, random });
const meta = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name="hongbao-api"]'));
const base = (meta?.content ?? "").trim().replace(/\/+$/, "");
const api = createApi({ base, fetch: window.fetch.bind(window), monotonicMs, nowMs: clock.nowMs });

const receipts = createReceipts({ store, api, random, onRestored: () => loadWinsIn(between(WINS_LATER_MS)) });

let language = pickLanguage(store.language(), navigator.languages ?? [navigator.language]);
/** @type {import("./schedule.js").Schedule | null} */
let schedule = null;
/** @type {Map<number, import("./machine.js").Play>} */
const plays = new Map();
/**
 * One timer for each play: a play waits for one thing at a time.
 * @type {Map<number, ReturnType<typeof setTimeout>>}
 */
const timers = new Map();
/** @type {number | null} */
let shown = null;
/** @type {{ id: number, atMs: number } | null} */
let chosen = null;
/** Of this user in this event, as the phone has kept them. @type {import("./machine.js").Win[]} */
let wins = [];
/** "unknown" until the server has said yes or no; "pending" while a token is being traded. */
let identity = /** @type {"unknown" | "pending" | "in" | "out"} */ ("unknown");
/** @type {import("./i18n.js").SignedOut} */
let outWhy = null;
/** How often the schedule has been asked for in vain since it last came. */
let scheduleFailures = 0;
let refreshing = false;
let refreshedAtMs = -Infinity;
/** Counts the tokens that were traded: only the latest may go on. */
let signIns = 0;
/** @type {Set<number>} Rounds for which the page has connected ahead. */
const connected = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let winsTimer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let scheduleTimer;

const view = createView(document, {
  press: () => dispatch(shown, { type: "press" }),
  language: switchLanguage,
  refresh: refreshWins,
  action: (act, round) => (act === "show" ? choose(round) : dispatch(round, { type: act })),
  choose,
});

function render() {
  const play = shown === null ? null : (plays.get(shown) ?? null);
  const model = present({
    language,
    schedule,
    play,
    signedOut: identity === "out" ? outWhy : null,
    offline: navigator.onLine === false,
    slow: scheduleFailures >= SLOW_AFTER,
    refreshing,
    wins,
    playOf: (round) => plays.get(round) ?? null,
    nowMs: clock.nowMs(),
  });
  view.render(model, language);
}

/** @param {import("./machine.js").Win[]} more */
function keep(more) {
  if (schedule === null) return;
  store.keepWins(schedule.event, more);
  wins = store.wins(schedule.event);
}

function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  store.keepLanguage(language);
  render();
}

/** @param {number} round */
function choose(round) {
  chosen = { id: round, atMs: clock.nowMs() };
  turn();
  render();
  window.scrollTo(0, 0);
}

/**
 * Gives an event to a round's machine and does what it asks for.
 * @param {number | null} id
 * @param {any} event
 */
function dispatch(id, event) {
  const before = id === null ? undefined : plays.get(id);
  if (before === undefined) return;
  const { play, effects } = step(before, event, { nowMs: clock.nowMs(), random: random() });
  if (play === before && effects.length === 0) return;
  plays.set(play.round.id, play);
  if (play.seq !== before.seq) clearTimeout(timers.get(play.round.id));
  for (const effect of effects) perform(play.round.id, effect);
  turn();
  render();
}

/** @param {number} id @param {import("./machine.js").Effect} effect */
function perform(id, effect) {
  switch (effect.do) {
    case "poll":
      return poll(id, effect.seq, 0);
    case "arm":
      return later(id, effect.afterMs, () => dispatch(id, { type: "armed", seq: effect.seq }));
    case "grab":
      return later(id, effect.afterMs, () => void grab(id, effect));
    case "result":
      return later(id, effect.afterMs, () => void askResult(id, effect.seq));
    case "keep":
      keep(effect.wins);
      return loadWinsIn(between(WINS_LATER_MS));
    case "schedule":
      return loadScheduleIn(between(WINS_LATER_MS));
    case "signedOut":
      identity = "out";
      outWhy = "expired";
  }
}

/** @param {number} id @param {number} afterMs @param {() => void} act */
function later(id, afterMs, act) {
  clearTimeout(timers.get(id));
  timers.set(id, setTimeout(act, afterMs));
}

/** Asks for the start file until the play no longer waits. Only the round on show asks. */
function poll(/** @type {number} */ id, /** @type {number} */ seq, /** @type {number} */ afterMs) {
  later(id, afterMs, () => {
    const play = plays.get(id);
    if (play === undefined || play.seq !== seq || id !== shown) return;
    void startFile.ask(id).then((start) => {
      if (start !== null) {
        const receivedAtMs = monotonicMs();
        const sample = { dateMs: null, ageS: 0, sentAtMs: receivedAtMs, receivedAtMs };
        clock.learn({ ...sample, atLeastMs: start.serverTimeMs });
        dispatch(id, { type: "start", ...start });
      }
      const now = plays.get(id);
      if (now?.seq === seq) poll(id, seq, plan.pollDelayMs(clock.nowMs(), now.round.opensAtMs, random()));
    });
  });
}

/** What was known of the opening has changed: the question under way may come far too late. */
function pollAnew() {
  const play = shown === null ? undefined : plays.get(shown);
  if (play?.state !== "waiting") return;
  poll(play.round.id, play.seq, plan.pollDelayMs(clock.nowMs(), play.round.opensAtMs, random()));
}

/** @param {number} id @param {{ seq: number, key: string, n: number }} effect */
async function grab(id, effect) {
  // While the token is being traded there is no cookie: that is a wait like any other.
  const answer =
    identity === "pending" ? { result: "busy", retryAfterMs: 0 } : await api.grab(id, effect.key, effect.n);
  // Kept at once, so that a win is on the phone even when the play has moved on meanwhile.
  if (answer.wins !== undefined) keep(answer.wins);
  dispatch(id, { type: "grabAnswer", seq: effect.seq, ...answer });
}

/** @param {number} id @param {number} seq */
async function askResult(id, seq) {
  const answer = await api.result(id);
  if (answer.result === "wins" && schedule !== null) receipts.bringBack(schedule.event, answer.wins, id);
  dispatch(id, { type: "resultAnswer", seq, ...answer });
}

/** Decides which round is on show. Never turns away from one in which something is under way. */
function turn() {
  if (schedule === null) return;
  const now = shown === null ? undefined : plays.get(shown);
  if (now !== undefined && isBusy(now) && (chosen === null || chosen.id === shown)) return;
  const settled = (/** @type {import("./schedule.js").Round} */ round) => {
    const play = plays.get(round.id);
    return play !== undefined && isSettled(play);
  };
  const round = plan.pickRound({ rounds: schedule.rounds, nowMs: clock.nowMs(), shown, chosen, settled });
  if (round === null || round.id === shown) return;
  if (chosen !== null && chosen.id !== round.id) chosen = null;
  shown = round.id;
  // Its polling begins, or goes on, now that it is on show.
  dispatch(shown, { type: "begin" });
}

/** @param {import("./api.js").Answer} answer */
function learnTime({ header, body, sentAtMs, receivedAtMs }) {
  const date = header("date");
  clock.learn({
    dateMs: date === null ? null : Date.parse(date),
    ageS: Number(header("age") ?? 0),
    atLeastMs: plan.readTime(body?.serverTime),
    sentAtMs,
    receivedAtMs,
  });
}

/** @param {number} afterMs */
function loadScheduleIn(afterMs) {
  clearTimeout(scheduleTimer);
  scheduleTimer = setTimeout(() => void loadSchedule(0), afterMs);
}

/** @param {number} attempt */
async function loadSchedule(attempt) {
  const answer = await api.schedule();
  const read = answer.status === 200 ? plan.readSchedule(answer.body) : null;
  clearTimeout(scheduleTimer);
  scheduleFailures = read === null ? scheduleFailures + 1 : 0;
  if (read === null) {
    render();
    const afterMs = retryDelayMs(RESULT_RETRY, attempt, answer.retryAfterMs, random());
    scheduleTimer = setTimeout(() => void loadSchedule(attempt + 1), afterMs);
    return;
  }
  const thoughtMs = clock.nowMs();
  learnTime(answer);
  takeSchedule(read);
  if (Math.abs(clock.nowMs() - thoughtMs) > WRONG_BY_MS) pollAnew();
  loadScheduleIn(plan.scheduleDelayMs(random()) * (document.hidden ? 3 : 1));
}

/** @param {import("./schedule.js").Schedule} read */
function takeSchedule(read) {
  const first = schedule === null;
  schedule = read;
  wins = store.wins(read.event);
  for (const round of read.rounds) {
    const before = plays.get(round.id)?.round;
    const won = wins.filter((win) => win.round === round.id);
    if (before === undefined) plays.set(round.id, createPlay(round, won));
    else dispatch(round.id, { type: "schedule", round });
    const moved = before?.opensAtMs !== round.opensAtMs || before.state !== round.state;
    if (moved && round.id === shown) pollAnew();
  }
  if (first && identity !== "pending") checkIdentity();
  turn();
  render();
}

/** Whether the door is crowded now, so that what can wait should. */
function isCrowded() {
  const nowMs = clock.nowMs();
  return (schedule?.rounds ?? []).some((round) => {
    if (plan.isOver(round, nowMs) || round.opensAtMs === null) return false;
    return nowMs > round.opensAtMs - CROWD_BEFORE_MS && nowMs < round.opensAtMs + CROWD_AFTER_MS;
  });
}

/**
 * Known without a call: nobody came to this browser by an invitation, or the token's time is over. The list of
 * wins tells for sure; for a stranger it is answered at the door, so it need not wait for a quiet time.
 */
function checkIdentity() {
  const session = store.session();
  const over = (session?.expiresAtMs ?? Infinity) < clock.nowMs();
  if (identity === "unknown" && (session === null || over)) signedOut(session === null ? "new" : "expired");
  // A link may have been refused before there was a round to say it in.
  else if (identity === "out" && outWhy !== null) signedOut(outWhy);
  const calm = identity === "out" || !isCrowded();
  loadWinsIn(calm ? random() * WINS_SOON_MS : between(WINS_LATER_MS));
}

/** @param {NonNullable<import("./i18n.js").SignedOut>} why */
function signedOut(why) {
  identity = "out";
  outWhy = why;
  render();
  for (const id of plays.keys()) dispatch(id, { type: "signedOut" });
}

function signedIn() {
  identity = "in";
  outWhy = null;
  for (const id of plays.keys()) dispatch(id, { type: "session" });
}

/** @param {number} afterMs */
function loadWinsIn(afterMs) {
  clearTimeout(winsTimer);
  winsTimer = setTimeout(() => void loadWins(0), afterMs);
}

/** @param {number} attempt */
async function loadWins(attempt) {
  if (identity === "pending" || schedule === null) return;
  const answer = await api.wins();
  refreshing = false;
  render();
  if (answer.result === "unauthorized") {
    signedOut(outWhy ?? (store.session() === null ? "new" : "expired"));
    return;
  }
  if (answer.result !== "wins") {
    if (attempt >= RESULT_RETRY.attemptsMax) return;
    const afterMs = retryDelayMs(RESULT_RETRY, attempt, answer.retryAfterMs, random());
    winsTimer = setTimeout(() => void loadWins(attempt + 1), afterMs);
    return;
  }
  if (identity !== "in") signedIn();
  receipts.bringBack(schedule.event, answer.wins, null);
  keep(answer.wins);
  for (const id of plays.keys()) {
    dispatch(id, { type: "wins", wins: answer.wins.filter((win) => win.round === id) });
  }
  render();
  const underWay = answer.wins.some((win) => win.payout === "pending");
  if (underWay && !document.hidden) loadWinsIn(between(PAYOUT_EVERY_MS));
}

function refreshWins() {
  if (refreshing || monotonicMs() - refreshedAtMs < REFRESH_MS_MIN) return;
  refreshedAtMs = monotonicMs();
  refreshing = identity !== "pending" && schedule !== null;
  render();
  loadWinsIn(0);
}

/**
 * Trades the token of the invitation for the cookie. The token leaves the address bar once it was answered
 * for.
 */
async function signIn() {
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (token === null || token === "") return;
  const claims = readToken(token);
  if (claims !== null) {
    const another = claims.user !== store.session()?.user;
    store.keepSession(claims);
    // Another person's link in the same tab: nothing of the first one may stay on the page.
    if (another && schedule !== null) return location.reload();
  }
  identity = "pending";
  const run = (signIns += 1);
  for (let attempt = 0; run === signIns; attempt += 1) {
    const answer = await api.session(token);
    if (run !== signIns) return;
    if (answer !== "busy") {
      history.replaceState(history.state, "", location.pathname + location.search);
      if (answer === "in") signedIn();
      else signedOut("refused");
      if (schedule !== null) checkIdentity();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, retryDelayMs(RESULT_RETRY, attempt, 0, random())));
  }
}
/** Connects once, at a random moment of the last minute before the round on show. */
function connectAhead(/** @type {import("./schedule.js").Round} */ round) {
  if (connected.has(round.id)) return;
  const delayMs = plan.connectDelayMs(clock.nowMs(), round.opensAtMs, random());
  if (delayMs === null) return;
  connected.add(round.id);
  setTimeout(() => void api.connect(), delayMs);
}

function tick() {
  if (clock.jumped()) wake();
  const nowMs = clock.nowMs();
  for (const { round } of plays.values()) {
    if (plan.isOver(round, nowMs)) dispatch(round.id, { type: "closed" });
  }
  const play = shown === null ? undefined : plays.get(shown);
  if (play?.state === "waiting") connectAhead(play.round);
  turn();
  render();
}

/** After a sleep, a time in the background or without network: what was known may be old. */
function wake() {
  if (document.hidden) return;
  loadScheduleIn(random() * 500);
  const play = shown === null ? undefined : plays.get(shown);
  if (play?.state === "waiting") poll(play.round.id, play.seq, random() * 500);
}

document.addEventListener("visibilitychange", wake);
window.addEventListener("pageshow", (event) => (event.persisted ? wake() : undefined));
window.addEventListener("offline", render);
window.addEventListener("online", () => {
  wake();
  // What had come to nothing without network goes on by itself.
  const play = shown === null ? undefined : plays.get(shown);
  if (play?.state === "unclear") dispatch(play.round.id, { type: "again" });
  render();
});
// A link from a second invitation, opened in the same tab, changes only the fragment.
window.addEventListener("hashchange", () => void signIn());
setInterval(tick, TICK_MS);
render();
void signIn();
void loadSchedule(0);
