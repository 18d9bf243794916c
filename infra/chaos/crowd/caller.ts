/** Sends one user's requests as an app does, and writes down what was asked and told. */
import { Agent, request } from "node:http";
import type { ChaosUser } from "../stage/cluster.ts";
import { TIMED_OUT, type Call, type Entry, type History, type ToldPrize } from "./history.ts";

/** The page's own time-outs. */
const TIMEOUT_MS = { start: 5_000, grab: 8_000, result: 8_000, wins: 10_000, receipts: 10_000 } as const;
const SHOWN_MAX = 200;
const GRAB_WORDS = [
  "won",
  "ended",
  "busy",
  "limited",
  "not_open",
  "not_eligible",
  "unauthorized",
  "no_such_round",
  "bad_request",
];
/** Which status goes with which word; anything else is strange. */
const STATUS_OF: Record<string, readonly number[]> = {
  won: [200],
  ended: [200],
  no_such_round: [404],
  unauthorized: [401],
  bad_request: [400],
  limited: [429],
  not_eligible: [403],
  not_open: [403],
  busy: [503],
};

export interface Told {
  entry: Entry;
  retryAfterMs: number;
  /** Of a start file. */
  key: string | null;
}

interface RawAnswer {
  status: number;
  text: string;
  retryAfter: string | undefined;
  error?: string;
  /** No answer, because a connection that had served before ended: HAProxy leaves it to the client to ask again. */
  isStale: boolean;
}

export class Caller {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 256 });
  readonly #port: number;
  readonly #history: History;

  /** @param port of the way in, on loopback. */
  constructor(port: number, history: History) {
    this.#port = port;
    this.#history = history;
  }

  close(): void {
    this.#agent.destroy();
  }

  async call(
    call: Call,
    user: ChaosUser,
    {
      round,
      n = 1,
      key = "",
      receipts = [],
    }: { round: number; n?: number; key?: string; receipts?: string[] },
  ): Promise<Told> {
    const history = this.#history;
    const sentMs = history.nowMs();
    const sentAtMs = Date.now();
    const first = await this.#send(call, user, { round, n, key, receipts });
    const raw = first.isStale ? await this.#send(call, user, { round, n, key, receipts }, false) : first;
    const read = readAnswer(call, raw, round);
    const entry: Entry = {
      ...{ user: user.id, bucket: user.bucket, call, round, n },
      ...{ sentMs, doneMs: history.nowMs(), sentAtMs, doneAtMs: Date.now(), status: raw.status },
      ...{ word: read.word, prizes: read.prizes },
      ...(first.isStale ? { resent: true as const } : {}),
      ...(read.refused === undefined ? {} : { refused: read.refused }),
      ...(read.what === undefined ? {} : { what: read.what }),
    };
    history.add(entry);
    const seconds = Number(raw.retryAfter ?? 0);
    return { entry, retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : 0, key: read.key };
  }

  #send(
    call: Call,
    user: ChaosUser,
    { round, n, key, receipts }: { round: number; n: number; key: string; receipts: string[] },
    agent: Agent | false = this.#agent,
  ): Promise<RawAnswer> {
    const paths: Record<Call, [string, string]> = {
      start: ["GET", `/start/${round}.js`],
      grab: ["POST", `/v1/rounds/${round}/grab?k=${key}${n === 1 ? "" : `&n=${n}`}`],
      result: ["GET", `/v1/rounds/${round}/result`],
      wins: ["GET", "/v1/wins"],
      receipts: ["POST", "/v1/receipts"],
    };
    const [method, path] = paths[call];
    const body = call === "receipts" ? JSON.stringify(receipts) : "";
    const headers: Record<string, string> = {
      // What stands in front of the page's files needs no token.
      ...(call === "start" ? {} : { authorization: `Bearer ${user.token}` }),
      ...(method === "POST" ? { "content-length": String(Buffer.byteLength(body)) } : {}),
      ...(body === "" ? {} : { "content-type": "application/json" }),
    };
    return new Promise((resolve) => {
      let answered = false;
      const none = (error: string): void => {
        const isStale = !answered && asked.reusedSocket && error !== TIMED_OUT;
        resolve({ status: 0, text: "", retryAfter: undefined, error, isStale });
      };
      const options = { host: "127.0.0.1", port: this.#port, method, path, headers, agent };
      const asked = request(options, (response) => {
        answered = true;
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("error", (error) => none(error.message));
        response.on("end", () => {
          const retryAfter = response.headers["retry-after"];
          resolve({ status: response.statusCode ?? 0, text, retryAfter, isStale: false });
        });
      });
      const timer = setTimeout(() => asked.destroy(new Error(TIMED_OUT)), TIMEOUT_MS[call]);
      asked.on("error", (error) => none(error.message));
      asked.on("close", () => {
        clearTimeout(timer);
        none("the connection ended");
      });
      asked.end(body);
    });
  }
}

interface Read {
  word: string;
  prizes: ToldPrize[];
  key: string | null;
  refused?: { receipt: string; why: string }[];
  what?: string;
}

/** What an answer says; every answer that no user should ever see is `strange`. Pure. */
export function readAnswer(
  call: Call,
  raw: { status: number; text: string; error?: string },
  round: number,
): Read {
  const { status, text, error } = raw;
  const nothing = { prizes: [], key: null };
  if (status === 0) return { ...nothing, word: "none", what: (error ?? "").slice(0, SHOWN_MAX) };
  const strange: Read = { ...nothing, word: "strange", what: `${status} ${text.slice(0, SHOWN_MAX)}` };
  if (call === "start") {
    const json = /^hongbaoStart\((\{.*\})\);$/.exec(text.trim())?.[1];
    // While no controller serves the site, HAProxy says so in its own words.
    if (STATUS_OF["busy"]!.includes(status) && text.includes('"busy"')) return { ...nothing, word: "busy" };
    if (status !== 200 || json === undefined) return strange;
    const { key } = JSON.parse(json) as { key: string | null };
    return { ...nothing, word: "ok", key };
  }
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return strange;
  }
  const word = body["result"];
  if (typeof word === "string") {
    if (!GRAB_WORDS.includes(word) || !STATUS_OF[word]!.includes(status)) return strange;
    if (word !== "won") return { ...nothing, word };
    const prize = readWin(body);
    return prize === null || prize.round !== round ? strange : { ...nothing, word, prizes: [prize] };
  }
  if (status !== 200) return strange;
  if (call === "receipts" && Array.isArray(body["receipts"])) {
    const answers = body["receipts"] as { receipt: string; result: string; why?: string }[];
    const refused = answers
      .filter(({ result }) => result !== "restored" && result !== "known")
      .map(({ receipt, result, why = result }) => ({ receipt, why }));
    return { ...nothing, word: "ok", refused };
  }
  if (!Array.isArray(body["wins"])) return strange;
  const prizes = (body["wins"] as Record<string, unknown>[]).map(readWin);
  return prizes.includes(null) ? strange : { ...nothing, word: "ok", prizes: prizes as ToldPrize[] };
}

function readWin(body: Record<string, unknown>): ToldPrize | null {
  const { round, n, prize, receipt } = body as {
    round?: unknown;
    n?: unknown;
    prize?: { id?: string; kind?: string; amount?: number };
    receipt?: unknown;
  };
  const id = Number(prize?.id);
  if (!Number.isSafeInteger(id) || typeof round !== "number" || typeof n !== "number") return null;
  const amount = prize!.kind === "item" ? null : prize!.amount;
  if (amount !== null && !Number.isSafeInteger(amount)) return null;
  return { round, n, prize: id, amount: amount!, ...(typeof receipt === "string" ? { receipt } : {}) };
}
