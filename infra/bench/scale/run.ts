/** `bench --scale`: what a win costs as things grow, each point on a cluster of its own. */
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { signToken } from "@hongbao/preprocess";
import { ensurePackages } from "../../src/install/packages.ts";
import { freePort } from "../../src/processes/ports.ts";
import { timeHongbao } from "../measure/command.ts";
import { fineCpuUs } from "../measure/proc.ts";
import { scratchDir } from "../measure/scratch.ts";
import { runWrk } from "../measure/wrk.ts";
import { bookFaults } from "../systems/hongbao/books.ts";
import { startCluster, type Cluster } from "../systems/hongbao/cluster.ts";
import { grabPath } from "../systems/hongbao/system.ts";
import { bucketPorts, writeEvent, writeTopology } from "../systems/hongbao/topology.ts";
import { AUTHORIZATION, makeWorld, userId, type World } from "../systems/hongbao/world.ts";
import { scalePoints, THINK_MS, type Dimension, type Point } from "./points.ts";

export interface PointFigures {
  dimension: Dimension;
  size: number;
  wins: number;
  /** CPU time of a win, by role, in microseconds. */
  cpuUs: Record<string, number>;
  /** All of them together. */
  wholeUs: number;
  faults: string[];
}

export interface GenerateFigures {
  prizes: number;
  seconds: number;
  peakMiB: number;
}

export interface ScaleFigures {
  points: PointFigures[];
  generate: GenerateFigures[];
}

const IDLE_MS = 3_000;
const SECONDS_MAX = 60;
const PACKAGES = ["redis-server", "mariadb-server", "haproxy", "wrk"] as const;
const GENERATED = { quick: [100_000, 1_000_000], full: [1_000_000, 10_000_000, 100_000_000] };
const GENERATED_USERS = 10_000;

export async function benchScale(quick: boolean, tell: (text: string) => void): Promise<ScaleFigures> {
  await ensurePackages(PACKAGES);
  using scratch = scratchDir();
  const dir = scratch.path;
  const generate: GenerateFigures[] = [];
  for (const prizes of quick ? GENERATED.quick : GENERATED.full) {
    tell(`generating ${prizes} prizes`);
    generate.push(await measureGenerate(join(dir, "generate"), prizes));
  }
  const points: PointFigures[] = [];
  for (const [index, point] of scalePoints(quick).entries()) {
    const figures = await measurePoint(join(dir, String(index)), point);
    points.push(figures);
    tell(pointLine(figures));
  }
  return { points, generate };
}

function pointLine({ dimension, size, wins, cpuUs, wholeUs, faults }: PointFigures): string {
  const roles = Object.entries(cpuUs).map(([role, us]) => `${role} ${us.toFixed(1)}`);
  const wrong = faults.length > 0 ? `; WRONG: ${faults.join("; ")}` : "";
  return `${size} ${dimension}: ${wins} wins, CPU us ${wholeUs.toFixed(1)} (${roles.join(", ")})${wrong}`;
}

async function measurePoint(dir: string, point: Point): Promise<PointFigures> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const world = makeWorld(join(dir, "world"), point.users);
  const tokens = askerTokens(world, point.askers);
  const { buckets, services, rounds } = point;
  const cluster = await startCluster({
    name: "scale",
    world,
    dir,
    buckets,
    services,
    rounds,
    balancers: [{ id: "plain" }],
  });
  try {
    const askAll = async (goes: number[][]): Promise<number> => {
      let answered = 0;
      for (const go of goes) answered += await ask(cluster, tokens, go, point);
      return answered;
    };
    await askAll(point.warm);
    await cluster.books.settled(point.warm[0]![0]!);
    const roles = Object.entries(cluster.processes("plain"));
    const idle = await idleShares(roles);
    const before = roles.map(([, pids]) => fineCpuUs(pids));
    const beganMs = performance.now();
    await askAll(point.measured);
    const { wins, faults } = await settle(cluster, point);
    const elapsedUs = (performance.now() - beganMs) * 1000;
    const spent = roles.map(([role, pids], index) => {
      const us = fineCpuUs(pids) - before[index]! - idle[index]! * elapsedUs;
      return [role, us / wins] as const;
    });
    return {
      dimension: point.dimension,
      size: point.size,
      wins,
      cpuUs: Object.fromEntries(spent),
      wholeUs: spent.reduce((sum, [, us]) => sum + us, 0),
      faults,
    };
  } finally {
    await cluster.stop();
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/**
 * Which part of a processor each role takes while nothing is asked. It is taken off what a win costs: few users have to be
 * asked slowly, and the clocks of waiting processes would count as theirs.
 */
async function idleShares(roles: [string, number[]][]): Promise<number[]> {
  const before = roles.map(([, pids]) => fineCpuUs(pids));
  await sleep(IDLE_MS);
  return roles.map(([, pids], index) => (fineCpuUs(pids) - before[index]!) / (IDLE_MS * 1000));
}

async function ask(cluster: Cluster, tokens: string, rounds: number[], point: Point): Promise<number> {
  const paths: string[] = [];
  for (const round of rounds) paths.push(grabPath(round, await cluster.key(round)));
  const { answered } = await runWrk(
    {
      url: cluster.url("plain"),
      method: "POST",
      paths,
      identities: { file: tokens, header: AUTHORIZATION },
      ends: "stop",
      thinkMs: THINK_MS,
    },
    { seconds: SECONDS_MAX, connections: point.connections, threads: 1 },
  );
  await sleep(point.restMs);
  return answered;
}

async function settle(cluster: Cluster, point: Point): Promise<{ wins: number; faults: string[] }> {
  let wins = 0;
  const faults: string[] = [];
  for (const round of point.measured.flat()) {
    const books = await cluster.books.settled(round);
    wins += books.issued;
    faults.push(...bookFaults(point.rounds.find(({ id }) => id === round)!.count, books));
  }
  const expected = point.askers * point.measured.flat().length;
  // Whoever was on the way when wrk had asked everybody may have got nothing.
  const lostMax = point.connections * point.measured.length;
  if (wins < expected - lostMax) faults.push(`${wins} wins of ${expected} users who asked`);
  return { wins, faults };
}

/** Askers are spread over the whole list, so that a bigger list is a bigger list for everybody who looks something up. */
function askerTokens(world: World, askers: number): string {
  const path = join(world.dir, "askers.txt");
  const expSeconds = Math.floor(Date.now() / 1000) + 24 * 3600;
  const step = world.users / askers;
  const file = openSync(path, "w", 0o600);
  for (let index = 0; index < askers; index++) {
    writeSync(file, `${signToken(userId(1 + Math.floor(index * step)), world.secrets.token, expSeconds)}\n`);
  }
  closeSync(file);
  return path;
}

async function measureGenerate(dir: string, prizes: number): Promise<GenerateFigures> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  try {
    const secretsDir = join(dir, "secrets");
    const usersCsv = join(dir, "users.csv");
    const users = Array.from({ length: GENERATED_USERS }, (_, index) => `${userId(index)},User,staff\n`);
    writeFileSync(usersCsv, `id,name,group\n${users.join("")}`);
    const event = writeEvent(dir, { id: "bench-generate", rounds: [{ id: 1, count: prizes }], usersCsv });
    const topology = writeTopology(
      join(dir, "topology.yaml"),
      { secretsDir },
      {
        buckets: await bucketPorts(2, 1, false),
        balancer: { listen: await freePort(), admin: await freePort() },
        controllerAdmin: await freePort(),
        site: await freePort(),
        pack: join(dir, "pack"),
      },
    );
    const words = ["preprocess", "generate", event, "--topology", topology, "--out", join(dir, "pack")];
    const { seconds, peakMiB } = await timeHongbao(words);
    return { prizes, seconds, peakMiB };
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
