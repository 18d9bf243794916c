/** A cluster as something to be measured: a fresh round for each run, and the books held against wrk after it. */
import { setTimeout as sleep } from "node:timers/promises";
import { winFaults, type System, type Verdict } from "../../measure/sample.ts";
import type { Load, WrkResult } from "../../measure/wrk.ts";
import { bookFaults } from "./books.ts";
import type { Cluster, Door } from "./cluster.ts";
import { AUTHORIZATION, type World } from "./world.ts";

/** Where a run's rounds come from: each run takes the next one. */
export class RoundSupply {
  readonly #rounds: number[];

  constructor(rounds: readonly number[]) {
    this.#rounds = [...rounds];
  }

  next(): number {
    const round = this.#rounds.shift();
    if (round === undefined) throw new Error("the bench has planned fewer rounds than it runs");
    return round;
  }
}

/** A few may go by the other door when one does not answer in time; a figure is a door's when nearly all came through it. */
const THIS_DOOR_SHARE_MIN = 0.98;

export interface WinSystemOptions {
  id: string;
  what: string;
  cluster: Cluster;
  balancer: string;
  rounds: RoundSupply;
  world: World;
  connections: number;
  /** The door that the services must have been asked through. */
  door: Door;
  /** Done before each run, and undone after it. */
  before?: () => Promise<void>;
  after?: () => Promise<void>;
}

export function grabPath(round: number, key: string): string {
  return `/v1/rounds/${round}/grab?k=${key}`;
}

/** Every request is another user's and there is a prize for each: every answer has to be a win. */
export function winSystem(options: WinSystemOptions): System {
  const { id, what, cluster, balancer, rounds, world, connections, door } = options;
  let round = 0;
  let doorsBefore = { http: 0, spop: 0 };
  return {
    id,
    what,
    connections,
    processes: () => cluster.processes(balancer),
    begin: async (): Promise<Load> => {
      round = rounds.next();
      const key = await cluster.key(round);
      await options.before?.();
      doorsBefore = await cluster.doorAnswers();
      return {
        url: cluster.url(balancer),
        method: "POST",
        paths: [grabPath(round, key)],
        identities: { file: world.tokensFile, header: AUTHORIZATION },
      };
    },
    settle: async (wrk): Promise<Verdict> => {
      const books = await cluster.books.settled(round);
      await options.after?.();
      const generated = cluster.rounds.find((each) => each.id === round)!.count;
      const faults = [...winFaults(wrk, books.issued, connections), ...bookFaults(generated, books)];
      if (wrk.exhausted) faults.push(`the ${world.users} users were all through before the run ended`);
      const doors = await cluster.doorAnswers();
      const through = doors[door] - doorsBefore[door];
      if (cluster.hasMetrics && through < wrk.answered * THIS_DOOR_SHARE_MIN) {
        faults.push(`only ${through} of ${wrk.answered} grabs came through the door "${door}"`);
      }
      return { wins: books.issued, faults };
    },
  };
}

export interface EndedSystemOptions {
  id: string;
  what: string;
  cluster: Cluster;
  balancer: string;
  round: number;
  connections: number;
  tokensFile: string;
  /** Whether a request without a token must be told `unauthorized` (true) or `ended` (false). */
  needsToken: boolean;
}

/** Nothing is left: everybody is told so, by HAProxy itself. */
export function endedSystem(options: EndedSystemOptions): System {
  const { id, what, cluster, balancer, round, connections } = options;
  let issuedBefore = 0;
  let path = "";
  return {
    id,
    what,
    connections,
    processes: () => ({ haproxy: cluster.processes(balancer)["haproxy"]! }),
    begin: async () => {
      // Once a round is over everywhere nobody asks for its key, or is told it.
      path ||= grabPath(round, options.needsToken ? await cluster.key(round) : "over");
      issuedBefore = (await cluster.books.read(round)).issued;
      return {
        url: cluster.url(balancer),
        method: "POST",
        paths: [path],
        identities: { file: options.tokensFile, header: AUTHORIZATION },
      };
    },
    settle: async () => {
      const { issued } = await cluster.books.read(round);
      const faults =
        issued === issuedBefore ? [] : [`${issued - issuedBefore} prizes went out after the end`];
      const answer = await fetch(`${cluster.url(balancer)}${path}`, { method: "POST" });
      const body = await answer.text();
      const expected = options.needsToken ? "unauthorized" : "ended";
      if (!body.includes(`"${expected}"`))
        faults.push(`without a token: found ${body}, expected ${expected}`);
      return { wins: 0, faults };
    },
  };
}

/** Asks until the answer to this grab is `ended`: the stock is gone and everybody on the way has learned it. */
export async function untilEnded(url: string, token: string | null, timeoutMsMax = 15_000): Promise<boolean> {
  const end = performance.now() + timeoutMsMax;
  while (performance.now() < end) {
    const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(url, { method: "POST", headers });
    if ((await answer.text()).includes('"ended"')) return true;
    await sleep(100);
  }
  return false;
}

/** The sell-out: more users than prizes, every answer looked into. */
export function soldOutFaults(stock: number, wrk: WrkResult, connections: number): string[] {
  const faults: string[] = [];
  if (wrk.wins > stock) faults.push(`${wrk.wins} wins of ${stock} prizes`);
  if (wrk.wins < stock - connections) faults.push(`${wrk.wins} wins were told, ${stock} prizes were there`);
  return faults;
}
