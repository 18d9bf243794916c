/** What an attacker sends to the public port: bytes that two programs might read in two ways, and paths that lead elsewhere. */
import type { Test } from "tap";
import { ask } from "../haproxy/harness.ts";
import { raw, ROUND, type Scene } from "./scene.ts";

/** One row: what is sent, and every status that may come back ("" where the connection may just be closed). */
interface Row {
  what: string;
  bytes: string | Buffer;
  may: (number | "")[];
}

/** The statuses of the answers in what came back. */
const statusesOf = (text: string): number[] =>
  Array.from(text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm), ([, status]) => Number(status));

export interface Victims {
  key: string;
  /** Two winners of round 1, one in each bucket, and somebody who has not asked yet. */
  winners: [string, string];
  waiting: string;
}

function smuggling(scene: Scene, { key, winners, waiting }: Victims): Row[] {
  const path = `/v1/rounds/${ROUND.all}/grab?k=${key}`;
  const as = (user: string): string => `Authorization: ${scene.bearer(user).authorization}\r\n`;
  const host = "Host: x\r\n";
  // What would be smuggled: a grab in the name of somebody who did not press. Its mark makes a service act at once.
  const inner = `POST ${path} HTTP/1.1\r\n${host}${as(waiting)}X-Hongbao-Second-Pass: 1\r\n\r\n`;
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  // To the HTTP door of a service: HAProxy hands these on.
  const list = (headers: string, body: string): string =>
    `POST /v1/receipts HTTP/1.1\r\n${host}${as(winners[0])}${headers}\r\n${body}`;
  const odd = (headers: string, body = `0\r\n\r\n${inner}`): string => list(headers, body);
  const refused: (number | "")[] = [400, ""];
  return [
    { what: "TE: xchunked", bytes: odd("Transfer-Encoding: xchunked\r\n"), may: [...refused, 501] },
    { what: "TE: chunked, identity", bytes: odd("Transfer-Encoding: chunked, identity\r\n"), may: refused },
    { what: "TE: identity", bytes: odd("Transfer-Encoding: identity\r\n"), may: [...refused, 501] },
    { what: "a blank before the colon", bytes: odd("Transfer-Encoding : chunked\r\n"), may: refused },
    { what: "TE with a vertical tab", bytes: odd("Transfer-Encoding: \vchunked\r\n"), may: refused },
    { what: "TE twice", bytes: odd("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), may: refused },
    { what: "TE folded", bytes: odd("Transfer-Encoding:\r\n chunked, x\r\n"), may: refused },
    {
      what: "TE in HTTP/1.0",
      bytes: odd("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0"),
      may: refused,
    },
    {
      what: "two lengths",
      bytes: odd("Content-Length: 2\r\nContent-Length: 200\r\n", `[]${inner}`),
      may: refused,
    },
    { what: "two lengths in one", bytes: odd("Content-Length: 2, 200\r\n", `[]${inner}`), may: refused },
    { what: "a length with a sign", bytes: odd("Content-Length: +2\r\n", `[]${inner}`), may: refused },
    { what: "a negative length", bytes: odd("Content-Length: -1\r\n", `[]${inner}`), may: refused },
    { what: "a length in hex", bytes: odd("Content-Length: 0x2\r\n", `[]${inner}`), may: refused },
    { what: "an empty length", bytes: odd("Content-Length: \r\n", `[]${inner}`), may: refused },
    {
      what: "a length beyond 64 bits",
      bytes: odd("Content-Length: 99999999999999999999\r\n", "[]"),
      may: refused,
    },
    {
      what: "a chunk longer than 64 bits",
      bytes: odd("Transfer-Encoding: chunked\r\n", `fffffffffffffffff\r\n[]`),
      may: refused,
    },
    {
      what: "a chunk in 0x",
      bytes: odd("Transfer-Encoding: chunked\r\n", `0x2\r\n[]\r\n0\r\n\r\n`),
      may: refused,
    },
    {
      what: "a chunk that ends early",
      bytes: odd("Transfer-Encoding: chunked\r\n", `2\r\n[]x\r\n0\r\n\r\n${inner}`),
      may: refused,
    },
    {
      what: "a chunk with a bare line feed",
      bytes: odd("Transfer-Encoding: chunked\r\n", `2;\n[]\r\n0\r\n\r\n`),
      may: [200, ...refused],
    },
    {
      what: "a chunk with an extension",
      bytes: odd("Transfer-Encoding: chunked\r\nConnection: close\r\n", `2;a="b"\r\n[]\r\n0\r\n\r\n`),
      may: [200],
    },
    {
      what: "a trailer that says who asks",
      bytes: odd("Transfer-Encoding: chunked\r\nConnection: close\r\n", `2\r\n[]\r\n0\r\n${as(waiting)}\r\n`),
      may: [200],
    },
    // These are one request and its body, and what follows is a request of its own that HAProxy judges like any other.
    {
      what: "length and chunks, with an end in the body",
      bytes: list(
        `Content-Length: ${inner.length + 5}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n`,
        `0\r\n\r\n${inner}`,
      ),
      may: [200, ...refused],
    },
    {
      what: "a request in the body",
      bytes: list(`Content-Length: ${inner.length}\r\nConnection: close\r\n`, inner),
      may: [400],
    },
    {
      what: "a request in a chunk",
      bytes: list("Transfer-Encoding: chunked\r\nConnection: close\r\n", chunk(inner)),
      may: [400],
    },
    {
      what: "a body with a grab",
      bytes: `POST ${path} HTTP/1.1\r\n${host}${as(winners[0])}Content-Length: ${inner.length}\r\nConnection: close\r\n\r\n${inner}`,
      may: [200],
    },
  ];
}

function oddRequests(scene: Scene, { key, winners }: Victims): Row[] {
  const path = `/v1/rounds/${ROUND.all}/grab?k=${key}`;
  const auth = scene.bearer(winners[0]).authorization;
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\n`;
  const end = `Authorization: ${auth}\r\nConnection: close\r\n\r\n`;
  const get = (line: string): string => `${line}\r\nHost: x\r\n${end}`;
  const refused: (number | "")[] = [400, ""];
  const two = `GET /v1/wins HTTP/1.1\r\nHost: x\r\nAuthorization: ${auth}\r\n`;
  return [
    { what: "a plain grab", bytes: head + end, may: [200] },
    { what: "two requests in one packet", bytes: `${two}\r\n${two}Connection: close\r\n\r\n`, may: [200] },
    { what: "a whole URL", bytes: get(`POST http://x${path} HTTP/1.1`), may: [200] },
    {
      what: "a whole URL, for a service's HTTP door",
      bytes: get("GET http://x/v1/wins HTTP/1.1"),
      may: [200],
    },
    {
      what: "a whole URL of another host",
      bytes: get(`POST http://evil.example${path} HTTP/1.1`),
      may: refused,
    },
    { what: "a whole URL of the admin port", bytes: get("GET http://x/admin/state HTTP/1.1"), may: [404] },
    { what: "HTTP/0.9", bytes: `GET ${path}\r\n\r\n`, may: refused },
    { what: "HTTP/1.0", bytes: `POST ${path} HTTP/1.0\r\n${end}`, may: [200] },
    { what: "HTTP/1.2", bytes: get(`GET /v1/wins HTTP/1.2`), may: [200, ...refused] },
    { what: "HTTP/9.9", bytes: get(`GET /v1/wins HTTP/9.9`), may: [...refused, 200, 505] },
    {
      what: "HTTP/2 without TLS",
      bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
      may: [...refused, 404],
    },
    {
      what: "h2c",
      bytes: `${two}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n`,
      may: [200],
    },
    { what: "bare line feeds", bytes: (head + end).replaceAll("\r\n", "\n"), may: [200, ...refused] },
    { what: "bare carriage returns", bytes: (head + end).replaceAll("\r\n", "\r"), may: refused },
    { what: "two hosts", bytes: `${head}Host: y\r\n${end}`, may: refused },
    // HAProxy asks the agent without showing it the headers; what goes to a service as HTTP may not have it.
    { what: "a NUL in a header of a grab", bytes: `${head}X-A: a\0b\r\n${end}`, may: [200, ...refused] },
    {
      what: "a NUL in a header",
      bytes: `${two}X-A: a\0b\r\nConnection: close\r\n\r\n`,
      may: refused,
    },
    { what: "a backslash for a path", bytes: get("GET \\\\admin\\\\state HTTP/1.1"), may: [404, ...refused] },
    { what: "a NUL in the path", bytes: get("GET /v1/wins\0x HTTP/1.1"), may: refused },
    {
      what: "bytes beyond ASCII in the path",
      bytes: get("GET /v1/w\u00efns HTTP/1.1"),
      may: [404, ...refused],
    },
    { what: "a fragment", bytes: get(`POST ${path}#&n=2 HTTP/1.1`), may: refused },
    { what: "a header without a name", bytes: `${head}: x\r\n${end}`, may: refused },
    { what: "a folded header", bytes: `${head}X-A: a\r\n b\r\n${end}`, may: [200, ...refused] },
    { what: "a method in small letters", bytes: get(`post ${path} HTTP/1.1`), may: [404, ...refused] },
    { what: "a method that nobody knows", bytes: get(`GRAB ${path} HTTP/1.1`), may: [404] },
    { what: "CONNECT", bytes: get("CONNECT 127.0.0.1:22 HTTP/1.1"), may: [404, ...refused] },
    { what: "TRACE", bytes: get("TRACE /v1/wins HTTP/1.1"), may: [404] },
    { what: "a star", bytes: get("OPTIONS * HTTP/1.1"), may: [404, ...refused] },
    {
      what: "two identities",
      bytes: `${head}Authorization: ${scene.bearer(winners[1]).authorization}\r\n${end}`,
      may: [401],
    },
    {
      what: "two identities in one",
      bytes: `${head}Authorization: ${auth}, ${auth}\r\nConnection: close\r\n\r\n`,
      may: [401],
    },
    {
      what: "the identity named as a hop's",
      bytes: `${two}Connection: close, authorization\r\n\r\n`,
      may: [200, 401],
    },
    {
      what: "to continue later",
      bytes: `${two}Expect: 100-continue\r\nConnection: close\r\n\r\n`,
      may: [100, 200],
    },
    {
      what: "9 KB of headers, with a token",
      bytes: `${two}X-A: ${"a".repeat(9_000)}\r\nConnection: close\r\n\r\n`,
      may: [400],
    },
    { what: "64 KB of headers", bytes: `${head}X-A: ${"a".repeat(65_000)}\r\n${end}`, may: refused },
    { what: "500 headers", bytes: `${head}${"X-A: b\r\n".repeat(500)}${end}`, may: refused },
    {
      what: "a token of 10 KB",
      bytes: `${head}Authorization: Bearer ${"a.".repeat(5_000)}\r\nConnection: close\r\n\r\n`,
      may: [401],
    },
  ];
}

/** Sends each row; after it the two winners are still told their own prizes, over connections that are used again. */
async function sendAll(t: Test, scene: Scene, rows: Row[], { winners }: Victims): Promise<void> {
  for (const { what, bytes, may } of rows) {
    const text = await raw(scene.port, bytes);
    const statuses = statusesOf(text);
    const told = statuses.length === 0 ? [""] : statuses;
    t.same(
      told.filter((status) => !may.includes(status as number)),
      [],
      `${what}: ${told.join()}`,
    );
    if (/<html|at .*\.ts:|node:internal/i.test(text)) t.fail(`${what}: a page or a stack`);
    const wins = await Promise.all(
      [...winners, ...winners].map((user) => scene.ask("/v1/wins", { headers: scene.bearer(user) })),
    );
    for (const [index, { text: own }] of wins.entries()) {
      if (!own.includes(`:${winners[index % 2]}:`))
        t.fail(`${what}: ${winners[index % 2]} was told ${own.slice(0, 200)}`);
    }
  }
}

export async function rawAttacks(t: Test, scene: Scene, victims: Victims): Promise<void> {
  await sendAll(t, scene, smuggling(scene, victims), victims);
  await sendAll(t, scene, oddRequests(scene, victims), victims);
  const { json } = await scene.ask("/v1/wins", { headers: scene.bearer(victims.waiting) });
  // In "length and chunks" the inner request is the next one of the connection: HAProxy may have answered it, by its own rules.
  const rounds = (json?.wins as { round: number }[]).map(({ round }) => round);
  t.same(rounds, [], "nobody pressed in another's name");
}

/** Every admin path of any process, and ways around the table of public paths. */
export async function publicPaths(t: Test, scene: Scene, { key, winners }: Victims): Promise<void> {
  const headers = { authorization: `Bearer ${scene.secrets.operator}` };
  const admin =
    "state balancer users log reload moves rebuild receipts payout why switches rounds/1 rounds/1/open rounds/1/final";
  const paths = [
    ...admin.split(" ").map((name) => `/admin/${name}`),
    ..."/metrics /livez /readyz /stats /haproxy?stats /admin /v1/admin/state /start/1.js/../../admin/state".split(
      " ",
    ),
    "/assets/..%2f..%2fetc/passwd",
    "/assets/%2e%2e/%2e%2e/etc/passwd",
    "/start/1.js%00.html",
    "/..;/admin/state",
    "/%61dmin/state",
  ];
  for (const path of paths) {
    for (const method of ["GET", "POST", "PUT"]) {
      const { status, json } = await scene.ask(path, { method, headers });
      if (status !== 404 || json?.result !== "not_found")
        t.match({ status, json }, { status: 404 }, `${method} ${path}`);
    }
  }
  const grab = `/v1/rounds/${ROUND.all}/grab`;
  const user = scene.bearer(winners[0]);
  for (const path of [
    "/v1/rounds/1/%67rab",
    "/v1/rounds/%31/grab",
    "/v1/rounds%2f1/grab",
    "//v1/rounds/1/grab",
    "/v1//rounds/1/grab",
    "/v1/rounds/1/grab/",
    "/V1/rounds/1/grab",
    "/v1/rounds/1/Grab",
    "/v1/rounds/01/grab",
    "/v1/rounds/2/../1/grab",
    "/v1/rounds/2/%2e%2e/1/grab",
    "/v1/rounds/1/./grab",
    "/v1/rounds/1/grab;x=1",
    "/v1/rounds/1/grab%3fk=x",
    "/v1/rounds/1/grab%00",
    "/v1/rounds/1%20/grab",
  ]) {
    const { status } = await scene.ask(`${path}?k=${key}`, { method: "POST", headers: user });
    t.equal(status, 404, path);
  }
  // Both doors read the first k and the first n; what HAProxy cannot be sure of, the service decides alone.
  for (const [query, word] of [
    [`k=${key}&k=other`, "won"],
    [`k=other&k=${key}`, "not_open"],
    [`k=${key}&n=1&n=2`, "won"],
    [`n=1&k=${key}`, "won"],
    [`%6b=${key}`, "won"],
    [`k=${key};n=1`, "not_open"],
    [`x=1;k=${key}`, "not_open"],
    [`?k=${key}`, "won"],
    [`K=${key}`, "not_open"],
    [`k[]=${key}`, "not_open"],
    [`k=${key}%00`, "not_open"],
    [`k=${key}&n=%31`, "bad_request"],
    [`k=${key}&n=1%00`, "bad_request"],
    [`k=${key}&n=`, "bad_request"],
    [`k=${"a".repeat(6_000)}`, "not_open"],
  ] as const) {
    const { json } = await scene.ask(`${grab}?${query}`, { method: "POST", headers: user });
    t.equal(json?.result, word, query.replace(key, "KEY").slice(0, 60));
  }
}

/** Headers that mean something behind a proxy mean nothing in front of it. */
export async function headerGames(t: Test, scene: Scene, { key, winners }: Victims): Promise<void> {
  const path = `/v1/rounds/${ROUND.all}/grab?k=${key}`;
  const own = scene.bearer(winners[0]);
  const { text } = await scene.ask(path, { method: "POST", headers: own });
  for (const headers of [
    { "x-hongbao-user": winners[1] },
    { "x-hongbao-second-pass": "1", "x-hongbao-stock": "9" },
    { "x-forwarded-for": "10.0.0.1", forwarded: "for=10.0.0.1", "x-real-ip": "10.0.0.1" },
    { "x-forwarded-host": "evil.example", host: "evil.example" },
    { "x-http-method-override": "GET", "x-original-url": "/admin/state", "x-rewrite-url": "/admin/state" },
    { cookie: `hongbao=${scene.token(winners[1])}`, origin: scene.cluster.url },
    { "accept-encoding": "gzip, br", "content-type": "application/xml", "content-encoding": "gzip" },
  ]) {
    const answer = await scene.ask(path, { method: "POST", headers: { ...own, ...headers } });
    t.equal(answer.text, text, Object.keys(headers).join());
    t.same(
      Object.keys(answer.headers).filter((name) => name.startsWith("x-hongbao")),
      [],
    );
  }
  const twice = `hongbao=${scene.token(winners[1])}; hongbao=${scene.token(winners[0])}`;
  const first = await scene.ask("/v1/wins", { headers: { cookie: twice, origin: scene.cluster.url } });
  t.equal(first.status, 401, "two cookies are no identity");
  const large = await ask(scene.port, "/v1/receipts", {
    method: "POST",
    headers: { ...own, "transfer-encoding": "chunked" },
    body: JSON.stringify(Array.from({ length: 900 }, () => "x".repeat(90))),
  });
  t.match(large, { status: 400, json: { result: "bad_request" } }, "a list of 80 KB in chunks is told so");
}
