/**
 * Users in few bytes: records one after the other, found by a hash table with open addressing.
 *
 * A record is `u8 length, the ID's bytes (ASCII), u16 group (little-endian)`; the first one begins at byte 4,
 * after the count of records, so that 0 means "empty" in the hash table. This is also the format of a pack's
 * users files, which are therefore used as they are, without an object or a string per user.
 */
import { BadInput } from "./errors.ts";

const HEADER_BYTES = 4;
const ID_BYTES_MAX = 64;
const RECORD_BYTES_MAX = 1 + ID_BYTES_MAX + 2;
/** Offsets are 32-bit. */
const FILE_BYTES_MAX = 0xffff_ffff;

/** FNV-1a over the (ASCII) characters, mixed so that the low bits depend on all of them. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 0;
}

/** A growing or a finished set of users. `slots` holds the offset of a record, 0 where there is none. */
export class UserRecords {
  #bytes: Buffer;
  #used = HEADER_BYTES;
  #size = 0;
  #slots: Uint32Array;

  /** An empty set with room for about `usersExpected`. */
  constructor(usersExpected = 1024) {
    this.#bytes = Buffer.alloc(HEADER_BYTES + usersExpected * 16);
    this.#slots = new Uint32Array(slotsFor(usersExpected));
  }

  /** Takes over the content of a users file. Throws BadInput naming `where` when it is not one. */
  static fromFile(bytes: Buffer, where: string): UserRecords {
    const count = bytes.length >= HEADER_BYTES ? bytes.readUInt32LE(0) : -1;
    const records = new UserRecords(0);
    records.#bytes = bytes;
    records.#slots = new Uint32Array(slotsFor(Math.max(0, Math.min(count, bytes.length))));
    while (records.#used < bytes.length) {
      const length = bytes[records.#used]!;
      const end = records.#used + 1 + length + 2;
      if (length === 0 || length > ID_BYTES_MAX || end > bytes.length || records.#size === count) break;
      const slot = records.#slotOf(records.#idAt(records.#used));
      if (records.#slots[slot] !== 0) break;
      records.#slots[slot] = records.#used;
      records.#used = end;
      records.#size++;
    }
    if (records.#size !== count || records.#used !== bytes.length) {
      throw new BadInput(
        `${where}: found a damaged record at byte ${records.#used}, expected ${count} users`,
      );
    }
    return records;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory that the set holds. */
  get memoryBytes(): number {
    return this.#bytes.length + this.#slots.byteLength;
  }

  /** Adds a user; false when the ID is there already. The ID must be valid (isUserId). */
  add(id: string, group: number): boolean {
    if (this.#size * 2 >= this.#slots.length) this.#growSlots();
    const slot = this.#slotOf(id);
    if (this.#slots[slot] !== 0) return false;
    if (this.#used + RECORD_BYTES_MAX > this.#bytes.length) this.#growBytes();
    this.#slots[slot] = this.#used;
    this.#bytes[this.#used] = id.length;
    this.#bytes.write(id, this.#used + 1, "latin1");
    this.#bytes.writeUInt16LE(group, this.#used + 1 + id.length);
    this.#used += 1 + id.length + 2;
    this.#size++;
    return true;
  }

  /** The group of a user, -1 when unknown. */
  groupOf(id: string): number {
    const offset = this.#slots[this.#slotOf(id)]!;
    if (offset === 0) return -1;
    const at = offset + 1 + id.length;
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8);
  }

  /** The position (0, 1, …) at which a user was added, -1 when unknown. Walks the records. */
  indexOf(id: string): number {
    let index = 0;
    for (const user of this) {
      if (user.id === id) return index;
      index++;
    }
    return -1;
  }

  /** In the order in which they were added. */
  *[Symbol.iterator](): Generator<{ id: string; group: number }> {
    for (let at = HEADER_BYTES; at < this.#used;) {
      const end = at + 1 + this.#bytes[at]!;
      yield { id: this.#idAt(at), group: this.#bytes.readUInt16LE(end) };
      at = end + 2;
    }
  }

  /** The content of a users file; shares memory with this set. */
  toFile(): Buffer {
    this.#bytes.writeUInt32LE(this.#size, 0);
    return this.#bytes.subarray(0, this.#used);
  }

  #idAt(offset: number): string {
    return this.#bytes.toString("latin1", offset + 1, offset + 1 + this.#bytes[offset]!);
  }

  /** The slot that holds the ID, or the empty one where it would go. The table is never full. */
  #slotOf(id: string): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(id) & mask;
    for (;;) {
      const offset = this.#slots[slot]!;
      if (offset === 0 || this.#isAt(offset, id)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isAt(offset: number, id: string): boolean {
    const bytes = this.#bytes;
    if (bytes[offset] !== id.length) return false;
    for (let i = 0; i < id.length; i++) if (bytes[offset + 1 + i] !== id.charCodeAt(i)) return false;
    return true;
  }

  #growSlots(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let at = HEADER_BYTES; at < this.#used; at += 1 + this.#bytes[at]! + 2) {
      this.#slots[this.#slotOf(this.#idAt(at))] = at;
    }
  }

  #growBytes(): void {
    const bytes = Buffer.alloc(Math.min(this.#bytes.length * 2, FILE_BYTES_MAX) + RECORD_BYTES_MAX);
    this.#bytes.copy(bytes, 0, 0, this.#used);
    this.#bytes = bytes;
  }
}

/** A power of two that stays at most half full, so that a search ends after a step or two. */
function slotsFor(users: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(8, users * 2)));
}
