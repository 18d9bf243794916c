/**
 * npm starts us through a shell, and a killed npm takes neither with it: we would run on with nobody to stop us.
 * So, when npm is our ancestor, its end is our signal to stop.
 */
import { readFileSync } from "node:fs";
import { processStart } from "@hongbao/preprocess";

const EVERY_MS = 1_000;
const GENERATIONS_MAX = 4;

/** Calls `gone` once when the npm that started us has ended. Returns how to stop watching. */
export function watchNpm(gone: () => void): () => void {
  const npm = process.env.npm_lifecycle_event === undefined ? null : findNpm();
  if (npm === null) return () => undefined;
  const timer = setInterval(() => {
    if (processStart(npm.pid) === npm.start) return;
    clearInterval(timer);
    gone();
  }, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function findNpm(): { pid: number; start: string } | null {
  let pid = process.ppid;
  for (let generation = 0; generation < GENERATIONS_MAX && pid > 1; generation++) {
    const start = processStart(pid);
    if (start === null) return null;
    if (
      /^npm\b/.test(read(`/proc/${pid}/comm`)) ||
      /^npm\b|[/]npm(-cli\.js)?\0/.test(read(`/proc/${pid}/cmdline`))
    ) {
      return { pid, start };
    }
    pid = Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  }
  return null;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
