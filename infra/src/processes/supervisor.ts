/**
 * Keeps children running. The states of one unit:
 *
 *   starting --started--> running --exit--> backing-off --wait over--> starting
 *       |                    |                   |
 *       +----- stop() -------+------ stop() -----+--> stopped
 *
 * The first start is special: its failure is the caller's. Later ones are retried for as long as the unit is wanted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Child } from "./child.ts";

export interface Unit {
  name: string;
  /** Starts the process; may wait until it is ready, and gives up when the signal comes. */
  start(signal: AbortSignal): Promise<Child>;
}

export interface SupervisorEvents {
  /** A unit runs under this pid, or no longer (null). */
  changed(name: string, pid: number | null): void;
  /** Something an operator should read. */
  noticed(text: string): void;
}

/** Waits between restarts: the first is short because a killed process should be back within a second. */
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 5_000;
/** A child that ran this long was well: its next failure starts the backoff anew. */
const WELL_AFTER_MS = 5_000;

interface Watched {
  unit: Unit;
  child: Child | null;
  stop: AbortController;
  /** Ends when the unit is stopped for good. */
  done: Promise<void>;
}

export class Supervisor {
  readonly #events: SupervisorEvents;
  readonly #units = new Map<string, Watched>();

  constructor(events: SupervisorEvents) {
    this.#events = events;
  }

  /** Starts a unit and keeps it. Throws what the first start throws; then nothing is kept. */
  async start(unit: Unit): Promise<void> {
    if (this.#units.has(unit.name)) throw new Error(`${unit.name} is supervised already`);
    const stop = new AbortController();
    let begun: (result: { error?: unknown }) => void = () => undefined;
    const first = new Promise<{ error?: unknown }>((resolve) => (begun = resolve));
    const watched: Watched = { unit, child: null, stop, done: Promise.resolve() };
    this.#units.set(unit.name, watched);
    watched.done = this.#keep(watched, begun);
    const result = await first;
    if ("error" in result) {
      this.#units.delete(unit.name);
      throw result.error;
    }
  }

  pidOf(name: string): number | null {
    return this.#units.get(name)?.child?.pid ?? null;
  }

  /** Stops these units side by side, politely first; returns when they are gone. */
  async stop(names: string[] = [...this.#units.keys()]): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const watched = this.#units.get(name);
        if (watched === undefined) return;
        watched.stop.abort();
        await watched.child?.stop();
        await watched.done;
        this.#units.delete(name);
      }),
    );
  }

  /** For the second Ctrl-C: no politeness. */
  killAll(): void {
    for (const watched of this.#units.values()) {
      watched.stop.abort();
      watched.child?.kill("SIGKILL");
    }
  }

  async #keep(watched: Watched, begun: (result: { error?: unknown }) => void): Promise<void> {
    const { unit, stop } = watched;
    let failures = 0;
    while (!stop.signal.aborted) {
      const startedAt = performance.now();
      try {
        const child = await unit.start(stop.signal);
        watched.child = child;
        // Stopped while it was starting: stop() did not see this child.
        if (stop.signal.aborted) await child.stop();
        this.#events.changed(unit.name, child.pid);
        begun({});
        const exit = await child.exited;
        if (!stop.signal.aborted) {
          this.#events.noticed(
            `${unit.name} ended (${exit.signal ?? `code ${exit.code}`}); it is started again`,
          );
        }
      } catch (error) {
        begun({ error });
        if (!watched.child) return;
        this.#events.noticed(`${unit.name} did not start: ${(error as Error).message}`);
      }
      this.#events.changed(unit.name, null);
      if (stop.signal.aborted) return;
      failures = performance.now() - startedAt > WELL_AFTER_MS ? 0 : failures + 1;
      await sleep(backoffMs(failures), undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }
}

/** Doubles from the shortest wait to the longest. */
export function backoffMs(failures: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.max(0, failures - 1));
}
