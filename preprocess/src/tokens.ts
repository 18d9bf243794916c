/**
 * User tokens: JWT (RFC 7519) with HS256 and the claims sub and exp, the form that HAProxy checks too.
 * The key is the secret's text as it stands, as in HAProxy's jwt_verify.
 *
 * Two programs read the same token, and JSON readers differ: of `{"sub":"a","sub":"b"}` HAProxy takes the first and
 * JSON.parse the last, HAProxy takes "7" for 7 and reads past garbage at the end. So both hold the text of the header and
 * of the claims against the patterns below, where there is only one way to read it: one flat object without escapes, and
 * each field that counts once, with its type.
 */
import { HmacSha256 } from "./hmac.ts";

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");
const TOKEN_LENGTH_MAX = 2048;
/** A SHA-256 digest in base64url without padding. */
const SIGNATURE_LENGTH = 43;

export type TokenCheck = { ok: true; sub: string; exp: number } | { ok: false };

const REFUSED: TokenCheck = Object.freeze({ ok: false });

const BLANKS = "[ \\t\\r\\n]*";
const STRING = String.raw`"[^"\\\x00-\x1f]*"`;
const NUMBER = String.raw`-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?`;
const SCALAR = `(?:${STRING}|${NUMBER}|true|false|null)`;
/** After a value: a comma and what must follow it, or the end that the caller looks for. */
const listed = (value: string, end: string, next: string): string =>
  `(?:${value}${BLANKS}(?:,${BLANKS}(?=${next})|(?=${end})))*${end}`;
const LIST = String.raw`\[${BLANKS}${listed(SCALAR, String.raw`\]`, String.raw`[^\]]`)}`;
const FIELD = `${STRING}${BLANKS}:${BLANKS}(?:${SCALAR}|${LIST})`;
const FLAT_OBJECT = String.raw`${BLANKS}\{${BLANKS}${listed(FIELD, String.raw`\}`, '"')}${BLANKS}`;
const ANYTHING = String.raw`[\s\S]*`;

/** In a flat object without escapes a quoted name before a colon is a field's name, and nothing else is. */
const names = (field: string): string => `${ANYTHING}"${field}"${BLANKS}:`;
const once = (field: string, value: string): string =>
  `(?!${names(field)}${names(field)})(?=${names(field)}${BLANKS}${value}${BLANKS}[,}])`;

/** sub is a user ID (slots.ts); exp is in seconds, and a fraction of one does not count. */
const SUB = '"([A-Za-z0-9._-]{1,64})"';
const EXP = String.raw`[1-9][0-9]{0,14}(?:\.[0-9]{1,9})?`;

/** Regular expressions that JavaScript and PCRE (HAProxy) read alike, for the decoded texts of a token. */
export const TOKEN_PATTERNS = Object.freeze({
  /** Other signers order the header's fields differently; only the algorithm matters, and `crit` forbids to go on. */
  header: `^${once("alg", '"HS256"')}(?!${names("crit")})${FLAT_OBJECT}$`,
  claims: `^${once("sub", SUB)}${once("exp", EXP)}${FLAT_OBJECT}$`,
  /** What `signToken` writes: nearly all of them, and cheap to recognise. */
  plainClaims: String.raw`^\{"sub":${SUB},"exp":([1-9][0-9]{0,14})\}$`,
});

const HEADER_FORM = new RegExp(TOKEN_PATTERNS.header);
const CLAIMS_FORM = new RegExp(TOKEN_PATTERNS.claims);
const PLAIN_CLAIMS = new RegExp(TOKEN_PATTERNS.plainClaims);

/** A token for a user that is valid until `expSeconds` (since 1970). */
export function signToken(userId: string, secret: string, expSeconds: number): string {
  const claims = Buffer.from(JSON.stringify({ sub: userId, exp: expSeconds })).toString("base64url");
  const signed = `${HEADER}.${claims}`;
  return `${signed}.${new HmacSha256(secret).base64url(signed, SIGNATURE_LENGTH)}`;
}

/** Three parts in base64url; anything else is not worth a hash. */
const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/;

/**
 * Checks tokens against the current and the previous secret. The algorithm is pinned to HS256, the signature is
 * compared in constant time and in its one canonical form, exp is required, sub must be a valid user ID.
 */
export class TokenVerifier {
  readonly #macs: HmacSha256[];

  constructor(secrets: readonly string[]) {
    this.#macs = secrets.map((secret) => new HmacSha256(secret));
  }

  /** Never throws and never says why. */
  verify(token: string, nowSeconds: number): TokenCheck {
    if (token.length > TOKEN_LENGTH_MAX || !FORM.test(token)) return REFUSED;
    const first = token.indexOf(".");
    const last = token.length - SIGNATURE_LENGTH - 1;
    const header = token.slice(0, first);
    if (header !== HEADER && !isHs256(header)) return REFUSED;
    const signed = token.slice(0, last);
    const given = token.slice(last + 1);
    const isSigned = this.#macs.some((mac) => isSame(mac.base64url(signed, SIGNATURE_LENGTH), given));
    return isSigned ? readClaims(token.slice(first + 1, last), nowSeconds) : REFUSED;
  }
}

/** Compares two texts of one length in a time that does not depend on where they differ. */
function isSame(a: string, b: string): boolean {
  let differing = 0;
  for (let i = 0; i < a.length; i += 1) differing |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return differing === 0;
}

function isHs256(header: string): boolean {
  const text = decoded(header);
  return text !== null && HEADER_FORM.test(text);
}

function readClaims(part: string, nowSeconds: number): TokenCheck {
  const text = decoded(part);
  const claims = text === null ? null : claimsIn(text);
  return claims !== null && claims.exp > nowSeconds ? { ok: true, ...claims } : REFUSED;
}

function claimsIn(text: string): { sub: string; exp: number } | null {
  const plain = PLAIN_CLAIMS.exec(text);
  if (plain !== null) return { sub: plain[1]!, exp: Number(plain[2]) };
  if (!CLAIMS_FORM.test(text)) return null;
  const { sub, exp } = JSON.parse(text) as { sub: string; exp: number };
  return { sub, exp: Math.floor(exp) };
}

/** The text of a token's part, which is base64url; null when it cannot have been made of whole bytes. */
function decoded(part: string): string | null {
  return part.length % 4 === 1 ? null : Buffer.from(part, "base64url").toString("utf8");
}
