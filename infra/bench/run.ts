/** The bench from its options to its report: everything is started once, measured in turn, checked, and stopped. */
import { join } from "node:path";
import { BadInput } from "@hongbao/preprocess";
import { tryHongbao, errorLine } from "../src/cluster/hongbao.ts";
import { ensurePackages } from "../src/install/packages.ts";
import { slowness, type Facts } from "./facts.ts";
import { measureInterleaved, measureOnce, summarise, type Sample, type System } from "./measure/sample.ts";
import { scratchDir } from "./measure/scratch.ts";
import { measureHandshakes } from "./phases/handshakes.ts";
import { measurePack } from "./phases/pack.ts";
import { measurePayout } from "./phases/payout.ts";
import { measurePersist } from "./phases/persist.ts";
import { measureSellOut } from "./phases/sell-out.ts";
import { machineFigures, type Report } from "./report/report.ts";
import { judge, ROWS, type RowPlan } from "./rows.ts";
import type { Sizes } from "./sizes.ts";
import { setStage, type Stage } from "./stage.ts";

export interface BenchOptions {
  sizes: Sizes;
  quick: boolean;
  /** IDs of rows, or of groups of rows; null: all. */
  only: string[] | null;
  tell: (text: string) => void;
}

const PACKAGES = [
  "redis-server",
  "mariadb-server",
  "haproxy",
  "wrk",
  "nginx",
  "libnginx-mod-http-lua",
] as const;

/** Throws BadInput for an unknown row, Unreachable when something cannot be had or does not start. */
export async function bench(options: BenchOptions): Promise<Report> {
  const began = performance.now();
  const { sizes, tell, quick } = options;
  const rows = chooseRows(options.only);
  await ensurePackages(PACKAGES);
  const facts: Facts = { series: new Map(), faults: [] };
  using scratch = scratchDir();
  const dir = scratch.path;
  // The pack is made and loaded while nothing else runs.
  const needs = new Set(["floor-nginx", ...rows.flatMap((row) => row.needs)]);
  if (needs.has("pack")) facts.pack = await measurePack(join(dir, "pack"), sizes, tell);
  await measureSystems({ dir, sizes, needs, tell }, facts);
  return {
    quick,
    startedAt: new Date(Date.now() - (performance.now() - began)).toISOString(),
    seconds: Math.round((performance.now() - began) / 1000),
    machine: machineFigures(),
    slowness: slowness(facts),
    rows: rows.map((row) => judge(row, facts)),
    systems: [...facts.series.values()].map(summarise),
    ...(facts.sellOut ? { sellOut: facts.sellOut } : {}),
    ...(facts.persist ? { persist: facts.persist } : {}),
    ...(facts.payout ? { payout: facts.payout } : {}),
    ...(facts.handshakes ? { handshakes: facts.handshakes } : {}),
    ...(facts.pack ? { pack: facts.pack } : {}),
  };
}

function chooseRows(only: string[] | null): RowPlan[] {
  if (only === null) return [...ROWS];
  const known = new Set(ROWS.flatMap(({ id, group }) => [id, group as string]));
  const strange = only.find((word) => !known.has(word));
  if (strange !== undefined) {
    throw new BadInput(`--only: found "${strange}", expected some of ${[...known].join(", ")}`);
  }
  return ROWS.filter(({ id, group }) => only.includes(id) || only.includes(group));
}

async function measureSystems(
  options: { dir: string; sizes: Sizes; needs: Set<string>; tell: (text: string) => void },
  facts: Facts,
): Promise<void> {
  const { sizes, needs, tell } = options;
  await using begun = new AsyncDisposableStack();
  const stage = await setStage(options, begun);
  await warmUp(stage.winners, sizes, tell);
  await interleave(stage.winners, sizes, facts, tell);
  if (stage.ended.length > 0) {
    await stage.prepareEnded();
    await warmUp(stage.ended, sizes, tell);
    await interleave(stage.ended, sizes, facts, tell);
  }
  const { main, world, rounds, plainBalancer } = stage;
  if (main === null) return;
  main.holdControllers(false);
  await stage.lightMain();
  if (needs.has("hongbao")) {
    tell(`selling out ${sizes.sellOut} prizes`);
    facts.sellOut = await measureSellOut(main, world, sizes, rounds.sellOut, plainBalancer);
  }
  if (needs.has("handshakes")) {
    tell("shaking hands");
    facts.handshakes = await measureHandshakes(main, sizes, rounds.over, "tls");
  }
  // What payout is measured with is the burst of claims that persist has brought into MySQL.
  if (needs.has("persist") || needs.has("payout")) {
    tell(`letting ${sizes.burst} claims wait for MySQL`);
    facts.persist = await measurePersist(main, world, sizes, rounds.burst, plainBalancer);
  }
  if (needs.has("payout")) {
    tell("paying");
    facts.payout = await measurePayout(main, plainBalancer);
  }
  await auditMain(stage, facts, tell);
}

/** Compilers and caches get warm before anything counts. */
async function warmUp(systems: System[], sizes: Sizes, tell: (text: string) => void): Promise<void> {
  for (const system of systems) {
    tell(`warming up ${system.id}`);
    await measureOnce(system, wrkOptions(sizes, sizes.warmUpSeconds));
  }
}

async function interleave(
  systems: System[],
  sizes: Sizes,
  facts: Facts,
  tell: (text: string) => void,
): Promise<void> {
  const series = await measureInterleaved(systems, {
    ...wrkOptions(sizes, sizes.secondsEach),
    rounds: sizes.rounds,
    onSample: (sample, round) => tell(sampleLine(sample, `${round + 1}/${sizes.rounds}`)),
  });
  for (const [id, one] of series) facts.series.set(id, one);
}

function wrkOptions(
  sizes: Sizes,
  seconds: number,
): { seconds: number; connections: number; threads: number } {
  return { seconds, connections: sizes.connections, threads: sizes.wrkThreads };
}

function sampleLine({ system, wrk, cpuUs, wrkUs, foreignCores, verdict }: Sample, round: string): string {
  const roles = Object.entries({ ...cpuUs, wrk: wrkUs }).map(([role, us]) => `${role} ${us.toFixed(1)}`);
  const latency = `p50 ${wrk.latencyMs.p50.toFixed(1)} p99 ${wrk.latencyMs.p99.toFixed(1)} ms`;
  const foreign = foreignCores > 0.1 ? `; others had ${foreignCores.toFixed(1)} cores` : "";
  const faults = verdict.faults.length > 0 ? `; WRONG: ${verdict.faults.join("; ")}` : "";
  return `${round} ${system}: ${Math.round(wrk.perSecond)}/s, ${latency}, CPU us: ${roles.join(", ")}${foreign}${faults}`;
}

/** The conservation proof over everything that the bench has done. */
async function auditMain({ main }: Stage, facts: Facts, tell: (text: string) => void): Promise<void> {
  tell("auditing");
  const args = ["audit", "--topology", main!.topology, "--json"];
  const { code, stderr } = await tryHongbao(args);
  if (code !== 0) facts.faults.push(`audit: ${errorLine(stderr, args)}`);
}
