/** Writes a model (present.js) into the page, touching only what has changed. It decides nothing. */
import { HTML_LANG } from "./i18n.js";

const SPARKS = 32;
const SPARKS_MS = 3600;
/** A short hum of the phone, where it can. */
const HUM_MS = [40, 60, 90];
/** Amounts with more signs than this are written smaller. */
const LONG_WORTH = 9;
/** The signs before the first digit, the whole amount, its fraction: "¥", "8", ".88". */
const AMOUNT = /^(\D*)([\d,]+)(\.\d+)?(.*)$/;
/**
 * The states from which a win is news: then the envelope opens before the eyes; after a reload it just is
 * open.
 */
const NEWS_AFTER = new Set(["opening", "retrying", "checking"]);

/**
 * @param {Document} document
 * @param {object} on What the user can do.
 * @param {() => void} on.press
 * @param {() => void} on.language
 * @param {() => void} on.refresh
 * @param {(act: string, round: number) => void} on.action
 * @param {(round: number) => void} on.choose
 */
export function createView(document, on) {
  const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  /** @type {{ act: string, round: number } | null} */
  let action = null;
  let stateBefore = "";
  let letterBefore = "";
  /** @type {Map<string, string>} */
  const written = new Map();

  element("coin").addEventListener("click", () => {
    if (element("coin").dataset.mood === "grey") shake();
    on.press();
  });
  element("language").addEventListener("click", () => on.language());
  element("refresh").addEventListener("click", () => on.refresh());
  element("action").addEventListener("click", () => {
    if (action !== null) on.action(action.act, action.round);
  });

  /** @param {string} id @param {string} value An empty text hides the element. */
  function write(id, value) {
    if (written.get(id) === value) return;
    written.set(id, value);
    element(id).textContent = value;
    element(id).hidden = value === "";
  }

  /** A text in parts that the style sheet treats apart; read aloud and copied it is one. */
  function writeParts(/** @type {string} */ id, /** @type {{ name: string, text: string }[]} */ parts) {
    const value = parts.map(({ text }) => text).join("");
    if (written.get(id) === value) return;
    written.set(id, value);
    element(id).replaceChildren(...parts.map(({ name, text }) => make("span", name, text)));
    element(id).hidden = value === "";
  }

  /** @param {string} time Digits in groups, and what stands between them. */
  function clockParts(time) {
    return (time.match(/\d+|\D+/g) ?? []).map((text) => ({
      name: /\d/.test(text) ? "digits" : "between",
      text,
    }));
  }

  /** @param {string} worth */
  function worthParts(worth) {
    const [, before = "", whole = worth, fraction = "", after = ""] = AMOUNT.exec(worth) ?? [];
    const parts = [
      { name: "sign", text: before },
      { name: "whole", text: whole },
      { name: "fraction", text: fraction },
      { name: "sign", text: after },
    ];
    return parts.filter(({ text }) => text !== "");
  }

  /** Who presses too early sees that the press was felt. */
  function shake() {
    const coin = element("coin");
    coin.classList.remove("early");
    // Reading a size lets the animation begin anew.
    void coin.offsetWidth;
    coin.classList.add("early");
  }

  /** @param {HTMLElement} target @param {string} name @param {string} value */
  function mark(target, name, value) {
    if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  }

  /**
   * Runs `build` when what it shows has changed.
   * @param {string} id
   * @param {unknown} data
   * @param {() => void} build
   */
  function rebuild(id, data, build) {
    const signature = JSON.stringify(data);
    if (written.get(id) === signature) return;
    written.set(id, signature);
    const place = element(id);
    const focused = place.contains(document.activeElement) ? document.activeElement?.id : undefined;
    place.textContent = "";
    build();
    // Who stood on a row with the keyboard goes on standing there.
    if (focused !== undefined && focused !== "") document.getElementById(focused)?.focus();
  }

  /** @param {string} tag @param {string} name @param {string} text */
  function make(tag, name, text) {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  }

  /** @param {import("./present.js").Model["wins"]["rows"][number]} row @param {string} receiptWord */
  function winRow(row, receiptWord) {
    const item = make("li", row.item ? "win of-item" : "win", "");
    const text = make("div", "win-text", "");
    text.append(make("p", "win-title", row.title));
    if (row.greeting !== "") text.append(make("p", "win-greeting", row.greeting));
    const side = make("div", "win-side", "");
    side.append(make("p", row.item ? "win-item" : "win-worth", row.worth));
    if (row.payoutText !== "") {
      const payout = make("p", "payout", row.payoutText);
      payout.dataset.payout = row.payout;
      side.append(payout);
    }
    item.append(text, side);
    if (row.payoutNote !== "") item.append(make("p", "win-note", row.payoutNote));
    if (row.receipt !== "") {
      const details = make("details", "receipt", "");
      details.append(make("summary", "", receiptWord), make("code", "", row.receipt));
      item.append(details);
    }
    return item;
  }

  /** @param {import("./present.js").Model["programme"][number]} row */
  function roundRow(row) {
    const item = make("li", "", "");
    const button = make("button", "round", "");
    button.setAttribute("type", "button");
    button.id = `round-${row.id}`;
    if (row.current) button.setAttribute("aria-current", "true");
    const state = make("span", "round-state", row.stateText);
    state.dataset.state = row.state;
    button.append(make("span", "round-title", row.title), make("span", "round-time", row.time), state);
    button.addEventListener("click", () => on.choose(row.id));
    item.append(button);
    return item;
  }

  /** Gold flecks that fall once; the style sheet leaves them out where less motion is wanted. */
  function sparkle() {
    const sparks = make("div", "sparks", "");
    sparks.setAttribute("aria-hidden", "true");
    for (let index = 0; index < SPARKS; index += 1) {
      const spark = make("i", "", "");
      spark.style.setProperty("--x", `${Math.round(Math.random() * 100)}%`);
      spark.style.setProperty("--wait", `${Math.round(Math.random() * 900)}ms`);
      spark.style.setProperty("--drift", `${Math.round(Math.random() * 80 - 40)}px`);
      spark.style.setProperty("--turn", `${Math.round(Math.random() * 720 - 360)}deg`);
      sparks.append(spark);
    }
    element("envelope").append(sparks);
    setTimeout(() => sparks.remove(), SPARKS_MS);
    navigator.vibrate?.(HUM_MS);
  }

  /** @param {import("./present.js").Model} model */
  function writeLetter(model) {
    const { letter } = model;
    element("letter").hidden = letter === null;
    if (letter === null) {
      letterBefore = "";
      element("envelope").classList.remove("news");
      return;
    }
    write("letter-title", letter.title);
    writeParts("worth", letter.item ? [{ name: "whole", text: letter.worth }] : worthParts(letter.worth));
    write("greeting", letter.greeting);
    write("note", letter.note);
    write("letter-payout", letter.payoutText);
    element("letter-payout").dataset.payout = letter.payout;
    element("worth").classList.toggle("item", letter.item);
    element("worth").classList.toggle("long", letter.worth.length > LONG_WORTH);
    if (letter.id === letterBefore) return;
    letterBefore = letter.id;
    const news = NEWS_AFTER.has(stateBefore);
    element("envelope").classList.toggle("news", news);
    if (!news) return;
    sparkle();
    // The button that had the focus is gone; what it brought is read out and is where the keyboard goes on.
    element("letter").focus({ preventScroll: true });
  }

  /** @param {import("./present.js").Model} model */
  function writeTerms({ offer }) {
    rebuild("terms", offer.terms, () => {
      for (const { name, value } of offer.terms) {
        const term = make("div", "", "");
        term.append(make("dt", "", name), make("dd", "", value));
        element("terms").append(term);
      }
      element("terms").hidden = offer.terms.length === 0;
    });
  }

  /** @param {import("./present.js").Model} model @param {import("./i18n.js").Language} language */
  function writeWords({ words }, language) {
    if (written.get("words") === language) return;
    written.set("words", language);
    document.documentElement.lang = HTML_LANG[language];
    write("language", words.switchLanguage);
    element("language").setAttribute("aria-label", words.switchLanguageLabel);
    element("language").lang = language === "zh" ? HTML_LANG.en : HTML_LANG.zh;
    write("mine-title", words.mine);
    write("programme-title", words.programme);
  }

  return {
    /** @param {import("./present.js").Model} model @param {import("./i18n.js").Language} language */
    render(model, language) {
      writeWords(model, language);
      mark(document.body, "data-state", model.state);
      mark(document.body, "data-kind", model.kind);
      if (document.title !== model.pageTitle) document.title = model.pageTitle;
      write("event", model.event);
      write("eyebrow", model.eyebrow);
      write("title", model.title);
      write("offer", model.offer.text);
      write("clock-label", model.clock.label);
      writeParts("clock", clockParts(model.clock.time));
      write("headline", model.headline);
      writeTerms(model);
      write("coin-label", model.coin.label);
      mark(element("coin"), "data-mood", model.coin.mood);
      element("coin").style.setProperty("--ring", String(model.coin.ring));
      mark(element("coin"), "aria-disabled", String(model.coin.mood !== "lit"));
      const focused = document.activeElement === element("coin");
      element("coin").hidden = model.coin.mood === "gone";
      writeLetter(model);
      // The keyboard must not be left on a button that is gone.
      if (focused && model.coin.mood === "gone" && model.letter === null) element("title").focus();
      write("status", model.status);
      action = model.action;
      write("action", model.action?.label ?? "");
      write("action-note", model.action?.note ?? "");
      write("refresh", model.refresh.label);
      mark(element("refresh"), "aria-disabled", String(model.refresh.busy));
      element("mine").hidden = model.state === "loading" && model.wins.rows.length === 0;
      write("mine-total", model.wins.total);
      write("mine-empty", model.wins.rows.length === 0 ? model.words.mineEmpty : "");
      rebuild("wins", [language, model.wins.rows], () => {
        for (const row of model.wins.rows) element("wins").append(winRow(row, model.words.receipt));
      });
      element("programme").hidden = model.programme.length < 2;
      rebuild("rounds", model.programme, () => {
        for (const row of model.programme) element("rounds").append(roundRow(row));
      });
      stateBefore = model.state;
    },
  };
}
