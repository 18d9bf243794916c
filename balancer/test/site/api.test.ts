import t from "tap";
import { createApi, readGrab, readReceipts, readRetryAfterMs, readWins } from "../../site/api.js";
import { readStart } from "../../site/start.js";

const NOW_MS = Date.parse("2027-02-05T12:00:00Z");
const WON = {
  result: "won",
  round: 1,
  n: 1,
  prize: { id: "1000123", kind: "envelope", amount: 888 },
  receipt: "r",
};

type Response = { status: number; body?: unknown; headers?: Record<string, string> };

/** An API whose fetch gives these answers, one after the other; an Error is a refused connection. */
function play(...answers: (Response | Error)[]) {
  const calls: { url: string; init: RequestInit }[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    calls.push({ url, init });
    const answer = answers.shift() ?? new Error("nobody there");
    if (answer instanceof Error) throw answer;
    const { status, body, headers = {} } = answer;
    const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
    return new globalThis.Response(status === 204 ? null : text, { status, headers });
  };
  const parts = { base: "https://api.example.com", monotonicMs: () => 0, nowMs: () => NOW_MS };
  return { calls, api: createApi({ ...parts, fetch: fetch as typeof globalThis.fetch }) };
}

const read = (status: number, body: unknown) =>
  readGrab({ status, body, retryAfterMs: 0 } as Parameters<typeof readGrab>[0]);

void t.test("the words of the contract", async (t) => {
  t.match(read(200, WON), {
    result: "won",
    wins: [{ round: 1, n: 1, receipt: "r", prize: { amount: 888 } }],
  });
  const words: [number, string][] = [
    [200, "ended"],
    [404, "no_such_round"],
    [401, "unauthorized"],
    [400, "bad_request"],
    [429, "limited"],
    [403, "not_eligible"],
    [503, "busy"],
  ];
  for (const [status, word] of words) t.equal(read(status, { result: word }).result, word);
  const opensAt = "2027-02-05T12:00:05Z";
  t.match(read(403, { result: "not_open", opensAt }), { result: "not_open", opensAtMs: NOW_MS + 5_000 });
});

void t.test("whatever makes no sense is busy, except what the status says for sure", async (t) => {
  for (const body of [
    null,
    "<html>",
    7,
    [],
    { result: "hurrah" },
    { result: "won" },
    { ...WON, prize: null },
  ]) {
    t.equal(read(200, body).result, "busy");
  }
  for (const status of [0, 403, 404, 500, 502, 503, 504]) t.equal(read(status, null).result, "busy");
  t.equal(read(401, null).result, "unauthorized");
  t.equal(read(429, null).result, "limited");
});

void t.test("lists of wins: what is no win is left out", async (t) => {
  const answer = {
    status: 200,
    body: { wins: [WON, null, { ...WON, n: 2, payout: "paid" }, {}] },
    retryAfterMs: 0,
  };
  const wins = readWins(answer as Parameters<typeof readWins>[0]);
  t.match(wins, { result: "wins", wins: [{ n: 1 }, { n: 2, payout: "paid" }] });
  t.equal(wins.wins.length, 2);
  t.equal(readWins({ ...answer, body: { result: "busy" } } as Parameters<typeof readWins>[0]).result, "busy");
});

void t.test("Retry-After in seconds or as a date", async (t) => {
  t.equal(readRetryAfterMs("2", NOW_MS), 2_000);
  t.equal(readRetryAfterMs("Fri, 05 Feb 2027 12:00:10 GMT", NOW_MS), 10_000);
  for (const nothing of [null, "", "soon", "-3", "Fri, 05 Feb 2027 11:00:00 GMT"]) {
    t.equal(readRetryAfterMs(nothing, NOW_MS), 0);
  }
});

void t.test("the grab needs no preflight: POST, cookie, no header, no body", async (t) => {
  const { api, calls } = play({ status: 200, body: WON }, { status: 200, body: { result: "ended" } });
  await api.grab(1, "a b", 1);
  await api.grab(1, "k", 2);
  t.match(calls[0], {
    url: "https://api.example.com/v1/rounds/1/grab?k=a%20b",
    init: { method: "POST", credentials: "include" },
  });
  t.same([calls[0]?.init.headers, calls[0]?.init.body], [undefined, undefined]);
  t.match(calls[1]?.url, /\?k=k&n=2$/);
});

void t.test(
  "receipts: sent as a list without a preflight; kept for later only when nobody took them",
  async (t) => {
    const { api, calls } = play({ status: 200, body: { receipts: [{ receipt: "r", result: "restored" }] } });
    t.match(await api.receipts(["r"]), { taken: [{ receipt: "r", result: "restored" }] });
    t.match(calls[0], {
      url: "https://api.example.com/v1/receipts",
      init: { method: "POST", credentials: "include", body: '["r"]' },
    });
    t.equal(calls[0]?.init.headers, undefined);
    const read = (status: number, body: unknown) =>
      readReceipts({ status, body, retryAfterMs: 7 } as Parameters<typeof readReceipts>[0]);
    t.same(read(503, { result: "busy" }), { taken: null, retryAfterMs: 7 });
    t.same(read(0, null).taken, null);
    t.same(read(200, {}).taken, null);
    t.same(read(400, { result: "bad_request" }).taken, []);
  },
);

void t.test("a refused connection and a foreign page are busy", async (t) => {
  const { api } = play(new Error("refused"), {
    status: 502,
    body: "<html>",
    headers: { "retry-after": "1" },
  });
  t.match(await api.grab(1, "k", 1), { result: "busy", retryAfterMs: 0 });
  t.match(await api.grab(1, "k", 1), { result: "busy", retryAfterMs: 1_000 });
});

void t.test("a session: in, refused, or to be tried again", async (t) => {
  const { api, calls } = play({ status: 204 }, { status: 401 }, { status: 503 }, new Error("refused"));
  const answers = [];
  for (let index = 0; index < 4; index += 1) answers.push(await api.session("T"));
  t.same(answers, ["in", "refused", "busy", "busy"]);
  t.match(calls[0], {
    init: { method: "POST", credentials: "include", headers: { authorization: "Bearer T" } },
  });
});

void t.test("the token stands in only where the cookie has proved not to work", async (t) => {
  const { api, calls } = play(
    { status: 204 },
    { status: 401 },
    { status: 200, body: WON },
    { status: 200, body: WON },
  );
  await api.session("T");
  t.equal((await api.grab(1, "k", 1)).result, "won");
  t.same(calls[1]?.init.headers, undefined);
  t.same(calls[2]?.init.headers, { authorization: "Bearer T" });
  await api.grab(1, "k", 1);
  t.same(calls[3]?.init.headers, { authorization: "Bearer T" });
  const stranger = play({ status: 401 });
  t.equal((await stranger.api.wins()).result, "unauthorized");
  t.equal(stranger.calls.length, 1);
});

void t.test("the start file is read with distrust", async (t) => {
  const good = { round: 1, key: "k", opensAt: "2027-02-05T12:00:00Z", closesAt: null, serverTime: "x" };
  t.same(readStart(good), { round: 1, key: "k", opensAtMs: NOW_MS, closesAtMs: null, serverTimeMs: null });
  for (const key of [null, "", 5, "k".repeat(257)]) t.equal(readStart({ ...good, key })?.key, null);
  for (const wrong of [null, 1, {}, { ...good, round: "1" }]) t.equal(readStart(wrong), null);
});
