/**
 * What the page keeps on the phone: the language, who is signed in, and every win with its receipt. Storage
 * may be full, blocked or hold nonsense; then the page works without it.
 */
import { readWin } from "./api.js";

const PREFIX = "hongbao:";
const WINS_MAX = 400;

/**
 * Reads the claims of a token, without checking it: only the server can, this is to know whose wins to show.
 * @param {string} token @returns {{ user: string, expiresAtMs: number | null } | null}
 */
export function readToken(token) {
  try {
    const part = token.split(".")[1] ?? "";
    const claims = JSON.parse(atob(part.replace(/-/g, "+").replace(/_/g, "/")));
    if (typeof claims.sub !== "string") return null;
    return { user: claims.sub, expiresAtMs: typeof claims.exp === "number" ? claims.exp * 1000 : null };
  } catch {
    return null;
  }
}

/** @param {Pick<Storage, "getItem" | "setItem"> | null} storage */
export function createStore(storage) {
  /** What could not be written; it lasts as long as the page. @type {Map<string, unknown>} */
  const memory = new Map();

  /** @param {string} name @returns {any} */
  function read(name) {
    if (memory.has(name)) return memory.get(name);
    try {
      return JSON.parse(storage?.getItem(PREFIX + name) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} name @param {unknown} value */
  function write(name, value) {
    try {
      if (storage === null) throw new Error("no storage");
      storage.setItem(PREFIX + name, JSON.stringify(value));
      memory.delete(name);
    } catch {
      // Full or blocked: the server knows the wins as well.
      memory.set(name, value);
    }
  }

  const winsName = () => `wins:${read("session")?.user ?? ""}`;

  /** @returns {{ event: string, win: any }[]} */
  function readKept() {
    const kept = read(winsName());
    return Array.isArray(kept) ? kept.filter((one) => one !== null && typeof one === "object") : [];
  }

  return {
    /** @returns {string | null} */
    language() {
      const language = read("language");
      return typeof language === "string" ? language : null;
    },

    /** @param {string} language */
    keepLanguage(language) {
      write("language", language);
    },

    /** @returns {{ user: string, expiresAtMs: number | null } | null} */
    session() {
      const session = read("session");
      return session !== null && typeof session.user === "string" ? session : null;
    },

    /** @param {{ user: string, expiresAtMs: number | null }} session */
    keepSession(session) {
      write("session", session);
    },

    /**
     * The wins of who is signed in, in one event.
     * @param {string} event
     * @returns {import("./machine.js").Win[]}
     */
    wins(event) {
      const wins = readKept()
        .filter((one) => one.event === event)
        .map((one) => readWin(one.win));
      return /** @type {import("./machine.js").Win[]} */ (wins.filter(Boolean));
    },

    /**
     * Receipts of wins that are kept here and that the server did not name: it may have lost them.
     * @param {string} event
     * @param {import("./machine.js").Win[]} told All wins of these rounds, as the server knows them.
     * @param {number | null} round Null: of all rounds.
     * @returns {string[]}
     */
    unknownReceipts(event, told, round) {
      const known = new Set(told.map((win) => `${win.round} ${win.n}`));
      return this.wins(event).flatMap((win) => {
        const asked = round === null || win.round === round;
        return asked && win.receipt !== undefined && !known.has(`${win.round} ${win.n}`) ? [win.receipt] : [];
      });
    },

    /**
     * Adds wins and brings known ones up to date.
     * @param {string} event
     * @param {import("./machine.js").Win[]} wins
     */
    keepWins(event, wins) {
      const kept = readKept();
      for (const win of wins) {
        const same = kept.findIndex(
          (one) => one.event === event && one.win?.round === win.round && one.win.n === win.n,
        );
        const before = kept[same]?.win ?? {};
        if (same !== -1) kept.splice(same, 1);
        kept.push({ event, win: { ...before, ...win } });
      }
      write(winsName(), kept.slice(-WINS_MAX));
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
