/** The page's words in Chinese and English, and how each writes money, times and counts. */

/** @typedef {"zh" | "en"} Language */

/**
 * Why nobody is signed in: never came by an invitation, its time is over, or the server refused it.
 * @typedef {null | "new" | "expired" | "refused"} SignedOut
 */

/** What the `lang` attribute says of each language. */
export const HTML_LANG = Object.freeze({ zh: "zh-CN", en: "en" });

const MINOR_PER_MAJOR = 100;

const zh = {
  brand: "红包",
  switchLanguage: "English",
  switchLanguageLabel: "Switch to English",
  loading: "正在准备，请稍候…",
  loadingSlow: "人有点多，正在替您连接，请留在本页。",
  offline: "网络断开了，连上后会自动继续，请留在本页。",
  noRounds: "活动还没有安排，请稍后再来看看。",
  round: "第 {id} 轮",
  envelopes: "共 {count} 个红包",
  units: "共 {count} 件",
  price: "价格",
  quantity: "数量",
  quantityOne: "1（每人限一件）",
  perUser: "每人可拆 {perUser} 个",
  nth: "第 {n} 个，共 {perUser} 个",
  until: "距离开抢",
  soon: "马上开始",
  byHand: "等待主持人开启",
  opensAt: "{time} 开抢",
  closesAt: "{time} 截止",
  openNow: "现在可以抢",
  coin: { grey: "还不能拆", lit: "拆红包", busy: "正在拆" },
  coinItem: { grey: "还不能抢", lit: "抢购", busy: "正在提交" },
  waiting: "到点后按钮会自动变亮，不用刷新页面。",
  waitingByHand: "开启后按钮会自动变亮，不用刷新页面。",
  waitingNow: "正在等待开启，按钮马上变亮。",
  arming: "就要亮了…",
  ready: "可以拆了，按一下就好。",
  readyItem: "可以抢了，按一下就好。",
  opening: "正在拆…",
  openingItem: "正在提交…",
  crowd: "人有点多，正在替您再试，请留在本页。",
  pace: "稍等片刻，马上替您继续。",
  won: "恭喜！您拆到了 {amount}。",
  wonItem: "恭喜！您抢到了 {title}。",
  wonTitle: "恭喜发财",
  wonItemTitle: "抢到了",
  saved: "已放入“我的红包”",
  savedItem: "订单进度见“我的红包”",
  payout: { pending: "发放中", paid: "已到账", dead: "人工处理中", held: "核对中" },
  payoutItem: { pending: "下单中", paid: "已下单", dead: "人工处理中", held: "核对中" },
  payoutNote: {
    dead: "自动处理没有成功，工作人员会为您补上，不会丢。",
    held: "这一份正在核对，核对后会继续处理。",
  },
  another: "再拆一个",
  anotherItem: "再抢一件",
  endedTitle: "已抢完",
  closedTitle: "已结束",
  ended: "这一轮的红包已经抢完了，谢谢参与。",
  endedItem: "这一轮已经抢完了，谢谢参与。",
  endedSome: "这一轮已经抢完了。您拆到的红包都在“我的红包”里。",
  closed: "这一轮已经结束。",
  allOver: "本次活动已经全部结束，感谢参与。",
  checking: "正在再核对一遍，看看有没有您的一份…",
  unclearTitle: "人太多了",
  unclear: "现在人很多，还没有等到结果。如果已经拆到，一定不会丢。",
  again: "再问一次",
  barredTitle: "未开放",
  barred: "这一轮面向其他同事，请留意别的轮次。",
  signinTitle: "需要邀请链接",
  signin: "请从邀请里的链接重新打开本页。",
  signinExpired: "登录已经过期，请再点一次邀请里的链接。",
  signinRefused: "这个链接已经失效，请向主办方要一个新的邀请链接。",
  next: "下一轮：{time}",
  nextByHand: "看下一轮",
  nextIn: "{time} 后开抢",
  mine: "我的红包",
  mineTotal: "共 {count} 个 · {amount}",
  mineCount: "共 {count} 个",
  mineEmpty: "拆到的红包会放在这里。",
  refresh: "刷新",
  refreshing: "刷新中…",
  receipt: "凭证",
  programme: "活动安排",
  state: { scheduled: "未开始", open: "进行中", closed: "已结束", won: "已拆到" },
  byHandShort: "由主持人开启",
  days: "{days} 天 {time}",
  titleOpen: "可以拆了",
};

/** @type {typeof zh} */
const en = {
  brand: "Red envelopes",
  switchLanguage: "中文",
  switchLanguageLabel: "切换到中文",
  loading: "Getting ready…",
  loadingSlow: "Busy right now. Connecting for you, please stay.",
  offline: "You are offline. This goes on by itself once you are back, please stay.",
  noRounds: "Nothing is planned yet. Please come back later.",
  round: "Round {id}",
  envelopes: "{count} envelopes",
  units: "{count} pieces",
  price: "Price",
  quantity: "Quantity",
  quantityOne: "1 (one per person)",
  perUser: "up to {perUser} each",
  nth: "No. {n} of {perUser}",
  until: "Opens in",
  soon: "Any moment now",
  byHand: "Waiting for the host",
  opensAt: "Opens {time}",
  closesAt: "Until {time}",
  openNow: "Open now",
  coin: { grey: "Not open yet", lit: "Open the envelope", busy: "Opening" },
  coinItem: { grey: "Not open yet", lit: "Get it", busy: "Ordering" },
  waiting: "The button lights up by itself. No need to reload.",
  waitingByHand: "The button lights up when the host opens the round.",
  waitingNow: "The button lights up in a moment.",
  arming: "Here it comes…",
  ready: "It is open. One press is enough.",
  readyItem: "It is open. One press is enough.",
  opening: "Opening…",
  openingItem: "Ordering…",
  crowd: "Busy right now. Trying again for you, please stay.",
  pace: "One moment. Going on for you shortly.",
  won: "Congratulations! You got {amount}.",
  wonItem: "Congratulations! You got {title}.",
  wonTitle: "Good fortune!",
  wonItemTitle: "It is yours",
  saved: "Kept under “My envelopes”",
  savedItem: "See “My envelopes” for your order",
  payout: { pending: "On its way", paid: "Received", dead: "Handled by hand", held: "Being checked" },
  payoutItem: { pending: "Being ordered", paid: "Ordered", dead: "Handled by hand", held: "Being checked" },
  payoutNote: {
    dead: "This did not go through by itself. Somebody takes care of it, it is not lost.",
    held: "This one is being checked and goes on afterwards.",
  },
  another: "Open another",
  anotherItem: "Get another",
  endedTitle: "All gone",
  closedTitle: "Over",
  ended: "All envelopes of this round are gone. Thank you for joining.",
  endedItem: "All pieces of this round are gone. Thank you for joining.",
  endedSome: "This round is over. What you opened is under “My envelopes”.",
  closed: "This round is over.",
  allOver: "All rounds are over. Thank you for joining.",
  checking: "Checking once more whether one of them is yours…",
  unclearTitle: "Very busy",
  unclear: "It is very crowded and there is no answer yet. If you got one, it is safe.",
  again: "Ask again",
  barredTitle: "Not open to you",
  barred: "This round is for other colleagues. Please look at the other rounds.",
  signinTitle: "Invitation needed",
  signin: "Please open this page again from the link in your invitation.",
  signinExpired: "You were signed in too long ago. Please open the link in your invitation again.",
  signinRefused: "This link is no longer valid. Please ask the host for a new one.",
  next: "Next round: {time}",
  nextByHand: "See the next round",
  nextIn: "Opens in {time}",
  mine: "My envelopes",
  mineTotal: "{count} in all · {amount}",
  mineCount: "{count} in all",
  mineEmpty: "What you open is kept here.",
  refresh: "Refresh",
  refreshing: "Refreshing…",
  receipt: "Receipt",
  programme: "Programme",
  state: { scheduled: "To come", open: "Open", closed: "Over", won: "Opened" },
  byHandShort: "Opened by the host",
  days: "{days} d {time}",
  titleOpen: "Open now",
};

/** @type {Record<Language, typeof zh>} */
export const WORDS = { zh, en };

/**
 * The language to start with: the one chosen before, else the first of the browser's that the page has.
 * @param {string | null} chosen @param {readonly string[]} wanted @returns {Language}
 */
export function pickLanguage(chosen, wanted) {
  if (chosen === "zh" || chosen === "en") return chosen;
  for (const tag of wanted) {
    const primary = tag.toLowerCase().split("-")[0];
    if (primary === "zh" || primary === "en") return primary;
  }
  return "en";
}

/** @param {string} text @param {Record<string, string | number>} values */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * A title in the language of the page, or in any that it has.
 * @param {unknown} title @param {Language} language @returns {string}
 */
export function titleIn(title, language) {
  if (typeof title === "string") return title;
  if (title === null || typeof title !== "object") return "";
  const titles = /** @type {Record<string, unknown>} */ (title);
  const text = titles[language] ?? titles.zh ?? titles.en ?? Object.values(titles)[0];
  return typeof text === "string" ? text : "";
}

/**
 * Money from minor units, always with two decimals.
 * @param {number} minor @param {string} currency ISO 4217 @param {Language} language
 */
export function formatMoney(minor, currency, language) {
  const amount = minor / MINOR_PER_MAJOR;
  const decimals = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  try {
    const style = { style: "currency", currency, currencyDisplay: "narrowSymbol", ...decimals };
    return new Intl.NumberFormat(HTML_LANG[language], /** @type {Intl.NumberFormatOptions} */ (style)).format(
      amount,
    );
  } catch {
    // An older browser, or a currency that is no ISO code.
    return `${amount.toFixed(2)} ${currency}`;
  }
}

/** @param {number} count @param {Language} language */
export function formatCount(count, language) {
  return new Intl.NumberFormat(HTML_LANG[language]).format(count);
}

/**
 * A moment on the phone's own calendar: the time alone when it is today.
 * @param {number} atMs @param {number} nowMs @param {Language} language @param {string} [timeZone] For tests.
 */
export function formatMoment(atMs, nowMs, language, timeZone) {
  const zone = timeZone === undefined ? {} : { timeZone };
  const day = new Intl.DateTimeFormat("en-CA", {
    ...zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  });
  const today = day.format(atMs) === day.format(nowMs);
  const date = today ? {} : { month: "short", day: "numeric" };
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const format = /** @type {Intl.DateTimeFormatOptions} */ ({ ...zone, ...date, ...time });
  return new Intl.DateTimeFormat(HTML_LANG[language], format).format(atMs);
}

/** A span as a clock shows it, rounded up, so that it reads 0 only when it is over. @param {number} ms */
export function formatSpan(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const tail = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  return hours > 0 ? `${two(hours)}:${tail}` : tail;
}

/** A long span with its days apart. @param {number} ms @param {Language} language */
export function formatCountdown(ms, language) {
  const dayMs = 24 * 3600 * 1000;
  const days = Math.floor(ms / dayMs);
  if (days < 1) return formatSpan(ms);
  return fill(WORDS[language].days, { days, time: formatSpan(ms % dayMs) });
}
