/** HAProxy's side of SPOP, for tests: written from doc/SPOE.txt, and apart from the agent's code but for the varint. */
import { connect, type Socket } from "node:net";
import { Cursor, readVarint, varintBytes, writeVarint } from "../../src/doors/spop/varint.ts";

export type Value = string | number | boolean | null;
export interface Frame {
  type: number;
  flags: number;
  streamId: number;
  frameId: number;
  payload: Buffer;
}

export function varint(value: number): Buffer {
  const bytes = Buffer.alloc(varintBytes(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(bytes.length), bytes]);
}

export function typed(value: Value): Buffer {
  if (value === null) return Buffer.of(0);
  if (typeof value === "boolean") return Buffer.of(value ? 0x11 : 0x01);
  if (typeof value === "number") return Buffer.concat([Buffer.of(3), varint(value)]);
  return Buffer.concat([Buffer.of(8), text(value)]);
}

export function pairs(entries: Record<string, Value>): Buffer {
  return Buffer.concat(Object.entries(entries).flatMap(([name, value]) => [text(name), typed(value)]));
}

/** A whole frame with its length. */
export function frame(
  type: number,
  payload: Buffer,
  { streamId = 0, frameId = 0, flags = 1 }: { streamId?: number; frameId?: number; flags?: number } = {},
): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(flags, 1);
  const body = Buffer.concat([head, varint(streamId), varint(frameId), payload]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

export function hello(entries: Record<string, Value> = {}): Buffer {
  return frame(
    1,
    pairs({
      "supported-versions": "2.0",
      "max-frame-size": 16_380,
      capabilities: "pipelining,async",
      "engine-id": "A-B-C",
      ...entries,
    }),
  );
}

export function message(name: string, args: Record<string, Value>): Buffer {
  return Buffer.concat([text(name), Buffer.of(Object.keys(args).length), pairs(args)]);
}

export function notify(streamId: number, args: Record<string, Value>, frameId = 1): Buffer {
  return frame(3, message("grab", args), { streamId, frameId });
}

/** Takes whole frames off the front of the bytes. */
export function takeFrames(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 4) {
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    const cursor = new Cursor(bytes, at + 9, end);
    const streamId = readVarint(cursor);
    const frameId = readVarint(cursor);
    frames.push({
      type: bytes[at + 4]!,
      flags: bytes.readUInt32BE(at + 5),
      streamId,
      frameId,
      payload: bytes.subarray(cursor.at, end),
    });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

function readText(cursor: Cursor): string {
  const length = readVarint(cursor);
  const value = cursor.buffer.toString("utf8", cursor.at, cursor.at + length);
  cursor.at += length;
  return value;
}

function readTyped(cursor: Cursor): Value {
  const byte = cursor.buffer[cursor.at]!;
  cursor.at += 1;
  const type = byte & 15;
  if (type === 0) return null;
  if (type === 1) return (byte & 16) !== 0;
  if (type >= 2 && type <= 5) return readVarint(cursor);
  if (type === 8 || type === 9) return readText(cursor);
  throw new Error(`a value of type ${type}`);
}

export function readPairs(payload: Buffer): Record<string, Value> {
  const cursor = new Cursor(payload);
  const found: Record<string, Value> = {};
  while (cursor.at < cursor.end) {
    const name = readText(cursor);
    found[name] = readTyped(cursor);
  }
  return found;
}

/** The variables that an ACK sets, by `scope.name`; 2 is txn. */
export function readActions(payload: Buffer): Record<string, Value> {
  const cursor = new Cursor(payload);
  const found: Record<string, Value> = {};
  while (cursor.at < cursor.end) {
    const [action, count, scope] = payload.subarray(cursor.at, cursor.at + 3);
    if (action !== 1 || count !== 3) throw new Error(`action ${action} with ${count} arguments`);
    cursor.at += 3;
    const name = readText(cursor);
    found[`${scope === 2 ? "txn" : scope}.${name}`] = readTyped(cursor);
  }
  return found;
}

/** A connection to an agent. Frames are taken in the order in which they come. */
export class SpopClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #wake: (() => void)[] = [];
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      const { frames, rest } = takeFrames(Buffer.concat([this.#rest, chunk]));
      this.#rest = Buffer.from(rest);
      this.frames.push(...frames);
      this.#rouse();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
      this.#rouse();
    });
  }

  static open(port: number): Promise<SpopClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true }, () =>
        resolve(new SpopClient(socket)),
      );
      socket.once("error", reject);
    });
  }

  /** Connected and greeted. */
  static async ready(port: number, entries: Record<string, Value> = {}): Promise<SpopClient> {
    const client = await SpopClient.open(port);
    client.socket.write(hello(entries));
    const answer = await client.next();
    if (answer?.type !== 101) throw new Error(`expected AGENT-HELLO, found ${answer?.type}`);
    return client;
  }

  #rouse(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** The next frame, or null when the connection has closed. */
  async next(): Promise<Frame | null> {
    while (this.frames.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.frames.shift() ?? null;
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  async ask(streamId: number, args: Record<string, Value>): Promise<Record<string, Value> | null> {
    this.socket.write(notify(streamId, args));
    const answer = await this.next();
    return answer?.type === 103 ? readActions(answer.payload) : null;
  }

  end(): void {
    this.socket.destroy();
  }
}
