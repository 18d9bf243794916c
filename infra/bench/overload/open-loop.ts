/**
 * An open-loop load: requests leave by the clock, whether the ones before have been answered or not, as people press. A closed
 * loop such as wrk's asks less as soon as answers take longer, and so never overloads anything for long.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface OpenLoopPlan {
  url: string;
  perSecond: number;
  seconds: number;
  connectionsMax: number;
  /** The next request as it goes over the wire, and who hears of its answer. */
  next(): Press;
}

export interface Press {
  head: string;
  /** @param ms since the moment at which the request was due. Status 0: the connection ended without an answer. */
  answered(status: number, body: string, ms: number): void;
}

export interface OpenLoopFigures {
  seconds: number;
  sent: number;
  /** Due, but all connections were waiting. */
  unsent: number;
  connections: number;
  /** Of the generator itself: how late it sent, at worst. */
  lateMsMax: number;
}

/** Answers that are still due after the last request. */
const LAST_MS_MAX = 5_000;
const TICK_MS = 1;

/** Never rejects: what does not get through is told as status 0. */
export async function openLoop(plan: OpenLoopPlan): Promise<OpenLoopFigures> {
  const { hostname, port } = new URL(plan.url);
  const idle: Line[] = [];
  const all = new Set<Line>();
  const open = (): Line => {
    const line = new Line(hostname, Number(port), (still) => {
      if (still) idle.push(line);
      else all.delete(line);
    });
    all.add(line);
    return line;
  };
  const figures = { seconds: 0, sent: 0, unsent: 0, connections: 0, lateMsMax: 0 };
  const beganMs = performance.now();
  const total = Math.round(plan.perSecond * plan.seconds);
  for (let due = 0; due < total;) {
    const nowMs = performance.now();
    const until = Math.min(total, Math.floor(((nowMs - beganMs) / 1000) * plan.perSecond));
    for (; due < until; due += 1) {
      let line = idle.pop();
      while (line?.isGone) line = idle.pop();
      if (line === undefined && all.size < plan.connectionsMax) line = open();
      if (line === undefined) {
        figures.unsent += 1;
        continue;
      }
      const dueMs = beganMs + (due * 1000) / plan.perSecond;
      figures.lateMsMax = Math.max(figures.lateMsMax, nowMs - dueMs);
      figures.sent += 1;
      line.send(plan.next(), dueMs);
    }
    figures.connections = Math.max(figures.connections, all.size);
    await sleep(TICK_MS);
  }
  figures.seconds = (performance.now() - beganMs) / 1000;
  const end = performance.now() + LAST_MS_MAX;
  while ([...all].some((line) => line.isBusy) && performance.now() < end) await sleep(10);
  for (const line of all) line.close();
  return figures;
}

/** One kept connection; one request at a time. */
class Line {
  readonly #socket: Socket;
  readonly #done: (still: boolean) => void;
  #press: Press | null = null;
  #dueMs = 0;
  #text = "";
  isGone = false;

  constructor(host: string, port: number, done: (still: boolean) => void) {
    this.#done = done;
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => this.#read(text));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      if (this.isGone) return;
      this.isGone = true;
      this.#tell(0, "");
      this.#done(false);
    });
  }

  get isBusy(): boolean {
    return this.#press !== null;
  }

  send(press: Press, dueMs: number): void {
    this.#press = press;
    this.#dueMs = dueMs;
    this.#socket.write(press.head);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    const head = this.#text.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#text)?.[1] ?? 0);
    const end = head + 4 + length;
    if (this.#text.length < end) return;
    const status = Number(this.#text.slice(9, 12));
    const body = this.#text.slice(head + 4, end);
    const keeps = !/\r\nconnection: close/i.test(this.#text.slice(0, head));
    this.#text = this.#text.slice(end);
    this.#tell(status, body);
    if (keeps) return this.#done(true);
    this.isGone = true;
    this.#socket.end();
    this.#done(false);
  }

  #tell(status: number, body: string): void {
    const press = this.#press;
    this.#press = null;
    press?.answered(status, body, performance.now() - this.#dueMs);
  }
}
