/**
 * Brings back wins that a server has lost: the phone holds a receipt of each, and shows those that the server does
 * not name any more. Quietly: to its owner the win was never gone.
 */
import { retryDelayMs, RESULT_RETRY } from "./machine.js";

/** After a loss everybody holds receipts: they come spread over this time. */
const AFTER_MS = { min: 1_000, max: 20_000 };
const RECEIPTS_MAX = 100;

/**
 * @param {object} parts
 * @param {import("./store.js").Store} parts.store
 * @param {import("./api.js").Api} parts.api
 * @param {() => number} parts.random
 * @param {() => void} parts.onRestored The server knows them again: its list of wins is the truth.
 */
export function createReceipts({ store, api, random, onRestored }) {
  /** Those that were shown, or are about to be: each is shown once. @type {Set<string>} */
  const shown = new Set();

  /** @param {string[]} receipts @param {number} attempt */
  async function show(receipts, attempt) {
    const { taken, retryAfterMs } = await api.receipts(receipts);
    if (taken !== null) {
      if (taken.some(({ result }) => result === "restored")) onRestored();
      return;
    }
    if (attempt >= RESULT_RETRY.attemptsMax) return;
    const afterMs = retryDelayMs(RESULT_RETRY, attempt, retryAfterMs, random());
    setTimeout(() => void show(receipts, attempt + 1), afterMs);
  }

  return {
    /**
     * @param {string} event
     * @param {import("./machine.js").Win[]} told All wins that the server knows of.
     * @param {number | null} round Null: of all rounds.
     */
    bringBack(event, told, round) {
      const receipts = store
        .unknownReceipts(event, told, round)
        .filter((receipt) => !shown.has(receipt))
        .slice(0, RECEIPTS_MAX);
      if (receipts.length === 0) return;
      for (const receipt of receipts) shown.add(receipt);
      setTimeout(() => void show(receipts, 0), AFTER_MS.min + random() * (AFTER_MS.max - AFTER_MS.min));
    },
  };
}
