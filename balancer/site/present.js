/**
 * What the page shows, as plain data: every word and state is decided here, and view.js only writes it down.
 * Pure.
 */
import { fill, formatCount, formatCountdown, formatMoment, formatMoney, titleIn, WORDS } from "./i18n.js";
import { hasAnother } from "./machine.js";
import { isDue, isOver, nextRound } from "./schedule.js";

/** @typedef {import("./i18n.js").Language} Language */
/** @typedef {import("./machine.js").Play} Play */
/** @typedef {import("./machine.js").Win} Win */
/** @typedef {import("./schedule.js").Round} Round */

/**
 * @typedef {object} Shown Everything the page knows.
 * @property {Language} language
 * @property {import("./schedule.js").Schedule | null} schedule Null until it is there; with a play it is
 *   there.
 * @property {Play | null} play The play of the round on show.
 * @property {import("./i18n.js").SignedOut} signedOut Why nobody is signed in, as far as is known; null when
 *   somebody is.
 * @property {boolean} offline Whether the device says that it has no network.
 * @property {boolean} slow Whether the schedule has been asked for in vain for a while.
 * @property {boolean} refreshing Whether the user waits for the list of wins.
 * @property {Win[]} wins All wins of this user in this event.
 * @property {(round: number) => Play | null} playOf
 * @property {number} nowMs Server time.
 */

/** @param {Shown} shown */
function currencyOf({ schedule }) {
  return schedule?.currency ?? "CNY";
}

/** @param {Round} round @param {Language} language */
export function roundTitle(round, language) {
  const own = titleIn(round.title, language) || (round.item ? titleIn(round.item.title, language) : "");
  return own || fill(WORDS[language].round, { id: round.id });
}

/** @param {Win} win @param {string} currency @param {Language} language */
function winWorth(win, currency, language) {
  const { prize } = win;
  if (prize.kind === "item") return titleIn(prize.title, language) || String(prize.sku ?? "");
  return formatMoney(Number(prize.amount) || 0, prize.currency ?? currency, language);
}

/**
 * What is given away: how many, and for an item its price and quantity.
 * @param {Shown} shown
 * @param {Round} round
 */
function offerOf(shown, round) {
  const { language } = shown;
  const words = WORDS[language];
  if (round.kind === "item") {
    const price = round.item?.priceMinor ?? null;
    const terms = [{ name: words.quantity, value: words.quantityOne }];
    if (price !== null)
      terms.unshift({ name: words.price, value: formatMoney(price, currencyOf(shown), language) });
    const product = titleIn(round.item?.title ?? null, language);
    const named = product === roundTitle(round, language) ? "" : product;
    const units =
      round.count === null ? "" : fill(words.units, { count: formatCount(round.count, language) });
    return { text: [named, units].filter(Boolean).join(" · "), terms };
  }
  const parts = [];
  if (round.count !== null) parts.push(fill(words.envelopes, { count: formatCount(round.count, language) }));
  if (round.perUser > 1) parts.push(fill(words.perUser, { perUser: round.perUser }));
  return { text: parts.join(" · "), terms: [] };
}

/** When it opens, or when it ends once it is open. @param {Shown} shown @param {Round} round */
function whenOf({ language, nowMs }, round) {
  const words = WORDS[language];
  const { opensAtMs, closesAtMs } = round;
  const at = (/** @type {number | null} */ ms, /** @type {string} */ text) =>
    ms === null ? "" : fill(text, { time: formatMoment(ms, nowMs, language) });
  if (isOver(round, nowMs)) return at(opensAtMs, "{time}");
  return isDue(round, nowMs) ? at(closesAtMs, words.closesAt) : at(opensAtMs, words.opensAt);
}

/** The line above the clock and the clock. @param {Shown} shown @param {Play} play */
function clockOf({ language, nowMs, signedOut }, play) {
  const words = WORDS[language];
  const { opensAtMs } = play.round;
  if (play.state === "ready") return { label: words.openNow, time: "" };
  if (play.state === "opening" || play.state === "retrying") {
    return { label: play.round.kind === "item" ? words.openingItem : words.opening, time: "" };
  }
  if (play.state === "won") return { label: roundTitle(play.round, language), time: "" };
  if (play.state !== "waiting" && play.state !== "arming" && play.state !== "signin")
    return { label: "", time: "" };
  if (play.round.state === "open" || play.state === "arming") {
    return { label: signedOut || play.state === "signin" ? words.openNow : words.soon, time: "" };
  }
  if (opensAtMs === null) return { label: words.byHand, time: "" };
  const untilMs = opensAtMs - nowMs;
  return untilMs > 0
    ? { label: words.until, time: formatCountdown(untilMs, language) }
    : { label: words.soon, time: "" };
}

/** While these go on, a lost network is what the user must know of. */
const NEEDS_NETWORK = new Set(["waiting", "arming", "opening", "retrying", "checking", "unclear"]);

/** @param {Shown} shown */
function signinOf({ language, signedOut }) {
  const words = WORDS[language];
  if (signedOut === "expired") return words.signinExpired;
  return signedOut === "refused" ? words.signinRefused : words.signin;
}

/** The sentence under the envelope. @param {Shown} shown @param {Play} play @returns {string} */
function statusOf(shown, play) {
  const words = WORDS[shown.language];
  const item = play.round.kind === "item";
  if (shown.offline && NEEDS_NETWORK.has(play.state)) return words.offline;
  switch (play.state) {
    case "waiting":
      if (shown.signedOut) return signinOf(shown);
      if (play.round.opensAtMs === null && play.round.state !== "open") return words.waitingByHand;
      return isDue(play.round, shown.nowMs) ? words.waitingNow : words.waiting;
    case "arming":
      return words.arming;
    case "ready":
      return item ? words.readyItem : words.ready;
    case "opening":
      return item ? words.openingItem : words.opening;
    case "retrying":
      return play.why === "pace" ? words.pace : words.crowd;
    case "won": {
      const win = play.wins[play.wins.length - 1];
      const worth = win === undefined ? "" : winWorth(win, currencyOf(shown), shown.language);
      return item ? fill(words.wonItem, { title: worth }) : fill(words.won, { amount: worth });
    }
    case "checking":
      return words.checking;
    case "ended":
      if (play.wins.length > 0) return words.endedSome;
      if (!play.pressed) return isAllOver(shown) ? words.allOver : words.closed;
      return item ? words.endedItem : words.ended;
    case "unclear":
      return words.unclear;
    case "barred":
      return words.barred;
    case "signin":
      return signinOf(shown);
  }
}

/** @param {Shown} shown */
function isAllOver({ schedule, nowMs }) {
  return (schedule?.rounds ?? []).every((round) => isOver(round, nowMs));
}

/** The big words on an envelope that stays shut. @param {Shown} shown @param {Play} play */
function headlineOf({ language }, play) {
  const words = WORDS[language];
  if (play.state === "ended" && !play.pressed) return words.closedTitle;
  if (play.state === "ended" || play.state === "checking") return words.endedTitle;
  if (play.state === "unclear") return words.unclearTitle;
  if (play.state === "barred") return words.barredTitle;
  return play.state === "signin" ? words.signinTitle : "";
}

/** The paper that comes out of the envelope. @param {Shown} shown @param {Play} play */
function letterOf(shown, play) {
  const { language } = shown;
  const win = play.state === "won" ? play.wins[play.wins.length - 1] : undefined;
  if (win === undefined) return null;
  const words = WORDS[language];
  const item = win.prize.kind === "item";
  const several = play.round.perUser > 1 ? fill(words.nth, { n: win.n, perUser: play.round.perUser }) : "";
  const told = shown.wins.find((one) => one.round === win.round && one.n === win.n);
  const payout = payoutOf(told ?? win, language);
  return {
    id: `${win.round}/${win.n}`,
    title: item ? words.wonItemTitle : words.wonTitle,
    worth: winWorth(win, currencyOf(shown), language),
    item,
    greeting: typeof win.prize.greeting === "string" ? win.prize.greeting : "",
    note: [several, item ? words.savedItem : words.saved].filter(Boolean).join(" · "),
    payout: payout.state,
    payoutText: payout.text,
  };
}

/**
 * How far its payout is, in people's words. A fresh win says nothing of it yet, so it is on its way; a state that the
 * page does not know is not shown.
 */
function payoutOf(/** @type {Win} */ win, /** @type {Language} */ language) {
  const words = WORDS[language];
  const texts = /** @type {Record<string, string>} */ (
    win.prize.kind === "item" ? words.payoutItem : words.payout
  );
  const notes = /** @type {Record<string, string>} */ (words.payoutNote);
  const told = win.payout ?? "pending";
  const state = Object.hasOwn(texts, told) ? told : "";
  return { state, text: texts[state] ?? "", note: notes[state] ?? "" };
}

/** The second button: only where there is something to do. @param {Shown} shown @param {Play} play */
function actionOf({ language, schedule, nowMs }, play) {
  const words = WORDS[language];
  if (play.state === "unclear") return { act: "again", label: words.again, round: play.round.id, note: "" };
  if (hasAnother(play) && !isOver(play.round, nowMs)) {
    const label = play.round.kind === "item" ? words.anotherItem : words.another;
    return { act: "another", label, round: play.round.id, note: "" };
  }
  const through = ["won", "ended", "barred"].includes(play.state);
  const next = through ? nextRound(schedule?.rounds ?? [], nowMs) : null;
  if (next === null) return null;
  const at = next.opensAtMs;
  if (at === null) return { act: "show", label: words.nextByHand, round: next.id, note: "" };
  const label = fill(words.next, { time: formatMoment(at, nowMs, language) });
  const note = fill(words.nextIn, { time: formatCountdown(at - nowMs, language) });
  return { act: "show", label, round: next.id, note };
}

/** @param {Shown} shown */
function winsOf(shown) {
  const { language, schedule, wins } = shown;
  const words = WORDS[language];
  const currency = currencyOf(shown);
  const sorted = [...wins].sort((a, b) => b.round - a.round || b.n - a.n);
  const rows = sorted.map((win) => {
    const round = schedule?.rounds.find((one) => one.id === win.round);
    const item = win.prize.kind === "item";
    const payout = payoutOf(win, language);
    const title = round === undefined ? fill(words.round, { id: win.round }) : roundTitle(round, language);
    return {
      id: `${win.round}/${win.n}`,
      title: round !== undefined && round.perUser > 1 ? `${title} · ${win.n}` : title,
      worth: winWorth(win, currency, language),
      item,
      greeting: typeof win.prize.greeting === "string" ? win.prize.greeting : "",
      payout: payout.state,
      payoutText: payout.text,
      payoutNote: payout.note,
      receipt: win.receipt ?? "",
    };
  });
  const total = sorted.reduce(
    (sum, win) => sum + (win.prize.kind === "item" ? 0 : Number(win.prize.amount) || 0),
    0,
  );
  const amount = formatMoney(total, sorted[0]?.prize.currency ?? currency, language);
  const sum = total > 0 ? words.mineTotal : words.mineCount;
  return { rows, total: rows.length === 0 ? "" : fill(sum, { count: rows.length, amount }) };
}

/** @param {Shown} shown */
function programmeOf({ language, schedule, play, playOf, nowMs }) {
  const words = WORDS[language];
  return (schedule?.rounds ?? []).map((round) => {
    const won = (playOf(round.id)?.wins.length ?? 0) > 0;
    const state = won ? "won" : isOver(round, nowMs) ? "closed" : isDue(round, nowMs) ? "open" : "scheduled";
    const time =
      round.opensAtMs === null ? words.byHandShort : formatMoment(round.opensAtMs, nowMs, language);
    const title = roundTitle(round, language);
    return {
      id: round.id,
      title,
      time,
      state,
      stateText: words.state[state],
      current: round.id === play?.round.id,
    };
  });
}

/** The ring around the coin fills within this time before the opening. */
const RING_MS = 60_000;

/** The coin: lit when a press counts; before that its ring fills. @param {Shown} shown @param {Play} play */
function coinOf({ language, nowMs }, play) {
  const labels = play.round.kind === "item" ? WORDS[language].coinItem : WORDS[language].coin;
  if (play.state === "ready") return { mood: "lit", label: labels.lit, ring: 1 };
  if (play.state === "opening" || play.state === "retrying")
    return { mood: "busy", label: labels.busy, ring: 1 };
  const gone = ["won", "ended", "checking", "unclear", "barred"].includes(play.state);
  const { opensAtMs } = play.round;
  const untilMs = opensAtMs === null || play.state === "signin" ? RING_MS : opensAtMs - nowMs;
  const ring = Math.min(1, Math.max(0, 1 - untilMs / RING_MS));
  return { mood: gone ? "gone" : "grey", label: labels.grey, ring: Math.round(ring * 100) / 100 };
}

/** @param {Shown} shown */
function loadingOf({ language, offline, slow }) {
  const words = WORDS[language];
  if (offline) return words.offline;
  return slow ? words.loadingSlow : words.loading;
}

/** @param {Shown} shown */
export function present(shown) {
  const { language, schedule, play } = shown;
  const words = WORDS[language];
  const event = titleIn(schedule?.title ?? null, language) || words.brand;
  const refresh = { label: shown.refreshing ? words.refreshing : words.refresh, busy: shown.refreshing };
  const lists = { wins: winsOf(shown), programme: programmeOf(shown), refresh };
  if (play === null) {
    return {
      ...lists,
      words,
      state: "loading",
      kind: "envelope",
      event,
      pageTitle: event,
      eyebrow: "",
      title: event,
      offer: { text: "", terms: [] },
      clock: { label: "", time: "" },
      headline: "",
      coin: { mood: "grey", label: words.coin.grey, ring: 0 },
      status: schedule === null ? loadingOf(shown) : words.noRounds,
      letter: null,
      action: null,
    };
  }
  const { round } = play;
  const clock = clockOf(shown, play);
  const mark = play.state === "ready" ? words.titleOpen : clock.time;
  const when = whenOf(shown, round);
  return {
    ...lists,
    words,
    state: play.state,
    kind: round.kind,
    event,
    pageTitle: mark === "" ? event : `${mark} · ${event}`,
    eyebrow: [fill(words.round, { id: round.id }), when].filter(Boolean).join(" · "),
    title: roundTitle(round, language),
    offer: offerOf(shown, round),
    clock,
    headline: headlineOf(shown, play),
    coin: coinOf(shown, play),
    status: statusOf(shown, play),
    letter: letterOf(shown, play),
    action: actionOf(shown, play),
  };
}

/** @typedef {ReturnType<typeof present>} Model */
