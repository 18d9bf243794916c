/**
 * HAProxy's variable-length integers ("Peers encoding", doc/SPOE.txt 3.1): one byte below 240, else four bits in the
 * first byte and seven in each later one, where a byte of 128 or more says that another follows.
 */

/** 64 bits take this many bytes; a longer one is damaged. */
export const VARINT_BYTES_MAX = 10;

/**
 * A place in bytes that were received. What reads from it moves `at`, never past `end`. One cursor serves a connection for
 * all its frames, so that reading allocates nothing.
 */
export class Cursor {
  buffer: Buffer;
  at: number;
  end: number;

  constructor(buffer: Buffer, at = 0, end = buffer.length) {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
  }
}

/** The integer under the cursor, or -1 when it is cut off, damaged, or above 2^53 - 1. */
export function readVarint(cursor: Cursor): number {
  const { buffer, end } = cursor;
  let at = cursor.at;
  if (at >= end) return -1;
  let value = buffer[at++]!;
  if (value >= 240) {
    const last = Math.min(end, cursor.at + VARINT_BYTES_MAX);
    let weight = 16;
    let byte = 128;
    while (byte >= 128) {
      if (at >= last) return -1;
      byte = buffer[at++]!;
      // Not a shift: the weights go beyond 32 bits.
      value += byte * weight;
      weight *= 128;
    }
    if (value > Number.MAX_SAFE_INTEGER) return -1;
  }
  cursor.at = at;
  return value;
}

/** Moves past an integer of up to 64 bits, whatever its value. False when it is cut off or damaged. */
export function skipVarint(cursor: Cursor): boolean {
  const { buffer, end } = cursor;
  let at = cursor.at;
  if (at >= end) return false;
  if (buffer[at++]! >= 240) {
    const last = Math.min(end, cursor.at + VARINT_BYTES_MAX);
    do if (at >= last) return false;
    while (buffer[at++]! >= 128);
  }
  cursor.at = at;
  return true;
}

/** Writes an integer from 0 to 2^53 - 1; the caller has made room for VARINT_BYTES_MAX. Returns where it ends. */
export function writeVarint(buffer: Buffer, at: number, value: number): number {
  if (value < 240) {
    buffer[at] = value;
    return at + 1;
  }
  // The low eight bits of a number above 32 bits still come out right of `|`.
  buffer[at++] = value | 240;
  let rest = Math.floor((value - 240) / 16);
  while (rest >= 128) {
    buffer[at++] = rest | 128;
    rest = Math.floor((rest - 128) / 128);
  }
  buffer[at] = rest;
  return at + 1;
}

/** How many bytes writeVarint takes for this value. */
export function varintBytes(value: number): number {
  if (value < 240) return 1;
  let bytes = 2;
  for (let rest = Math.floor((value - 240) / 16); rest >= 128; rest = Math.floor((rest - 128) / 128))
    bytes += 1;
  return bytes;
}
