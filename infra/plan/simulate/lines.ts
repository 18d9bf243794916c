/**
 * Where people stand: in the line of a moment to come, of the front, or of a bucket. Nobody stands in two, so one link a person is
 * enough for all lines together, and no request is an object.
 */
export class Lines {
  readonly #next: Int32Array;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;
  readonly length: Int32Array;

  constructor(people: { next: Int32Array }, lines: number) {
    this.#next = people.next;
    this.#head = new Int32Array(lines).fill(-1);
    this.#tail = new Int32Array(lines).fill(-1);
    this.length = new Int32Array(lines);
  }

  push(line: number, person: number): void {
    this.#next[person] = -1;
    const last = this.#tail[line]!;
    if (last === -1) this.#head[line] = person;
    else this.#next[last] = person;
    this.#tail[line] = person;
    this.length[line]! += 1;
  }

  /** -1: nobody stands there. */
  shift(line: number): number {
    const person = this.#head[line]!;
    if (person === -1) return -1;
    const next = this.#next[person]!;
    this.#head[line] = next;
    if (next === -1) this.#tail[line] = -1;
    this.length[line]! -= 1;
    return person;
  }
}
