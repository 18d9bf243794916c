/**
 * Caps how much processor a process gets, as a container's limit does: by a control group of the kernel where we may make
 * one, else by stopping and continuing the process.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CpuCap {
  how: string;
  release(): void;
}

const PERIOD_MS = 50;
const ROOT = "/sys/fs/cgroup";

/** @param share of one processor. */
export function capCpu(pid: number, share: number): CpuCap {
  return byGroup(pid, share) ?? bySignals(pid, share);
}

function byGroup(pid: number, share: number): CpuCap | null {
  const isOld = existsSync(join(ROOT, "cpu", "cpu.cfs_quota_us"));
  const root = isOld ? join(ROOT, "cpu") : ROOT;
  const dir = join(root, `hongbao-bench-${pid}`);
  const [period, quota] = [PERIOD_MS * 1000, Math.max(1000, Math.round(PERIOD_MS * 1000 * share))];
  try {
    mkdirSync(dir);
  } catch {
    return null;
  }
  try {
    if (isOld) {
      writeFileSync(join(dir, "cpu.cfs_period_us"), String(period));
      writeFileSync(join(dir, "cpu.cfs_quota_us"), String(quota));
    } else {
      writeFileSync(join(dir, "cpu.max"), `${quota} ${period}`);
    }
    writeFileSync(join(dir, "cgroup.procs"), String(pid));
  } catch {
    rmdirSync(dir);
    return null;
  }
  return {
    how: "control group",
    release: () => {
      if (existsSync(`/proc/${pid}`)) writeFileSync(join(root, "cgroup.procs"), String(pid));
      // A process that has just ended stands in its group for a moment; then the empty group stays, which harms nobody.
      if (readFileSync(join(dir, "cgroup.procs"), "utf8") === "") rmdirSync(dir);
    },
  };
}

function bySignals(pid: number, share: number): CpuCap {
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  };
  let stopping: NodeJS.Timeout | undefined;
  const period = setInterval(() => {
    send("SIGCONT");
    stopping = setTimeout(() => send("SIGSTOP"), PERIOD_MS * share);
  }, PERIOD_MS);
  return {
    how: "signals",
    release: () => {
      clearInterval(period);
      clearTimeout(stopping);
      send("SIGCONT");
    },
  };
}
