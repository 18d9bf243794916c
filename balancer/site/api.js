/**
 * The calls of the page. Each gives one word from a closed list, whatever happened: a refused connection, a
 * timeout, a 502 of some proxy and an answer that is not JSON all are "busy", because asking again is always
 * safe.
 */

/**
 * Every call ends within its time. The grab's is long enough for a slow phone and short enough to ask again.
 */
export const TIMEOUT_MS = Object.freeze({
  session: 10_000,
  schedule: 10_000,
  grab: 8_000,
  result: 8_000,
  wins: 10_000,
  receipts: 10_000,
  connect: 5_000,
});

const SECOND_MS = 1000;
const WORDS = [
  "won",
  "ended",
  "busy",
  "limited",
  "not_open",
  "not_eligible",
  "unauthorized",
  "no_such_round",
];
const GRAB_WORDS = new Set([...WORDS, "bad_request"]);

/**
 * @typedef {object} Answer
 * @property {number} status 0 when there was none.
 * @property {any} body The parsed JSON, or null.
 * @property {number} retryAfterMs
 * @property {(name: string) => string | null} header
 * @property {number} sentAtMs Monotonic.
 * @property {number} receivedAtMs Monotonic.
 */

/** @param {string | null} value Seconds or a date. @param {number} nowMs Server time. @returns {number} */
export function readRetryAfterMs(value, nowMs) {
  if (value === null || value.trim() === "") return 0;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * SECOND_MS);
  const dateMs = Date.parse(value);
  return Number.isFinite(dateMs) ? Math.max(0, dateMs - nowMs) : 0;
}

/**
 * @param {any} raw
 * @returns {import("./machine.js").Win | null} A win, or null when it lacks what a win must have.
 */
export function readWin(raw) {
  if (raw === null || typeof raw !== "object" || raw.prize === null || typeof raw.prize !== "object")
    return null;
  if (!Number.isInteger(raw.round) || raw.prize.id === undefined) return null;
  const win = { round: raw.round, n: Number.isInteger(raw.n) ? raw.n : 1, prize: raw.prize };
  if (typeof raw.receipt === "string") Object.assign(win, { receipt: raw.receipt });
  if (typeof raw.payout === "string") Object.assign(win, { payout: raw.payout });
  return win;
}

/** @param {number} status @param {any} body @returns {string} The word of an answer. */
function wordOf(status, body) {
  const word = body !== null && typeof body === "object" ? body.result : undefined;
  if (typeof word === "string" && GRAB_WORDS.has(word)) return word;
  if (status === 401) return "unauthorized";
  if (status === 429) return "limited";
  return "busy";
}

/** @param {Answer} answer What the machine hears of a grab. */
export function readGrab({ status, body, retryAfterMs }) {
  const word = wordOf(status, body);
  if (word !== "won") {
    const opensAtMs =
      word === "not_open" && typeof body.opensAt === "string" ? Date.parse(body.opensAt) : NaN;
    return { result: word, retryAfterMs, opensAtMs: Number.isFinite(opensAtMs) ? opensAtMs : null };
  }
  const win = readWin(body);
  return win === null ? { result: "busy", retryAfterMs } : { result: "won", wins: [win], retryAfterMs };
}

/** @param {Answer} answer What is heard of `/result` or `/wins`. */
export function readWins({ status, body, retryAfterMs }) {
  if (status === 200 && body !== null && Array.isArray(body.wins)) {
    const wins = /** @type {import("./machine.js").Win[]} */ (body.wins.map(readWin).filter(Boolean));
    return { result: "wins", wins, retryAfterMs };
  }
  const word = wordOf(status, body);
  return { result: word === "unauthorized" || word === "limited" ? word : "busy", wins: [], retryAfterMs };
}

/**
 * @param {Answer} answer What is heard of `/v1/receipts`.
 * @returns {{ taken: { receipt: string, result: string }[] | null, retryAfterMs: number }} Null: ask again later.
 */
export function readReceipts({ status, body, retryAfterMs }) {
  const isList = status === 200 && body !== null && Array.isArray(body.receipts);
  // A list that the server will never take is not sent a second time.
  const taken = isList ? body.receipts : status === 400 || status === 404 ? [] : null;
  return { taken, retryAfterMs };
}

/**
 * @param {object} parts
 * @param {string} parts.base Origin of the API without a slash at the end; "" for the page's own.
 * @param {typeof fetch} parts.fetch
 * @param {() => number} parts.monotonicMs
 * @param {() => number} parts.nowMs Server time.
 */
export function createApi({ base, fetch, monotonicMs, nowMs }) {
  /** @param {string} url @param {number} timeoutMs @param {RequestInit} init @returns {Promise<Answer>} */
  async function call(url, timeoutMs, init) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), timeoutMs);
    const sentAtMs = monotonicMs();
    try {
      const response = await fetch(url, { cache: "no-store", ...init, signal: controller.signal });
      const receivedAtMs = monotonicMs();
      const text = await response.text();
      let body = null;
      try {
        body = JSON.parse(text);
      } catch {
        // A proxy's own page: its status still says something, its text does not.
      }
      const header = (/** @type {string} */ name) => response.headers.get(name);
      const retryAfterMs = readRetryAfterMs(header("retry-after"), nowMs());
      return { status: response.status, body, retryAfterMs, header, sentAtMs, receivedAtMs };
    } catch {
      const header = () => null;
      return { status: 0, body: null, retryAfterMs: 0, header, sentAtMs, receivedAtMs: monotonicMs() };
    } finally {
      clearTimeout(timer);
    }
  }

  /** @type {RequestInit} */
  const withCookie = { credentials: "include" };
  /** The token, in memory only, for browsers that do not keep the cookie (blocked, or a page without TLS). */
  let spareToken = "";
  let cookieWorks = true;

  /**
   * A call in the user's name: by the cookie, and by the token only where the cookie has proved not to work.
   */
  async function callAsUser(
    /** @type {string} */ path,
    /** @type {number} */ timeoutMs,
    method = "GET",
    /** @type {string | undefined} */ body = undefined,
  ) {
    const plain = { ...withCookie, method, ...(body === undefined ? {} : { body }) };
    const byToken = { ...plain, headers: { authorization: `Bearer ${spareToken}` } };
    if (!cookieWorks) return call(base + path, timeoutMs, byToken);
    const answer = await call(base + path, timeoutMs, plain);
    if (answer.status !== 401 || spareToken === "") return answer;
    const second = await call(base + path, timeoutMs, byToken);
    cookieWorks = second.status === 401;
    return second;
  }

  return {
    /** Trades a token for the cookie. @param {string} token @returns {Promise<"in" | "refused" | "busy">} */
    async session(token) {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await call(`${base}/v1/session`, TIMEOUT_MS.session, {
        ...withCookie,
        method: "POST",
        headers,
      });
      if (answer.status >= 200 && answer.status < 300) {
        spareToken = token;
        cookieWorks = true;
        return "in";
      }
      return [400, 401, 403].includes(answer.status) ? "refused" : "busy";
    },

    /**
     * By cookie, without a header or a body: no preflight.
     * @param {number} round
     * @param {string} key
     * @param {number} n
     */
    async grab(round, key, n) {
      const query = n > 1 ? `k=${encodeURIComponent(key)}&n=${n}` : `k=${encodeURIComponent(key)}`;
      return readGrab(await callAsUser(`/v1/rounds/${round}/grab?${query}`, TIMEOUT_MS.grab, "POST"));
    },

    /** @param {number} round */
    async result(round) {
      return readWins(await callAsUser(`/v1/rounds/${round}/result`, TIMEOUT_MS.result));
    },

    async wins() {
      return readWins(await callAsUser("/v1/wins", TIMEOUT_MS.wins));
    },

    /** Shows receipts of wins that the server does not know of. @param {string[]} receipts */
    async receipts(receipts) {
      const body = JSON.stringify(receipts);
      return readReceipts(await callAsUser("/v1/receipts", TIMEOUT_MS.receipts, "POST", body));
    },

    /** The schedule lies beside the page, wherever that is. */
    schedule() {
      return call("/rounds.json", TIMEOUT_MS.schedule, { credentials: "same-origin" });
    },

    /** Opens the connection that the grab will use; what comes back does not matter. */
    async connect() {
      await call(`${base}/rounds.json`, TIMEOUT_MS.connect, { ...withCookie, redirect: "manual" });
    },
  };
}

/** @typedef {ReturnType<typeof createApi>} Api */
