import fc from "fast-check";
import t from "tap";
import { answerTable, type AnswerWord } from "../../src/grab/answers.ts";
import { ACK_BYTES_MAX, writeAnswer, writeNoAnswer } from "../../src/doors/spop/ack.ts";
import { agentDisconnect, agentHello, readHello, skipTyped, Status } from "../../src/doors/spop/frames.ts";
import { GRAB_ARGUMENTS, readGrab } from "../../src/doors/spop/notify.ts";
import { SpopSecret } from "../../src/doors/spop/secret.ts";
import { Cursor, readVarint, skipVarint, varintBytes, writeVarint } from "../../src/doors/spop/varint.ts";
import { message, pairs, readActions, readPairs, takeFrames, typed, varint, type Value } from "./client.ts";

const SECRET = "0123456789abcdef";
const secret = new SpopSecret([SECRET, "another-secret"]);

interface Read {
  kind: string;
  round: number;
  user: string;
  key: string;
  n: number;
}

function read(payload: Buffer): Read {
  const ask = { round: 0, user: "?", key: "?", n: 0, secondPass: false, often: false };
  const kind = readGrab(new Cursor(payload), secret, ask);
  return { kind, round: ask.round, user: ask.user, key: ask.key, n: ask.n };
}

function grab(args: Record<string, Value>): Buffer {
  return message("grab", { secret: SECRET, round: "1", user: "u1", key: "k", n: null, ...args });
}

t.test("varints come back, take the bytes that they should, and are HAProxy's", async (t) => {
  // The bounds of doc/SPOE.txt 3.1, and some values that HAProxy's encode_varint gives.
  const bounds = {
    239: 1,
    240: 2,
    2287: 2,
    2288: 3,
    264431: 3,
    264432: 4,
    33818863: 4,
    33818864: 5,
    4328786159: 5,
  };
  for (const [value, bytes] of Object.entries(bounds)) t.equal(varint(Number(value)).length, bytes, value);
  t.same([...varint(240)], [0xf0, 0x00]);
  t.same([...varint(2288)], [0xf0, 0x80, 0x00]);
  t.same([...varint(16_380)], [0xfc, 0xf0, 0x06]);
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(20), (value, before) => {
      const bytes = Buffer.alloc(before + 12, 0xff);
      const end = writeVarint(bytes, before, value);
      const cursor = new Cursor(bytes, before, end);
      const skipped = new Cursor(bytes, before, end);
      return (
        end - before === varintBytes(value) &&
        readVarint(cursor) === value &&
        cursor.at === end &&
        skipVarint(skipped) &&
        skipped.at === end
      );
    }),
  );
});

t.test("a varint that is cut off, endless or beyond 2^53 is refused", async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 240, max: Number.MAX_SAFE_INTEGER }), (value) => {
      const bytes = varint(value);
      for (let length = 0; length < bytes.length; length += 1) {
        const cursor = new Cursor(bytes, 0, length);
        if (readVarint(cursor) !== -1 || cursor.at !== 0 || skipVarint(new Cursor(bytes, 0, length)))
          return false;
      }
      return true;
    }),
  );
  const endless = Buffer.alloc(40, 0xff);
  t.equal(readVarint(new Cursor(endless)), -1);
  t.equal(skipVarint(new Cursor(endless)), false);
  // -1 as HAProxy writes a signed integer: 64 bits; of no use as an ID, but it can be passed over.
  const minusOne = Buffer.from([0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]);
  t.equal(readVarint(new Cursor(minusOne)), -1);
  t.equal(skipVarint(new Cursor(minusOne)), true);
});

t.test("typed values are passed over whole, or refused where they are cut off", async (t) => {
  const values: Buffer[] = [
    ...[null, true, false, 0, 300, 2 ** 40, "", "text", "x".repeat(500)].map(typed),
    Buffer.from([6, 127, 0, 0, 1]),
    Buffer.concat([Buffer.of(7), Buffer.alloc(16)]),
    Buffer.from([9, 3, 1, 2, 3]),
  ];
  for (const value of values) {
    const cursor = new Cursor(value);
    t.ok(skipTyped(cursor));
    t.equal(cursor.at, value.length);
    for (let length = 0; length < value.length; length += 1) {
      if (skipTyped(new Cursor(value, 0, length))) t.fail(`type ${value[0]} was taken with ${length} bytes`);
    }
  }
  for (let type = 10; type < 16; type += 1) t.notOk(skipTyped(new Cursor(Buffer.alloc(40, type))));
});

t.test("HELLO: what was offered is agreed, what is missing is named", async (t) => {
  const base = { "supported-versions": "2.0", "max-frame-size": 16_380, capabilities: "pipelining,async" };
  const of = (entries: Record<string, Value>): unknown => readHello(new Cursor(pairs(entries)));
  t.same(of(base), { frameBytesMax: 16_380, capabilities: ["pipelining", "async"], healthCheck: false });
  t.same(of({ ...base, capabilities: " pipelining ", healthcheck: true, "engine-id": "x", more: 7 }), {
    frameBytesMax: 16_380,
    capabilities: ["pipelining"],
    healthCheck: true,
  });
  t.match(of({ ...base, capabilities: "" }), { capabilities: [] });
  t.match(of({ ...base, capabilities: "fragmentation,asynchronous" }), { capabilities: [] });
  t.match(of({ ...base, "max-frame-size": 1_000_000 }), { frameBytesMax: 16_380 });
  t.match(of({ ...base, "max-frame-size": 256 }), { frameBytesMax: 256 });
  t.match(of({ ...base, "supported-versions": "1.5, 2.1" }), { frameBytesMax: 16_380 });
  t.equal(of({ ...base, "supported-versions": "1.0,3.0" }), Status.badVersion);
  t.equal(of({ ...base, "max-frame-size": 255 }), Status.badFrameSize);
  for (const [name, status] of [
    ["supported-versions", Status.noVersion],
    ["max-frame-size", Status.noFrameSize],
    ["capabilities", Status.noCapabilities],
  ] as const) {
    t.equal(of(Object.fromEntries(Object.entries(base).filter(([key]) => key !== name))), status);
    t.equal(of({ ...base, [name]: null }), Status.invalid);
  }
  t.equal(readHello(new Cursor(Buffer.from([200, 1, 2]))), Status.invalid);
});

t.test("our HELLO and DISCONNECT are whole frames", async (t) => {
  const [hello] = takeFrames(
    agentHello({ frameBytesMax: 4096, capabilities: ["pipelining"], healthCheck: false }),
  ).frames;
  t.match(hello, { type: 101, flags: 1, streamId: 0, frameId: 0 });
  t.same(readPairs(hello!.payload), { version: "2.0", "max-frame-size": 4096, capabilities: "pipelining" });
  const [bye] = takeFrames(agentDisconnect(Status.tooBig)).frames;
  t.match(bye, { type: 102, flags: 1, streamId: 0, frameId: 0 });
  t.same(readPairs(bye!.payload), { "status-code": 3, message: "frame is too big" });
});

t.test("a grab's arguments come back, in whatever order", async (t) => {
  const id = fc.string({ unit: fc.constantFrom(..."abcXYZ019._-"), minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(
      fc.record({
        round: fc.integer({ min: 0, max: 99 }),
        user: id,
        key: id,
        n: fc.integer({ min: 1, max: 999_999 }),
      }),
      fc.shuffledSubarray([...GRAB_ARGUMENTS], { minLength: GRAB_ARGUMENTS.length }),
      fc.boolean(),
      (asked, order, asText) => {
        const all: Record<string, Value> = {
          secret: SECRET,
          ...asked,
          ...(asText ? { round: String(asked.round), n: String(asked.n) } : {}),
        };
        const found = read(message("grab", Object.fromEntries(order.map((name) => [name, all[name]!]))));
        t.same(found, { kind: "grab", ...asked });
      },
    ),
  );
});

t.test("what the HTTP door makes of a URL, this makes of the arguments", async (t) => {
  for (const n of ["", "0", "01", "1.5", "-1", "x", "1000000", " 1", "1x"])
    t.match(read(grab({ n })), { n: Number.NaN }, n);
  t.match(read(grab({ n: "1" })), { n: 1 });
  t.match(read(grab({ n: null })), { n: 1 });
  t.match(read(grab({ n: 0 })), { n: Number.NaN });
  t.match(read(grab({ n: true })), { n: Number.NaN });
  for (const user of ["", "a b", "a#2", "a:b", "ü", "x".repeat(65), null, 7])
    t.match(read(grab({ user })), { user: "" });
  t.match(read(grab({ key: null })), { key: "" });
  t.match(read(grab({ round: "07" })), { kind: "grab", round: 7 });
  for (const round of ["", "x", "100", "1x", null, 100]) t.match(read(grab({ round })), { kind: "other" });
});

t.test("a message without the secret is refused, whatever else it says", async (t) => {
  t.equal(read(grab({ secret: "another-secret" })).kind, "grab");
  for (const wrong of ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0", null, true, 5]) {
    t.equal(read(grab({ secret: wrong })).kind, "refused");
  }
  t.equal(read(message("grab", { round: "1", user: "u1" })).kind, "refused");
  // One good message does not vouch for another.
  t.equal(read(Buffer.concat([grab({}), grab({ secret: "x" })])).kind, "refused");
});

t.test("other messages are passed over, damaged ones are told apart", async (t) => {
  const other = message("hello", { a: 1, b: "two", c: null });
  t.equal(read(other).kind, "other");
  t.equal(read(Buffer.alloc(0)).kind, "other");
  t.match(read(Buffer.concat([other, grab({ user: "u9" }), other])), { user: "u9" });
  t.match(read(message("grab", { secret: SECRET, round: "2", user: "u1", nonsense: "1", secretx: "y" })), {
    kind: "grab",
    round: 2,
  });
  const whole = grab({});
  for (let length = 1; length < whole.length; length += 1) {
    t.equal(read(Buffer.from(whole.subarray(0, length))).kind, "damaged", `${length} bytes`);
  }
});

t.test("an ACK says what the table says", async (t) => {
  const out = Buffer.alloc(20_000);
  for (const word of Object.keys(answerTable) as AnswerWord[]) {
    const entry: { status: number; retryAfterSeconds?: number } = answerTable[word];
    const end = writeAnswer(out, 7, 300, 1, word, '{"result":"…"}', 0);
    const [ack] = takeFrames(out.subarray(7, end)).frames;
    t.match(ack, { type: 103, flags: 1, streamId: 300, frameId: 1 });
    t.same(readActions(ack!.payload), {
      "txn.status": entry.status,
      ...(entry.retryAfterSeconds === undefined ? {} : { "txn.retry": entry.retryAfterSeconds }),
      "txn.body": Buffer.from('{"result":"…"}', "latin1").toString(),
    });
  }
});

t.test("an ACK comes back whatever its IDs, stock and body, and fits its bound", async (t) => {
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.maxSafeNat(),
      fc.maxSafeNat(),
      fc.string({ maxLength: 3000 }),
      (stream, frame, stock, text) => {
        const body = Buffer.from(text).toString("latin1");
        const out = Buffer.alloc(ACK_BYTES_MAX + body.length);
        const end = writeAnswer(out, 0, stream, frame, "ended", body, stock);
        const { frames, rest } = takeFrames(out.subarray(0, end));
        t.equal(rest.length, 0);
        t.match(frames, [{ streamId: stream, frameId: frame }]);
        t.same(readActions(frames[0]!.payload), {
          "txn.status": 200,
          "txn.body": text,
          ...(stock > 0 ? { "txn.stock": stock } : {}),
        });
      },
    ),
  );
  const none = Buffer.alloc(ACK_BYTES_MAX);
  const [ack] = takeFrames(none.subarray(0, writeNoAnswer(none, 0, 5, 6))).frames;
  t.match(ack, { type: 103, streamId: 5, frameId: 6 });
  t.equal(ack!.payload.length, 0);
});
