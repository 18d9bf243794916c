/** CPU time and memory of processes, from /proc: user and system time, all threads, with all their children. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";

export interface ProcessTimes {
  parent: number;
  /** Own time, and that of children that have ended and were waited for. */
  ticks: number;
}

/** The fields of /proc/PID/stat that count. The name in parentheses may hold blanks and parentheses itself. */
export function parseStat(text: string): ProcessTimes {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // After the name: state, ppid, …; utime, stime, cutime and cstime are 11 to 14 here, 14 to 17 in proc(5).
  const numbers = [fields[1], ...fields.slice(11, 15)].map(Number);
  if (numbers.length !== 5 || !numbers.every((number) => Number.isFinite(number))) {
    throw new Error(`/proc stat: found "${text.slice(0, 60)}", expected the fields of proc(5)`);
  }
  const [parent, ...times] = numbers;
  return { parent: parent!, ticks: times.reduce((sum, ticks) => sum + ticks, 0) };
}

/** The highest resident set so far, from /proc/PID/status, in bytes; 0 for a process without memory. */
export function parsePeak(text: string): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}

let ticksPerSecond = 0;

function ticksToUs(ticks: number): number {
  if (ticksPerSecond === 0)
    ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return (ticks * 1e6) / ticksPerSecond;
}

function readProc(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    // It ended in the meantime.
    return null;
  }
}

export type ProcessTable = Map<number, ProcessTimes>;

/** All processes of this moment. */
export function processTable(): ProcessTable {
  const table: ProcessTable = new Map();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    const text = Number.isInteger(pid) ? readProc(pid, "stat") : null;
    if (text !== null) table.set(pid, parseStat(text));
  }
  return table;
}

/** These processes and everything below them. */
export function withDescendants(roots: readonly number[], table = processTable()): number[] {
  const found = new Set(roots.filter((pid) => table.has(pid)));
  // A child may stand before its parent in the table, so it is gone through until nothing is new.
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [pid, { parent }] of table) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

/** CPU time spent so far by these processes and what is below them, in microseconds. */
export function cpuUs(roots: readonly number[], table = processTable()): number {
  return ticksToUs(withDescendants(roots, table).reduce((sum, pid) => sum + table.get(pid)!.ticks, 0));
}

/**
 * The same to the nanosecond, for work of some tenths of a second, where whole clock ticks are too coarse: the time that
 * the scheduler gave to each thread. Threads that have ended are not in it. Falls back to ticks where the kernel does not say.
 */
export function fineCpuUs(roots: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of withDescendants(roots)) {
    for (const thread of threadsOf(pid)) {
      nanoseconds += Number(readProc(pid, `task/${thread}/schedstat`)?.split(" ")[0] ?? 0);
    }
  }
  return nanoseconds > 0 ? nanoseconds / 1000 : cpuUs(roots);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Highest resident sets since the last `forgetPeaks`, summed, in bytes. */
export function peakBytes(roots: readonly number[]): number {
  return withDescendants(roots).reduce((sum, pid) => sum + parsePeak(readProc(pid, "status") ?? ""), 0);
}

/** Resident set at this moment, summed, in bytes. */
export function residentBytes(roots: readonly number[]): number {
  return withDescendants(roots).reduce((sum, pid) => {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(pid, "status") ?? "")?.[1];
    return sum + Number(kib ?? 0) * 1024;
  }, 0);
}

export function forgetPeaks(roots: readonly number[]): void {
  for (const pid of withDescendants(roots)) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    } catch {
      // Not ours to reset: then the peak since its start is shown.
    }
  }
}

/** Busy time of all processors since boot, in microseconds: what is not idle and not waiting for a disk. */
export function machineBusyUs(): number {
  const line = readFileSync("/proc/stat", "utf8").split("\n")[0]!;
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number);
  return ticksToUs(user! + nice! + system! + irq! + softirq! + steal!);
}
