/** Defaults of a rehearsal. */
import { availableParallelism } from "node:os";

export const CONNECTIONS = 128;
export const DURATION_SECONDS = 300;

/** The load comes from this machine, which needs its own share: two threads are plenty. */
export const loadThreads = (): number => Math.min(2, availableParallelism());
