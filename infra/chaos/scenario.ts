/**
 * A scenario is data: what is given away, who comes, and what is broken when. One JSON file each in scenarios/; this is
 * their form, and everything that reads them goes through here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput } from "@hongbao/preprocess";

/** Clusters differ in what is configured before the event: nothing more, a wallet for payouts, or `ack: database`. */
export const WORLDS = ["plain", "wallet", "database"] as const;
export type WorldName = (typeof WORLDS)[number];

export interface RoundNeed {
  count: number;
  perUser: number;
  kind: "envelope" | "item";
  /** Whether what is left goes on into the next round of the scenario. */
  leftovers: "next" | "hold";
}

export interface Load {
  users: number;
  /** They arrive spread over so long, from a second before the opening on. */
  seconds: number;
  /** The part of them that belongs to the first bucket. */
  firstBucketShare: number;
  /** How many of those who have won ask once more. */
  againShare: number;
}

/** What is broken or done, `at` seconds after the opening of the scenario's first round. */
export type Step = { at: number; jitter: number; when: RecordTrigger | null } & Action;

/** Fires when the control store has this version of a record; see strike. */
export interface RecordTrigger {
  record: string;
  version: number;
}

export type Action =
  /** kill -9; it is started again, after `hold` seconds. */
  | { do: "kill"; target: string; hold: number }
  /** SIGTERM; it is started again. */
  | { do: "terminate"; target: string; hold: number }
  /** SIGSTOP, and SIGCONT after `for` seconds. */
  | { do: "freeze"; target: string; for: number }
  /** A Redis is killed, its files are deleted, it is started again. */
  | { do: "wipe"; target: string }
  /** A copy of a Redis's files is taken; `goBack` kills it and puts the copy in their place. */
  | { do: "copy" | "goBack"; target: string }
  /** Every fsync takes `delayMs` longer. */
  | { do: "slowDisk"; target: string; delayMs: number; for: number }
  /** No byte can be written to its disk. */
  | { do: "fullDisk"; target: string; for: number }
  /** What lies between two parts: `redis b0`, `mysql b0` or `clients`. */
  | { do: "link"; link: string; mood: "cut" | "slow" | "stall" | "lose"; delayMs: number; for: number }
  /** The controllers' clocks are wrong by so many seconds. */
  | { do: "clock"; seconds: number; for: number }
  | { do: "wallet"; mood: "fail" | "hang" | "pay-and-hang" | "pay-and-fail"; for: number }
  /** A process gets a signal just before it writes (KILL) or after it wrote (STOP) this version of a control record. */
  | { do: "strike"; target: string; record: string; version: number; signal: "KILL" | "STOP"; for: number }
  /** `hongbao WORDS`; {0}, {1} … are the scenario's rounds. Tried again until it ends well. */
  | { do: "run"; words: string[] }
  /** Everybody of a bucket sends the receipts that they have. */
  | { do: "receipts"; bucket: string }
  | { do: "audit" };

export interface Scenario {
  id: string;
  /** For people: what happens and what must come of it. */
  what: string;
  /** The row of the design's list of faults that this is of; null: beyond it. */
  row: string | null;
  world: WorldName;
  rounds: RoundNeed[];
  load: Load;
  /** Seconds after the opening at which the first round closes by itself; null: when everybody has had an answer. */
  closesAfter: number | null;
  /** Seconds after the first round's opening at which the second one opens; null: with the first. */
  secondOpensAfter: number | null;
  /** Whether all prizes of the last round must be gone when there was demand for more. */
  soldOut: boolean;
  steps: Step[];
}

const FOLDER = join(import.meta.dirname, "scenarios");
const LOAD: Load = { users: 900, seconds: 7, firstBucketShare: 0.5, againShare: 0.2 };
const ROUND: RoundNeed = { count: 1_200, perUser: 1, kind: "envelope", leftovers: "hold" };
const JITTER_SECONDS = 0.4;

/** Fields of each action: a sample of its type, and what it is without being named (`undefined`: it must be named). */
const ACTIONS: Record<Action["do"], Record<string, unknown>> = {
  kill: { target: undefined, hold: 0 },
  terminate: { target: undefined, hold: 0 },
  freeze: { target: undefined, for: 5 },
  wipe: { target: undefined },
  copy: { target: undefined },
  goBack: { target: undefined },
  slowDisk: { target: undefined, delayMs: 250, for: 4 },
  fullDisk: { target: undefined, for: 4 },
  link: { link: undefined, mood: undefined, delayMs: 0, for: 4 },
  clock: { seconds: undefined, for: 5 },
  wallet: { mood: undefined, for: 5 },
  strike: { target: undefined, record: undefined, version: undefined, signal: undefined, for: 5 },
  run: { words: undefined },
  receipts: { bucket: undefined },
  audit: {},
};

/** All scenarios by ID, in the order of their names. Errors: BadInput, naming the file and field. */
export function readScenarios(folder = FOLDER): Map<string, Scenario> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return new Map(
    names.sort().map((name) => {
      const id = name.slice(0, -".json".length);
      return [id, parseScenario(id, readFileSync(join(folder, name), "utf8"))];
    }),
  );
}

/** Errors: BadInput, naming the scenario, the field, what was found and what is expected. */
export function parseScenario(id: string, text: string): Scenario {
  const fail = (field: string, found: unknown, expected: string): never => {
    const shown = found === undefined ? "nothing" : JSON.stringify(found);
    throw new BadInput(`scenario ${id}: ${field}: found ${shown}, expected ${expected}`);
  };
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new BadInput(`scenario ${id}: found ${(error as Error).message}, expected JSON`);
  }
  const known = {
    what: "",
    row: null,
    world: "plain",
    rounds: [{}],
    load: {},
    closesAfter: null,
    secondOpensAfter: null,
    soldOut: false,
    steps: [],
  };
  const only = (fields: object, of: object, at: string): void => {
    const strange = Object.keys(fields).find((name) => !Object.hasOwn(of, name));
    if (strange !== undefined)
      fail(at === "" ? strange : `${at}.${strange}`, strange, `one of ${Object.keys(of).join(", ")}`);
  };
  only(raw, known, "");
  const all = { ...known, ...raw } as unknown as Scenario;
  if (typeof all.what !== "string" || all.what === "") fail("what", all.what, "a sentence");
  if (!WORLDS.includes(all.world)) fail("world", all.world, `one of ${WORLDS.join(", ")}`);
  const rounds = all.rounds.map((round, index): RoundNeed => {
    only(round, ROUND, `rounds[${index}]`);
    return { ...ROUND, ...round };
  });
  only(all.load, LOAD, "load");
  const steps = all.steps.map((step, index): Step => parseStep(step, `steps[${index}]`, fail));
  return { ...all, id, rounds, load: { ...LOAD, ...all.load }, steps };
}

function parseStep(
  raw: Partial<Step>,
  at: string,
  fail: (field: string, found: unknown, expected: string) => never,
): Step {
  const { at: seconds, jitter = JITTER_SECONDS, when = null, ...action } = raw as Step;
  if (typeof seconds !== "number") fail(`${at}.at`, seconds, "seconds after the opening");
  const fields = ACTIONS[action.do];
  if (fields === undefined) fail(`${at}.do`, action.do, `one of ${Object.keys(ACTIONS).join(", ")}`);
  for (const name of Object.keys(action)) {
    if (name !== "do" && !Object.hasOwn(fields, name))
      fail(`${at}.${name}`, name, `one of do, ${Object.keys(fields).join(", ")}`);
  }
  const whole = { ...fields, ...action };
  for (const [name, value] of Object.entries(whole))
    if (value === undefined) fail(`${at}.${name}`, undefined, `a value, which ${action.do} needs`);
  return { at: seconds, jitter, when, ...whole };
}
