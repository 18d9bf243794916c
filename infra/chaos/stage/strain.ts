/**
 * How much of a time somebody on this machine waited for a processor (Linux's pressure figures). When nearly all of it, answers
 * are late for a reason that is none of the cluster's, and nothing can be learned from a time-out.
 */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const SHARE_MAX = 0.85;
/** Where the kernel keeps no such figures, our own loop tells. */
const LOOP_DELAY_MS_MAX = 500;

export class Strain {
  readonly #loop = monitorEventLoopDelay({ resolution: 20 });
  readonly #beganMs = performance.now();
  readonly #waitedUs = waitedUs();

  constructor() {
    this.#loop.enable();
  }

  /** Since it was made. */
  read(): { share: number | null; isStrained: boolean } {
    const now = waitedUs();
    const loopMs = this.#loop.max / 1e6;
    if (now === null || this.#waitedUs === null)
      return { share: null, isStrained: loopMs > LOOP_DELAY_MS_MAX };
    const share = (now - this.#waitedUs) / 1000 / (performance.now() - this.#beganMs);
    return { share: Math.round(share * 100) / 100, isStrained: share > SHARE_MAX };
  }

  end(): void {
    this.#loop.disable();
  }
}

function waitedUs(): number | null {
  try {
    const text = readFileSync("/proc/pressure/cpu", "utf8");
    return Number(/^some .*total=(\d+)/m.exec(text)![1]);
  } catch {
    return null;
  }
}
