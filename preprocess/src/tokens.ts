/**
 * User tokens: JWT (RFC 7519) with HS256 and the claims sub and exp, the form that HAProxy checks too.
 * The key is the secret's text as it stands, as in HAProxy's jwt_verify.
 */
import { HmacSha256 } from "./hmac.ts";
import { isUserId } from "./slots.ts";

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");
const TOKEN_LENGTH_MAX = 2048;
/** A SHA-256 digest in base64url without padding. */
const SIGNATURE_LENGTH = 43;

export type TokenCheck = { ok: true; sub: string; exp: number } | { ok: false };

const REFUSED: TokenCheck = Object.freeze({ ok: false });

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

/** Other signers order the header's fields differently; only the algorithm matters, and `crit` forbids to go on. */
function isHs256(header: string): boolean {
  const fields = parse(header);
  return fields !== null && fields.alg === "HS256" && !("crit" in fields);
}

function readClaims(text: string, nowSeconds: number): TokenCheck {
  const claims = parse(text);
  if (claims === null) return REFUSED;
  const { sub, exp } = claims;
  if (typeof sub !== "string" || !isUserId(sub)) return REFUSED;
  if (typeof exp !== "number" || !Number.isFinite(exp) || exp <= nowSeconds) return REFUSED;
  return { ok: true, sub, exp };
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
