import { createHmac } from "node:crypto";
import { connect } from "node:net";
import t from "tap";
import { signToken } from "@hongbao/preprocess";
import { ask, bearer, inAnHour, KEY, PREVIOUS_KEY, startRig, tokenOf } from "./harness.ts";

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token of any header and claims, signed with any key. */
function forge(header: unknown, claims: unknown, key = KEY): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

t.test("the order of the answers: 404, ended everywhere, 401, 400, then the bucket", async (t) => {
  const rig = await startRig(t, {
    rounds: [
      { id: 1, perUser: 1, groups: null },
      { id: 2, perUser: 3, groups: null },
      { id: 3, perUser: 1, groups: null },
    ],
  });
  await rig.setRounds({ 1: "live", 2: "live", 3: "over" });
  const grab = (path: string, headers: Record<string, string> = {}) =>
    ask(rig.port, path, { method: "POST", headers });

  for (const round of ["4", "0", "99", "01", "1x", "%31", "1.0", "-1", "one", "1%20"]) {
    const answer = await grab(`/v1/rounds/${round}/grab?k=x`);
    t.match(answer, { status: 404, json: { result: "no_such_round" } }, `round ${round}, without a token`);
  }
  t.match(await ask(rig.port, "/v1/rounds/4/result"), { status: 404, json: { result: "no_such_round" } });

  const over = await grab("/v1/rounds/3/grab?k=x&n=bad");
  t.match(over, { status: 200, json: { result: "ended", round: 3 } }, "before the token and before n");
  t.match(over.headers, { "cache-control": "no-store", "content-type": /^application\/json/ });
  t.match(
    await ask(rig.port, "/v1/rounds/3/result"),
    { status: 401 },
    "what was won is still told, to its owner",
  );
  t.match(await ask(rig.port, "/v1/rounds/3/result", { headers: bearer("u1") }), { status: 200 });

  t.match(await grab("/v1/rounds/1/grab?k=x&n=bad"), { status: 401, json: { result: "unauthorized" } });

  for (const n of ["0", "-1", "2", "x", "1.0", "01", "1e0", "99999999", "+1"]) {
    const answer = await rig.grab(1, "u1", `k=x&n=${n}`);
    t.match(answer, { status: 400, json: { result: "bad_request", round: 1 } }, `n=${n}`);
  }
  t.match(await rig.grab(2, "u1", "k=x&n=4"), { status: 400 }, "more than perUser");
  for (const query of ["k=x", "k=x&n=1", "", "n=1"])
    t.match(await rig.grab(1, "u1", query), { status: 200 }, query);
  t.match(await rig.grab(2, "u1", "k=x&n=3"), { status: 200, json: { url: "/v1/rounds/2/grab?k=x&n=3" } });
});

t.test("without a pack HAProxy leaves n to the services", async (t) => {
  const rig = await startRig(t, { rounds: null });
  await rig.setRounds({ 7: "live" });
  t.match(await rig.grab(7, "u1", "k=x&n=50"), { status: 200 });
  t.match(await rig.grab(7, "u1", "k=x&n=no"), { status: 400 });
});

t.test("tokens: only a signed, unexpired HS256 token of a possible user gets through", async (t) => {
  const rig = await startRig(t);
  const now = Math.floor(Date.now() / 1000);
  const good = { sub: "u1", exp: now + 60 };
  const hs256 = { alg: "HS256", typ: "JWT" };
  const authorized = async (authorization: string | string[]): Promise<number> =>
    (await ask(rig.port, "/v1/wins", { headers: { authorization } })).status;

  t.equal(await authorized(`Bearer ${forge(hs256, good)}`), 200);
  t.equal(
    await authorized(`Bearer ${forge({ typ: "JWT", alg: "HS256" }, good)}`),
    200,
    "another order of fields",
  );
  t.equal(await authorized(`bearer ${tokenOf("u1")}`), 200, "the scheme's case does not matter (RFC 7235)");

  const [header, claims, signature] = tokenOf("u1").split(".") as [string, string, string];
  const bad: Record<string, string> = {
    "another key": forge(hs256, good, "another key, another key"),
    "an empty key": `${header}.${claims}.${createHmac("sha256", "").update(`${header}.${claims}`).digest("base64url")}`,
    "no signature": `${header}.${claims}.`,
    "two parts": `${header}.${claims}`,
    "alg none": `${encode({ alg: "none" })}.${claims}.`,
    "alg none, signed": forge({ alg: "none" }, good),
    "alg None": forge({ alg: "None" }, good),
    "alg HS512": forge({ alg: "HS512" }, good),
    "alg RS256": forge({ alg: "RS256" }, good),
    "no alg": forge({ typ: "JWT" }, good),
    "claims of another user": `${header}.${encode({ sub: "u2", exp: good.exp })}.${signature}`,
    expired: forge(hs256, { sub: "u1", exp: now - 1 }),
    "expiring now": forge(hs256, { sub: "u1", exp: now }),
    "no exp": forge(hs256, { sub: "u1" }),
    "exp null": forge(hs256, { sub: "u1", exp: null }),
    "no sub": forge(hs256, { exp: now + 60 }),
    "an empty sub": forge(hs256, { sub: "", exp: now + 60 }),
    "sub with a blank": forge(hs256, { sub: "u 1", exp: now + 60 }),
    "sub with a line end": forge(hs256, { sub: "u1\n", exp: now + 60 }),
    "sub in Chinese": forge(hs256, { sub: "用户", exp: now + 60 }),
    "sub too long": forge(hs256, { sub: "u".repeat(65), exp: now + 60 }),
    "a long token": forge(hs256, { ...good, more: "x".repeat(1600) }),
    garbage: "x",
    empty: "",
    dots: "...",
    "no JSON": `${Buffer.from("x").toString("base64url")}.${claims}.${signature}`,
  };
  for (const [what, token] of Object.entries(bad)) t.equal(await authorized(`Bearer ${token}`), 401, what);
  t.equal(await authorized(`Basic ${Buffer.from("u1:x").toString("base64")}`), 401, "another scheme");
  t.equal(await authorized(tokenOf("u1")), 401, "no scheme");
  t.equal(await authorized([`Bearer ${tokenOf("u1")}`, `Bearer ${tokenOf("u2")}`]), 401, "two identities");
  t.equal(await authorized(`Bearer ${tokenOf("u1")}, Bearer ${tokenOf("u2")}`), 401, "two in one header");
  t.equal((await ask(rig.port, "/v1/wins")).status, 401, "none");
  t.equal(
    await authorized(`Bearer ${forge(hs256, { ...good, sub: "u".repeat(64) })}`),
    200,
    "the longest user",
  );
});

t.test("while keys are changed the previous one still counts, and no third one", async (t) => {
  const rig = await startRig(t, { keys: [KEY, PREVIOUS_KEY] });
  const status = async (key: string): Promise<number> => {
    const headers = { authorization: `Bearer ${signToken("u1", key, inAnHour())}` };
    return (await ask(rig.port, "/v1/wins", { headers })).status;
  };
  t.equal(await status(KEY), 200);
  t.equal(await status(PREVIOUS_KEY), 200);
  t.equal(await status("0".repeat(32)), 401);
  t.equal(await status(""), 401);
});

t.test("a key of any printable characters works as it stands", async (t) => {
  const key = `a,b)c"d'e\${HOME}%[f]#g\\h;i`;
  const rig = await startRig(t, { keys: [key] });
  const headers = { authorization: `Bearer ${signToken("u1", key, inAnHour())}` };
  t.match(await ask(rig.port, "/v1/wins", { headers }), { status: 200 });
});

t.test("the cookie counts only for our own page", async (t) => {
  const rig = await startRig(t);
  const origin = `http://127.0.0.1:${rig.port}`;
  const cookie = `other=1; hongbao=${tokenOf("u1")}`;
  const grab = (headers: Record<string, string | string[]>) =>
    ask(rig.port, "/v1/rounds/1/grab?k=x", { method: "POST", headers });
  const passed = await grab({ cookie, origin });
  t.equal(passed.status, 200);
  t.match(
    passed.json,
    { headers: { authorization: `Bearer ${tokenOf("u1")}` } },
    "handed on as a Bearer token",
  );
  t.notOk((passed.json?.headers as Record<string, string>).cookie, "and not as a cookie");
  t.equal((await grab({ cookie })).status, 401, "a POST names its origin");
  for (const foreign of [
    "https://evil.example",
    "null",
    `${origin}.evil.example`,
    `${origin}/`,
    origin.replace("http:", "https:"),
    "",
  ]) {
    t.equal((await grab({ cookie, origin: foreign })).status, 401, `origin ${foreign}`);
  }
  t.equal((await grab({ cookie, origin: [origin, "https://evil.example"] })).status, 401, "two origins");
  const get = (headers: Record<string, string>) => ask(rig.port, "/v1/wins", { headers });
  t.equal((await get({ cookie })).status, 200, "a browser sends no origin with a GET of its own page");
  t.equal((await get({ cookie, origin })).status, 200);
  t.equal((await get({ cookie, origin: "https://evil.example" })).status, 401);
  t.equal(
    (await get({ cookie, authorization: "Bearer x" })).status,
    401,
    "a wrong header is not helped by the cookie",
  );
  t.equal(
    (await get({ cookie: `hongbao=${forge({ alg: "none" }, { sub: "u1", exp: inAnHour() })}` })).status,
    401,
  );
  const both = await get({ cookie, authorization: `Bearer ${tokenOf("u2")}` });
  t.match(both.json, { headers: { authorization: `Bearer ${tokenOf("u2")}` } }, "the header comes first");
});

t.test("the session trades a Bearer token, and nothing else, for the cookie", async (t) => {
  const rig = await startRig(t);
  const session = (headers: Record<string, string>) =>
    ask(rig.port, "/v1/session", { method: "POST", headers });
  const answer = await session(bearer("u1"));
  t.equal(answer.status, 204);
  const [cookie] = answer.headers["set-cookie"]!;
  t.match(cookie, new RegExp(`^hongbao=${tokenOf("u1").slice(0, 40)}`));
  const attributes = cookie!.split("; ").slice(1);
  t.same(
    attributes.filter((attribute) => !attribute.startsWith("Max-Age=")).sort(),
    ["HttpOnly", "Path=/v1", "SameSite=Strict"],
    "not Secure, because the page's address is http here",
  );
  const age = Number(attributes.find((attribute) => attribute.startsWith("Max-Age="))!.slice(8));
  t.ok(age > 3500 && age <= 3600, "as long as the token");
  t.equal((await session({})).status, 401);
  t.equal((await session({ authorization: "Bearer x" })).status, 401);
  const origin = `http://127.0.0.1:${rig.port}`;
  t.equal(
    (await session({ cookie: `hongbao=${tokenOf("u1")}`, origin })).status,
    401,
    "a cookie buys no cookie",
  );
  t.equal((await ask(rig.port, "/v1/session", { headers: bearer("u1") })).status, 404, "POST only");

  const secure = await startRig(t, { url: "https://hongbao.example" });
  const headers = { ...bearer("u1"), origin: "https://hongbao.example" };
  const [safe] = (await ask(secure.port, "/v1/session", { method: "POST", headers })).headers["set-cookie"]!;
  t.match(safe, /; Secure(;|$)/);
});

t.test("the site's paths go to the site, all others nowhere", async (t) => {
  const rig = await startRig(t);
  for (const path of [
    "/",
    "/rounds.json",
    "/start/1.js",
    "/start/99.js",
    "/assets/app.js",
    "/assets/img/a-b_c.1.png",
    "/?x=1",
    "/start/1.js?t=1",
  ]) {
    const answer = await ask(rig.port, path, {
      headers: { cookie: "hongbao=x", "x-hongbao-stock": "1", ...bearer("u1") },
    });
    t.match(answer, { status: 200, json: { bucket: "site", url: path } }, path);
    const seen = Object.keys(answer.json?.headers as object);
    t.same(
      seen.filter((name) => /authorization|cookie|x-hongbao/.test(name)),
      ["x-hongbao-site"],
      "no identity, none of our own words but the one that HAProxy says itself",
    );
  }
  t.equal((await ask(rig.port, "/", { method: "HEAD" })).status, 200);
  const nowhere = [
    "/start/../admin/state",
    "/start/../../admin",
    "/start/%2e%2e/admin",
    "/start/0.js",
    "/start/100.js",
    "/start/1.js/",
    "/start/1.json",
    "/start/1xjs",
    "/assets/",
    "/assets/../x",
    "/assets/.git/config",
    "/assets/a/../b",
    "/assets/%2e%2e/a",
    "/assets//a",
    "/assets/a/b/c/d/e/f/g",
    "//",
    "/admin/state",
    "/admin/rounds/1",
    "/metrics",
    "/livez",
    "/readyz",
    "/stats",
    "/haproxy?stats",
    "/v1",
    "/v1/",
    "/v1/wins/",
    "/v1/rounds/1",
    "/v1/rounds/1/",
    "/v1/rounds/1/grab/",
    "/v1/rounds/1/grabs",
    "/v1/rounds/1/2/grab",
    "/v1/rounds//grab",
    "/V1/wins",
    "/v1/receipt",
    "/favicon.ico",
    "/rounds.json/x",
    "/index.html",
  ];
  for (const path of nowhere) {
    const answer = await ask(rig.port, path, { headers: bearer("u1") });
    t.match(answer, { status: 404, json: { result: /^not_found$|^no_such_round$/ } }, path);
  }
  for (const [method, path] of [
    ["GET", "/v1/rounds/1/grab"],
    ["POST", "/v1/rounds/1/result"],
    ["POST", "/v1/wins"],
    ["PUT", "/v1/rounds/1/grab"],
    ["DELETE", "/v1/wins"],
    ["POST", "/"],
    ["POST", "/rounds.json"],
    ["OPTIONS", "/v1/wins"],
    ["TRACE", "/"],
    ["PATCH", "/start/1.js"],
  ] as const) {
    const answer = await ask(rig.port, path, { method, headers: bearer("u1") });
    t.match(answer, { status: 404, json: { result: "not_found" } }, `${method} ${path}`);
  }
  t.equal(
    Object.values(rig.services)
      .flat()
      .reduce((sum, { requests }) => sum + requests, 0),
    0,
  );
});

t.test("a site elsewhere is a redirect", async (t) => {
  const rig = await startRig(t);
  const { render } = await import("../../src/haproxy/render.ts");
  const { writeWhole, CONFIG } = await import("../../src/haproxy/files.ts");
  const balancer = { ...rig.topology.balancer, site: "https://cdn.example" };
  writeWhole(rig.dir, CONFIG, render({ ...rig.topology, balancer }, null, { door: "http" }));
  await rig.master.reload();
  const answer = await ask(rig.port, "/start/1.js?x=1");
  t.match(answer, { status: 302, headers: { location: "https://cdn.example/start/1.js?x=1" } });
});

t.test("our own words from outside do not reach a service, and none of them leaves", async (t) => {
  const rig = await startRig(t);
  const headers = {
    ...bearer("u1"),
    "X-Hongbao-Second-Pass": "1",
    "x-hongbao-user": "u2",
    "x-other": "stays",
  };
  const answer = await ask(rig.port, "/v1/rounds/1/grab?k=x", { method: "POST", headers });
  const seen = answer.json?.headers as Record<string, string>;
  t.same(
    Object.keys(seen).filter((name) => name.startsWith("x-hongbao")),
    [],
  );
  t.equal(seen["x-other"], "stays");
  for (const service of Object.values(rig.services).flat()) {
    service.handler = (_request, response) => {
      response
        .writeHead(200, { "x-hongbao-stock": "3", "x-hongbao-debug": "secret", "x-fine": "1" })
        .end("{}");
    };
  }
  const told = await rig.grab(1, "u1");
  t.same(
    Object.keys(told.headers).filter((name) => name.startsWith("x-hongbao")),
    [],
  );
  t.equal(told.headers["x-fine"], "1");
});

t.test("too much of anything is refused", async (t) => {
  const rig = await startRig(t);
  const path = "/v1/rounds/1/grab?k=x";
  const headers = { ...bearer("u1"), "x-long": "a".repeat(9_000) };
  t.match(await ask(rig.port, path, { method: "POST", headers }), {
    status: 400,
    json: { result: "bad_request" },
  });
  const body = "x".repeat(100_000);
  t.match(
    await ask(rig.port, path, { method: "POST", headers: bearer("u1"), body }).catch(() => ({ status: 400 })),
    { status: 400 },
  );
});

/** Sends raw bytes and answers what comes back until the connection ends. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (answer += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}

t.test("what cannot be parsed gets no HTML page, and no second request is smuggled in", async (t) => {
  const rig = await startRig(t);
  const close = "Connection: close\r\n";
  const long = "a".repeat(20_000);
  for (const [what, text] of Object.entries({
    garbage: "GARBAGE\r\n\r\n",
    "a huge header": `GET / HTTP/1.1\r\nHost: x\r\nX: ${long}\r\n\r\n`,
    "a huge path": `GET /${long} HTTP/1.1\r\nHost: x\r\n\r\n`,
    "two lengths": `POST /v1/rounds/1/grab HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    "a fragment": "GET /#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a header with a blank": "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
    "HTTP/0.9": "GET /\r\n\r\n",
    "many headers": `GET / HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 200 }, (_, n) => `h${n}: x\r\n`).join("")}\r\n`,
    "an unfinished head": "GET / HTTP/1.1\r\nHost: x\r\nX-Slow",
  })) {
    const answer = await raw(rig.port, text);
    t.notMatch(answer, /<html/i, what);
    t.notMatch(answer, /^HTTP\/1\.1 200/, what);
  }
  const token = `Authorization: Bearer ${tokenOf("u1")}\r\n`;
  const smuggled = "GET /admin/state HTTP/1.1\r\nHost: x\r\n\r\n";
  const head = `POST /v1/rounds/1/grab?k=x HTTP/1.1\r\nHost: x\r\n${token}`;
  for (const [what, text] of Object.entries({
    "length and chunks": `${head}${close}Content-Length: ${smuggled.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    "odd chunks": `${head}${close}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    "absolute form": `GET http://x/admin/state HTTP/1.1\r\nHost: x\r\n${close}${token}\r\n`,
    upgrade: `GET /v1/wins HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n${token}\r\n`,
  })) {
    const answer = await raw(rig.port, text);
    t.notMatch(answer, /<html/i, what);
    t.notMatch(answer, /admin\/state/, what);
  }
});
