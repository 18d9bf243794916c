/** Bytes that no HAProxy sends: the agent neither falls over nor hangs, and serves everyone else. */
import fc from "fast-check";
import t from "tap";
import { readHello, type Hello, type StatusCode } from "../../src/doors/spop/frames.ts";
import { readGrab } from "../../src/doors/spop/notify.ts";
import { SpopSecret } from "../../src/doors/spop/secret.ts";
import { Cursor } from "../../src/doors/spop/varint.ts";
import { fakeAgent, fakeWriter, prizeOf, SECRET, until } from "./fake.ts";
import { hello, message, notify, pairs, SpopClient, type Value } from "./client.ts";

const secret = new SpopSecret([SECRET]);
const args: Record<string, Value> = { secret: SECRET, round: "1", user: "u1", key: "k", n: "1" };
const bytes = fc.uint8Array({ maxLength: 300 }).map((found) => Buffer.from(found));

/** Some bytes changed, put in, or taken out. */
function mutated(original: Buffer): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(original.length - 1),
    drop: fc.nat(3),
    put: fc.uint8Array({ maxLength: 3 }),
  });
  return fc
    .array(change, { minLength: 1, maxLength: 6 })
    .map((changes) =>
      changes.reduce(
        (found, { at, drop, put }) =>
          Buffer.concat([found.subarray(0, at), Buffer.from(put), found.subarray(at + drop)]),
        original,
      ),
    );
}

t.test("payloads of any bytes are read without an exception, and never past their end", async (t) => {
  const payload = message("grab", args);
  const offer = pairs({ "supported-versions": "2.0", "max-frame-size": 16_380, capabilities: "" });
  // What stands behind the end would make sense, if it were read.
  const behind = Buffer.concat([payload, payload]);
  const check = (found: Buffer): boolean => {
    const whole = Buffer.concat([found, behind]);
    const ask = { round: 0, user: "", key: "", n: 1, secondPass: false, often: false };
    const notified = new Cursor(whole, 0, found.length);
    const kind = readGrab(notified, secret, ask);
    const greeted = new Cursor(whole, 0, found.length);
    const greeting: Hello | StatusCode = readHello(greeted);
    const isHello = typeof greeting === "number" || greeting.frameBytesMax >= 256;
    const isGrab = kind !== "grab" || (found.includes(SECRET) && ask.user.length <= 64 && ask.round <= 99);
    return isHello && isGrab && notified.at <= found.length && greeted.at <= found.length;
  };
  const settings = { numRuns: 20_000 };
  t.doesNotThrow(() => fc.assert(fc.property(bytes, check), settings));
  t.doesNotThrow(() => fc.assert(fc.property(mutated(payload), check), settings));
  t.doesNotThrow(() => fc.assert(fc.property(mutated(offer), check), settings));
});

t.test("connections that talk nonsense end, and nobody else notices", async (t) => {
  // A frame that is announced and does not come is the one kind of nonsense that only time ends.
  const { port, agent } = await fakeAgent(t, {
    policy: { sweepMs: 10, frameMsMax: 100, strangerMsMax: 100 },
  });
  const bystander = await SpopClient.ready(port);
  const body = fakeWriter.won(1, "u7", 1, prizeOf("u7", 1, 1));
  let asked = 0;
  const askOn = async (): Promise<void> => {
    asked += 1;
    const answer = await bystander.ask(asked, { ...args, user: "u7" });
    if (answer?.["txn.body"] !== body) throw new Error("the bystander was harmed");
  };
  await askOn();
  const session = Buffer.concat([hello(), notify(1, args), notify(2, args), notify(3, args)]);
  const cuts = fc.array(fc.nat(600), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(fc.oneof(bytes, mutated(session), mutated(session)), cuts, async (found, places) => {
      const client = await SpopClient.open(port);
      let from = 0;
      for (const to of [...places.sort((a, b) => a - b), found.length]) {
        client.socket.write(found.subarray(from, to));
        from = Math.min(Math.max(from, to), found.length);
        await new Promise(setImmediate);
      }
      await askOn();
      client.socket.end();
      await client.closed();
      for (const { type } of client.frames)
        if (type < 101 || type > 103) throw new Error(`a frame of type ${type}`);
    }),
    { numRuns: 300 },
  );
  await until("the end of all others", () => agent.connections === 1);
  t.equal(agent.waiting, 0);
  await askOn();
});
