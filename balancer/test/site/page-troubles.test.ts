/** The page in a real browser when things go wrong: whatever fails shows busy or ended, never an error. */
import t from "tap";
import { DESKTOP } from "./browser.ts";
import { KEY, openRound, openTheatre, press, reach, textOf } from "./scene.ts";
import { envelope, tokenOf, word } from "./server.ts";

const { scene, picture } = await openTheatre(t);
// The pages mostly wait, so they may wait side by side.
t.jobs = 3;

void t.test("an answer that was lost does not hide a win", { buffered: true }, async (t) => {
  const { page } = await scene(t, {
    rounds: [openRound()],
    grab: (_round, _n, nth) => (nth === 1 ? "cut" : word(200, "ended")),
    result: (round) => ({ status: 200, body: { round, wins: [envelope(1, 1, 1234)] } }),
  });
  await reach(page, "ready");
  await press(page);
  await reach(page, "won");
  t.equal(await textOf(page, "worth"), "¥12.34");
});

void t.test(
  "busy, a broken proxy and limited: tried again until it is won",
  { buffered: true },
  async (t) => {
    let crowded = true;
    const answers = [
      {
        status: 502,
        body: "<html><body>Bad Gateway</body></html>",
        headers: { "content-type": "text/html" },
      },
      { status: 500, body: "Error: at grab.ts:1" },
      word(429, "limited", { "retry-after": "0" }),
      { status: 200, body: envelope(1, 1, 66) },
    ];
    const { page, server } = await scene(t, {
      rounds: [openRound()],
      grab: () => (crowded ? word(503, "busy", { "retry-after": "1" }) : answers.shift()!),
    });
    await reach(page, "ready");
    await press(page);
    await reach(page, "retrying");
    await picture(page, "phone-zh-6-busy");
    t.match(await textOf(page, "status"), /再试/);
    crowded = false;
    await reach(page, "won");
    t.ok(server.grabs().length >= 5);
    t.notMatch(await page.locator("body").innerText(), /Error|Gateway|500|502/);
  },
);

void t.test(
  "the cluster stops: an end that can be asked again, never an error",
  { buffered: true },
  async (t) => {
    const { page, wrong, server } = await scene(
      t,
      { rounds: [openRound()] },
      { ...DESKTOP, locale: "en-GB" },
    );
    await reach(page, "ready");
    await server.stop();
    await press(page);
    await reach(page, "unclear");
    t.equal(await textOf(page, "headline"), "Very busy");
    t.equal(await textOf(page, "action"), "Ask again");
    t.match(await textOf(page, "status"), /very crowded/);
    await picture(page, "desktop-en-1-stopped");
    await page.locator("#action").click();
    await reach(page, "retrying");
    t.same(wrong, []);
  },
);

void t.test("a call that hangs is given up and asked again", { buffered: true }, async (t) => {
  const { page, server } = await scene(
    t,
    {
      rounds: [openRound()],
      grab: (_round, _n, nth) => (nth === 1 ? "hang" : { status: 200, body: envelope(1, 1, 500) }),
    },
    { fakeTimers: true },
  );
  await page.clock.runFor(1_000);
  await reach(page, "ready");
  await press(page);
  await page.clock.runFor(9_000);
  await reach(page, "won");
  t.equal(server.grabs().length, 2);
});

for (const hours of [-7, 7]) {
  void t.test(
    `a phone whose clock is ${hours} h off shows and opens by the server's`,
    { buffered: true },
    async (t) => {
      const round = openRound({ opensAtMs: Date.now() + 50 * 60_000, key: null });
      const { page } = await scene(t, { rounds: [round] }, { clockOffByMs: hours * 3_600_000 });
      await reach(page, "waiting");
      t.match(await textOf(page, "clock"), /^(50|49):\d\d$/);
      round.key = KEY;
      await page.evaluate("dispatchEvent(new Event('online'))");
      await reach(page, "ready");
    },
  );
}

void t.test("a clock that is set while the page waits changes nothing", { buffered: true }, async (t) => {
  const round = openRound({ opensAtMs: Date.now() + 50 * 60_000, key: null });
  const { page, server } = await scene(t, { rounds: [round] });
  await reach(page, "waiting");
  const asked = server.asked.length;
  await page.evaluate("clockOffByMs = 49 * 60_000");
  while (server.asked.length === asked) await page.waitForTimeout(50);
  await page.waitForTimeout(300);
  t.match(await textOf(page, "clock"), /^(50|49):\d\d$/, "the next answer said what time it is");
});

void t.test("a laptop that slept until the opening wakes up in time", { buffered: true }, async (t) => {
  const opensAtMs = Date.now() + 50 * 60_000;
  const round = openRound({ opensAtMs, closesAtMs: opensAtMs + 600_000, key: null });
  const { page, server } = await scene(t, { rounds: [round] });
  await reach(page, "waiting");
  // While it slept the monotonic clock of its browser stood still.
  server.world.aheadMs = 49 * 60_000;
  await page.evaluate("clockOffByMs = 49 * 60_000");
  await page.locator("#clock", { hasText: /^(01:00|00:\d\d)$/ }).waitFor();
  round.key = KEY;
  await reach(page, "ready");
});

void t.test(
  "the network goes away under a press, and comes back: it goes on by itself",
  { buffered: true },
  async (t) => {
    const grab = () => ({ status: 200, body: envelope(1, 1, 520) });
    const { page, wrong, server } = await scene(t, { rounds: [openRound()], grab });
    await reach(page, "ready");
    await page.context().setOffline(true);
    await press(page);
    await page.locator("#status", { hasText: "网络断开了" }).waitFor();
    await picture(page, "phone-zh-7-offline");
    await page.context().setOffline(false);
    await reach(page, "won");
    t.equal(server.grabs().length, 1);
    t.same(wrong, []);
  },
);

void t.test(
  "a slow network: one press is one call, however often is tapped",
  { buffered: true },
  async (t) => {
    const grab = () => ({ status: 200, body: envelope(1, 1, 66) });
    const { page, server } = await scene(t, { rounds: [openRound()], grab, delayMs: 700 });
    await reach(page, "ready");
    await press(page);
    await reach(page, "opening");
    await page.evaluate("for (let tap = 0; tap < 3; tap += 1) document.getElementById('coin').click()");
    await reach(page, "won");
    t.equal(server.grabs().length, 1);
  },
);

void t.test("a link that is refused, and a cookie whose time is over", { buffered: true }, async (t) => {
  let refused = true;
  const world = {
    rounds: [openRound()],
    session: () => (refused ? word(401, "unauthorized") : word(204, "")),
  };
  const { page, wrong } = await scene(t, world);
  await page.locator("#status", { hasText: "这个链接已经失效" }).waitFor();
  await page.waitForFunction("location.hash === ''");
  refused = false;
  await page.evaluate(`location.hash = "t=${tokenOf("u-1")}"`);
  await reach(page, "ready");
  await page.context().clearCookies();
  // A page that was loaded anew has no token in its memory either.
  await page.reload();
  await page.locator("#status", { hasText: "登录已经过期" }).waitFor();
  t.same(wrong, []);
});

void t.test("a browser that does not keep the cookie still plays", { buffered: true }, async (t) => {
  const { page, server } = await scene(t, {
    rounds: [openRound()],
    cookies: false,
    grab: () => ({ status: 200, body: envelope(1, 1, 5) }),
  });
  await reach(page, "ready");
  await press(page);
  await reach(page, "won");
  t.match(server.grabs().pop()?.headers.authorization, /^Bearer /);
});

void t.test("schedule and start file are broken at first", { buffered: true }, async (t) => {
  const { page, wrong, server } = await scene(t, { rounds: [openRound()], broken: true }, { hash: "" });
  await page.goto(`${server.url}#t=${tokenOf("u-1")}`);
  t.equal(await page.locator("body").getAttribute("data-state"), "loading");
  t.match(await textOf(page, "status"), /正在准备/);
  server.world.broken = false;
  await reach(page, "ready");
  t.same(wrong, []);
});

void t.test(
  "a round that is opened by hand, in a browser that keeps nothing",
  { buffered: true },
  async (t) => {
    const round = openRound({ opensAtMs: null, key: null });
    const won = { status: 200, body: envelope(1, 1, 77) };
    const { page, wrong } = await scene(t, { rounds: [round], grab: () => won }, { noStorage: true });
    await reach(page, "waiting");
    t.equal(await textOf(page, "clock-label"), "等待主持人开启");
    round.key = KEY;
    await reach(page, "ready");
    await press(page);
    await reach(page, "won");
    t.equal(await page.locator(".win").count(), 1);
    t.same(wrong, []);
  },
);

void t.test("not open after all: it waits for the start file again", { buffered: true }, async (t) => {
  const round = openRound();
  const { page, server } = await scene(t, { rounds: [round] });
  await reach(page, "ready");
  round.key = null;
  await press(page);
  await reach(page, "waiting");
  t.equal(await page.locator("#coin").getAttribute("aria-disabled"), "true");
  round.key = "k-second";
  await press(page);
  await reach(page, "ended");
  t.equal(server.grabs().pop()?.query.get("k"), "k-second");
});

void t.test(
  "another person's link in the same tab shows nothing of the first",
  { buffered: true },
  async (t) => {
    const grab = () => ({ status: 200, body: envelope(1, 1, 888) });
    const { page } = await scene(t, { rounds: [openRound()], grab });
    await reach(page, "ready");
    await press(page);
    await reach(page, "won");
    await page.evaluate(`location.hash = "t=${tokenOf("u-2")}"`);
    await reach(page, "ready");
    t.equal(await page.locator(".win").count(), 0);
    await page.evaluate(`location.hash = "t=${tokenOf("u-1")}"`);
    await reach(page, "won");
  },
);

void t.test(
  "a win that the server has lost: the page shows its receipt, once and quietly",
  { buffered: true },
  async (t) => {
    const { page, server, wrong } = await scene(
      t,
      {
        rounds: [openRound()],
        grab: () => ({ status: 200, body: envelope(1, 1, 1234) }),
      },
      { fakeTimers: true },
    );
    await page.clock.runFor(1_000);
    await reach(page, "ready");
    await press(page);
    await reach(page, "won");
    const shown = () => server.asked.filter(({ path }) => path === "/v1/receipts");
    while (shown().length === 0) {
      await page.clock.runFor(2_000);
      await page.waitForTimeout(100);
    }
    t.match(shown()[0], { method: "POST", headers: { origin: /./ } });
    t.same(JSON.parse(shown()[0]!.body), ["r-1-1-3f9c2d"]);
    t.equal(await textOf(page, "worth"), "¥12.34", "to its owner the win was never gone");
    for (let look = 0; look < 5; look += 1) {
      await page.clock.runFor(30_000);
      await page.waitForTimeout(100);
    }
    t.equal(shown().length, 1);
    t.same(wrong, []);
  },
);
