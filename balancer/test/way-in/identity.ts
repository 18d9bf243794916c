/** HAProxy and the services must take the same users from the same headers: whatever one accepts, the other accepts. */
import fc from "fast-check";
import type { Test } from "tap";
import { TokenVerifier } from "@hongbao/preprocess";
import { ask } from "../haproxy/harness.ts";
import { forge, type Scene } from "./scene.ts";

const HS256 = '{"alg":"HS256","typ":"JWT"}';

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const nextLetter = (letter: string): string => LETTERS[LETTERS.indexOf(letter) ^ 1]!;

/** What is sent as Authorization, and whether it is somebody. */
function headers(scene: Scene): [string, string | string[], boolean][] {
  const key = scene.secrets.token[0]!;
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const claims = `{"sub":"u1","exp":${exp}}`;
  const good = forge(HS256, claims, key);
  const [head, body, mac] = good.split(".") as [string, string, string];
  const header = (text: string): string => `Bearer ${forge(text, claims, key)}`;
  const says = (text: string): string => `Bearer ${forge(HS256, text, key)}`;
  const part = (text: string): string => Buffer.from(text).toString("base64url");
  return [
    ["a token", `Bearer ${good}`, true],
    ["bearer", `bearer ${good}`, true],
    ["BEARER", `BEARER ${good}`, true],
    ["blanks", `Bearer   ${good}  `, true],
    ["a tab", `Bearer\t${good}`, false],
    ["no blank", `Bearer${good}`, false],
    ["no scheme", good, false],
    ["Basic", `Basic ${Buffer.from("u1:x").toString("base64")}`, false],
    ["two tokens", `Bearer ${good} ${good}`, false],
    ["a comma", `Bearer ${good},`, false],
    ["two in one header", `Bearer ${good}, Bearer ${good}`, false],
    ["two headers", [`Bearer ${good}`, `Bearer ${good}`], false],
    ["two headers, one empty", ["", `Bearer ${good}`], false],
    ["in quotes", `Bearer "${good}"`, false],
    ["alg none", `Bearer ${part('{"alg":"none"}')}.${body}.`, false],
    ["alg none, signed", header('{"alg":"none"}'), false],
    ["alg HS384", `Bearer ${forge('{"alg":"HS384"}', claims, key, "sha384")}`, false],
    ["alg HS512", `Bearer ${forge('{"alg":"HS512"}', claims, key, "sha512")}`, false],
    ["alg HS512 by name only", header('{"alg":"HS512"}'), false],
    ["alg RS256 by name only", header('{"alg":"RS256","typ":"JWT"}'), false],
    ["alg hs256", header('{"alg":"hs256"}'), false],
    ["no alg", header('{"typ":"JWT"}'), false],
    ["alg twice, none first", header('{"alg":"none","alg":"HS256"}'), false],
    ["alg twice, none last", header('{"alg":"HS256","alg":"none"}'), false],
    ["alg in a list", header('{"alg":["HS256"]}'), false],
    ["a header in another order", header('{"typ":"JWT","alg":"HS256","kid":"7"}'), true],
    ["a header with an escape", header('{"\\u0061lg":"HS256"}'), false],
    ["a header that must be understood", header('{"alg":"HS256","crit":["b64"],"b64":false}'), false],
    ["an empty header", header("{}"), false],
    ["another key", `Bearer ${forge(HS256, claims, scene.secrets.receipt[0]!)}`, false],
    ["an empty key", `Bearer ${forge(HS256, claims, "")}`, false],
    ["a short signature", `Bearer ${head}.${body}.${mac.slice(1)}`, false],
    ["a padded signature", `Bearer ${good}=`, false],
    ["another last bit, which says nothing", `Bearer ${good.slice(0, -1)}${nextLetter(good.at(-1)!)}`, false],
    ["another body", `Bearer ${head}.${part(`{"sub":"u2","exp":${exp}}`)}.${mac}`, false],
    ["four parts", `Bearer ${good}.x`, false],
    ["two parts", `Bearer ${head}.${body}`, false],
    ["sub twice", says(`{"sub":"u1","sub":"u2","exp":${exp}}`), false],
    ["sub twice, the same", says(`{"sub":"u1","sub":"u1","exp":${exp}}`), false],
    ["exp twice", says(`{"sub":"u1","exp":${exp},"exp":1}`), false],
    ["sub as a number", says(`{"sub":7,"exp":${exp}}`), false],
    ["sub as a list", says(`{"sub":["u1"],"exp":${exp}}`), false],
    ["sub null", says(`{"sub":null,"exp":${exp}}`), false],
    ["sub empty", says(`{"sub":"","exp":${exp}}`), false],
    ["sub with an escape", says(`{"sub":"u\\u0031","exp":${exp}}`), false],
    ["sub with a NUL", says(`{"sub":"u1\\u0000","exp":${exp}}`), false],
    ["sub with a raw NUL", says(`{"sub":"u1\0","exp":${exp}}`), false],
    ["sub with a line end", says(`{"sub":"u1\\n","exp":${exp}}`), false],
    ["sub with a slash", says(`{"sub":"u1/../u2","exp":${exp}}`), false],
    ["sub with a blank", says(`{"sub":"u1 ","exp":${exp}}`), false],
    ["sub of 64", says(`{"sub":"${"u".repeat(64)}","exp":${exp}}`), true],
    ["sub of 65", says(`{"sub":"${"u".repeat(65)}","exp":${exp}}`), false],
    ["sub of dots", says(`{"sub":"..","exp":${exp}}`), true],
    ["Sub", says(`{"Sub":"u1","exp":${exp}}`), false],
    ["the sub of another", says(`{"act":{"sub":"u1"},"exp":${exp}}`), false],
    ["sub in a list", says(`{"x":["sub","u1"],"exp":${exp}}`), false],
    ["exp as text", says(`{"sub":"u1","exp":"${exp}"}`), false],
    ["exp as a float", says(`{"sub":"u1","exp":${exp}.5}`), true],
    ["exp with an exponent", says('{"sub":"u1","exp":4e9}'), false],
    ["exp negative", says(`{"sub":"u1","exp":-${exp}}`), false],
    ["exp 0", says('{"sub":"u1","exp":0}'), false],
    ["exp true", says('{"sub":"u1","exp":true}'), false],
    ["exp null", says('{"sub":"u1","exp":null}'), false],
    ["exp gone", says('{"sub":"u1"}'), false],
    ["exp a moment ago", says(`{"sub":"u1","exp":${exp - 3601}}`), false],
    ["exp of 15 digits", says('{"sub":"u1","exp":999999999999999}'), true],
    ["exp of 16 digits", says('{"sub":"u1","exp":9999999999999999}'), false],
    ["exp beyond 64 bits", says('{"sub":"u1","exp":99999999999999999999}'), false],
    ["exp infinite", says('{"sub":"u1","exp":1e999}'), false],
    ["exp in octal", says(`{"sub":"u1","exp":0${exp}}`), false],
    ["exp in hex", says('{"sub":"u1","exp":0xffffffff}'), false],
    ["blanks in the claims", says(` { "sub" : "u1" ,\n"exp" : ${exp} } `), true],
    ["other claims", says(`{"iss":"hr","aud":["a"],"iat":1,"name":"用户","sub":"u1","exp":${exp}}`), true],
    ["garbage behind", says(`${claims}x`), false],
    ["garbage before", says(`x${claims}`), false],
    ["a byte order mark", says(`\ufeff${claims}`), false],
    ["a comment", says(`{"sub":"u1","exp":${exp}/**/}`), false],
    ["a comma too many", says(`{"sub":"u1","exp":${exp},}`), false],
    ["single quotes", says(`{'sub':'u1','exp':${exp}}`), false],
    ["a list", says(`["sub","u1","exp",${exp}]`), false],
    ["no JSON", says("u1"), false],
    ["no claims", says(""), false],
    ["2,000 characters", says(`{"x":"${"x".repeat(1_350)}","sub":"u1","exp":${exp}}`), true],
    ["more than 2,048 characters", says(`{"x":"${"x".repeat(1_500)}","sub":"u1","exp":${exp}}`), false],
  ];
}

export async function sameUsers(t: Test, scene: Scene): Promise<void> {
  const door = Number(scene.service(0).http.split(":")[1]);
  for (const [what, authorization, isSomebody] of headers(scene)) {
    const asked = { headers: { authorization } };
    const [session, service] = await Promise.all([
      scene.ask("/v1/session", { method: "POST", ...asked }),
      // Node joins no two of these headers, it takes the first; HAProxy is there to refuse them.
      Array.isArray(authorization) ? null : ask(door, "/v1/wins", asked),
    ]);
    t.equal(session.status, isSomebody ? 204 : 401, `${what}, for HAProxy`);
    if (service !== null) t.equal(service.status, isSomebody ? 200 : 401, `${what}, for a service`);
  }
}

/** Claims that a signer might write by mistake: mostly right, with pieces that are not. */
const piece = (good: string, ...bad: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) });
const claims = fc
  .tuple(
    piece('"sub":"u1"', '"sub" : "u2"', '"sub":3', '"sub":"a b"', '"sub":""', '"\\u0073ub":"u1"'),
    piece(
      '"exp":4102444800',
      '"exp": 4102444800.25',
      '"exp":"4102444800"',
      '"exp":1',
      '"exp":4.1e9',
      '"exp":-9',
    ),
    fc.array(
      fc.constantFrom(
        '"iat":1700000000',
        '"aud":["a", "b"]',
        '"aud":[]',
        '"x":{}',
        '"x":{"sub":"u9"}',
        '"x":"\\""',
        '"x":"sub"',
        '"x":nul',
        '"x":1.',
        '"":""',
        '"sub":"u1"',
        '"exp":4102444800',
        "",
      ),
      { maxLength: 2 },
    ),
    piece(",", " , ", "", ",,", ";"),
    fc.constantFrom(...["{|}", "{|}", "{|}", " { | } ", "[|]", "{|", "{|}x", "x{|}", "{|}{}", "{{|}}"]),
    fc.integer(),
  )
  .map(([sub, exp, more, comma, around, seed]) => {
    const pieces = seed % 2 === 0 ? [sub, exp, ...more] : [...more, exp, sub];
    return around.replace("|", () => pieces.join(comma));
  });

export async function sameForms(t: Test, scene: Scene, runs: number): Promise<void> {
  const key = scene.secrets.token[0]!;
  const verifier = new TokenVerifier(scene.secrets.token);
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(claims, async (text) => {
      const token = forge(HS256, text, key);
      const { status } = await scene.ask("/v1/session", {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
      });
      const { ok } = verifier.verify(token, Date.now() / 1000);
      if (ok) accepted += 1;
      return status === (ok ? 204 : 401);
    }),
    { numRuns: runs },
  );
  t.ok(accepted > 0 && accepted < runs, `${accepted} of ${runs} were somebody, for both`);
}
