/** Waiting for something to come true, bounded, with the child that should bring it about in view. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable } from "@hongbao/preprocess";
import { logTail, type Child } from "./child.ts";

export interface WaitOptions {
  what: string;
  timeoutMsMax: number;
  /** When this child exits first, there is nothing to wait for. */
  child?: Child;
  signal?: AbortSignal;
  intervalMs?: number;
}

/** Asks until `check` is true. Throws Unreachable on the time-out or when the child has gone. */
export async function waitUntil(check: () => Promise<boolean>, options: WaitOptions): Promise<void> {
  const { what, timeoutMsMax, child, signal, intervalMs = 50 } = options;
  const deadline = performance.now() + timeoutMsMax;
  for (;;) {
    signal?.throwIfAborted();
    if (await check().catch(() => false)) return;
    if (child && !child.running()) throw new Unreachable(`${what} ended at its start${lastWords(child)}`);
    if (performance.now() > deadline) {
      throw new Unreachable(
        `${what} was not ready within ${Math.round(timeoutMsMax / 1000)} s${child ? lastWords(child) : ""}`,
      );
    }
    await sleep(intervalMs);
  }
}

function lastWords(child: Child): string {
  const tail = logTail(child.logPath, 1);
  return ` (log ${child.logPath}${tail === "" ? "" : `: ${tail}`})`;
}
