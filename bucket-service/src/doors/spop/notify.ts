import type { GrabAsk } from "../../grab/grab-core.ts";
import { DATA_TYPE_MASK, DataType, readLength, skipTyped } from "./frames.ts";
import type { SpopSecret } from "./secret.ts";
import { type Cursor, readVarint } from "./varint.ts";

/** The message that HAProxy sends for a grab, and its arguments in the order in which our configuration sends them. */
export const GRAB_MESSAGE = "grab";
export const GRAB_ARGUMENTS = ["secret", "round", "user", "key", "n"] as const;

/**
 * What a NOTIFY frame turned out to be: a grab; nothing that we can answer, so that HAProxy gets no variables and goes its
 * other way; a grab without the right secret; or damaged.
 */
export type NotifyKind = "grab" | "other" | "refused" | "damaged";

const message = Buffer.from(GRAB_MESSAGE);
const names = GRAB_ARGUMENTS.map((name) => Buffer.from(name));
const [secretName, roundName, userName, keyName, ordinalName] = names as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];

/**
 * Reads the messages of a NOTIFY frame into `ask`, which is only of use when the result is "grab". A user who is missing or
 * has no valid ID is "", an `n` that is no whole number is NaN: what the HTTP door makes of the same request.
 */
export function readGrab(cursor: Cursor, secret: SpopSecret, ask: GrabAsk): NotifyKind {
  let kind: NotifyKind = "other";
  while (cursor.at < cursor.end) {
    const length = readLength(cursor);
    if (length < 0 || cursor.at + length >= cursor.end) return "damaged";
    const isGrab = isName(cursor, length, message);
    cursor.at += length;
    const count = cursor.buffer[cursor.at++]!;
    if (isGrab) {
      kind = readArguments(cursor, count, secret, ask);
      if (kind === "refused" || kind === "damaged") return kind;
    } else if (!skipArguments(cursor, count)) return "damaged";
  }
  return kind;
}

function skipArguments(cursor: Cursor, count: number): boolean {
  for (let i = 0; i < count; i += 1) {
    const length = readLength(cursor);
    if (length < 0) return false;
    cursor.at += length;
    if (!skipTyped(cursor)) return false;
  }
  return true;
}

function readArguments(cursor: Cursor, count: number, secret: SpopSecret, ask: GrabAsk): NotifyKind {
  const { buffer } = cursor;
  let isProven = false;
  ask.round = -1;
  ask.user = "";
  ask.key = "";
  ask.n = 1;
  for (let i = 0; i < count; i += 1) {
    const length = readLength(cursor);
    if (length < 0) return "damaged";
    const nameAt = cursor.at;
    const valueAt = nameAt + length;
    cursor.at = valueAt;
    if (!skipTyped(cursor)) return "damaged";
    const end = cursor.at;
    cursor.at = nameAt;
    if (isName(cursor, length, secretName)) {
      const start = textAt(cursor, valueAt);
      isProven = start >= 0 && secret.fits(buffer, start, end);
    } else if (isName(cursor, length, roundName)) {
      const round = readWhole(cursor, valueAt, end, 2);
      ask.round = Number.isNaN(round) ? -1 : round;
    } else if (isName(cursor, length, userName)) {
      const start = textAt(cursor, valueAt);
      ask.user = start >= 0 && isUser(buffer, start, end) ? buffer.toString("latin1", start, end) : "";
    } else if (isName(cursor, length, keyName)) {
      const start = textAt(cursor, valueAt);
      ask.key = start < 0 ? "" : keyText(buffer, start, end);
    } else if (isName(cursor, length, ordinalName)) {
      const isAbsent = (buffer[valueAt]! & DATA_TYPE_MASK) === DataType.null;
      ask.n = isAbsent ? 1 : readOrdinal(cursor, valueAt, end);
    }
    cursor.at = end;
  }
  if (!isProven) return "refused";
  return ask.round < 0 ? "other" : "grab";
}

let lastKeyBytes = Buffer.alloc(0);
let lastKey = "";

/** Everybody in a round sends the same key, so its text need not be made anew for each. */
function keyText(buffer: Buffer, start: number, end: number): string {
  let at = end - start === lastKeyBytes.length ? start : end + 1;
  while (at < end && buffer[at] === lastKeyBytes[at - start]) at += 1;
  if (at === end) return lastKey;
  lastKeyBytes = Buffer.from(buffer.subarray(start, end));
  return (lastKey = buffer.toString("latin1", start, end));
}

/** Whether the bytes under the cursor are this name. */
function isName(cursor: Cursor, length: number, name: Buffer): boolean {
  if (length !== name.length) return false;
  const { buffer, at } = cursor;
  for (let i = 0; i < length; i += 1) if (buffer[at + i] !== name[i]) return false;
  return true;
}

/** Where the text of the typed value begins; -1 when the value is no text. The value was skipped before, so it is whole. */
function textAt(cursor: Cursor, valueAt: number): number {
  if ((cursor.buffer[valueAt]! & DATA_TYPE_MASK) !== DataType.string) return -1;
  cursor.at = valueAt + 1;
  readVarint(cursor);
  return cursor.at;
}

/** A number from 0 in decimal digits, or an integer; NaN when it is neither or has more digits. */
function readWhole(cursor: Cursor, valueAt: number, end: number, digitsMax: number): number {
  const { buffer } = cursor;
  const start = textAt(cursor, valueAt);
  if (start < 0) return readInteger(cursor, valueAt, 10 ** digitsMax);
  if (end === start || end - start > digitsMax) return Number.NaN;
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const digit = buffer[at]! - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

function readInteger(cursor: Cursor, valueAt: number, below: number): number {
  const type = cursor.buffer[valueAt]! & DATA_TYPE_MASK;
  if (type < DataType.int32 || type > DataType.uint64) return Number.NaN;
  cursor.at = valueAt + 1;
  const value = readVarint(cursor);
  return value >= 0 && value < below ? value : Number.NaN;
}

/** From 1, without leading zeros, as in the URL. */
function readOrdinal(cursor: Cursor, valueAt: number, end: number): number {
  const value = readWhole(cursor, valueAt, end, 6);
  const start = textAt(cursor, valueAt);
  return value === 0 || (start >= 0 && cursor.buffer[start] === 48) ? Number.NaN : value;
}

/** 1 for the bytes that a user ID may consist of. */
const USER_BYTES = new Uint8Array(256);
for (const letter of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") {
  USER_BYTES[letter.charCodeAt(0)] = 1;
}
const USER_LENGTH_MAX = 64;

function isUser(bytes: Buffer, start: number, end: number): boolean {
  if (end === start || end - start > USER_LENGTH_MAX) return false;
  for (let at = start; at < end; at += 1) if (USER_BYTES[bytes[at]!] === 0) return false;
  return true;
}
