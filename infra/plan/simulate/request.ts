/** The options of `hongbao simulate`, read and checked once, into scenarios. */
import {
  BadInput,
  bucketOfSlot,
  countUsers,
  JOURNAL_MAX_DEFAULT,
  planRanges,
  readEvent,
  readTopology,
  readUsers,
  slotOf,
  type SlotOwners,
} from "@hongbao/preprocess";
import { bucketIds, slotsOf } from "../../src/cluster/layout.ts";
import { wholeOption } from "../../src/options.ts";
import type { SimulateCommandOptions } from "./commands.ts";
import { MEASURED, readCosts } from "./costs.ts";
import { crowdOfNames, stockOf, type Crowd } from "./crowd.ts";
import type { Loss, Plant, Press, Scenario } from "./scenario.ts";

const USERS_MAX = 20_000_000;
/** A topology has no more. */
const BUCKETS_MAX = 256;
const PER_USER_MAX = 255;
const SECONDS_MAX = 3_600;
/** Who was told `busy` for as long as this has given up. */
const SECONDS_DEFAULT = 300;
const MOVE_MS = 15;

/** What is simulated, but for whether buckets lend and what is lost: that varies. */
export interface Request {
  crowd: Crowd;
  users: number;
  base: Omit<Scenario, "lend" | "losses">;
  lends: boolean[];
  losses: Loss[];
}

/** Throws BadInput, and Unreachable where a file is not there. */
export async function readRequest(options: SimulateCommandOptions): Promise<Request> {
  const plant = readPlant(options);
  const seed = wholeOption("--seed", options.seed, 0, 0xffff_ffff) ?? 1;
  const secondsMax = wholeOption("--seconds", options.seconds, 1, SECONDS_MAX) ?? SECONDS_DEFAULT;
  const people = options.event === undefined ? ofNames(options) : await ofEvent(options, options.event);
  const { buckets, stock, crowd, users, perUser } = people;
  if (plant.connections !== null && perUser !== 1) {
    throw new BadInput(`--connections: found it with ${perUser} prizes a user, expected 1`);
  }
  const press = readPress(options, crowd.bucketOf.length);
  if (press.spreadMs >= secondsMax * 1000) {
    throw new BadInput(
      `--spread: found ${press.spreadMs / 1000} s, expected less than --seconds ${secondsMax}: the model would end first`,
    );
  }
  return {
    crowd,
    users,
    base: { seed, buckets, stock, perUser, press, plant: { ...plant, ...people.plant }, secondsMax },
    lends: options.lend === "both" ? [true, false] : [options.lend === "on"],
    losses: (options.lose ?? []).map((text) => readLoss(text, buckets, plant.zones)),
  };
}

interface PeopleAndPrizes {
  buckets: string[];
  stock: number[];
  crowd: Crowd;
  users: number;
  perUser: number;
  plant?: Partial<Plant>;
}

function ofNames(options: SimulateCommandOptions): PeopleAndPrizes {
  refuse(options, ["topology", "round"], "without --event");
  const users = wholeOption("--users", options.users, 1, USERS_MAX) ?? 150_000;
  const come = wholeOption("--come", options.come, 1, users) ?? users;
  const prizes = wholeOption("--prizes", options.prizes, 1, USERS_MAX) ?? Math.ceil((users * 2) / 3);
  const perUser = wholeOption("--per-user", options.perUser, 1, PER_USER_MAX) ?? 1;
  const topology = evenTopology(options);
  const firstShare = shareOption("--skew", options.skew) ?? null;
  const crowd = crowdOfNames({ users, come, firstShare }, topology);
  if (crowd.bucketOf.length < come) {
    throw new BadInput(
      `--skew: found ${options.skew} of ${come} who come, expected what the buckets' users can be: ${crowd.usersOf[0]} of ${users} are of ${topology.buckets[0]!.id}`,
    );
  }
  const buckets = topology.buckets.map(({ id }) => id);
  return { buckets, stock: stockOf(prizes, crowd), crowd, users, perUser };
}

/** Users, ranges and bounds as the event and the topology have them. */
async function ofEvent(options: SimulateCommandOptions, path: string): Promise<PeopleAndPrizes> {
  refuse(options, ["users", "prizes", "perUser", "skew"], "with --event");
  const event = readEvent(path);
  const wanted = wholeOption("--round", options.round, 1, 99) ?? event.rounds[0]!.id;
  const round = event.rounds.find(({ id }) => id === wanted);
  if (round === undefined) {
    const known = event.rounds.map(({ id }) => id).join(", ");
    throw new BadInput(`--round: found ${wanted}, expected one of ${known}, the rounds of ${path}`);
  }
  const topology = options.topology === undefined ? evenTopology(options) : readTopology(options.topology);
  if (options.topology !== undefined) refuse(options, ["buckets"], "with --topology");
  const users = await readUsers(event.usersPath);
  const ranges = planRanges(event, users, countUsers(users, topology)).filter((one) => one.round === wanted);
  const groups =
    round.groups === null ? null : new Set(round.groups.map((name) => users.groups.indexOf(name)));
  const come = wholeOption("--come", options.come, 1, users.records.size) ?? users.records.size;
  const owners = bucketOfSlot(topology);
  const usersOf = topology.buckets.map(() => 0);
  const bucketOf = new Uint16Array(come);
  let filled = 0;
  for (const { id, group } of users.records) {
    if (groups !== null && !groups.has(group)) continue;
    const bucket = owners[slotOf(id)]!;
    usersOf[bucket]! += 1;
    if (filled < come) bucketOf[filled++] = bucket;
  }
  return {
    buckets: topology.buckets.map(({ id }) => id),
    stock: ranges.map(({ count }) => count),
    crowd: { bucketOf: bucketOf.slice(0, filled), usersOf },
    users: usersOf.reduce((sum, count) => sum + count, 0),
    perUser: round.perUser,
    plant: { journalMax: event.journalMax },
  };
}

function refuse(
  options: SimulateCommandOptions,
  names: (keyof SimulateCommandOptions)[],
  where: string,
): void {
  for (const name of names) {
    if (options[name] === undefined) continue;
    const option = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new BadInput(`--${option}: found it ${where}, expected one or the other`);
  }
}

function evenTopology(options: SimulateCommandOptions): SlotOwners {
  const count = wholeOption("--buckets", options.buckets, 1, BUCKETS_MAX) ?? 2;
  const ids = bucketIds({ buckets: count, services: 1 });
  return { buckets: ids.map((id, index) => ({ id, slots: [slotsOf(index, count)] })) };
}

function readPress(options: SimulateCommandOptions, come: number): Press {
  if (options.spread !== undefined && options.peak !== undefined) {
    throw new BadInput(`--peak: found it with --spread, expected one or the other`);
  }
  const peak = wholeOption("--peak", options.peak, 1, 1_000_000_000);
  // An exponential cut off after five time constants begins at this many times its average.
  const steepest = options.press === "front" ? 5 / (1 - Math.exp(-5)) : 1;
  const spreadMs =
    peak === undefined
      ? (numberOption("--spread", options.spread, 0, SECONDS_MAX) ?? 3) * 1000
      : Math.max(1, ((come * steepest) / peak) * 1000);
  return {
    spreadMs,
    shape: options.press,
    againShare: shareOption("--again", options.again) ?? 0.1,
    checksResult: true,
  };
}

function readPlant(options: SimulateCommandOptions): Plant {
  const frontCores = wholeOption("--front-cores", options.frontCores, 1, 1_000_000) ?? null;
  const machineCores = wholeOption("--machine-cores", options.machineCores, 1, 1_024) ?? null;
  if (frontCores !== null && machineCores !== null) {
    throw new BadInput(`--machine-cores: found it with --front-cores, expected one or the other`);
  }
  return {
    costs: options.costs === undefined ? MEASURED : readCosts(options.costs),
    services: wholeOption("--services", options.services, 1, 1_000) ?? 2,
    frontCores,
    machineCores,
    connections: wholeOption("--connections", options.connections, 1, 10_000_000) ?? null,
    zones: wholeOption("--zones", options.zones, 1, 16) ?? 3,
    latencyMs: numberOption("--latency", options.latency, 0, 5_000) ?? 10,
    journalMax: JOURNAL_MAX_DEFAULT,
    moveMs: MOVE_MS,
    recordMs: numberOption("--record", options.record, 0, 5_000) ?? 2,
  };
}

const LOSS =
  /^(?:zone(?<zone>\d{1,2})|(?<bucket>[a-z0-9-]{1,32}))@(?<from>\d{1,4}(?:\.\d+)?)(?:\+(?<for>\d{1,4}(?:\.\d+)?))?$/;

/** `b3@2+10`, `zone1@2`. */
export function readLoss(text: string, buckets: string[], zones: number): Loss {
  const parts = LOSS.exec(text)?.groups;
  if (parts === undefined) {
    throw new BadInput(
      `--lose: found "${text}", expected a bucket or zone, @ and a second, such as b3@2+10 or zone1@2`,
    );
  }
  const forMs = parts["for"] === undefined ? Infinity : Number(parts["for"]) * 1000;
  const times = { fromMs: Number(parts["from"]) * 1000, forMs };
  if (parts["zone"] !== undefined) {
    const zone = Number(parts["zone"]);
    if (zone >= zones) throw new BadInput(`--lose: found zone ${zone}, expected 0 to ${zones - 1}`);
    const of = buckets.flatMap((_, index) => (index % zones === zone ? [index] : []));
    return { buckets: of, zone, ...times };
  }
  const bucket = buckets.indexOf(parts["bucket"]!);
  if (bucket === -1) {
    throw new BadInput(
      `--lose: found bucket "${parts["bucket"]}", expected one of ${buckets[0]} to ${buckets.at(-1)}`,
    );
  }
  return { buckets: [bucket], zone: null, ...times };
}

function numberOption(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,10}(\.\d{1,9})?$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new BadInput(`${name}: found "${text}", expected a number from ${min} to ${max}`);
}

const shareOption = (name: string, text: string | undefined): number | undefined =>
  numberOption(name, text, 0, 1);
