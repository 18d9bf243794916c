import { createHmac } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { HmacSha256 } from "../src/index.ts";

const ascii = fc.string({
  unit: fc.integer({ min: 0, max: 127 }).map((code) => String.fromCharCode(code)),
  maxLength: 400,
});

t.test("it is the HMAC of node:crypto, for texts and keys of every length", async (t) => {
  for (let length = 0; length < 300; length += 1) {
    const key = "k".repeat(length % 140);
    const text = "t".repeat(length);
    const expected = createHmac("sha256", key).update(text).digest("base64url").slice(0, 43);
    if (new HmacSha256(key).base64url(text, 43) !== expected) t.fail(`differs for ${length} bytes`);
  }
  fc.assert(
    fc.property(ascii, ascii, fc.integer({ min: 0, max: 43 }), (key, text, length) => {
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
