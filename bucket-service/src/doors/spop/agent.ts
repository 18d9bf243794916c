import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { AnswerWord } from "../../grab/answers.ts";
import type { GrabDesk } from "../grab-desk.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { Status, statusText, type StatusCode } from "./frames.ts";
import { readGrab } from "./notify.ts";
import { Question, QuestionQueue, type QuestionKeeper } from "./question.ts";
import { SpopSecret } from "./secret.ts";
import type { Cursor } from "./varint.ts";

/** Bounds of the SPOP door. HAProxy's side of them is in balancer/src/haproxy/spoe.ts, which checks how they relate. */
export const spopPolicy = {
  /** A question that Redis has not answered by then is told `busy`; HAProxy waits longer, so it does not ask again. */
  answerMsMax: 700,
  /** How often it is looked at which questions have waited too long. */
  answerTickMs: 50,
  /** Questions of one connection, and of the process with those that were told `busy` and are still in the core. */
  questionsPerConnectionMax: 1024,
  questionsMax: 20_000,
  connectionsMax: 1024,
  /**
   * Connections on which no question with the right secret has come yet; when there are more, the oldest goes. HAProxy
   * opens some in advance when many questions come at once.
   */
  strangersMax: 256,
  strangerMsMax: 3_000,
  /** A frame that began must be whole by then. */
  frameMsMax: 2_000,
  /** HAProxy closes what is idle long before (timeout idle), so that no question meets a closing connection. */
  idleMsMax: 300_000,
  /**
   * A connection this old is closed as soon as it has nothing to do, some at half the age so that they do not go together.
   * HAProxy opens connections only when it needs more, so without this an agent that was restarted would stay without work.
   */
  ageMsMax: 60_000,
  closingMsMax: 1_000,
  sweepMs: 500,
} as const;

type SpopPolicy = { readonly [K in keyof typeof spopPolicy]: number };

export interface SpopAgentParts {
  desk: Pick<GrabDesk, "grab" | "busy">;
  /** The spop secret, current one first. */
  secrets: readonly string[];
  /** An answer was given, so long after its question came; called for every grab. */
  onAnswer?: (word: AnswerWord, milliseconds: number) => void;
  /** How many requests the process bears at once, while that matters; else 0. */
  window?: () => number;
  /** A connection was closed for a fault of the peer's; at most once a second. */
  onFault?: (what: string) => void;
  policy?: Partial<SpopPolicy>;
}

/**
 * The SPOP door of a service process: HAProxy sends the grab's data, this answers with the text that HAProxy then sends to
 * the client. One agent serves all connections; they share nothing but its bounds.
 *
 *     listening ──drain()──> draining (health checks fail, questions are answered) ──stop()──> stopping ──> stopped
 */
export class SpopAgent implements ConnectionOwner, QuestionKeeper {
  readonly server: Server;
  readonly #desk: SpopAgentParts["desk"];
  readonly #secret: SpopSecret;
  readonly #parts: SpopAgentParts;
  readonly #policy: SpopPolicy;
  readonly #connections = new Set<Connection>();
  /** In the order of arrival. */
  readonly #strangers = new Set<Connection>();
  readonly #queue = new QuestionQueue();
  readonly #dirty: Connection[] = [];
  #state: "listening" | "draining" | "stopping" = "listening";
  /** Questions that the core has not answered, told `busy` or not. */
  #inCore = 0;
  #nowMs = performance.now();
  /** When the answers began that leave at the end of this turn: one look at the clock for all of them. */
  #answeringMs = 0;
  /** HAProxys that ask, told apart by their addresses: each gets its share of the window. */
  #askers = 1;
  #flushing = false;
  #ticking = false;
  #sweeper: NodeJS.Timeout | null = null;
  #faultToldAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: SpopAgentParts) {
    this.#parts = parts;
    this.#desk = parts.desk;
    this.#secret = new SpopSecret(parts.secrets);
    this.#policy = { ...spopPolicy, ...parts.policy };
    this.server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
    // Also what goes wrong when a connection is taken, such as a lack of files; the others go on.
    this.server.on("error", (error) => parts.onFault?.(`the SPOP door: ${error.message}`));
    this.server.once("listening", () => {
      this.#sweeper = setInterval(() => this.#sweep(), this.#policy.sweepMs);
    });
  }

  /** Questions that wait for the core. */
  get waiting(): number {
    return this.#inCore;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Fails health checks and new connections from now on; everything else goes on. */
  drain(): void {
    if (this.#state === "listening") this.#state = "draining";
  }

  /** Answers what was asked, says good-bye, closes. Resolves when no connection is left. */
  async stop(finishMsMax: number): Promise<void> {
    this.#state = "stopping";
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    // What HAProxy sends from here on stays unread, and it asks elsewhere when the connection closes.
    for (const connection of this.#connections) connection.pause();
    const end = performance.now() + finishMsMax;
    while (this.#connections.size > 0 && performance.now() < end) {
      const nowMs = performance.now();
      for (const connection of this.#connections) {
        if (connection.waiting === 0) connection.close(Status.normal, nowMs);
      }
      this.#sweep();
      await sleep(10);
    }
    for (const connection of this.#connections) connection.destroy();
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    await closed;
  }

  heard(connection: Connection): void {
    this.#nowMs = performance.now();
    connection.heardAtMs = this.#nowMs;
  }

  isHealthy(): boolean {
    return this.#state === "listening";
  }

  notify(connection: Connection, cursor: Cursor, streamId: number, frameId: number): void {
    const question = new Question(this, connection, streamId, frameId, this.#nowMs);
    const kind = readGrab(cursor, this.#secret, question);
    if (kind === "damaged") return connection.close(Status.invalid, this.#nowMs);
    if (kind === "refused") return connection.close(Status.refused, this.#nowMs);
    if (kind === "other") return connection.answerNothing(streamId, frameId);
    if (!connection.isProven) {
      connection.isProven = true;
      this.#strangers.delete(connection);
    }
    this.#inCore += 1;
    connection.waiting += 1;
    this.#queue.join(question);
    const { questionsMax, questionsPerConnectionMax } = this.#policy;
    if (this.#inCore > questionsMax || connection.waiting > questionsPerConnectionMax) {
      return this.answered(question, "busy", this.#desk.busy(question), 0);
    }
    if (!this.#ticking) this.#tickLater();
    this.#desk.grab(question, question);
  }

  answered(question: Question, word: AnswerWord, body: string, stock: number): void {
    this.#inCore -= 1;
    // It was told `busy` already: its time was up.
    if (question.isQueued) this.#tell(question, word, body, stock);
  }

  #tell(question: Question, word: AnswerWord, body: string, stock: number): void {
    const { connection, streamId, frameId } = question;
    this.#queue.leave(question);
    connection.waiting -= 1;
    // HAProxy has gone, and has asked elsewhere.
    if (connection.state !== "open") return;
    if (this.#parts.onAnswer !== undefined) {
      if (!this.#flushing) this.#answeringMs = performance.now();
      // A question may have come in the middle of the turn whose answers had begun.
      this.#parts.onAnswer(word, Math.max(0, this.#answeringMs - question.askedAtMs));
    }
    const window = this.#parts.window?.() ?? 0;
    const share = Math.ceil(window / this.#askers);
    connection.answer(streamId, frameId, word, body, stock, share, question.often);
  }

  wrote(connection: Connection): void {
    connection.isDirty = true;
    this.#dirty.push(connection);
    if (this.#flushing) return;
    this.#flushing = true;
    // After everything else of this turn, so that all its answers to a connection leave in one write.
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    for (const connection of this.#dirty) {
      connection.isDirty = false;
      connection.flush();
    }
    this.#dirty.length = 0;
  }

  ended(connection: Connection, status: StatusCode): void {
    if (status === Status.normal || this.#state !== "listening") return;
    if (this.#nowMs - this.#faultToldAtMs < 1000) return;
    this.#faultToldAtMs = this.#nowMs;
    this.#parts.onFault?.(`a SPOP connection from ${connection.peer} was closed: ${statusText(status)}`);
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection);
    this.#strangers.delete(connection);
  }

  #accept(socket: Socket): void {
    this.#nowMs = performance.now();
    const { connectionsMax, strangersMax } = this.#policy;
    if (this.#connections.size >= connectionsMax || this.#state === "stopping") return void socket.destroy();
    const ageMs = this.#policy.ageMsMax * (0.5 + Math.random() / 2);
    const connection = new Connection(socket, this, this.#nowMs, this.#nowMs + ageMs);
    this.#connections.add(connection);
    this.#strangers.add(connection);
    if (this.#strangers.size <= strangersMax) return;
    this.#strangers.values().next().value?.destroy();
  }

  #tickLater(): void {
    this.#ticking = true;
    setTimeout(() => this.#tick(), this.#policy.answerTickMs);
  }

  /** Tells `busy` to those who have waited too long. Runs while anyone waits. */
  #tick(): void {
    const latest = performance.now() - this.#policy.answerMsMax;
    for (
      let oldest = this.#queue.oldest;
      oldest !== null && oldest.askedAtMs <= latest;
      oldest = this.#queue.oldest
    ) {
      this.#tell(oldest, "busy", this.#desk.busy(oldest), 0);
    }
    this.#ticking = false;
    if (this.#queue.oldest !== null) this.#tickLater();
  }

  /** Closes connections whose time is up. */
  #sweep(): void {
    const nowMs = performance.now();
    const askers = new Set<string>();
    for (const connection of this.#connections) {
      if (connection.isProven) askers.add(connection.peer);
      if (connection.state === "closing") {
        if (nowMs - connection.sinceMs > this.#policy.closingMsMax) connection.destroy();
        continue;
      }
      const status = this.#overdue(connection, nowMs);
      if (status !== null) connection.close(status, nowMs);
    }
    this.#askers = Math.max(1, askers.size);
  }

  /** Why a connection is to be closed by now, or null when it may stay. */
  #overdue(connection: Connection, nowMs: number): StatusCode | null {
    const { strangerMsMax, frameMsMax, idleMsMax } = this.#policy;
    const { isProven, isSplit, waiting, openedAtMs, oldAtMs, heardAtMs, sinceMs } = connection;
    if (isSplit && nowMs - sinceMs > frameMsMax) return Status.timeout;
    if (!isProven && nowMs - openedAtMs > strangerMsMax) {
      return connection.state === "hello" ? Status.timeout : Status.normal;
    }
    if (waiting === 0 && (nowMs - heardAtMs > idleMsMax || nowMs > oldAtMs)) return Status.normal;
    return null;
  }
}
