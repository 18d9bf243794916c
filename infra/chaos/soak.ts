/**
 * Rounds open and close for an hour, people come and go, and a process dies now and then. What should stay flat is watched:
 * memory and handles of every process, connections, what a claim costs Redis, rows of MySQL that are work and not results.
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RowDataPacket } from "mysql2/promise";
import { table } from "@hongbao/preprocess";
import { ensurePackages } from "../src/install/packages.ts";
import type { OrderedTimes } from "./checker/read-facts.ts";
import { play } from "./play.ts";
import { pick, randomFrom, seedOf } from "./random.ts";
import { parseScenario, type Scenario } from "./scenario.ts";
import { ChaosCluster } from "./stage/cluster.ts";
import { treeOf } from "./stage/tree.ts";

export interface SoakOptions {
  seconds: number;
  seed: number;
  dir: string;
  tell: (text: string) => void;
}

/** One thing that is watched, at one moment. */
type Look = Record<string, number>;

export interface SoakRow {
  what: string;
  /** The least in the second and in the last quarter of the time: between rounds, when nothing is under way. */
  early: number;
  late: number;
  /** What it may have grown by. */
  allowed: number;
  flat: boolean;
}

export interface SoakReport {
  ok: boolean;
  seed: number;
  seconds: number;
  rounds: number;
  prizes: number;
  violations: number;
  found: { promise: number; what: string }[];
  rows: SoakRow[];
}

const PACKAGES = ["redis-server", "mariadb-server", "haproxy", "strace", "faketime"] as const;
const USERS = 1_200;
const ROUND_SECONDS_MIN = 14;
const LOOK_EVERY_MS = 2_000;
const ROUNDS_MAX = 99;
/** Every so many rounds something is killed: restarts must not leak either. */
const FAULT_EVERY = 4;

/**
 * HAProxy keeps as many connections to the services as it ever needed at once, and closes those that nobody needs: agents' after a
 * minute without a question. So its handles, and those of the services at the other end, are looked at before the first round and
 * after so long a rest, not in between.
 */
const REST_MS = 80_000;
const KEEPERS = /^(balancer|service .*): handles$/;
/** Of a process that has just started little can be said. */
const GROWN_MS = 10_000;

/** Growth that is no leak: caches fill, and a garbage collector takes its time. */
const ALLOWED: Record<string, (early: number) => number> = {
  "rss MiB": (early) => Math.max(40, early * 0.35),
  handles: (early) => Math.max(12, early * 0.2),
  connections: (early) => Math.max(12, early * 0.2),
  rows: () => 500,
  // By claim: the event's memory of who won is meant to grow with the winners, and only with them.
  "bytes a claim": (early) => early * 0.25,
};

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, seed, dir, tell } = options;
  await ensurePackages(PACKAGES);
  const began = performance.now();
  const rounds = Math.min(ROUNDS_MAX, Math.max(2, Math.floor(seconds / ROUND_SECONDS_MIN)));
  // A long soak waits between its rounds, because an event has only so many.
  const roundMs = (seconds * 1000) / rounds;
  const scenarios = Array.from({ length: rounds }, (_, index) => soakScenario(seed, index));
  mkdirSync(dir, { recursive: true });
  const cluster = await ChaosCluster.start({
    dir,
    world: "plain",
    rounds: scenarios.map(({ rounds: [round] }, index) => ({ ...round!, id: index + 1 })),
    users: USERS,
    tell,
  });
  const born = new Map<number, number>();
  const before = await look(cluster, born, 0);
  let after: Look = {};
  const looks: Look[] = [];
  const watch = new AbortController();
  const watching = (async () => {
    while (!watch.signal.aborted) {
      await look(cluster, born).then(
        (seen) => looks.push(seen),
        () => undefined,
      );
      await sleep(LOOK_EVERY_MS, undefined, { signal: watch.signal }).catch(() => undefined);
    }
  })();
  const ordered = new Map<number, OrderedTimes>();
  const report: SoakReport = {
    ok: true,
    seed,
    seconds: 0,
    rounds: 0,
    prizes: 0,
    violations: 0,
    found: [],
    rows: [],
  };
  try {
    for (const [index, scenario] of scenarios.entries()) {
      const dueMs = began + index * roundMs;
      await sleep(Math.max(0, dueMs - performance.now()));
      if (performance.now() - began > seconds * 1000) break;
      const one = await play({
        cluster,
        scenario,
        rounds: [index + 1],
        seed,
        dir: join(dir, "logs"),
        ordered,
        tell: () => undefined,
      });
      report.rounds += 1;
      report.prizes += one.effect.won;
      report.violations += one.violations.length;
      report.found.push(...one.violations);
      tell(
        `round ${index + 1} of ${rounds}: ${one.effect.won} prizes told, ${one.violations.length} violations`,
      );
    }
    tell(`a rest of ${REST_MS / 1000} s`);
    watch.abort();
    await sleep(REST_MS);
    after = await look(cluster, born, 0);
  } finally {
    watch.abort();
    await watching;
    await cluster.stop();
  }
  report.seconds = Math.round((performance.now() - began) / 1000);
  const kept = Object.keys(before).filter((what) => KEEPERS.test(what));
  report.rows = [
    ...judge(looks),
    ...kept.map((what) => rowOf(`${what}, before and after`, before[what]!, after[what] ?? Infinity)),
  ];
  report.ok = report.violations === 0 && report.rows.every(({ flat }) => flat);
  return report;
}

function soakScenario(seed: number, index: number): Scenario {
  const random = randomFrom(seedOf(seed, `soak ${index}`));
  const target = pick(random, [
    "service one",
    "persist one",
    "payout one",
    "controller one",
    "redis b0",
    "mysql b1",
  ]);
  const raw = {
    what: "a round of a soak",
    rounds: [
      {
        count: pick(random, [200, 400, 700]),
        perUser: pick(random, [1, 1, 2]),
        kind: pick(random, ["envelope", "envelope", "item"]),
      },
    ],
    load: { users: 500, seconds: 4, firstBucketShare: pick(random, [0.5, 0.5, 0.7]) },
    steps: index % FAULT_EVERY === FAULT_EVERY - 1 ? [{ at: 2, do: "kill", target }] : [],
  };
  return parseScenario(`soak-${index + 1}`, JSON.stringify(raw));
}

/** Work that is done must leave nothing behind in these. */
const WORK_TABLES = ["payout_feed", "claim_conflicts", "user_rules"];

/**
 * @param born since when each process is known.
 * @param grownMs who is younger is left out.
 */
async function look(cluster: ChaosCluster, born: Map<number, number>, grownMs = GROWN_MS): Promise<Look> {
  const seen: Look = {};
  const nowMs = performance.now();
  for (const { name } of cluster.parts) {
    const pid = cluster.pid(name);
    if (pid === null) continue;
    if (!born.has(pid)) born.set(pid, nowMs);
    if (nowMs - born.get(pid)! < grownMs) continue;
    const tree = treeOf(pid).map(figuresOf);
    seen[`${name}: rss MiB`] = sum(tree.map(({ rssMib }) => rssMib));
    seen[`${name}: handles`] = sum(tree.map(({ handles }) => handles));
  }
  for (const [name, link] of cluster.links) seen[`${name}: connections`] = link.connections;
  for (const { id } of cluster.topology.buckets) {
    const rows = async (text: string): Promise<number> => {
      const [[row]] = await cluster.mysql(id).query<RowDataPacket[]>(text);
      return Number(row!["n"]);
    };
    for (const name of WORK_TABLES)
      seen[`mysql ${id} ${name}: rows`] = await rows(`SELECT COUNT(*) AS n FROM ${name}`);
    const redis = await cluster.redis(id);
    try {
      const info = await redis.info();
      const figure = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1]);
      const meta = await redis.hmget(`{hongbao:${cluster.event}:${id}}:meta`, "seq", "acked");
      const [seq, acked] = meta.map(Number) as [number, number];
      seen[`redis ${id} journal: rows`] = seq - acked;
      if (seq > 0)
        seen[`redis ${id}: bytes a claim`] = (figure("used_memory_dataset") || figure("used_memory")) / seq;
    } finally {
      redis.disconnect();
    }
  }
  return seen;
}

function figuresOf(pid: number): { rssMib: number; handles: number } {
  try {
    const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    const fds = readdirSync(`/proc/${pid}/fd`).filter((fd) => !isEvent(pid, fd));
    return { rssMib: Number(rss ?? 0) / 1024, handles: fds.length };
  } catch {
    return { rssMib: 0, handles: 0 };
  }
}

/** Timers and event counters of the runtime come and go. */
function isEvent(pid: number, fd: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("anon_inode");
  } catch {
    return true;
  }
}

function judge(looks: readonly Look[]): SoakRow[] {
  const quarter = Math.floor(looks.length / 4);
  const names = new Set(looks.flatMap((seen) => Object.keys(seen)));
  return [...names]
    .filter((what) => !KEEPERS.test(what))
    .flatMap((what): SoakRow[] => {
      const of = (from: number, to: number): number =>
        Math.min(...looks.slice(from, to).flatMap((seen) => seen[what] ?? []));
      const [early, late] = [of(quarter, 2 * quarter), of(3 * quarter, looks.length)];
      // One that was killed again and again is not seen grown in a short soak.
      return early === Infinity || late === Infinity ? [] : [rowOf(what, early, late)];
    });
}

function rowOf(what: string, early: number, late: number): SoakRow {
  const kind = what.slice(what.lastIndexOf(": ") + 2).split(",")[0]!;
  const allowed = ALLOWED[kind]!(early);
  const flat = late - early <= allowed;
  return { what, early: round(early), late: round(late), allowed: round(allowed), flat };
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const round = (value: number): number => Math.round(value * 10) / 10;

export function soakText(report: SoakReport): string {
  const { rows, rounds, prizes, seconds, violations, found, seed } = report;
  const shown = rows.map(({ what, early, late, allowed, flat }) => [
    what,
    String(early),
    String(late),
    String(allowed),
    flat ? "flat" : "GROWS",
  ]);
  return [
    table([["what", "2nd quarter", "last quarter", "may grow by", ""], ...shown]),
    ...found.map(({ promise, what }) => `promise ${promise}: ${what}`),
    `${rounds} rounds in ${seconds} s, ${prizes} prizes told, ${violations} violations, seed ${seed}`,
  ].join("\n");
}
