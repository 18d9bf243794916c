/** Asks as one of many users over kept connections, and reads what the answer says. */
import { Agent, request } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";

export interface Answer {
  status: number;
  body: string;
  /** What the server asks to wait before the next try; 0 when it says nothing. */
  retryAfterMs: number;
}

const ANSWER_MS_MAX = 10_000;

export class Asker {
  readonly #url: string;
  readonly #agent: Agent;

  constructor(url: string, connections: number) {
    this.#url = url;
    const options = { keepAlive: true, maxSockets: connections };
    this.#agent = url.startsWith("https:") ? new TlsAgent(options) : new Agent(options);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Null: no answer, or not in time. */
  ask(method: string, path: string, token: string): Promise<Answer | null> {
    return new Promise((resolve) => {
      const options = {
        method,
        agent: this.#agent,
        timeout: ANSWER_MS_MAX,
        headers: { authorization: `Bearer ${token}` },
      };
      const asked = (this.#url.startsWith("https:") ? tlsRequest : request)(
        new URL(path, this.#url),
        options,
        (response) => {
          let body = "";
          response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
          const retryAfterMs = 1000 * Number(response.headers["retry-after"] ?? 0) || 0;
          response.once("end", () => resolve({ status: response.statusCode!, body, retryAfterMs }));
          response.once("error", () => resolve(null));
        },
      );
      asked.once("timeout", () => asked.destroy(new Error("no answer in time")));
      asked.once("error", () => resolve(null));
      asked.end(method === "POST" ? "" : undefined);
    });
  }

  /** The IDs that `/result` tells; null when it does not answer, however often it is asked. */
  async winsOf(round: number, token: string): Promise<Set<string> | null> {
    for (let tries = 0; tries < RESULT_TRIES_MAX; tries++) {
      const answer = await this.ask("GET", `/v1/rounds/${round}/result`, token);
      if (answer?.status === 200) {
        const { wins } = JSON.parse(answer.body) as { wins: { prize: { id: string } }[] };
        return new Set(wins.map(({ prize }) => prize.id));
      }
      await new Promise((resolve) => setTimeout(resolve, 200 * (tries + 1)));
    }
    return null;
  }
}

const RESULT_TRIES_MAX = 5;

/** The result word of an answer, and the prize's ID when it is a win. */
export function wordOf({ status, body }: Answer): { word: string; id: string } {
  const word = /^\s*\{\s*"result"\s*:\s*"(\w+)"/.exec(body)?.[1] ?? `http_${status}`;
  return { word, id: word === "won" ? (/"id"\s*:\s*"(\d+)"/.exec(body)?.[1] ?? "") : "" };
}
