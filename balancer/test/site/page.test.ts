/** The page in a real browser, against a server that plays the API: what people do with it. */
import t from "tap";
import { DESKTOP, PHONE } from "./browser.ts";
import { KEY, openRound, openTheatre, press, reach, statesOf, textOf } from "./scene.ts";
import { envelope, tokenOf, word } from "./server.ts";

const { scene, picture } = await openTheatre(t);
// The pages mostly wait, so they may wait side by side.
t.jobs = 3;

void t.test("wait, press, win, reload, still see the win", { buffered: true }, async (t) => {
  const round = openRound({ opensAtMs: Date.now() + 9_000, key: null, count: 100000 });
  const grab = () => ({ status: 200, body: envelope(1, 1, 888) });
  const { page, wrong, server } = await scene(t, { rounds: [round], grab }, PHONE);
  await reach(page, "waiting");
  t.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
  t.equal(await page.locator("#coin").getAttribute("aria-disabled"), "true");
  await page.locator("#coin").click({ force: true });
  t.equal(server.grabs().length, 0, "a grey button asks for nothing");
  await page.waitForFunction("location.hash === ''");
  await picture(page, "phone-zh-1-waiting");
  round.key = KEY;
  await reach(page, "ready");
  await picture(page, "phone-zh-2-ready");
  await press(page);
  await reach(page, "won");
  t.equal(await textOf(page, "worth"), "¥8.88");
  t.equal(await textOf(page, "greeting"), "马到成功");
  t.match(await textOf(page, "status"), /¥8\.88/, "the live region tells the amount");
  t.equal(
    await page.evaluate("document.activeElement.id"),
    "letter",
    "the keyboard and the reader go on there",
  );
  await picture(page, "phone-zh-3-won");
  const [call, ...more] = server.grabs();
  t.same(more, [], "one press, one call");
  const paths = server.asked.map(({ path }) => path);
  t.ok(paths.filter((path) => path === "/rounds.json").length >= 2, "it has connected ahead of the opening");
  const polls = server.asked.filter(({ path }) => path === "/start/1.js");
  t.ok(
    polls.every(({ query }) => query.has("v")),
    "each start file is asked for under a name of its own",
  );
  t.equal(call?.headers.authorization, undefined);
  t.equal(call?.query.get("k"), KEY);
  await page.reload();
  await reach(page, "won");
  t.equal(await textOf(page, "worth"), "¥8.88");
  t.equal(await page.locator(".win").count(), 1);
  t.match(await page.locator(".receipt code").textContent(), /^r-1-1-/, "the receipt is kept");
  await page.locator("#mine").scrollIntoViewIfNeeded();
  await picture(page, "phone-zh-4-reloaded");
  t.same(wrong, []);
});

void t.test("everyone finds it gone: ended, and /result is asked once", { buffered: true }, async (t) => {
  const { page, wrong, server } = await scene(
    t,
    { rounds: [openRound()], grab: () => word(200, "ended") },
    PHONE,
  );
  await reach(page, "ready");
  await press(page);
  await reach(page, "ended");
  t.same((await statesOf(page)).slice(-3), ["opening", "checking", "ended"]);
  t.equal(await textOf(page, "headline"), "已抢完");
  t.equal(server.asked.filter((call) => call.path === "/v1/rounds/1/result").length, 1);
  await picture(page, "phone-zh-5-ended");
  t.same(wrong, []);
});

void t.test("desktop, English, by keyboard alone, two prizes each", { buffered: true }, async (t) => {
  const next = openRound({
    id: 2,
    opensAtMs: Date.now() + 3_600_000,
    key: null,
    title: { zh: "大奖", en: "Grand round" },
  });
  const wins: object[] = [];
  const { page, wrong } = await scene(
    t,
    {
      rounds: [openRound({ perUser: 2 }), next],
      grab: (round, n) => {
        wins.push(envelope(round, n, 1880 * n, { payout: n === 1 ? "paid" : "pending" }));
        return { status: 200, body: envelope(round, n, 1880 * n) };
      },
      wins: () => ({ status: 200, body: { wins } }),
    },
    { ...DESKTOP, locale: "en-GB" },
  );
  await reach(page, "ready");
  t.equal(await page.locator("html").getAttribute("lang"), "en");
  await picture(page, "desktop-en-2-ready");
  const read = await page.locator("body").ariaSnapshot();
  for (const heard of [
    /banner:/,
    /main:/,
    /region "Opening round"/,
    /heading "Opening round" \[level=1\]/,
    /button "Open the envelope"/,
    /status: It is open\. One press is enough\./,
    /heading "My envelopes" \[level=2\]/,
    /navigation "Programme"/,
    /button "切换到中文"/,
  ]) {
    t.match(read, heard, "what a screen reader is told");
  }
  const stops: unknown[] = [];
  for (let stop = 0; stop < 5; stop += 1) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate("document.activeElement.id"));
  }
  t.same(stops, ["language", "coin", "refresh", "round-1", "round-2"], "the order of the keyboard");
  for (let back = 0; back < 3; back += 1) await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await reach(page, "won");
  t.equal(await textOf(page, "worth"), "¥18.80");
  t.equal(await textOf(page, "action"), "Open another");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("#worth", { hasText: "¥37.60" }).waitFor();
  await page.locator("#refresh").click();
  await page.locator('.payout[data-payout="paid"]').waitFor();
  t.equal(await textOf(page, "mine-total"), "2 in all · ¥56.40");
  await picture(page, "desktop-en-3-won-twice");
  await page.locator("#language").click();
  t.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
  t.equal(await textOf(page, "mine-title"), "我的红包");
  await picture(page, "desktop-zh-4-won-twice");
  await page.locator("#round-2").click();
  await reach(page, "waiting");
  t.equal(await textOf(page, "title"), "大奖");
  t.match(await textOf(page, "clock"), /^\d\d:\d\d(:\d\d)?$/);
  t.same(wrong, []);
});

void t.test(
  "three envelopes each, the third is gone; one is held, one needs a person",
  { buffered: true },
  async (t) => {
    const told = [envelope(1, 1, 100, { payout: "held" }), envelope(1, 2, 200, { payout: "dead" })];
    const { page, wrong, server } = await scene(t, {
      rounds: [openRound({ perUser: 3 })],
      grab: (round, n) => (n < 3 ? { status: 200, body: envelope(round, n, 100 * n) } : word(200, "ended")),
      wins: () => ({ status: 200, body: { wins: told } }),
      result: (round) => ({ status: 200, body: { round, wins: told } }),
    });
    await reach(page, "ready");
    await press(page);
    await reach(page, "won");
    t.match(await textOf(page, "note"), /第 1 个，共 3 个/);
    await page.locator("#action", { hasText: "再拆一个" }).click();
    await page.locator("#worth", { hasText: "¥2.00" }).waitFor();
    await picture(page, "phone-zh-8-second");
    await page.locator("#action").click();
    await reach(page, "ended");
    t.match(await textOf(page, "status"), /您拆到的红包都在/);
    t.same(
      server.grabs().map(({ query }) => query.get("n")),
      [null, "2", "3"],
      "each press asks for the next one",
    );
    await page.locator("#refresh").click();
    await page.locator('.payout[data-payout="held"]').waitFor();
    t.match(await textOf(page, "wins"), /人工处理中.*工作人员会为您补上.*核对中/);
    await page.locator("#mine").scrollIntoViewIfNeeded();
    await picture(page, "phone-zh-9-held");
    t.same(wrong, []);
  },
);

void t.test("an item round: title, price, quantity one", { buffered: true }, async (t) => {
  const item = { sku: "PHONE-1", title: { zh: "折叠手机", en: "Folding phone" }, price: 100 };
  const prize = {
    id: "1000301",
    kind: "item",
    sku: "PHONE-1",
    title: item.title,
    price: 100,
    currency: "CNY",
  };
  const { page } = await scene(
    t,
    {
      rounds: [
        openRound({ id: 3, kind: "item", item, count: 100, title: { zh: "一元秒杀", en: "One-yuan sale" } }),
      ],
      grab: () => ({ status: 200, body: { result: "won", round: 3, n: 1, prize, receipt: "r-3-1" } }),
    },
    { ...PHONE, locale: "en-US", colorScheme: "dark" },
  );
  await reach(page, "ready");
  t.match(await textOf(page, "terms"), /Price¥1\.00Quantity1/);
  await picture(page, "phone-en-dark-1-item");
  await press(page);
  await reach(page, "won");
  t.equal(await textOf(page, "worth"), "Folding phone");
  t.equal(await textOf(page, "letter-payout"), "Being ordered");
  await picture(page, "phone-en-dark-2-item-won");
});

void t.test(
  "no invitation: a friendly word, and the link brings it to life",
  { buffered: true },
  async (t) => {
    const small = { ...PHONE, viewport: { width: 320, height: 568 } };
    const { page, wrong } = await scene(t, { rounds: [openRound()] }, { ...small, hash: "" });
    await reach(page, "signin");
    t.match(await textOf(page, "status"), /邀请里的链接/);
    await picture(page, "small-zh-1-signin");
    await page.evaluate(`location.hash = "t=${tokenOf("u-1")}"`);
    await reach(page, "ready");
    await page.waitForFunction("location.hash === ''");
    t.same(wrong, []);
  },
);

void t.test("not for this user; and less motion where that is wanted", { buffered: true }, async (t) => {
  const { page } = await scene(
    t,
    { rounds: [openRound()], grab: () => word(403, "not_eligible") },
    { ...PHONE, reducedMotion: "reduce" },
  );
  await reach(page, "ready");
  const motion = "getComputedStyle(document.getElementById('coin'), '::after').animationName";
  t.equal(await page.evaluate(motion), "none");
  await press(page);
  await reach(page, "barred");
});
