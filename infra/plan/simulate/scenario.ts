/** What is simulated: one round, its people, its plant, and what goes wrong meanwhile. */
import type { Costs } from "./costs.ts";

export interface Press {
  /** First presses are spread over this long. */
  spreadMs: number;
  /** even: at any moment alike; front: most at once, half of them in the first seventh, fewer and fewer after that. */
  shape: "even" | "front";
  /** Part of the winners who press once more for what they have: an impatient thumb, a second window. */
  againShare: number;
  /** After `ended` everybody asks for the result once, 1 to 10 s later, as the page does. */
  checksResult: boolean;
}

/** A bucket, or all of a zone, out of reach for a while; what its stores hold stays. */
export interface Loss {
  buckets: number[];
  /** The zone, when it is one: it takes its part of the front with it. */
  zone: number | null;
  fromMs: number;
  /** Infinity: it does not come back. */
  forMs: number;
}

export interface Plant {
  costs: Costs;
  /** Service processes of each bucket, each with a core of its own. */
  services: number;
  /** Cores of all HAProxys; null: as many as it takes, which the report tells. */
  frontCores: number | null;
  /** Everything on one machine of so many cores, load generator included; then nothing else bounds. */
  machineCores: number | null;
  /** A closed loop: at most so many requests are on their way at once, and the others wait at the client. One prize a user. */
  connections: number | null;
  zones: number;
  /** Added to every answer: the network, and the rest under load of the services. */
  latencyMs: number;
  journalMax: number;
  /** What one step of a transfer, and one write to the control store, take. */
  moveMs: number;
  recordMs: number;
}

export interface Scenario {
  seed: number;
  /** IDs of the buckets. */
  buckets: string[];
  /** Prizes of each at the opening. */
  stock: number[];
  perUser: number;
  press: Press;
  lend: boolean;
  plant: Plant;
  losses: Loss[];
  secondsMax: number;
}

/** A closed loop is what wrk does in a rehearsal (src/rehearse/grab.lua): passes over everybody. */
export const closedLoop = { passesMax: 4, passMsMin: 250 } as const;

/** The product's own bounds and rhythms, as its code has them. */
export const productPolicy = {
  /** How often a conductor looks at a bucket, and thinks; how long a step waits for the slow (conductor/). */
  lookMs: 150,
  tickMs: 100,
  stepMsMax: 300,
  retryMs: 250,
  /** An empty stock is so for good after this long without a word (redis/lua/grab.lua). */
  dryMs: 2_000,
  /** What waits longer than this for Redis is told `busy`, but for so many of each service (grab/admission.ts). */
  ageMs: 200,
  insideMin: 128,
  requestsPerServiceMax: 1_500,
} as const;
