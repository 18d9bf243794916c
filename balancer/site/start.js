/**
 * The start file: a script of one line, `hongbaoStart({...});`, so that it can lie on any edge cache without
 * CORS. It is asked for by a script tag with a random query string, which the edge leaves out of its cache
 * key.
 */
import { readTime } from "./schedule.js";

const TIMEOUT_MS = 4_000;
const KEY_LENGTH_MAX = 256;
const VERSION_DIGITS = 10;

/**
 * @typedef {object} Start
 * @property {number} round
 * @property {string | null} key Null until the round is open.
 * @property {number | null} opensAtMs
 * @property {number | null} closesAtMs
 * @property {number | null} serverTimeMs When the file was made: a lower bound of the server's time.
 */

/** @param {any} raw @returns {Start | null} */
export function readStart(raw) {
  if (raw === null || typeof raw !== "object" || !Number.isInteger(raw.round)) return null;
  const key =
    typeof raw.key === "string" && raw.key !== "" && raw.key.length <= KEY_LENGTH_MAX ? raw.key : null;
  return {
    round: raw.round,
    key,
    opensAtMs: readTime(raw.opensAt),
    closesAtMs: readTime(raw.closesAt),
    serverTimeMs: readTime(raw.serverTime),
  };
}

/**
 * @param {object} parts
 * @param {Document} parts.document
 * @param {any} parts.global Where `hongbaoStart` is looked for: the window.
 * @param {() => number} parts.random
 */
export function createStartFile({ document, global, random }) {
  /** @type {Map<number, (start: Start | null) => void>} */
  const asking = new Map();

  global.hongbaoStart = (/** @type {unknown} */ raw) => {
    const start = readStart(raw);
    if (start !== null) asking.get(start.round)?.(start);
  };

  return {
    /**
     * Asks once; null when there was no answer in time.
     * @param {number} round
     * @returns {Promise<Start | null>}
     */
    ask(round) {
      return new Promise((resolve) => {
        const script = document.createElement("script");
        const version = String(random()).slice(2, 2 + VERSION_DIGITS);
        const finish = (/** @type {Start | null} */ start) => {
          clearTimeout(timer);
          script.remove();
          if (asking.get(round) === finish) asking.delete(round);
          resolve(start);
        };
        const timer = setTimeout(() => finish(null), TIMEOUT_MS);
        asking.set(round, finish);
        // The callback runs before `load`; a `load` without it means that the file was not a start file.
        script.addEventListener("load", () => finish(null));
        script.addEventListener("error", () => finish(null));
        script.src = `/start/${round}.js?v=${version}`;
        document.head.append(script);
      });
    },
  };
}
