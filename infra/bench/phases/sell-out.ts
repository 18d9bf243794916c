/** Mixed: a sell-out. More users than prizes; every answer is looked into, and every prize goes out. */
import { runWrk } from "../measure/wrk.ts";
import type { Sizes } from "../sizes.ts";
import { bookFaults } from "../systems/hongbao/books.ts";
import type { Cluster } from "../systems/hongbao/cluster.ts";
import { grabPath, soldOutFaults } from "../systems/hongbao/system.ts";
import { AUTHORIZATION, type World } from "../systems/hongbao/world.ts";

export interface SellOutFacts {
  stock: number;
  /** From the first win to the last. */
  seconds: number;
  winsPerSecond: number;
  /** Over the whole run, wins and `ended`. */
  answersPerSecond: number;
  latencyMs: { p50: number; p99: number; p999: number };
  faults: string[];
}

/** The run goes on for so many answers after the last prize. */
const ENDED_ANSWERS = 20_000;
const SECONDS_MAX = 60;

export async function measureSellOut(
  cluster: Cluster,
  world: World,
  sizes: Sizes,
  round: number,
  balancer: string,
): Promise<SellOutFacts> {
  const wrk = await runWrk(
    {
      url: cluster.url(balancer),
      method: "POST",
      paths: [grabPath(round, await cluster.key(round))],
      identities: { file: world.tokensFile, header: AUTHORIZATION },
      countsAnswers: true,
      endsAfterEnded: ENDED_ANSWERS,
    },
    { seconds: SECONDS_MAX, connections: sizes.connections, threads: 1 },
  );
  const stock = cluster.rounds.find(({ id }) => id === round)!.count;
  const books = await cluster.books.settled(round);
  const faults = [...soldOutFaults(stock, wrk, sizes.connections), ...bookFaults(stock, books)];
  if (books.left !== 0) faults.push(`${books.left} prizes were left`);
  return {
    stock,
    seconds: wrk.winsSeconds,
    winsPerSecond: wrk.wins / wrk.winsSeconds,
    answersPerSecond: wrk.perSecond,
    latencyMs: wrk.latencyMs,
    faults,
  };
}
