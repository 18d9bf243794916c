/** The page on another origin than the API: what a browser would ask, and what HAProxy says to it. */
import t from "tap";
import { cookieAttributes, corsRules, pageOrigin } from "../../src/haproxy/cors.ts";
import { answerJson, ask, bearer, startRig, tokenOf, type Answer } from "./harness.ts";

const PAGE = "https://hongbao.example";
const cookie = `hongbao=${tokenOf("u1")}`;
const FOREIGN = [
  "https://evil.example",
  "http://hongbao.example",
  "https://hongbao.example.evil.example",
  "https://hongbao.example:8443",
  "https://hongbao.example/",
  "https://HONGBAO.example",
  "null",
  "*",
  "",
];

/** What a browser looks at. */
function cors({ headers }: Answer): Record<string, string | undefined> {
  const found = Object.entries(headers).filter(([name]) => name.startsWith("access-control-"));
  return Object.fromEntries(found) as Record<string, string | undefined>;
}

const READABLE = {
  "access-control-allow-origin": PAGE,
  "access-control-allow-credentials": "true",
  "access-control-expose-headers": "retry-after, date, age",
};

t.test("the page's origin may read every answer, whoever gives it, and no other origin any", async (t) => {
  const rig = await startRig(t, { url: "https://api.hongbao.example", siteUrl: PAGE });
  await rig.setRounds({ 1: "live", 2: "over" });
  const own = { cookie, origin: PAGE };
  const answers: [string, string, string, Record<string, string>, number][] = [
    ["a service's", "POST", "/v1/rounds/1/grab?k=x", own, 200],
    ["ended everywhere", "POST", "/v1/rounds/2/grab?k=x", own, 200],
    ["no such round", "POST", "/v1/rounds/9/grab?k=x", own, 404],
    ["no such path", "GET", "/v1/nothing", own, 404],
    ["without a token", "GET", "/v1/wins", { origin: PAGE }, 401],
    ["a bad n", "POST", "/v1/rounds/1/grab?k=x&n=7", own, 400],
    ["a session", "POST", "/v1/session", { ...bearer("u1"), origin: PAGE }, 204],
    ["a redirect", "GET", "/rounds.json", own, 302],
    ["wins", "GET", "/v1/wins", own, 200],
    ["a bucket's backend's own", "GET", "/v1/wins", { ...own, "x-long": "a".repeat(9_000) }, 400],
  ];
  for (const [what, method, path, headers, status] of answers) {
    const answer = await ask(rig.port, path, { method, headers });
    t.equal(answer.status, status, what);
    t.same(cors(answer), READABLE, what);
    t.equal(answer.headers.vary, "origin", what);
    for (const origin of FOREIGN) {
      const foreign = await ask(rig.port, path, { method, headers: { ...headers, origin } });
      t.same(cors(foreign), {}, `${what}, for ${origin}`);
      t.equal(foreign.headers.vary, "origin");
    }
    const ofApp = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "origin"));
    t.same(cors(await ask(rig.port, path, { method, headers: ofApp })), {}, `${what}, for an app`);
  }
  for (const service of Object.values(rig.services).flat()) {
    service.handler = (_request, response) => answerJson(response, 503, {}, { "retry-after": "1" });
  }
  t.match(await ask(rig.port, "/v1/wins", { headers: own }), { status: 503, headers: READABLE });
  await Promise.all(
    Object.values(rig.services)
      .flat()
      .map((service) => service.stop()),
  );
  // A connection to a service that has just gone may take one request along without an answer.
  const again = (): Promise<Answer> => ask(rig.port, "/v1/wins", { headers: own });
  const busy = await again().catch(again);
  t.match(busy, { status: 503, headers: { ...READABLE, "retry-after": "1" } }, "HAProxy's own error");
});

t.test("a preflight is answered by HAProxy alone, for the page's origin", async (t) => {
  const rig = await startRig(t, { url: "https://api.hongbao.example", siteUrl: PAGE });
  const preflight = (path: string, headers: Record<string, string>, method = "POST") =>
    ask(rig.port, path, {
      method: "OPTIONS",
      headers: { "access-control-request-method": method, ...headers },
    });
  const wanted = { origin: PAGE, "access-control-request-headers": "authorization" };
  for (const path of ["/v1/session", "/v1/rounds/1/grab?k=x", "/v1/wins", "/v1/receipts"]) {
    const answer = await preflight(path, wanted);
    t.equal(answer.status, 204, path);
    t.same(cors(answer), {
      ...READABLE,
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "7200",
    });
  }
  for (const origin of FOREIGN) {
    const answer = await preflight("/v1/session", { ...wanted, origin });
    t.equal(answer.status, 404, origin);
    t.same(cors(answer), {}, origin);
  }
  t.equal((await preflight("/admin/state", wanted)).status, 404, "only what is public");
  t.equal((await ask(rig.port, "/v1/wins", { method: "OPTIONS", headers: { origin: PAGE } })).status, 404);
  const asked = Object.values(rig.services).flat();
  t.equal(
    asked.reduce((sum, { requests }) => sum + requests, 0),
    0,
    "no service hears of it",
  );
});

t.test("the cookie counts for the page elsewhere and for nobody without an origin", async (t) => {
  const rig = await startRig(t, { url: "https://api.hongbao.example", siteUrl: PAGE });
  const status = async (method: string, path: string, headers: Record<string, string>): Promise<number> =>
    (await ask(rig.port, path, { method, headers: { cookie, ...headers } })).status;
  const grab = "/v1/rounds/1/grab?k=x";
  t.equal(await status("POST", grab, { origin: PAGE }), 200);
  t.equal(await status("GET", "/v1/wins", { origin: PAGE }), 200);
  t.equal(await status("POST", grab, { origin: "https://api.hongbao.example" }), 200);
  t.equal(await status("POST", grab, {}), 401);
  t.equal(await status("GET", "/v1/wins", {}), 401, "a GET from a page elsewhere names its origin");
  for (const origin of FOREIGN) {
    t.equal(await status("POST", grab, { origin }), 401, origin);
    t.equal(await status("GET", "/v1/wins", { origin }), 401, origin);
  }
  const answer = await ask(rig.port, "/v1/session", {
    method: "POST",
    headers: { ...bearer("u1"), origin: PAGE },
  });
  t.match(answer.headers["set-cookie"], [/; HttpOnly; SameSite=Strict; Secure$/]);
});

t.test("which cookie a browser would take", async (t) => {
  const strict = "HttpOnly; SameSite=Strict";
  const none = "HttpOnly; SameSite=None; Secure; Partitioned";
  for (const [url, site, attributes] of [
    ["http://127.0.0.1:8080", "http://127.0.0.1:9000", strict],
    ["https://hongbao.example", "https://hongbao.example", `${strict}; Secure`],
    ["https://api.hongbao.example", "https://hongbao.example", `${strict}; Secure`],
    ["https://api.hongbao.example", "https://page.hongbao.example", `${strict}; Secure`],
    ["https://localhost:8443", "https://localhost:9443", `${strict}; Secure`],
    ["https://api.company.example", "https://d1.cloudfront.net", none],
    ["https://10.0.0.1", "https://11.0.0.1", none],
    ["https://localhost", "https://hongbao.localhost", none],
  ] as const) {
    t.equal(cookieAttributes({ url, site }), attributes, `${url} with the page on ${site}`);
  }
  t.same(corsRules({ url: "http://127.0.0.1:1", site: "http://127.0.0.1:2" }), [], "behind us: no rules");
  t.same(corsRules({ url: PAGE, site: PAGE }), [], "one origin before both: no rules");
  t.equal(pageOrigin({ url: PAGE, site: `${PAGE}/x` }).elsewhere, null);
});
