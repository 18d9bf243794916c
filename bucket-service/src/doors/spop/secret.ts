/** The secret by which HAProxy proves itself in each message: the current one and, while it is changed, the previous one. */
export class SpopSecret {
  readonly #accepted: readonly Buffer[];

  /** @param secrets at least one. */
  constructor(secrets: readonly string[]) {
    this.#accepted = secrets.map((secret) => Buffer.from(secret));
  }

  /** Whether the bytes from `start` to `end` are one of them. The time tells which length fits, and nothing else. */
  fits(bytes: Buffer, start: number, end: number): boolean {
    for (const secret of this.#accepted) if (sameBytes(secret, bytes, start, end)) return true;
    return false;
  }
}

/**
 * Compares in constant time, where the bytes lie: crypto.timingSafeEqual would need an object for the part of the frame.
 * Every byte is looked at, and no branch depends on one.
 */
function sameBytes(expected: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== expected.length) return false;
  let difference = 0;
  for (let i = 0; i < expected.length; i += 1) difference |= expected[i]! ^ bytes[start + i]!;
  return difference === 0;
}
