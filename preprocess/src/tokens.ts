/**
 * User tokens: JWT (RFC 7519) with HS256 and the claims sub and exp, the form that HAProxy checks too.
 * The key is the secret's text as it stands, as in HAProxy's jwt_verify.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isUserId } from "./slots.ts";

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");
const TOKEN_LENGTH_MAX = 2048;
/** A SHA-256 digest in base64url without padding. */
const SIGNATURE_LENGTH = 43;

export type TokenCheck = { ok: true; sub: string; exp: number } | { ok: false };

const REFUSED: TokenCheck = Object.freeze({ ok: false });

function signatureOf(signed: string, secret: string): string {
  return createHmac("sha256", secret).update(signed).digest("base64url");
}

/** A token for a user that is valid until `expSeconds` (since 1970). */
export function signToken(userId: string, secret: string, expSeconds: number): string {
  const claims = Buffer.from(JSON.stringify({ sub: userId, exp: expSeconds })).toString("base64url");
  const signed = `${HEADER}.${claims}`;
  return `${signed}.${signatureOf(signed, secret)}`;
}

/**
 * Checks a token against the current and the previous secret. The algorithm is pinned to HS256, the signature is
 * compared in constant time and in its one canonical form, exp is required, sub must be a valid user ID.
 * Never throws and never says why.
 */
export function verifyToken(token: string, secrets: readonly string[], nowSeconds: number): TokenCheck {
  if (token.length > TOKEN_LENGTH_MAX) return REFUSED;
  const first = token.indexOf(".");
  const last = token.lastIndexOf(".");
  if (first <= 0 || last <= first + 1 || token.length - last - 1 !== SIGNATURE_LENGTH) return REFUSED;
  const header = token.slice(0, first);
  if (header !== HEADER && !isHs256(header)) return REFUSED;
  const signed = token.slice(0, last);
  const given = Buffer.from(token.slice(last + 1), "latin1");
  const isSigned = secrets.some((secret) =>
    timingSafeEqual(Buffer.from(signatureOf(signed, secret), "latin1"), given),
  );
  return isSigned ? readClaims(token.slice(first + 1, last), nowSeconds) : REFUSED;
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
