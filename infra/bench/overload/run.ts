/** `bench --overload`: three times as many requests as the services can bear, and what becomes of those they accept. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensurePackages } from "../../src/install/packages.ts";
import { scratchDir } from "../measure/scratch.ts";
import { bookFaults } from "../systems/hongbao/books.ts";
import { startCluster, type Cluster } from "../systems/hongbao/cluster.ts";
import { grabPath } from "../systems/hongbao/system.ts";
import { makeWorld } from "../systems/hongbao/world.ts";
import { capCpu, type CpuCap } from "./cpu-cap.ts";
import { openLoop } from "./open-loop.ts";
import { People, type PeopleFigures } from "./people.ts";

export interface LoadFigures extends PeopleFigures {
  /** Of what saturates the services. */
  times: number;
  perSecond: number;
  sent: number;
  unsent: number;
  winsPerSecond: number;
  connections: number;
  lateMsMax: number;
  /** Resident memory of the services and of HAProxy, in MiB, before and after. */
  memoryMiB: { before: number; after: number };
}

export interface OverloadFigures {
  capped: string;
  /** Wins a second when there is more than enough to do: what all loads are multiples of. */
  capacity: number;
  loads: LoadFigures[];
  faults: string[];
}

export interface OverloadSizes {
  users: number;
  prizesEach: number;
  door: "http" | "spop";
  /**
   * What the service gets of one processor: so little that three times what it bears still leaves generator and HAProxy
   * room on two. By SPOP it bears more the more comes at once, so there it is hardly enough for the process itself.
   */
  share: number;
  findSeconds: number;
  stepSeconds: number;
  overloadSeconds: number;
  connectionsMax: number;
}

export const OVERLOAD_FULL: OverloadSizes = {
  users: 40_000,
  prizesEach: 30,
  door: "http",
  share: 0.15,
  findSeconds: 4,
  stepSeconds: 8,
  overloadSeconds: 30,
  connectionsMax: 3_000,
};
export const SPOP_SHARE = 0.07;
export const OVERLOAD_QUICK: OverloadSizes = {
  ...OVERLOAD_FULL,
  users: 10_000,
  findSeconds: 2,
  stepSeconds: 3,
  overloadSeconds: 5,
};

const PACKAGES = ["redis-server", "mariadb-server", "haproxy"] as const;
const ROUND = 1;
/** Rates that are tried one after the other until one is too much: what then is served is what saturates. */
const FIND_PER_SECOND = [2_000, 3_000, 4_500, 7_000, 10_000, 15_000, 22_000];
const ENOUGH = 0.9;
const STEPS = [0.8, 1, 1.25];
const TIMES = 3;
const REST_MS = 1_500;

export async function benchOverload(
  sizes: OverloadSizes,
  tell: (text: string) => void,
): Promise<OverloadFigures> {
  await ensurePackages(PACKAGES);
  using scratch = scratchDir();
  const world = makeWorld(join(scratch.path, "world"), sizes.users);
  const count = sizes.users * sizes.prizesEach;
  const cluster = await startCluster({
    name: "overload",
    world,
    dir: scratch.path,
    buckets: 1,
    services: 1,
    rounds: [{ id: ROUND, count, perUser: sizes.prizesEach }],
    balancers: [{ id: "plain", words: ["--door", sizes.door] }],
    tell,
  });
  const caps: CpuCap[] = [];
  try {
    const path = grabPath(ROUND, await cluster.key(ROUND));
    const people = new People({ tokensFile: world.tokensFile, path, prizesEach: sizes.prizesEach });
    await load(cluster, people, sizes, { times: 0, perSecond: 4_000, seconds: 10 });
    for (const pid of cluster.processes("plain").service!) caps.push(capCpu(pid, sizes.share));
    const run = async (times: number, perSecond: number, seconds: number): Promise<LoadFigures> => {
      const figures = await load(cluster, people, sizes, { times, perSecond, seconds });
      tell(loadLine(figures));
      await sleep(REST_MS);
      return figures;
    };
    let capacity = 0;
    for (const perSecond of FIND_PER_SECOND) {
      const { winsPerSecond } = await run(0, perSecond, sizes.findSeconds);
      capacity = Math.max(capacity, winsPerSecond);
      if (winsPerSecond < ENOUGH * perSecond) break;
    }
    const loads: LoadFigures[] = [];
    for (const times of STEPS) loads.push(await run(times, times * capacity, sizes.stepSeconds));
    loads.push(await run(TIMES, TIMES * capacity, sizes.overloadSeconds));
    const capped = caps[0]!.how;
    for (const cap of caps.splice(0)) cap.release();
    const faults = bookFaults(count, await cluster.books.settled(ROUND));
    faults.push(...loads.flatMap(({ strange }) => strange));
    return { capped, capacity, loads, faults };
  } finally {
    for (const cap of caps) cap.release();
    await cluster.stop();
  }
}

async function load(
  cluster: Cluster,
  people: People,
  sizes: OverloadSizes,
  { times, perSecond, seconds }: { times: number; perSecond: number; seconds: number },
): Promise<LoadFigures> {
  const { service = [], haproxy = [] } = cluster.processes("plain");
  const before = memoryMiB([...service, ...haproxy]);
  const { connectionsMax } = sizes;
  const url = cluster.url("plain");
  const sent = await openLoop({ url, perSecond, seconds, connectionsMax, next: people.next });
  const heard = people.take();
  const winsPerSecond = (heard.words["won"] ?? 0) / sent.seconds;
  const memory = { before, after: memoryMiB([...service, ...haproxy]) };
  return { ...heard, ...sent, times, perSecond, winsPerSecond, memoryMiB: memory };
}

function loadLine({ times, perSecond, winsPerSecond, words, ...rest }: LoadFigures): string {
  const { wonMs, refusedMs, unsent, connections, lateMsMax, memoryMiB, strange } = rest;
  const said = Object.entries(words).map(([word, count]) => `${count} ${word}`);
  return (
    `${times === 0 ? "" : `${times} x: `}${Math.round(perSecond)}/s asked, ${Math.round(winsPerSecond)} wins/s; ` +
    `wins p50 ${wonMs.p50.toFixed(0)} p99 ${wonMs.p99.toFixed(0)} ms, refusals p50 ${refusedMs.p50.toFixed(0)} p99 ${refusedMs.p99.toFixed(0)} ms; ` +
    `${said.join(", ")}; ${unsent} unsent, ${connections} connections, late up to ${lateMsMax.toFixed(0)} ms; ` +
    `memory ${memoryMiB.before.toFixed(0)} to ${memoryMiB.after.toFixed(0)} MiB` +
    (strange.length > 0 ? `; STRANGE: ${strange.join(" | ")}` : "")
  );
}

/** Resident memory of these processes, in MiB. */
function memoryMiB(pids: readonly number[]): number {
  const kib = pids.map((pid) =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0),
  );
  return kib.reduce((sum, each) => sum + each, 0) / 1024;
}
