/**
 * Randomness that can be made again: the keystream of AES-256 in counter mode, keyed by a round's seed. Whoever
 * knows the seed gets the same numbers; who does not cannot tell them from chance (NIST SP 800-38A, 800-90A).
 */
import { createCipheriv, createHash, createHmac } from "node:crypto";
import { endianness } from "node:os";

// Packs and keystreams are little-endian; so is every machine that Node 24 is shipped for, s390x apart.
if (endianness() !== "LE") throw new Error("hongbao packs need a little-endian machine");

const SEED_BYTES = 32;
const ZEROS = Buffer.alloc(64 * 1024);

/** What a stream is for; streams of different purposes have nothing in common. */
export const PURPOSE = { amounts: 1, greetings: 2 } as const;

/** The seed of a round: HMAC-SHA256(master seed, "round:1"). Revealing it says nothing about other rounds. */
export function roundSeed(masterSeed: Buffer, roundId: number): Buffer {
  return createHmac("sha256", masterSeed).update(`round:${roundId}`).digest();
}

/** What is published before the event: SHA-256 of the round's seed bytes, in hex. */
export function commitmentOf(seed: Buffer): string {
  return createHash("sha256").update(seed).digest("hex");
}

/** One stream of random numbers, set apart from others of the same seed by purpose, part and block. */
export class Keystream {
  readonly #cipher;
  #words = new Uint32Array(0);
  #next = 0;

  /** `seed` has 32 bytes; part and block are below 2^16 and 2^32. */
  constructor(seed: Buffer, purpose: number, part: number, block: number) {
    if (seed.length !== SEED_BYTES)
      throw new RangeError(`a seed has ${SEED_BYTES} bytes, not ${seed.length}`);
    const counter = Buffer.alloc(16);
    counter.writeUInt16BE(purpose, 0);
    counter.writeUInt16BE(part, 2);
    counter.writeUInt32BE(block, 4);
    this.#cipher = createCipheriv("aes-256-ctr", seed, counter);
  }

  /** A whole number from 0 to 2^32 - 1. */
  word(): number {
    if (this.#next === this.#words.length) this.#refill();
    return this.#words[this.#next++]!;
  }

  /** A number between 0 and 1, neither of them, with 53 random bits. */
  unit(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 67_108_864 + low + 0.5) / 9_007_199_254_740_992;
  }

  /** A whole number from 0 to n - 1; the bias is below n / 2^53. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  #refill(): void {
    const bytes = this.#cipher.update(ZEROS);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.#next = 0;
  }
}
