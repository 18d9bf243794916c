import t from "tap";
import * as i18n from "../../site/i18n.js";
import { createPlay } from "../../site/machine.js";
import { present } from "../../site/present.js";
import { createStore, readToken } from "../../site/store.js";
import { tokenOf } from "./server.ts";

type Shown = Parameters<typeof present>[0];
type Schedule = NonNullable<Shown["schedule"]>;
type Round = Schedule["rounds"][number];

const NOW_MS = Date.parse("2027-02-05T12:00:00Z");
const ROUND: Round = {
  id: 1,
  kind: "envelope",
  title: { zh: "开门红", en: "Opening" },
  opensAtMs: NOW_MS + 65_000,
  closesAtMs: NOW_MS + 600_000,
  state: "scheduled",
  count: 100000,
  perUser: 1,
  spreadMs: 0,
  item: null,
};
const WIN = {
  round: 1,
  n: 1,
  prize: { id: "1", kind: "envelope", amount: 1234567, currency: "CNY", greeting: "福" },
};

/** The model of a page that shows one round in one state. */
function model(
  state: string,
  changes: { round?: Partial<Round>; play?: object; shown?: Partial<Shown> } = {},
) {
  const round = { ...ROUND, ...changes.round };
  const play = { ...createPlay(round, []), state, ...changes.play } as NonNullable<Shown["play"]>;
  const schedule: Schedule = { event: "e", title: { zh: "新春" }, currency: "CNY", rounds: [round] };
  const calm = { signedOut: null, offline: false, slow: false, refreshing: false };
  const shown = { language: "en" as const, schedule, play, ...calm, wins: [], nowMs: NOW_MS };
  return present({ ...shown, playOf: () => play, ...changes.shown });
}

void t.test("both languages have the same words, with the same places to fill", async (t) => {
  const shape = (words: object): unknown =>
    Object.entries(words).map(([name, value]: [string, string | object]) => [
      name,
      typeof value === "string" ? (value.match(/\{\w+\}/g) ?? []).sort() : shape(value),
    ]);
  t.same(shape(i18n.WORDS.zh), shape(i18n.WORDS.en));
});

void t.test("the language: chosen before, else the browser's first that the page has", async (t) => {
  t.equal(i18n.pickLanguage("en", ["zh-CN"]), "en");
  t.equal(i18n.pickLanguage(null, ["fr-FR", "zh-Hant-TW", "en"]), "zh");
  t.equal(i18n.pickLanguage("xx", ["en-GB"]), "en");
  t.equal(i18n.pickLanguage(null, ["de"]), "en");
});

void t.test("money, times, spans and titles", async (t) => {
  t.equal(i18n.formatMoney(1, "CNY", "zh"), "¥0.01");
  t.equal(i18n.formatMoney(123456789, "CNY", "en"), "¥1,234,567.89");
  t.equal(i18n.formatMoney(500, "points", "en"), "5.00 points", "not an ISO code");
  t.equal(i18n.formatMoment(NOW_MS, NOW_MS, "zh", "Asia/Shanghai"), "20:00");
  t.match(i18n.formatMoment(NOW_MS + 86_400_000, NOW_MS, "en", "Asia/Shanghai"), /Feb 6.*20:00/);
  t.same([0, 1, 999, 61_000, 3_600_000].map(i18n.formatSpan), [
    "00:00",
    "00:01",
    "00:01",
    "01:01",
    "01:00:00",
  ]);
  t.equal(i18n.formatCountdown(90_000_000, "en"), "1 d 01:00:00");
  t.equal(i18n.titleIn({ zh: "手机" }, "en"), "手机", "better another language than nothing");
  t.same(
    [null, 5, {}].map((title) => i18n.titleIn(title, "en")),
    ["", "", ""],
  );
  t.equal(i18n.fill("{a} and {b}", { a: 1 }), "1 and {b}");
});

void t.test("the button is lit in one state only", async (t) => {
  const states = [
    "waiting",
    "arming",
    "ready",
    "opening",
    "retrying",
    "checking",
    "ended",
    "unclear",
    "barred",
    "signin",
  ];
  t.same(
    states.filter((state) => model(state).coin.mood === "lit"),
    ["ready"],
  );
  for (const state of states) t.ok(model(state).status.length > 5, `${state} says what goes on`);
});

void t.test("waiting: the countdown; by hand; late; signed out", async (t) => {
  t.match(model("waiting"), {
    clock: { label: "Opens in", time: "01:05" },
    title: "Opening",
    pageTitle: /^01:05 · /,
  });
  t.match(model("waiting", { round: { opensAtMs: null } }).clock, {
    label: "Waiting for the host",
    time: "",
  });
  t.match(model("waiting", { round: { opensAtMs: NOW_MS - 1 } }).clock, {
    label: "Any moment now",
    time: "",
  });
  for (const [why, text] of [
    ["new", /from the link in your invitation/],
    ["expired", /too long ago.*link in your invitation again/],
    ["refused", /no longer valid.*new one/],
  ] as const) {
    t.match(model("waiting", { shown: { signedOut: why } }).status, text);
  }
});

void t.test("a win: amount, greeting, note, list, total", async (t) => {
  const won = model("won", { play: { wins: [WIN] }, shown: { wins: [{ ...WIN, payout: "paid" }] } });
  t.match(won.letter, { worth: "¥12,345.67", greeting: "福", item: false });
  t.match(won.status, /¥12,345\.67/);
  t.match(won.letter, { payout: "paid", payoutText: "Received" });
  t.match(
    model("won", { play: { wins: [WIN] } }).letter,
    { payoutText: "On its way" },
    "nothing is told yet",
  );
  t.match(won.wins, { total: "1 in all · ¥12,345.67", rows: [{ payout: "paid", payoutText: "Received" }] });
  const odd = model("won", { play: { wins: [WIN] }, shown: { wins: [{ ...WIN, payout: "lunch" }] } });
  t.equal(odd.wins.rows[0]?.payoutText, "", "an unknown payout state is not shown");
});

void t.test("an item: product, price, quantity one", async (t) => {
  const item = { title: { zh: "手机", en: "Phone" }, priceMinor: 100 };
  const shown = model("ready", { round: { kind: "item", item, count: 100, title: null } });
  t.match(shown, {
    title: "Phone",
    offer: { text: "100 pieces", terms: [{ value: "¥1.00" }, { value: /^1/ }] },
  });
  t.equal(model("ready", { round: { kind: "item", item, count: null } }).offer.text, "Phone");
  const win = { round: 1, n: 1, prize: { id: "9", kind: "item", sku: "P", title: item.title, price: 100 } };
  const won = model("won", { round: { kind: "item", item }, play: { wins: [win] }, shown: { wins: [win] } });
  t.match(won, { letter: { worth: "Phone", item: true }, wins: { total: "1 in all" } });
});

void t.test("a payout that needs a person says so", async (t) => {
  for (const [payout, note] of [
    ["pending", /^$/],
    ["paid", /^$/],
    ["dead", /not lost/],
    ["held", /being checked/],
  ] as const) {
    const { rows } = model("won", { play: { wins: [WIN] }, shown: { wins: [{ ...WIN, payout }] } }).wins;
    t.match(rows[0]?.payoutNote, note, payout);
  }
});

void t.test("without network, and with a schedule that does not come", async (t) => {
  for (const state of ["waiting", "retrying", "unclear"])
    t.match(model(state, { shown: { offline: true } }).status, /offline/);
  t.match(model("ended", { play: { pressed: true }, shown: { offline: true } }).status, /all .* gone/i);
  const nothing = { schedule: null, play: null, playOf: () => null };
  t.match(model("waiting", { shown: { ...nothing, offline: true } }).status, /offline/);
  t.match(model("waiting", { shown: { ...nothing, slow: true } }).status, /Connecting for you/);
});

void t.test(
  "the next round is counted down to; after the last one it is said that all is over",
  async (t) => {
    const next = { ...ROUND, id: 2, opensAtMs: NOW_MS + 300_000 };
    const over = { ...ROUND, opensAtMs: NOW_MS - 700_000, closesAtMs: NOW_MS - 100_000 };
    const schedule = (rounds: Round[]): Schedule => ({ event: "e", title: null, currency: "CNY", rounds });
    const play = { ...createPlay(over, []), state: "ended" } as NonNullable<Shown["play"]>;
    const both = model("ended", { shown: { play, schedule: schedule([over, next]) } });
    t.match(both.action, { act: "show", round: 2, label: /^Next round: /, note: "Opens in 05:00" });
    t.match(both.status, "This round is over.");
    t.match(model("ended", { shown: { play, schedule: schedule([over]) } }), {
      action: null,
      status: /All rounds are over/,
    });
  },
);

void t.test("the ring around the coin fills in the last minute", async (t) => {
  const ring = (untilMs: number | null) =>
    model("waiting", { round: { opensAtMs: untilMs === null ? null : NOW_MS + untilMs } }).coin.ring;
  t.same([null, 600_000, 60_000, 30_000, 0, -5_000].map(ring), [0, 0, 0, 0.5, 1, 1]);
});

void t.test("the second button", async (t) => {
  t.equal(model("ready").action, null);
  t.match(model("unclear").action, { act: "again", label: "Ask again" });
  t.match(model("won", { round: { perUser: 2 }, play: { wins: [WIN] } }).action, { act: "another" });
  t.equal(model("won", { play: { wins: [WIN] }, round: { opensAtMs: NOW_MS - 1 } }).action, null);
});

void t.test("before the schedule is there, and when it is empty", async (t) => {
  const nothing = { play: null, wins: [], playOf: () => null };
  t.match(model("waiting", { shown: { ...nothing, schedule: null } }), { state: "loading", status: /ready/ });
  const empty: Schedule = { event: "e", title: null, currency: "CNY", rounds: [] };
  t.match(model("waiting", { shown: { ...nothing, schedule: empty } }).status, /Nothing is planned/);
});

void t.test("a token tells whose it is; nonsense tells nothing", async (t) => {
  t.same(readToken(tokenOf("u-1", NOW_MS)), { user: "u-1", expiresAtMs: NOW_MS });
  for (const wrong of ["", "a.b.c", "a", `x.${btoa("{}")}.y`]) t.equal(readToken(wrong), null);
});

void t.test("the store keeps receipts by user and event, and brings known wins up to date", async (t) => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
  };
  const store = createStore(storage);
  store.keepSession({ user: "u-1", expiresAtMs: null });
  store.keepWins("e", [{ ...WIN, receipt: "r" }]);
  store.keepWins("e", [{ ...WIN, payout: "paid" }]);
  t.match(createStore(storage).wins("e"), [{ receipt: "r", payout: "paid", prize: { amount: 1234567 } }]);
  t.same(store.wins("other"), []);
  store.keepSession({ user: "u-2", expiresAtMs: null });
  t.same(store.wins("e"), [], "another user sees nothing of it");
  kept.set("hongbao:wins:u-2", "{nonsense");
  t.same(store.wins("e"), []);
});

void t.test("without storage the page keeps things as long as it lives", async (t) => {
  const full = {
    getItem: () => null,
    setItem: () => {
      throw new Error("full");
    },
  };
  for (const storage of [null, full]) {
    const store = createStore(storage);
    store.keepSession({ user: "u-1", expiresAtMs: null });
    store.keepWins("e", [WIN]);
    t.equal(store.wins("e").length, 1);
    store.keepLanguage("en");
    t.equal(store.language(), "en");
  }
});
