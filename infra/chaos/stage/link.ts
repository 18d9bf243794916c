/**
 * What lies between two parts of a cluster: a TCP proxy that can be cut, slow, stalled or lossy while everything runs.
 *
 *   open    bytes pass
 *   slow    bytes pass after a while, both ways
 *   stall   connections stay, nothing passes; everything comes when it is over
 *   lose    questions pass, answers are thrown away and the connection ends: the outcome is not known
 *   cut     connections end, new ones are refused
 */
import { connect, createServer, type Server, type Socket } from "node:net";

export type Mood = "open" | "slow" | "stall" | "lose" | "cut";

interface Piece {
  bytes: Buffer;
  dueMs: number;
}

export class Link {
  readonly port: number;
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  #server: Server | null = null;
  #mood: Mood = "open";
  #delayMs = 0;

  constructor(port: number, target: number) {
    this.port = port;
    this.#target = target;
  }

  get mood(): Mood {
    return this.#mood;
  }
  get delayMs(): number {
    return this.#delayMs;
  }
  get connections(): number {
    return this.#pairs.size;
  }

  async start(): Promise<void> {
    const server = createServer({ noDelay: true }, (near) => this.#take(near));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: this.port, backlog: 4096 }, resolve);
    });
    this.#server = server;
  }

  set(mood: Mood, delayMs = 0): void {
    this.#mood = mood;
    this.#delayMs = delayMs;
    for (const pair of [...this.#pairs]) {
      if (mood === "cut") pair.end();
      else pair.pump();
    }
  }

  stop(): void {
    this.#server?.close();
    for (const pair of [...this.#pairs]) pair.end();
  }

  #take(near: Socket): void {
    if (this.#mood === "cut") return void near.destroy();
    const far = connect({ host: "127.0.0.1", port: this.#target, noDelay: true });
    const pair: Pair = new Pair(this, near, far, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
  }
}

/** Both ends of one connection. */
class Pair {
  readonly #link: Link;
  readonly #ends: readonly [Socket, Socket];
  readonly #waiting: readonly [Piece[], Piece[]] = [[], []];
  readonly #onEnd: () => void;
  /** Whether a side has said its last. */
  readonly #over = [false, false];
  #timer: NodeJS.Timeout | null = null;

  constructor(link: Link, near: Socket, far: Socket, onEnd: () => void) {
    this.#link = link;
    this.#ends = [near, far];
    this.#onEnd = onEnd;
    for (const [side, socket] of this.#ends.entries()) {
      socket.on("data", (bytes) => this.#came(side as 0 | 1, bytes));
      socket.on("error", () => this.end());
      socket.on("end", () => {
        this.#over[side] = true;
        this.#handOver(side);
      });
      socket.on("close", () => this.#ends.every(({ destroyed }) => destroyed) && this.end());
    }
  }

  #came(side: 0 | 1, bytes: Buffer): void {
    const { mood, delayMs } = this.#link;
    if (mood === "lose" && side === 1) return this.end();
    const waiting = this.#waiting[side];
    if (mood !== "stall" && delayMs === 0 && waiting.length === 0)
      return void this.#ends[1 - side]!.write(bytes);
    waiting.push({ bytes, dueMs: performance.now() + delayMs });
    this.pump();
  }

  /** Hands on what is due, and comes back for the rest. */
  pump(): void {
    if (this.#link.mood === "stall") return;
    let nextMs = Infinity;
    for (const [side, waiting] of this.#waiting.entries()) {
      while (waiting.length > 0 && waiting[0]!.dueMs <= performance.now() + 0.3)
        this.#ends[1 - side]!.write(waiting.shift()!.bytes);
      nextMs = Math.min(nextMs, waiting[0]?.dueMs ?? Infinity);
      this.#handOver(side);
    }
    if (nextMs === Infinity || this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.pump();
      },
      Math.max(1, nextMs - performance.now()),
    );
  }

  /** What was said last is handed on before the end is. */
  #handOver(side: number): void {
    if (this.#over[side] && this.#waiting[side]!.length === 0) this.#ends[1 - side]!.end();
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const socket of this.#ends) socket.destroy();
    this.#onEnd();
  }
}
