/** Requests of any form at the HTTP door: everybody gets an answer of ours, nobody sees a fault, and the next one is served. */
import { connect } from "node:net";
import fc from "fast-check";
import t from "tap";
import { world } from "./world.ts";

const rounds = `
  - { id: 1, kind: envelope, opensAt: now+0s, closesAt: now+1h, count: 400, budget: 400.00, perUser: 3, split: { method: equal } }
`;
const ANSWER_MS_MAX = 5_000;
const STATUSES = [200, 400, 401, 403, 404, 413, 431, 503];

/** What comes back for these bytes, until the other side ends it or an answer is whole. */
function send(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host: "127.0.0.1", port });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no end of an answer: ${text.slice(0, 200)}`)),
      ANSWER_MS_MAX,
    );
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ECONNRESET" ? undefined : reject(error),
    );
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
    socket.end(bytes, "latin1");
  });
}

t.test("requests of any form", async (t) => {
  const w = await world(t, { users: 60, rounds, budget: "400.00", persist: false });
  await w.open(1, "k");
  const { http } = (w.topology.buckets[0]!.services as { http: string }[])[0]!;
  const port = Number(http.split(":")[1]);
  const token = w.token(w.users[0]!);
  const text = fc.stringMatching(/^[\x21-\x7e\x80-\xff]{0,40}$/);
  const path = fc.oneof(
    fc.constantFrom(
      "/",
      "/v1/wins",
      "/v1/rounds/1/result",
      "/v1/rounds/1/grab?k=k",
      "/v1/rounds/1/grab?k=k&n=2",
      "/v1/receipts",
      "/v1/session",
    ),
    fc
      .tuple(fc.constantFrom("/v1/rounds/", "/v1/", "//", "/../", "/v1/rounds/1/grab?"), text)
      .map((parts) => parts.join("")),
    text.map((part) => `/${part}`),
  );
  const header = fc.oneof(
    fc.constantFrom(
      `authorization: Bearer ${token}`,
      "authorization: Bearer x",
      `cookie: hongbao=${token}`,
      "x-hongbao-second-pass: 1",
      "expect: 100-continue",
    ),
    fc
      .tuple(fc.constantFrom("authorization", "cookie", "content-type", "accept", "x-a"), text)
      .map(([name, value]) => `${name}: ${value}`),
  );
  const body = fc.oneof(fc.constant(""), fc.json({ maxDepth: 3 }), text);
  const request = fc
    .tuple(
      fc.constantFrom("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"),
      path,
      fc.array(header, { maxLength: 4 }),
      body,
    )
    .map(([method, target, headers, content]) =>
      [
        `${method} ${target} HTTP/1.1`,
        "host: x",
        "connection: close",
        ...headers,
        `content-length: ${Buffer.byteLength(content, "latin1")}`,
        "",
        content,
      ].join("\r\n"),
    );
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
  const check = async (bytes: string): Promise<void> => {
    const answer = await send(port, bytes);
    if (answer === "") return;
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
    const last = answer.slice(answer.lastIndexOf("HTTP/1.1 "));
    const content = last.slice(last.indexOf("\r\n\r\n") + 4);
    const isOurs = content === "" || content.startsWith("{") || status === 400 || status === 431;
    if (![...STATUSES, 100].includes(status) || !isOurs || /\bat .*\.ts:\d+|Error:/.test(answer))
      throw new Error(`${JSON.stringify(bytes)} was answered ${JSON.stringify(answer.slice(0, 300))}`);
  };
  await t.resolves(fc.assert(fc.asyncProperty(request, check), { numRuns: 250 }));
  await t.resolves(fc.assert(fc.asyncProperty(noise, check), { numRuns: 60 }));
  const user = w.users[1]!;
  t.match(await w.grab(user), { status: 200, body: { result: "won" } }, "the next one is served");
});
