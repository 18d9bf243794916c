/** A set of IDs in lo … lo + count - 1, one bit each. Adding what lies outside is a fault of the caller. */
export class IdSet {
  readonly #lo: number;
  readonly #bits: Uint8Array;

  constructor(lo: number, count: number) {
    this.#lo = lo;
    this.#bits = new Uint8Array((count + 7) >> 3);
  }

  add(id: number): void {
    const index = id - this.#lo;
    this.#bits[index >> 3]! |= 1 << (index & 7);
  }

  has(id: number): boolean {
    const index = id - this.#lo;
    return (
      index >= 0 && index >> 3 < this.#bits.length && (this.#bits[index >> 3]! & (1 << (index & 7))) !== 0
    );
  }
}
