import type { Socket } from "node:net";
import type { AnswerWord } from "../../grab/answers.ts";
import { ACK_BYTES_MAX, writeAnswer, writeNoAnswer } from "./ack.ts";
import {
  agentDisconnect,
  agentHello,
  FLAG_FIN,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  FrameType,
  LENGTH_BYTES,
  readHello,
  Status,
  type StatusCode,
} from "./frames.ts";
import { Cursor, readVarint } from "./varint.ts";

/** What a connection may hold. */
export const connectionPolicy = {
  /** Answers of one turn are gathered in one write of up to this size. */
  outBytesFirst: 4 * 1024,
  outBytesMax: 64 * 1024,
  /** A peer that leaves more than this unread is cut off. */
  unreadBytesMax: 1024 * 1024,
} as const;

/**
 * One connection from HAProxy.
 *
 *     hello ──HAPROXY-HELLO──> open ──last answer is out, or a fault──> closing ──peer closed, or swept──> closed
 *       └───────health check, or a fault────────────────────────────────^
 *
 * In `closing` AGENT-DISCONNECT was written; what still arrives is read and thrown away, because closing a socket with
 * unread bytes would reset it, and the peer might lose what was written before.
 */
export type ConnectionState = "hello" | "open" | "closing" | "closed";

/** What a connection tells the agent that it belongs to. */
export interface ConnectionOwner {
  /** Bytes have arrived; the frames in them follow. */
  heard(connection: Connection): void;
  notify(connection: Connection, cursor: Cursor, streamId: number, frameId: number): void;
  /** False while the agent drains: HAProxy then takes this server out. */
  isHealthy(): boolean;
  /** There is something to flush at the end of the turn. */
  wrote(connection: Connection): void;
  ended(connection: Connection, status: StatusCode): void;
  closed(connection: Connection): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #cursor = new Cursor(Buffer.alloc(0));
  #state: ConnectionState = "hello";
  #frameBytesMax = FRAME_BYTES_MAX;
  /** The beginning of a frame whose rest has not arrived; allocated when a frame is split for the first time. */
  #carry: Buffer | null = null;
  #carried = 0;
  #out: Buffer | null = null;
  #outLength = 0;
  /** Questions of this connection that wait for an answer. */
  waiting = 0;
  /** A question came with the right secret. */
  isProven = false;
  /** Stands in the agent's list of connections to flush. */
  isDirty = false;
  /** ms of performance.now(), kept by the agent. */
  readonly openedAtMs: number;
  /** From then on it is closed when it has nothing to do. */
  readonly oldAtMs: number;
  heardAtMs: number;
  /** When the frame began that has not arrived whole, or when closing began. */
  sinceMs: number;

  constructor(socket: Socket, owner: ConnectionOwner, nowMs: number, oldAtMs: number) {
    this.#socket = socket;
    this.#owner = owner;
    this.openedAtMs = nowMs;
    this.oldAtMs = oldAtMs;
    this.heardAtMs = nowMs;
    this.sinceMs = nowMs;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // A reset or a broken pipe is the peer's way to go; "close" follows.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#state = "closed";
      owner.closed(this);
    });
  }

  get peer(): string {
    return this.#socket.remoteAddress ?? "nowhere";
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether it waits for the rest of a frame. */
  get isSplit(): boolean {
    return this.#carried > 0;
  }

  /** Reads no further: what arrives from here on HAProxy asks elsewhere when the connection closes. */
  pause(): void {
    this.#socket.pause();
  }

  answer(
    streamId: number,
    frameId: number,
    word: AnswerWord,
    body: string,
    stock: number,
    window: number,
    often: boolean,
  ): void {
    const size = ACK_BYTES_MAX + body.length;
    // An answer that HAProxy cannot take is none: the HTTP door gives it.
    if (size > this.#frameBytesMax) return this.answerNothing(streamId, frameId);
    const out = this.#room(size);
    this.#outLength = writeAnswer(out, this.#outLength, streamId, frameId, word, body, stock, window, often);
  }

  answerNothing(streamId: number, frameId: number): void {
    const out = this.#room(ACK_BYTES_MAX);
    this.#outLength = writeNoAnswer(out, this.#outLength, streamId, frameId);
  }

  /** Writes out what was gathered. The agent calls it once a turn. */
  flush(): void {
    const out = this.#out;
    if (out === null || this.#outLength === 0) return;
    const length = this.#outLength;
    this.#outLength = 0;
    if (this.#state === "closed") return;
    this.#socket.write(out.subarray(0, length));
    const unread = this.#socket.writableLength;
    // Bytes that the kernel has not taken stay where they are, so the buffer is the socket's now.
    if (unread > 0) this.#out = null;
    if (unread > connectionPolicy.unreadBytesMax) this.destroy();
  }

  /** Says why, closes after what was answered, and takes nothing more. */
  close(status: StatusCode, nowMs: number): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    this.flush();
    this.#end(agentDisconnect(status), nowMs);
    this.#owner.ended(this, status);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #end(lastFrame: Buffer, nowMs: number): void {
    this.#state = "closing";
    this.#carry = null;
    this.#carried = 0;
    this.sinceMs = nowMs;
    this.#socket.end(lastFrame);
    this.#socket.resume();
  }

  /** The buffer, with room for so many bytes more. */
  #room(bytes: number): Buffer {
    if (!this.isDirty) this.#owner.wrote(this);
    let out = this.#out;
    if (out !== null && out.length - this.#outLength >= bytes) return out;
    const wanted = this.#outLength + bytes;
    if (
      out === null ||
      (out.length < connectionPolicy.outBytesMax && wanted <= connectionPolicy.outBytesMax)
    ) {
      const size = Math.max(2 ** Math.ceil(Math.log2(wanted)), connectionPolicy.outBytesFirst);
      const larger = Buffer.allocUnsafeSlow(size);
      out?.copy(larger, 0, 0, this.#outLength);
      out = larger;
    } else {
      this.flush();
      out = this.#out ?? Buffer.allocUnsafeSlow(connectionPolicy.outBytesMax);
    }
    this.#out = out;
    return out;
  }

  #read(chunk: Buffer): void {
    this.#owner.heard(this);
    let at = this.#carried > 0 ? this.#complete(chunk) : 0;
    while (this.#isReading() && chunk.length - at >= LENGTH_BYTES) {
      const length = this.#frameLength(chunk, at);
      if (length < 0) return;
      const end = at + LENGTH_BYTES + length;
      if (end > chunk.length) break;
      this.#frame(chunk, at + LENGTH_BYTES, end);
      at = end;
    }
    if (this.#isReading() && at < chunk.length) {
      this.sinceMs = this.heardAtMs;
      this.#keep(chunk, at, chunk.length);
    }
  }

  #isReading(): boolean {
    return this.#state === "hello" || this.#state === "open";
  }

  /** The length of the frame at this place, or -1 when it may not be; then the connection is closing. */
  #frameLength(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at);
    if (length >= FRAME_BYTES_MIN && length <= this.#frameBytesMax) return length;
    this.#fault(length < FRAME_BYTES_MIN ? Status.invalid : Status.tooBig);
    return -1;
  }

  /** Puts the missing bytes to the frame that was split, and handles it when it is whole. Returns how many were used. */
  #complete(chunk: Buffer): number {
    let at = 0;
    if (this.#carried < LENGTH_BYTES) {
      at = Math.min(LENGTH_BYTES - this.#carried, chunk.length);
      this.#keep(chunk, 0, at);
      if (this.#carried < LENGTH_BYTES) return at;
    }
    const carry = this.#carry!;
    const length = this.#frameLength(carry, 0);
    if (length < 0) return chunk.length;
    const end = LENGTH_BYTES + length;
    const missing = Math.min(end - this.#carried, chunk.length - at);
    this.#keep(chunk, at, at + missing);
    if (this.#carried === end) {
      this.#carried = 0;
      this.#frame(carry, LENGTH_BYTES, end);
    }
    return at + missing;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    this.#carry ??= Buffer.allocUnsafeSlow(LENGTH_BYTES + FRAME_BYTES_MAX);
    chunk.copy(this.#carry, this.#carried, start, end);
    this.#carried += end - start;
  }

  #frame(bytes: Buffer, start: number, end: number): void {
    const cursor = this.#cursor;
    cursor.buffer = bytes;
    // Type and flags, of which only the lowest bit matters to us, stand before the IDs.
    cursor.at = start + 5;
    cursor.end = end;
    const streamId = readVarint(cursor);
    const frameId = readVarint(cursor);
    if (streamId < 0 || frameId < 0) return this.#fault(Status.invalid);
    if ((bytes[start + 4]! & FLAG_FIN) === 0) return this.#fault(Status.noFragments);
    const type = bytes[start]!;
    if (this.#state === "hello") {
      if (type !== FrameType.haproxyHello) return this.#fault(Status.invalid);
      return this.#hello(cursor);
    }
    if (type === FrameType.notify) return this.#owner.notify(this, cursor, streamId, frameId);
    // HAProxy says good-bye, and waits for ours.
    this.#fault(type === FrameType.haproxyDisconnect ? Status.normal : Status.invalid);
  }

  #hello(cursor: Cursor): void {
    const hello = readHello(cursor);
    if (typeof hello === "number") return this.#fault(hello);
    if (!this.#owner.isHealthy()) return this.#fault(Status.resources);
    if (hello.healthCheck) {
      this.#end(agentHello(hello), this.heardAtMs);
      return;
    }
    this.#frameBytesMax = hello.frameBytesMax;
    this.#state = "open";
    this.#socket.write(agentHello(hello));
  }

  #fault(status: StatusCode): void {
    this.close(status, this.heardAtMs);
  }
}
