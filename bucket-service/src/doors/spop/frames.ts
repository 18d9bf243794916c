/**
 * SPOP 2.0 on the wire (doc/SPOE.txt 3, of HAProxy 2.6 and 3.x): the words of the protocol, and all frames but the two
 * of the hot path, which are in notify.ts and ack.ts.
 *
 *     4 bytes length | type | 4 bytes flags | stream-id | frame-id | payload
 *
 * Reading never throws: what strangers send is answered by a status, not by an exception.
 */
import { type Cursor, readVarint, skipVarint, varintBytes, writeVarint } from "./varint.ts";

export const FrameType = {
  haproxyHello: 1,
  haproxyDisconnect: 2,
  notify: 3,
  agentHello: 101,
  agentDisconnect: 102,
  ack: 103,
} as const;

/** The frame is whole. HAProxy cannot read fragments, and sends them only to agents that offer to. */
export const FLAG_FIN = 1;

export const DataType = {
  null: 0,
  bool: 1,
  int32: 2,
  uint32: 3,
  int64: 4,
  uint64: 5,
  ipv4: 6,
  ipv6: 7,
  string: 8,
  binary: 9,
} as const;
export const DATA_TYPE_MASK = 0x0f;
export const DATA_TRUE = 0x10;

/** Why a connection ends: the codes of doc/SPOE.txt 3.5 that an agent needs, and from 100 on our own. */
export const Status = {
  normal: 0,
  timeout: 2,
  tooBig: 3,
  invalid: 4,
  noVersion: 5,
  noFrameSize: 6,
  noCapabilities: 7,
  badVersion: 8,
  badFrameSize: 9,
  noFragments: 10,
  resources: 13,
  unknown: 99,
  refused: 100,
} as const;
export type StatusCode = (typeof Status)[keyof typeof Status];

const STATUS_TEXTS: Readonly<Record<StatusCode, string>> = {
  [Status.normal]: "normal",
  [Status.timeout]: "a timeout occurred",
  [Status.tooBig]: "frame is too big",
  [Status.invalid]: "invalid frame received",
  [Status.noVersion]: "version value not found",
  [Status.noFrameSize]: "max-frame-size value not found",
  [Status.noCapabilities]: "capabilities value not found",
  [Status.badVersion]: "unsupported version",
  [Status.badFrameSize]: "max-frame-size too big or too small",
  [Status.noFragments]: "fragmentation not supported",
  [Status.resources]: "resource allocation error",
  [Status.unknown]: "an unknown error occurred",
  [Status.refused]: "the secret is wrong",
};

export function statusText(status: StatusCode): string {
  return STATUS_TEXTS[status];
}

/** Bytes of the length that stands before each frame. */
export const LENGTH_BYTES = 4;
/** Type, flags and two varints of one byte each. */
export const FRAME_BYTES_MIN = 7;
/** Every peer must be able to take a frame of this size. */
export const FRAME_BYTES_MAX_LEAST = 256;
/** What we take at most: HAProxy's own default (its buffer of 16,384 without the length). A question has 300 bytes. */
export const FRAME_BYTES_MAX = 16_380;

const VERSION = "2.0";
/** What we can do, when HAProxy offers it. Later HAProxy offers pipelining only. */
const CAPABILITIES = ["pipelining", "async"];

/** What HAProxy says first. */
export interface Hello {
  /** Largest frame that both sides take. */
  frameBytesMax: number;
  /** What both can do. */
  capabilities: string[];
  /** Only wants to know whether we are there. */
  healthCheck: boolean;
}

/** The length of the text or bytes under the cursor, which then stands on its first byte; -1 when it does not fit. */
export function readLength(cursor: Cursor): number {
  const length = readVarint(cursor);
  return length >= 0 && length <= cursor.end - cursor.at ? length : -1;
}

/** Moves past a typed value. False when it is cut off or of an unknown type. */
export function skipTyped(cursor: Cursor): boolean {
  if (cursor.at >= cursor.end) return false;
  const type = cursor.buffer[cursor.at++]! & DATA_TYPE_MASK;
  switch (type) {
    case DataType.null:
    case DataType.bool:
      return true;
    case DataType.int32:
    case DataType.uint32:
    case DataType.int64:
    case DataType.uint64:
      return skipVarint(cursor);
    case DataType.ipv4:
      return skipBytes(cursor, 4);
    case DataType.ipv6:
      return skipBytes(cursor, 16);
    case DataType.string:
    case DataType.binary:
      return skipBytes(cursor, readLength(cursor));
    default:
      return false;
  }
}

function skipBytes(cursor: Cursor, count: number): boolean {
  if (count < 0 || count > cursor.end - cursor.at) return false;
  cursor.at += count;
  return true;
}

type TypedValue = string | number | boolean | null;

/** A typed value of the cold frames; undefined when it is damaged or of a type that they do not use. */
function readTyped(cursor: Cursor): TypedValue | undefined {
  const start = cursor.at;
  const byte = cursor.buffer[start]!;
  if (!skipTyped(cursor)) return undefined;
  const after = cursor.at;
  cursor.at = start + 1;
  switch (byte & DATA_TYPE_MASK) {
    case DataType.null:
      return null;
    case DataType.bool:
      return (byte & DATA_TRUE) !== 0;
    case DataType.int32:
    case DataType.uint32:
    case DataType.int64:
    case DataType.uint64: {
      const value = readVarint(cursor);
      cursor.at = after;
      return value;
    }
    case DataType.string: {
      readLength(cursor);
      const text = cursor.buffer.toString("latin1", cursor.at, after);
      cursor.at = after;
      return text;
    }
    default:
      cursor.at = after;
      return null;
  }
}

/** A list of names and values up to the frame's end, or null when it is damaged. A name that comes again wins. */
export function readPairs(cursor: Cursor): Map<string, TypedValue> | null {
  const pairs = new Map<string, TypedValue>();
  while (cursor.at < cursor.end) {
    const length = readLength(cursor);
    if (length <= 0) return null;
    const name = cursor.buffer.toString("latin1", cursor.at, cursor.at + length);
    cursor.at += length;
    const value = readTyped(cursor);
    if (value === undefined) return null;
    pairs.set(name, value);
  }
  return pairs;
}

/** The payload of HAPROXY-HELLO, or the status to refuse it with. */
export function readHello(cursor: Cursor): Hello | StatusCode {
  const pairs = readPairs(cursor);
  if (pairs === null) return Status.invalid;
  const versions = pairs.get("supported-versions");
  const frameBytesMax = pairs.get("max-frame-size");
  const capabilities = pairs.get("capabilities");
  if (versions === undefined) return Status.noVersion;
  if (frameBytesMax === undefined) return Status.noFrameSize;
  if (capabilities === undefined) return Status.noCapabilities;
  if (typeof versions !== "string" || typeof frameBytesMax !== "number" || typeof capabilities !== "string") {
    return Status.invalid;
  }
  if (!versions.split(",").some((version) => /^\s*2\.\d{1,3}\s*$/.test(version))) return Status.badVersion;
  if (frameBytesMax < FRAME_BYTES_MAX_LEAST) return Status.badFrameSize;
  const offered = capabilities.split(",").map((name) => name.trim());
  return {
    frameBytesMax: Math.min(frameBytesMax, FRAME_BYTES_MAX),
    capabilities: CAPABILITIES.filter((name) => offered.includes(name)),
    healthCheck: pairs.get("healthcheck") === true,
  };
}

/** The whole AGENT-HELLO frame that agrees with HAProxy's. */
export function agentHello(hello: Hello): Buffer {
  return controlFrame(FrameType.agentHello, [
    ["version", VERSION],
    ["max-frame-size", hello.frameBytesMax],
    ["capabilities", hello.capabilities.join(",")],
  ]);
}

/** The whole AGENT-DISCONNECT frame. */
export function agentDisconnect(status: StatusCode): Buffer {
  return controlFrame(FrameType.agentDisconnect, [
    ["status-code", status],
    ["message", STATUS_TEXTS[status]],
  ]);
}

/** A frame of names with texts or 32-bit integers, on no stream; for both sides of a connection. */
export function controlFrame(
  type: number,
  pairs: readonly (readonly [string, string | number | boolean])[],
): Buffer {
  const parts = pairs.flatMap(([name, value]) => [text(name), typed(value)]);
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(LENGTH_BYTES + FRAME_BYTES_MIN);
  head.writeUInt32BE(FRAME_BYTES_MIN + payload.length, 0);
  head[LENGTH_BYTES] = type;
  head.writeUInt32BE(FLAG_FIN, LENGTH_BYTES + 1);
  return Buffer.concat([head, payload]);
}

function typed(value: string | number | boolean): Buffer {
  if (typeof value === "string") return Buffer.concat([Buffer.of(DataType.string), text(value)]);
  if (typeof value === "boolean") return Buffer.of(DataType.bool | (value ? DATA_TRUE : 0));
  return Buffer.concat([Buffer.of(DataType.uint32), varint(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(varintBytes(value));
  writeVarint(bytes, 0, value);
  return bytes;
}
