import { createHmac } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { HmacSha256 } from "../src/grab/hmac.ts";
import { AnswerWriter, receiptOf } from "../src/grab/answers.ts";
import { fakePack } from "./spop/fake.ts";

const ascii = fc.string({
  unit: fc.integer({ min: 0, max: 127 }).map((code) => String.fromCharCode(code)),
  maxLength: 400,
});

t.test("it is the HMAC of node:crypto, for texts and keys of every length", async (t) => {
  for (let length = 0; length < 300; length += 1) {
    const key = "k".repeat(length % 140);
    const text = "t".repeat(length);
    const expected = createHmac("sha256", key).update(text).digest("base64url").slice(0, 42);
    if (new HmacSha256(key).base64url(text, 42) !== expected) t.fail(`differs for ${length} bytes`);
  }
  fc.assert(
    fc.property(ascii, ascii, fc.integer({ min: 0, max: 42 }), (key, text, length) => {
      const expected = createHmac("sha256", key).update(text).digest("base64url").slice(0, length);
      return new HmacSha256(key).base64url(text, length) === expected;
    }),
  );
});

t.test("one object serves texts of changing length", async (t) => {
  const mac = new HmacSha256("key");
  for (const length of [0, 200, 3, 55, 56, 119, 120, 1000, 1]) {
    const text = "x".repeat(length);
    t.equal(
      mac.base64url(text, 22),
      createHmac("sha256", "key").update(text).digest("base64url").slice(0, 22),
    );
  }
});

t.test("a won answer's two forms are the same bytes, and carry the receipt", async (t) => {
  const writer = new AnswerWriter(fakePack, "b0", "receipt-secret");
  for (const round of [1, 3]) {
    for (let prizeId = 1_000_001; prizeId < 1_000_020; prizeId += 1) {
      const text = writer.won(round, "u.1_x-Z", 2, prizeId);
      t.equal(Buffer.from(writer.wonBytes(round, "u.1_x-Z", 2, prizeId), "latin1").toString("utf8"), text);
      const body = JSON.parse(text) as { receipt: string };
      const facts = { event: "spring", bucket: "b0", round, n: 2, prizeId, user: "u.1_x-Z" };
      t.equal(body.receipt, receiptOf(facts, new HmacSha256("receipt-secret")));
      const signed = `spring:b0:${round}:2:${prizeId}:u.1_x-Z`;
      const code = createHmac("sha256", "receipt-secret").update(signed).digest("base64url").slice(0, 22);
      t.equal(body.receipt, `${signed.slice("spring:".length)}:${code}`);
    }
  }
});
