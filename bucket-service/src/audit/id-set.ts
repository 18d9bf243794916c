import { countOf, runWith, type Run } from "../moves/runs.ts";

/** A set of IDs out of some runs, one bit each. Adding what lies outside of them is a fault of the caller. */
export class IdSet {
  readonly #runs: readonly Run[];
  /** For each run the place of its first ID's bit. */
  readonly #offsets: number[] = [];
  readonly #bits: Uint8Array;
  /** The run that was asked for last: IDs come in order. */
  #last = 0;

  /** @param runs sorted by lo and disjoint. */
  constructor(runs: readonly Run[]) {
    this.#runs = runs;
    let offset = 0;
    for (const { count } of runs) {
      this.#offsets.push(offset);
      offset += count;
    }
    this.#bits = new Uint8Array((countOf(runs) + 7) >> 3);
  }

  add(id: number): void {
    const place = this.#placeOf(id);
    if (place < 0) throw new RangeError(`ID ${id} is outside of the set`);
    this.#bits[place >> 3]! |= 1 << (place & 7);
  }

  /** Whether the ID is of these runs. */
  covers(id: number): boolean {
    return this.#placeOf(id) >= 0;
  }

  has(id: number): boolean {
    const place = this.#placeOf(id);
    return place >= 0 && (this.#bits[place >> 3]! & (1 << (place & 7))) !== 0;
  }

  /** The IDs of the set, rising. */
  *[Symbol.iterator](): Generator<number> {
    for (const [index, { lo, count }] of this.#runs.entries()) {
      const offset = this.#offsets[index]!;
      for (let i = 0; i < count; i += 1) {
        const place = offset + i;
        const byte = this.#bits[place >> 3]!;
        // Empty bytes are most of a sparse set.
        if (byte === 0) i += 7 - (place & 7);
        else if ((byte & (1 << (place & 7))) !== 0) yield lo + i;
      }
    }
  }

  #placeOf(id: number): number {
    const last = this.#runs[this.#last];
    if (last === undefined || id < last.lo || id >= last.lo + last.count) {
      const found = runWith(this.#runs, id);
      if (found < 0) return -1;
      this.#last = found;
    }
    return this.#offsets[this.#last]! + id - this.#runs[this.#last]!.lo;
  }
}
