/**
 * People of a rolling restart, who keep their connections: those that press again and again with pauses, one that speaks HTTP/2, and
 * those that press rarely and find their connection hours old. Every answer counts, and every connection that is closed under one.
 */
import { connect as connectH2, type ClientHttp2Session } from "node:http2";
import { Agent, request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

export interface PeopleJob {
  url: string;
  path: string;
  /** Of people who are asked for by nobody else. */
  tokens: readonly string[];
  /** The authority that the certificate is of. */
  ca: Buffer;
  pressers: number;
  idlers: number;
}

export interface Pressed {
  /** By result word, or what became of the request. */
  words: Map<string, number>;
  /** What each was told that won. */
  told: Map<string, string>;
  /** Who was told two different things. */
  changed: string[];
}

const PAUSE_MS = 40;
const IDLE_MS = 1_500;

/** Until stop(), which answers with what everybody was told. */
export function startPeople(job: PeopleJob): { stop(): Promise<Pressed> } {
  const { pressers, idlers, tokens } = job;
  const pressed: Pressed = { words: new Map(), told: new Map(), changed: [] };
  let on = true;
  let next = 0;
  const take = (token: string, answer: string): void => {
    const word = /"result":"(\w+)"/.exec(answer)?.[1] ?? answer;
    pressed.words.set(word, (pressed.words.get(word) ?? 0) + 1);
    if (word !== "won") return;
    const before = pressed.told.get(token);
    if (before !== undefined && before !== answer) pressed.changed.push(token);
    pressed.told.set(token, answer);
  };
  const loop = async (ask: (token: string) => Promise<string>, pauseMs: number): Promise<void> => {
    await sleep(Math.random() * pauseMs);
    while (on) {
      const token = tokens[next++ % tokens.length]!;
      take(token, await ask(token));
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  };
  const agents = Array.from(
    { length: idlers + 1 },
    (_, index) => new Agent({ keepAlive: true, maxSockets: index === 0 ? pressers : 1, ca: job.ca }),
  );
  const h2 = h2Asker(job);
  const loops = [
    ...Array.from({ length: pressers }, () => loop((token) => ask(job, agents[0]!, token), PAUSE_MS)),
    ...agents.slice(1).map((agent) => loop((token) => ask(job, agent, token), IDLE_MS)),
    loop(h2.ask, PAUSE_MS),
  ];
  return {
    async stop() {
      on = false;
      await Promise.all(loops);
      for (const agent of agents) agent.destroy();
      h2.close();
      return pressed;
    },
  };
}

function ask({ url, path }: PeopleJob, agent: Agent, token: string): Promise<string> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}` };
    const call = request(url + path, { method: "POST", agent, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.once("end", () => resolve(text));
      response.once("error", (error) => resolve(`cut: ${error.message}`));
    });
    call.once("error", (error) => resolve(`no answer: ${error.message}`));
    call.end();
  });
}

/** One session, and another one when the server has said that it takes no more on it. */
function h2Asker({ url, path, ca }: PeopleJob): {
  ask: (token: string) => Promise<string>;
  close: () => void;
} {
  let session: ClientHttp2Session | null = null;
  const open = (): ClientHttp2Session => {
    const fresh = connectH2(url, { ca });
    const gone = (): void => void (session === fresh && (session = null));
    fresh.on("error", () => undefined).once("goaway", gone);
    return fresh.once("close", gone);
  };
  const once = (token: string): Promise<string> =>
    new Promise((resolve) => {
      session ??= open();
      let text = "";
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        authorization: `Bearer ${token}`,
      });
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      stream.once("error", (error: Error) => resolve(`no answer by HTTP/2: ${error.message}`));
      stream.once("close", () => resolve(text));
      stream.end();
    });
  return { ask: once, close: () => session?.destroy() };
}
