import { LRUCache } from "lru-cache";
import { TokenVerifier } from "@hongbao/preprocess";

/** Verified tokens that are remembered; at 300 bytes each this bounds the cache to about 20 MB. */
const TOKENS_MAX = 65_536;

/**
 * Who a request comes from. A token that was verified once is remembered until it expires: its next request costs a
 * look-up instead of an HMAC.
 */
export class Identity {
  readonly #verifier: TokenVerifier;
  readonly #known = new LRUCache<string, { user: string; exp: number }>({ max: TOKENS_MAX });

  /** @param secrets the token secret, current one first. */
  constructor(secrets: string[]) {
    this.#verifier = new TokenVerifier(secrets);
  }

  /** The user ID, or null when there is no valid token. A cookie is none: HAProxy makes a Bearer token of it. */
  userOf(headers: { authorization?: string | undefined }): string | null {
    const token = bearer(headers.authorization);
    if (token === null) return null;
    const nowSeconds = Date.now() / 1000;
    const known = this.#known.get(token);
    if (known !== undefined) return known.exp > nowSeconds ? known.user : null;
    const verified = this.#verifier.verify(token, nowSeconds);
    if (!verified.ok) return null;
    this.#known.set(token, { user: verified.sub, exp: verified.exp });
    return verified.sub;
  }
}

function bearer(header: string | undefined): string | null {
  return header !== undefined && /^bearer /i.test(header) ? header.slice(7).trim() : null;
}
