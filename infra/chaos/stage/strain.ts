/**
 * When this machine had no time for those who answer: then an answer is late for a reason that is none of the cluster's, and
 * nothing can be learned from it. Looked at often, and process by process, so that the excuse is as short as its reason.
 */
import { readFileSync } from "node:fs";

export interface Span {
  fromMs: number;
  toMs: number;
}

const LOOK_MS = 200;
/** Somebody who answers was ready to run, and waited for a processor, for more than this part of the time. */
const WAITED_SHARE_MAX = 0.5;
/** Or nobody could go on for the disk. */
const DISK_SHARE_MAX = 0.5;
/** Past this part of the whole time steps cannot be expected to come in their moment. */
const STRAINED_SHARE = 0.5;

export class Strain {
  readonly starved: Span[] = [];
  readonly #pids: () => readonly number[];
  readonly #nowMs: () => number;
  readonly #beganMs: number;
  readonly #timer: NodeJS.Timeout;
  #waitedMs = new Map<number, number>();
  #diskMs: number;
  #lookedAtMs: number;

  constructor(parts: { pids: () => readonly number[]; nowMs: () => number }) {
    this.#pids = parts.pids;
    this.#nowMs = parts.nowMs;
    this.#beganMs = this.#lookedAtMs = parts.nowMs();
    this.#diskMs = diskMs();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Since it was made. */
  read(): { share: number; isStrained: boolean } {
    const allMs = this.#nowMs() - this.#beganMs;
    const starvedMs = this.starved.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
    const share = Math.round((starvedMs / Math.max(1, allMs)) * 100) / 100;
    return { share, isStrained: share > STRAINED_SHARE };
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = this.#nowMs();
    const sinceMs = nowMs - this.#lookedAtMs;
    const waited = new Map(this.#pids().map((pid) => [pid, waitedMs(pid)]));
    const disk = diskMs();
    const shares = Array.from(waited, ([pid, ms]) => (ms - (this.#waitedMs.get(pid) ?? ms)) / sinceMs);
    const isStarved =
      Math.max(0, ...shares) > WAITED_SHARE_MAX || (disk - this.#diskMs) / sinceMs > DISK_SHARE_MAX;
    if (isStarved) this.#add({ fromMs: this.#lookedAtMs, toMs: nowMs });
    this.#waitedMs = waited;
    this.#diskMs = disk;
    this.#lookedAtMs = nowMs;
  }

  #add(span: Span): void {
    const last = this.starved.at(-1);
    if (last?.toMs === span.fromMs) last.toMs = span.toMs;
    else this.starved.push(span);
  }
}

/** Time that a process (its first thread) was ready to run and did not; Linux's second figure is in ns. */
function waitedMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** Time in which every process that had work waited for a disk. */
function diskMs(): number {
  try {
    return Number(/^full .*total=(\d+)/m.exec(readFileSync("/proc/pressure/io", "utf8"))?.[1] ?? 0) / 1000;
  } catch {
    return 0;
  }
}

/** The part of a time that lies in some of the spans, which do not overlap. */
export function shareIn(spans: readonly Span[], fromMs: number, toMs: number): number {
  const inside = spans.reduce(
    (sum, span) => sum + Math.max(0, Math.min(toMs, span.toMs) - Math.max(fromMs, span.fromMs)),
    0,
  );
  return inside / Math.max(1, toMs - fromMs);
}
