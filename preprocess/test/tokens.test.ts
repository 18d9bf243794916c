import { createHmac } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { signToken, TokenVerifier, type TokenCheck } from "../src/index.ts";

const SECRET = "a".repeat(64);
const NOW = 1_800_000_000;

/** A token with any header and claims, signed as HS256 (or another hash). */
function craft(header: unknown, claims: unknown, secret = SECRET, hash = "sha256"): string {
  const encode = (value: unknown): string =>
    Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

const HEADER = { alg: "HS256", typ: "JWT" };

const verifyToken = (token: string, secrets: string[], now: number): TokenCheck =>
  new TokenVerifier(secrets).verify(token, now);

t.test("what is signed is verified, for every user ID", async () => {
  const id = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
  fc.assert(
    fc.property(id, fc.integer({ min: NOW + 1, max: 2 ** 40 }), (user, exp) => {
      const check = verifyToken(signToken(user, SECRET, exp), [SECRET], NOW);
      return check.ok && check.sub === user && check.exp === exp;
    }),
  );
});

t.test("the token is a JWT that another implementation signs alike", async (t) => {
  t.equal(signToken("u1", SECRET, NOW), craft(HEADER, { sub: "u1", exp: NOW }));
  const other = craft({ typ: "JWT", alg: "HS256" }, { exp: NOW + 9, iat: NOW, sub: "u1" });
  t.same(verifyToken(other, [SECRET], NOW), { ok: true, sub: "u1", exp: NOW + 9 });
});

t.test("the previous secret counts as long as it is listed", async (t) => {
  const token = signToken("u1", "b".repeat(64), NOW + 1);
  t.ok(verifyToken(token, [SECRET, "b".repeat(64)], NOW).ok);
  t.notOk(verifyToken(token, [SECRET], NOW).ok);
  t.notOk(verifyToken(token, [], NOW).ok);
});

t.test("a token ends at its exp", async (t) => {
  const token = signToken("u1", SECRET, NOW);
  t.ok(verifyToken(token, [SECRET], NOW - 1).ok);
  t.notOk(verifyToken(token, [SECRET], NOW).ok);
});

t.test("claims in other forms that mean the same", async (t) => {
  const check = (claims: string) => verifyToken(craft(HEADER, claims), [SECRET], NOW);
  const read = { ok: true, sub: "u1", exp: NOW + 9 };
  t.same(check(` { "exp" : ${NOW + 9} , "sub" : "u1" } `), read, "blanks");
  t.same(check(`{"iss":"hr","aud":["a","b"],"admin":true,"sub":"u1","exp":${NOW + 9},"iat":1.5e9}`), read);
  t.same(check(`{"name":"用户","sub":"u1","exp":${NOW + 9}}`), read, "text in any language");
  t.same(check(`{"sub":"u1","exp":${NOW + 9}.75}`), read, "a fraction does not count");
  t.same(check(`{"x":"sub","sub":"u1","y":"\\"}`.replace("\\\\", "")), { ok: false }, "no exp");
});

t.test("refuses everything else", async (t) => {
  const good = signToken("u1", SECRET, NOW + 9);
  const [header, claims, signature] = good.split(".") as [string, string, string];
  const refused: Record<string, string> = {
    empty: "",
    dots: "..",
    "no signature": `${header}.${claims}.`,
    "no claims": `${header}..${signature}`,
    "a fourth part": `${good}.x`,
    "alg none": `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.`,
    "alg none with a signature": craft({ alg: "none" }, { sub: "u1", exp: NOW + 9 }),
    "alg HS512": craft({ alg: "HS512" }, { sub: "u1", exp: NOW + 9 }, SECRET, "sha512"),
    "alg HS512 in the header only": craft({ alg: "HS512" }, { sub: "u1", exp: NOW + 9 }),
    "alg hs256": craft({ alg: "hs256" }, { sub: "u1", exp: NOW + 9 }),
    crit: craft({ alg: "HS256", crit: ["b64"] }, { sub: "u1", exp: NOW + 9 }),
    "a header of null": craft("null", { sub: "u1", exp: NOW + 9 }),
    "no exp": craft(HEADER, { sub: "u1" }),
    "exp as text": craft(HEADER, { sub: "u1", exp: String(NOW + 9) }),
    "exp of 1e999": craft(HEADER, '{"sub":"u1","exp":1e999}'),
    "no sub": craft(HEADER, { exp: NOW + 9 }),
    "a bad sub": craft(HEADER, { sub: "u 1", exp: NOW + 9 }),
    "a long sub": craft(HEADER, { sub: "u".repeat(65), exp: NOW + 9 }),
    "sub as a number": craft(HEADER, { sub: 1, exp: NOW + 9 }),
    "claims that are no JSON": craft(HEADER, "u1"),
    "claims of null": craft(HEADER, "null"),
    "an empty sub": craft(HEADER, { sub: "", exp: NOW + 9 }),
    "sub with a line end": craft(HEADER, { sub: "u1\n", exp: NOW + 9 }),
    "sub with an escape": craft(HEADER, `{"sub":"u\\u0031","exp":${NOW + 9}}`),
    "a claim's name with an escape": craft(HEADER, `{"s\\u0075b":"u1","exp":${NOW + 9}}`),
    "sub twice": craft(HEADER, `{"sub":"u1","sub":"u2","exp":${NOW + 9}}`),
    "exp twice": craft(HEADER, `{"sub":"u1","exp":${NOW + 9},"exp":1}`),
    "exp with an exponent": craft(HEADER, '{"sub":"u1","exp":4e9}'),
    "a negative exp": craft(HEADER, { sub: "u1", exp: -1 }),
    "exp of 20 digits": craft(HEADER, '{"sub":"u1","exp":99999999999999999999}'),
    "exp of true": craft(HEADER, { sub: "u1", exp: true }),
    "an object in the claims": craft(HEADER, { sub: "u1", exp: NOW + 9, a: { b: 1 } }),
    "claims with an end": craft(HEADER, `{"sub":"u1","exp":${NOW + 9}}x`),
    "claims with a NUL": craft(HEADER, `{"sub":"u1\0","exp":${NOW + 9}}`),
    "a list of claims": craft(HEADER, ["sub", "exp"]),
    "alg twice": craft('{"alg":"none","alg":"HS256"}', { sub: "u1", exp: NOW + 9 }),
    "alg twice, the other way round": craft('{"alg":"HS256","alg":"none"}', { sub: "u1", exp: NOW + 9 }),
    "another secret": craft(HEADER, { sub: "u1", exp: NOW + 9 }, "c".repeat(64)),
    "more than 2048 characters": craft(HEADER, { sub: "u1", exp: NOW + 9, pad: "x".repeat(2048) }),
    "characters beyond ASCII": `${header}.${claims}.${"é".repeat(43)}`,
  };
  for (const [what, token] of Object.entries(refused))
    t.same(verifyToken(token, [SECRET], NOW), { ok: false }, what);
});

t.test("no changed character passes, not even an unused bit of the last one", async () => {
  const good = signToken("u1", SECRET, NOW + 9);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
  fc.assert(
    fc.property(fc.nat({ max: good.length - 1 }), fc.constantFrom(...letters), (at, letter) => {
      const changed = good.slice(0, at) + letter + good.slice(at + 1);
      return changed === good || !verifyToken(changed, [SECRET], NOW).ok;
    }),
    { numRuns: 1000 },
  );
  for (const letter of letters) {
    const changed = good.slice(0, -1) + letter;
    t.equal(verifyToken(changed, [SECRET], NOW).ok, changed === good);
  }
});
