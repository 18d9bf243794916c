/** Shifts all rounds of a running cluster, so that the first opens a given time from now. */
import { readSecrets, Unreachable, type Topology } from "@hongbao/preprocess";
import { waitUntil } from "../processes/wait.ts";

const ASK_MS_MAX = 5_000;
const SEEN_MS_MAX = 10_000;

export interface PublishedRound {
  id: number;
  kind: "envelope" | "item";
  opensAt: string | null;
  closesAt: string | null;
  state: "scheduled" | "open" | "closed";
  count: number;
  perUser: number;
}

export interface PublishedRounds {
  event: string;
  currency: string;
  serverTime: string;
  rounds: PublishedRound[];
}

export async function publishedRounds(topology: Topology): Promise<PublishedRounds> {
  const url = `${topology.balancer.url}/rounds.json`;
  const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) }).catch((error: Error) => {
    throw new Unreachable(`${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`);
  });
  if (!response.ok) throw new Unreachable(`${url} answered ${response.status}`);
  return (await response.json()) as PublishedRounds;
}

export interface Move {
  round: number;
  opensAtMs: number;
  closesAtMs: number | null;
}

/** Moves every round that has a time and has not opened; the distances between them stay. */
export function shiftedRounds(rounds: PublishedRound[], firstOpensAtMs: number): Move[] {
  const waiting = rounds.filter(({ state, opensAt }) => state === "scheduled" && opensAt !== null);
  const first = Math.min(...waiting.map(({ opensAt }) => Date.parse(opensAt!)));
  const shiftMs = firstOpensAtMs - first;
  return waiting.map(({ id, opensAt, closesAt }) => ({
    round: id,
    opensAtMs: Date.parse(opensAt!) + shiftMs,
    closesAtMs: closesAt === null ? null : Date.parse(closesAt) + shiftMs,
  }));
}

/** Through the conductor, as an operator would; it lands in the log with this reason. */
export async function moveRounds(topology: Topology, moves: Move[], why: string): Promise<void> {
  const { operator } = readSecrets(topology, ["operator"]);
  for (const { round, ...times } of moves) {
    const body = JSON.stringify({ ...times, by: "up", why });
    await firstThatAnswers(topology, `/admin/rounds/${round}/move`, operator, body);
  }
  const seen = async () => {
    const { rounds } = await publishedRounds(topology);
    return moves.every((move) => {
      const round = rounds.find(({ id }) => id === move.round);
      return round?.state !== "scheduled" || Date.parse(round.opensAt ?? "") === move.opensAtMs;
    });
  };
  await waitUntil(seen, { what: "the new schedule on the page", timeoutMsMax: SEEN_MS_MAX });
}

async function firstThatAnswers(
  topology: Topology,
  path: string,
  operator: string,
  body: string,
): Promise<void> {
  let last = "no controller";
  for (const { id, admin } of topology.controllers) {
    try {
      const response = await fetch(`http://${admin}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(ASK_MS_MAX),
      });
      if (response.ok) return;
      last = `controller ${id} answered ${response.status}: ${(await response.text()).slice(0, 200)}`;
    } catch (error) {
      last = `controller ${id}: ${(error as Error).message}`;
    }
  }
  throw new Unreachable(`${path}: ${last}`);
}

/** All rounds shifted so that the first opens that long from this moment; nothing to do when none is waiting. */
export async function openIn(topology: Topology, seconds: number): Promise<void> {
  const { rounds } = await publishedRounds(topology);
  const moves = shiftedRounds(rounds, Date.now() + seconds * 1000);
  if (moves.length > 0) await moveRounds(topology, moves, `--opens-in ${seconds}`);
}
