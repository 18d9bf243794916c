/** Temporary directories and a leak check for tests with real servers. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const LOOKS_MAX = 40;
const LOOK_EVERY_MS = 50;

/** The part of a tap test that we need. */
export interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

/** A fresh directory; with a test it is removed at its end, and what still runs in it is a failure. */
export function temporaryState(t?: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-"));
  t?.teardown(async () => {
    const left = await stillIn(dir);
    for (const { pid } of left) kill(pid);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    if (left.length > 0) {
      throw new Error(
        `left behind in ${dir}: ${left.map(({ pid, command }) => `${pid} ${command}`).join("; ")}`,
      );
    }
  });
  return dir;
}

/** What has not ended after a moment: a process that was just killed may take one. */
async function stillIn(dir: string): Promise<{ pid: number; command: string }[]> {
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    if (processesIn(dir).length === 0) return [];
    await sleep(LOOK_EVERY_MS);
  }
  return processesIn(dir);
}

/** Every process whose command line or working directory lies in this directory (ourselves apart). */
export function processesIn(dir: string): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // A process that has ended but was not collected yet has no command line.
      if (command === "") continue;
      if (command.includes(dir) || readlinkSync(`/proc/${pid}/cwd`).startsWith(dir))
        found.push({ pid, command });
    } catch {
      // Gone in the meantime, or not ours to read.
    }
  }
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
