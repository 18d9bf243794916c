/** One measured run of one system, and many of them in turn: A B C, A B C, … */
import { median, spread } from "./medians.ts";
import { cpuUs, forgetPeaks, machineBusyUs, peakBytes, processTable } from "./proc.ts";
import { runWrk, type Load, type WrkOptions, type WrkResult } from "./wrk.ts";

/** What a run has to show besides speed. */
export interface Verdict {
  /** Prizes that went out during the run, by the system's own books. */
  wins: number;
  /** What is wrong with the result; a figure with a fault is not shown. */
  faults: string[];
}

/** Anything that can be measured. It is started once and asked many times. */
export interface System {
  id: string;
  what: string;
  /** Root processes by role, such as `service`; what is below them counts with them. */
  processes(): Record<string, number[]>;
  /** Makes fresh stock where that is needed, and says what to ask. */
  begin(): Promise<Load>;
  /** Waits until work that was put off is done, then holds the books against what wrk counted. */
  settle(result: WrkResult): Promise<Verdict>;
  /** When this system needs another load than the rest. */
  connections?: number;
}

export interface Sample {
  system: string;
  wrk: WrkResult;
  verdict: Verdict;
  /** CPU time for each answered request, by role, in microseconds. Work that was put off is in it. */
  cpuUs: Record<string, number>;
  /** CPU time of wrk for each answered request. */
  wrkUs: number;
  peakMiB: Record<string, number>;
  /** How many processors somebody else had during the run. */
  foreignCores: number;
}

const MIB = 1024 * 1024;

export async function measureOnce(system: System, options: WrkOptions): Promise<Sample> {
  const load = await system.begin();
  const roles = system.processes();
  for (const pids of Object.values(roles)) forgetPeaks(pids);
  const before = readRoles(roles);
  const began = { busyUs: machineBusyUs(), atMs: performance.now() };
  const wrk = await runWrk(load, { ...options, connections: system.connections ?? options.connections });
  const wallUs = (performance.now() - began.atMs) * 1000;
  const busyUs = machineBusyUs() - began.busyUs;
  const during = readRoles(roles);
  const verdict = await system.settle(wrk);
  const after = readRoles(roles);
  const ownUs = wrk.cpuUs + difference(during, before).reduce((sum, [, us]) => sum + us, 0);
  return {
    system: system.id,
    wrk,
    verdict: { ...verdict, faults: [...verdict.faults, ...commonFaults(wrk)] },
    cpuUs: Object.fromEntries(
      difference(after, before).map(([role, us]) => [role, us / Math.max(1, wrk.answered)]),
    ),
    wrkUs: wrk.cpuUs / Math.max(1, wrk.answered),
    peakMiB: Object.fromEntries(
      Object.entries(roles).map(([role, pids]) => [role, Math.round(peakBytes(pids) / MIB)]),
    ),
    foreignCores: Math.max(0, busyUs - ownUs) / wallUs,
  };
}

function readRoles(roles: Record<string, number[]>): Record<string, number> {
  const table = processTable();
  return Object.fromEntries(Object.entries(roles).map(([role, pids]) => [role, cpuUs(pids, table)]));
}

function difference(after: Record<string, number>, before: Record<string, number>): [string, number][] {
  return Object.entries(after).map(([role, us]) => [role, us - (before[role] ?? 0)]);
}

/** What no system may do in a phase in which everybody ought to get an answer. */
function commonFaults(wrk: WrkResult): string[] {
  const faults: string[] = [];
  if (wrk.answered === 0) faults.push("no answer at all");
  if (wrk.refused > 0) faults.push(`${wrk.refused} answers with a status of 400 or more`);
  if (wrk.socketErrors > 0) faults.push(`${wrk.socketErrors} connections failed or timed out`);
  return faults;
}

/** In a run where every answer must be a win: what is on its way when wrk stops may be won without being counted. */
export function winFaults(wrk: WrkResult, wins: number, connections: number): string[] {
  const counted = wrk.answered - wrk.refused;
  if (counted <= wins && wins <= counted + connections) return [];
  return [
    `wrk counted ${counted} wins, the books say ${wins} (at most ${connections} may be on their way at the end)`,
  ];
}

export interface Series {
  system: System;
  samples: Sample[];
}

/** Runs the systems in turn, so that whatever happens to the machine happens to all of them. */
export async function measureInterleaved(
  systems: readonly System[],
  options: WrkOptions & { rounds: number; onSample?: (sample: Sample, round: number) => void },
): Promise<Map<string, Series>> {
  const series = new Map(systems.map((system) => [system.id, { system, samples: [] as Sample[] }]));
  for (let round = 0; round < options.rounds; round++) {
    for (const system of systems) {
      const sample = await measureOnce(system, options);
      series.get(system.id)!.samples.push(sample);
      options.onSample?.(sample, round);
    }
  }
  return series;
}

/** Medians over the runs of one system. `faults` non-empty: its figures must not be shown. */
export interface Summary {
  id: string;
  what: string;
  runs: number;
  faults: string[];
  perSecond: number;
  /** (highest - lowest) / median of the throughput: how noisy this was. */
  spread: number;
  latencyMs: { p50: number; p99: number; p999: number };
  cpuUs: Record<string, number>;
  wrkUs: number;
  peakMiB: Record<string, number>;
  foreignCores: number;
}

export function summarise({ system, samples }: Series): Summary {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  const roles = Object.keys(samples[0]?.cpuUs ?? {});
  const byRole = (pick: (sample: Sample) => Record<string, number>): Record<string, number> =>
    Object.fromEntries(roles.map((role) => [role, of((sample) => pick(sample)[role] ?? 0)]));
  return {
    id: system.id,
    what: system.what,
    runs: samples.length,
    faults: [...new Set(samples.flatMap((sample) => sample.verdict.faults))],
    perSecond: of((sample) => sample.wrk.perSecond),
    spread: spread(samples.map((sample) => sample.wrk.perSecond)),
    latencyMs: {
      p50: of((sample) => sample.wrk.latencyMs.p50),
      p99: of((sample) => sample.wrk.latencyMs.p99),
      p999: of((sample) => sample.wrk.latencyMs.p999),
    },
    cpuUs: byRole((sample) => sample.cpuUs),
    wrkUs: of((sample) => sample.wrkUs),
    peakMiB: byRole((sample) => sample.peakMiB),
    foreignCores: of((sample) => sample.foreignCores),
  };
}
