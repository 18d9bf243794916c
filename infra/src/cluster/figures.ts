/** A live look at the rounds, from the admin ports of the bucket processes: cheap enough for every second. */
import { readSecrets, type Topology } from "@hongbao/preprocess";

const ASK_MS_MAX = 1_000;

/** One round in one bucket, as `GET /admin/state` of a bucket process tells it. */
interface BucketRound {
  round: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  left: number;
  issued: number;
  state: RoundState;
}

export type RoundState = "scheduled" | "open" | "closed";

export interface RoundFigures {
  round: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  left: number;
  issued: number;
  state: RoundState;
}

export interface Figures {
  atMs: number;
  /** Of how many buckets some process answered, and how many there are. */
  buckets: { answered: number; all: number };
  /** Summed over the buckets that answered. */
  rounds: RoundFigures[];
}

export function figuresReader(topology: Topology): () => Promise<Figures> {
  const { operator } = readSecrets(topology, ["operator"]);
  const ask = async (admin: string): Promise<BucketRound[]> => {
    const response = await fetch(`http://${admin}/admin/state`, {
      headers: { authorization: `Bearer ${operator}` },
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    if (!response.ok) throw new Error(`${admin} answered ${response.status}`);
    return ((await response.json()) as { rounds: BucketRound[] }).rounds;
  };
  return async () => {
    const answers = await Promise.all(
      topology.buckets.map(async ({ services }) => {
        for (const { admin } of Array.isArray(services) ? services : []) {
          const rounds = await ask(admin).catch(() => null);
          if (rounds) return rounds;
        }
        return null;
      }),
    );
    const known = answers.filter((rounds) => rounds !== null);
    return {
      atMs: Date.now(),
      buckets: { answered: known.length, all: answers.length },
      rounds: sumRounds(known),
    };
  };
}

/** Open anywhere is open; scheduled only while it is so everywhere. */
export function sumRounds(buckets: BucketRound[][]): RoundFigures[] {
  const sums = new Map<number, RoundFigures>();
  for (const bucket of buckets.flat()) {
    const sum = sums.get(bucket.round);
    if (sum === undefined) {
      const { round, opensAtMs, closesAtMs, left, issued, state } = bucket;
      sums.set(round, { round, opensAtMs, closesAtMs, left, issued, state });
      continue;
    }
    sum.left += bucket.left;
    sum.issued += bucket.issued;
    if (bucket.state === "open" || sum.state === "open") sum.state = "open";
    else if (bucket.state !== sum.state) sum.state = "closed";
  }
  return [...sums.values()].sort((a, b) => a.round - b.round);
}
