/** From a list of scenarios to a report: they are put on as few clusters as their worlds and rounds allow. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ensurePackages } from "../src/install/packages.ts";
import { whyNoTrace } from "./nemesis/disk.ts";
import { play, type Played } from "./play.ts";
import type { OrderedTimes } from "./checker/read-facts.ts";
import { WORLDS, type Scenario } from "./scenario.ts";
import { ChaosCluster } from "./stage/cluster.ts";
import type { RoundSpec } from "./stage/event.ts";

export interface ChaosOptions {
  scenarios: readonly Scenario[];
  seed: number;
  /** Everything that is written lies here: clusters, and a history of each scenario. */
  dir: string;
  tell: (text: string) => void;
  /** No scenario begins after this moment, as performance.now(). */
  untilMs?: number;
  /** One scenario is done. */
  onPlayed?: (played: Played) => void;
}

const PACKAGES = ["redis-server", "mariadb-server", "haproxy", "strace", "faketime"] as const;
const USERS = 1_500;
/** An event has at most 99 rounds. */
const ROUNDS_MAX = 99;
/** A cluster that has seen so much is thrown away, so that reading its books takes no longer than playing. */
const SCENARIOS_MAX = 25;

interface Group {
  name: string;
  world: Scenario["world"];
  rounds: RoundSpec[];
  plays: { scenario: Scenario; rounds: number[] }[];
}

/** A scenario that this machine does not let us play, and why. */
export interface Skipped {
  id: string;
  why: string;
}

export async function runChaos(options: ChaosOptions): Promise<{ played: Played[]; skipped: Skipped[] }> {
  await ensurePackages(PACKAGES);
  const { scenarios, tell } = options;
  const traced = scenarios.filter(({ steps }) => steps.some(needsTrace));
  const why = traced.length === 0 ? null : await whyNoTrace();
  const skipped = why === null ? [] : traced.map(({ id }) => ({ id, why }));
  for (const { id } of skipped) tell(`skipped: ${id}: ${why}`);
  const played: Played[] = [];
  for (const group of groupsOf(scenarios.filter((scenario) => why === null || !traced.includes(scenario)))) {
    played.push(...(await playGroup(group, options)));
  }
  return { played, skipped };
}

function needsTrace(step: Scenario["steps"][number]): boolean {
  return step.do === "slowDisk" || step.do === "strike";
}

/** Scenarios of one world share a cluster; each has rounds of its own. */
export function groupsOf(scenarios: readonly Scenario[]): Group[] {
  const groups: Group[] = [];
  for (const world of WORLDS) {
    let group: Group | null = null;
    for (const scenario of scenarios.filter((each) => each.world === world)) {
      const isFull =
        group !== null &&
        (group.rounds.length + scenario.rounds.length > ROUNDS_MAX || group.plays.length >= SCENARIOS_MAX);
      if (group === null || isFull) {
        group = { name: `${world}-${groups.length}`, world, rounds: [], plays: [] };
        groups.push(group);
      }
      const first = group.rounds.length + 1;
      group.rounds.push(...scenario.rounds.map((round, index) => ({ ...round, id: first + index })));
      group.plays.push({ scenario, rounds: scenario.rounds.map((_round, index) => first + index) });
    }
  }
  return groups;
}

async function playGroup(group: Group, options: ChaosOptions): Promise<Played[]> {
  const { tell, seed, dir } = options;
  const { world, rounds } = group;
  tell(`${group.name}: a cluster for ${group.plays.length} scenarios`);
  const users = Math.max(USERS, ...group.plays.map(({ scenario }) => scenario.load.users * 2));
  const clusterDir = join(dir, group.name);
  mkdirSync(clusterDir, { recursive: true });
  const cluster = await ChaosCluster.start({ dir: clusterDir, world, rounds, users, tell });
  const played: Played[] = [];
  const ordered = new Map<number, OrderedTimes>();
  try {
    for (const { scenario, rounds } of group.plays) {
      if (performance.now() > (options.untilMs ?? Infinity)) break;
      const one = await play({ cluster, scenario, rounds, seed, dir, ordered, tell });
      played.push(one);
      options.onPlayed?.(one);
    }
  } finally {
    await cluster.stop();
  }
  return played;
}
