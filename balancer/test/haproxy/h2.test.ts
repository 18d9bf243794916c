/** HTTP/2, as browsers speak it over TLS: the same answers, and frames that are made to do harm. */
import { connect as connectH2, constants, type ClientHttp2Session } from "node:http2";
import { connect as connectTls } from "node:tls";
import t from "tap";
import { bearer, startRig, tokenOf } from "./harness.ts";

const GRAB = "/v1/rounds/1/grab?k=x";

function session(port: number): ClientHttp2Session {
  const opened = connectH2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  opened.on("error", () => undefined);
  return opened;
}

function call(
  h2: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const stream = h2.request({ ":path": path, ":method": method, ...headers });
    const answer = { status: 0, text: "" };
    stream.on("response", (given) => (answer.status = given[":status"] ?? 0));
    stream.setEncoding("utf8").on("data", (chunk: string) => (answer.text += chunk));
    stream.on("error", reject);
    stream.on("close", () => resolve(answer));
    stream.end();
  });
}

/** One frame (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Headers as literals without Huffman (RFC 7541, 6.2.2): a client that keeps no rule. */
function literals(headers: [string, string][]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
    const rest: number[] = [];
    let left = bytes.length - 127;
    for (; left >= 128; left = Math.floor(left / 128)) rest.push((left % 128) + 128);
    return Buffer.concat([Buffer.of(127, ...rest, left), bytes]);
  };
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const [END_STREAM, END_HEADERS] = [1, 4];

/** What came of a raw request on stream 1: its status, or how it ended. */
function rawRequest(port: number, frames: Buffer[]): Promise<string> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    let outcome = "nothing";
    const socket = connectTls(
      { port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] },
      () => {
        socket.write(Buffer.concat([PREFACE, ...frames]));
      },
    );
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const length = bytes.readUIntBE(0, 3);
        const payload = bytes.subarray(9, 9 + length);
        if (bytes[3] === 1) outcome = `status ${statusOf(payload)}`;
        else if (bytes[3] === 3) outcome = "reset";
        else if (bytes[3] === 7) outcome = "goodbye";
        bytes = bytes.subarray(9 + length);
        if (outcome !== "nothing") socket.destroy();
      }
    });
    socket.on("close", () => resolve(outcome === "nothing" ? "closed" : outcome));
  });
}

/** The status stands first: by the static table, or as a literal of three digits. */
function statusOf(block: Buffer): number {
  const known: Record<number, number> = { 0x88: 200, 0x89: 204, 0x8c: 400, 0x8d: 404, 0x8e: 500 };
  return known[block[0]!] ?? Number(block.toString("latin1", 2, 5));
}

t.test("HTTP/2: the same answers, and no frame does harm", async (t) => {
  const rig = await startRig(t, { tls: true });
  const { port } = rig;
  const h2 = session(port);
  t.teardown(() => h2.destroy());
  t.match(await call(h2, GRAB, bearer("u1"), "POST"), { status: 200 });
  t.match(await call(h2, GRAB, {}, "POST"), { status: 401 });
  t.match(await call(h2, "/admin/state", bearer("u1")), { status: 404 });
  t.match(await call(h2, "/v1/rounds/9/grab", {}, "POST"), { status: 404 });

  const requests = (): number =>
    Object.values(rig.services)
      .flat()
      .reduce((sum, service) => sum + service.requests, 0);
  const before = requests();
  const head: [string, string][] = [
    [":method", "POST"],
    [":scheme", "https"],
    [":authority", "x"],
    [":path", GRAB],
    ["authorization", `Bearer ${tokenOf("u1")}`],
  ];
  const headers = (more: [string, string][], flags = END_STREAM | END_HEADERS): Buffer =>
    frame(1, flags, 1, literals(more));
  const instead = (name: string, value: string): [string, string][] =>
    head.map(([each, old]) => [each, each === name ? value : old]);
  const data = (text: string): Buffer => frame(0, END_STREAM, 1, Buffer.from(text));
  const smuggled = "GET /admin/state HTTP/1.1\r\nHost: x\r\n\r\n";
  const refused = /^(reset|goodbye|closed|status 400|status 401|status 404)$/;
  const cases: [string, Buffer[], RegExp][] = [
    ["a plain request", [headers(head)], /^status 200$/],
    [
      "Transfer-Encoding",
      [headers([...head, ["transfer-encoding", "chunked"]], END_HEADERS), data(`0\r\n\r\n${smuggled}`)],
      refused,
    ],
    ["Connection", [headers([...head, ["connection", "close"]])], refused],
    [
      "a body longer than its length",
      [headers([...head, ["content-length", "1"]], END_HEADERS), data(smuggled)],
      refused,
    ],
    [
      "a body shorter than its length",
      [headers([...head, ["content-length", "99"]], END_HEADERS), data("x")],
      refused,
    ],
    [
      "two lengths",
      [headers([...head, ["content-length", "1"], ["content-length", "2"]], END_HEADERS), data("x")],
      refused,
    ],
    ["a line end in the path", [headers(instead(":path", `${GRAB} HTTP/1.1\r\nX: y`))], refused],
    ["a blank in the method", [headers(instead(":method", "GET /admin/state HTTP/1.1\r\nX: y"))], refused],
    ["a line end in a header", [headers([...head, ["x-a", `b\r\n\r\n${smuggled}`]])], refused],
    ["a line end in a name", [headers([...head, ["x-a: b\r\nx-c", "d"]])], refused],
    ["capital letters", [headers([...head, ["X-A", "b"]])], refused],
    ["two paths", [headers([...head, [":path", "/admin/state"]])], refused],
    ["no path", [headers(head.filter(([name]) => name !== ":path"))], refused],
    ["a path without a slash", [headers(instead(":path", "admin/state"))], refused],
    ["a whole URL as path", [headers(instead(":path", "http://x/admin/state"))], refused],
    ["two identities", [headers([...head, ["authorization", `Bearer ${tokenOf("u2")}`]])], refused],
    [
      "two cookies in crumbs",
      [
        headers([
          ...head.slice(0, 4),
          ["origin", rig.topology.balancer.url],
          ["cookie", `hongbao=${tokenOf("u1")}`],
          ["cookie", `hongbao=${tokenOf("u2")}`],
        ]),
      ],
      refused,
    ],
    [
      "500 headers",
      [headers([...head, ...Array.from({ length: 500 }, (): [string, string] => ["x-a", "b"])])],
      refused,
    ],
    [
      "headers that never end",
      [
        headers(head, 0),
        ...Array.from({ length: 200 }, () => frame(9, 0, 1, literals([["x-a", "b".repeat(8_000)]]))),
      ],
      refused,
    ],
    ["a frame that is too long", [frame(1, END_STREAM | END_HEADERS, 1, Buffer.alloc(100_000))], refused],
    ["data on no stream", [frame(0, END_STREAM, 7, Buffer.from("x"))], refused],
    [
      "headers of an unknown table entry",
      [frame(1, END_STREAM | END_HEADERS, 1, Buffer.of(0xff, 0xff, 0x7f))],
      refused,
    ],
  ];
  for (const [what, frames, may] of cases) t.match(await rawRequest(port, frames), may, what);
  t.equal(requests(), before + 1, "a service hears of the plain one only");

  // Streams that are opened and reset at once (CVE-2023-44487), and settings and pings without end.
  const hasty = session(port);
  t.teardown(() => hasty.destroy());
  for (let wave = 0; wave < 40; wave += 1) {
    for (let n = 0; n < 50 && !hasty.closed; n += 1) {
      const stream = hasty.request({ ":path": GRAB, ":method": "POST", ...bearer("u3") });
      stream.on("error", () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (wave % 10 === 0) t.match(await call(h2, GRAB, bearer("u1"), "POST"), { status: 200 }, "others go on");
  }
  const busy = [
    ...Array.from({ length: 5_000 }, () => frame(4, 0, 0)),
    ...Array.from({ length: 5_000 }, () => frame(6, 0, 0, Buffer.alloc(8))),
  ];
  await rawRequest(port, busy);
  t.match(await call(h2, GRAB, bearer("u1"), "POST"), { status: 200 }, "and after all of it");
});
