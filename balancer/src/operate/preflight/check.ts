/** What a check of `hongbao preflight` is. The list of all of them is in list.ts. */
import type { Scene } from "./scene.ts";

export interface Check {
  id: string;
  /** What must hold, as people read it. */
  what: string;
  /** The command, or the deed, that usually mends it; a fault may know a better one. */
  mend: string;
  /** Never changes anything. What it throws is a fault in its words. */
  run: (scene: Scene) => Outcome | Promise<Outcome>;
}

export interface Fault {
  /** What was found and what is expected. */
  what: string;
  mend?: string;
}

/**
 * Faults: no-go. Without any: go, with what was seen. `skipped` says why this cannot be a question here, such as a
 * certificate where there is no TLS.
 */
export type Outcome = { faults: (Fault | string)[]; seen: string } | { skipped: string };

export const skipped = (why: string): Outcome => ({ skipped: why });

/** "3 services", "1 service". */
export const counted = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? "" : /(s|x|ch)$/.test(noun) ? "es" : "s"}`;

/** "b0, b1 and b2" */
export const listed = (names: readonly string[]): string =>
  names.length < 2 ? (names[0] ?? "none") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)!}`;
