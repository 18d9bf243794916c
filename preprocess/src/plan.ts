/** What an event means for users and buckets: who is eligible, how many prizes and how much money go where. Pure. */
import type { EventPlan, RoundPlan } from "./event-plan.ts";
import { whereInEvent } from "./event.ts";
import { BadInput } from "./errors.ts";
import type { PackRange } from "./pack-format.ts";
import { FIRST_ID } from "./pack-format.ts";
import { shareOut } from "./ranges.ts";
import { slotOf, SLOTS } from "./slots.ts";
import type { SlotOwners } from "./topology.ts";
import { bucketOfSlot } from "./topology.ts";
import type { UserList } from "./users.ts";

/** Users counted by bucket, and by bucket and group. */
export interface UserCounts {
  buckets: string[];
  ofBucket: number[];
  ofGroup: Uint32Array[];
}

/** Counts the users of every bucket. */
export function countUsers(users: UserList, topology: SlotOwners): UserCounts {
  const owners = bucketOfSlot(topology);
  const ofGroup = topology.buckets.map(() => new Uint32Array(users.groups.length));
  for (const { id, group } of users.records) ofGroup[owners[slotOf(id)]!]![group]!++;
  return {
    buckets: topology.buckets.map(({ id }) => id),
    ofBucket: ofGroup.map((counts) => counts.reduce((sum, count) => sum + count, 0)),
    ofGroup,
  };
}

/** How many users of each bucket may take part in a round. Throws BadInput for a group that no user is in. */
export function eligibleUsers(
  event: EventPlan,
  round: RoundPlan,
  users: Pick<UserList, "groups" | "path">,
  counts: UserCounts,
): number[] {
  const { groups } = round;
  if (groups === null) return counts.ofBucket;
  const index = event.rounds.indexOf(round);
  const wanted = groups.map((name, position) => {
    const group = users.groups.indexOf(name);
    if (group === -1) {
      const known = users.groups.slice(0, 10).join(", ");
      const where = whereInEvent(event, ["rounds", index, "groups", position]);
      throw new BadInput(`${where}: found group "${name}", expected one of ${users.path}: ${known}`);
    }
    return group;
  });
  return counts.ofGroup.map((ofGroup) => wanted.reduce((sum, group) => sum + ofGroup[group]!, 0));
}

/**
 * The ranges of an event: rounds in the order of the file, in a round the buckets in the order of the topology, IDs
 * without a gap. Counts follow the eligible users, budgets the counts; with tiers a range's amount is only expected
 * here and comes out of the draw. Throws BadInput when nobody may take part in a round.
 */
export function planRanges(
  event: EventPlan,
  users: Pick<UserList, "groups" | "path">,
  counts: UserCounts,
  firstId: number = FIRST_ID,
): PackRange[] {
  const ranges: PackRange[] = [];
  let lo = firstId;
  event.rounds.forEach((round, index) => {
    const eligible = eligibleUsers(event, round, users, counts);
    if (eligible.every((count) => count === 0)) {
      const where = whereInEvent(event, ["rounds", index]);
      throw new BadInput(`${where}: found no user who may take part, expected at least one in ${users.path}`);
    }
    const shares = shareOut(round.count, eligible);
    const budgets = shareOut(round.budgetMinor, shares);
    counts.buckets.forEach((bucket, position) => {
      const count = shares[position]!;
      ranges.push({ round: round.id, bucket, lo, count, amountMinor: budgets[position]! });
      lo += count;
    });
  });
  return ranges;
}

/** Estimated sizes, to choose machines by. Bytes of a row with its indexes, and of Redis entries: guesses. */
const PACK_PRIZE_BYTES = 6;
const MYSQL_PRIZE_BYTES = 60;
const MYSQL_CLAIM_BYTES = 160;
const REDIS_CLAIM_BYTES = 130;
const REDIS_JOURNAL_BYTES = 60;

export interface PlanSizes {
  packBytes: number;
  /** When every prize is claimed and the journal is as full as it may be. */
  redisBytes: number;
  mysqlBytes: number;
}

export interface PlanReport {
  event: string;
  currency: string;
  budgetMinor: number;
  /** What no round hands out. */
  unspentMinor: number;
  users: number;
  prizes: number;
  rounds: {
    round: number;
    kind: string;
    eligible: number;
    count: number;
    amountMinor: number;
    /** Whether amounts by bucket are expectations (tiers) or exact. */
    amountsExact: boolean;
    buckets: { bucket: string; eligible: number; count: number; amountMinor: number }[];
  }[];
  buckets: ({ bucket: string; users: number; prizes: number } & PlanSizes)[];
  sizes: PlanSizes;
  warnings: string[];
}

/** The report of `preprocess plan`. Without a topology everything is one bucket and none is named. */
export function planEvent(event: EventPlan, users: UserList, topology: SlotOwners | null): PlanReport {
  const whole: SlotOwners = { buckets: [{ id: "all", slots: [[0, SLOTS - 1]] }] };
  const counts = countUsers(users, topology ?? whole);
  const ranges = planRanges(event, users, counts);
  // A record of the users file, and 2 bytes in the order of the list.
  const userBytes = users.records.toFile().length / users.records.size + 2;
  const rounds = event.rounds.map((round) => {
    const eligible = eligibleUsers(event, round, users, counts);
    const own = ranges.filter((range) => range.round === round.id);
    return {
      round: round.id,
      kind: round.kind,
      eligible: eligible.reduce((sum, count) => sum + count, 0),
      count: round.count,
      amountMinor: round.budgetMinor,
      amountsExact: round.split.method !== "tiers",
      buckets: topology
        ? own.map(({ bucket, count, amountMinor }, index) => ({
            bucket,
            eligible: eligible[index]!,
            count,
            amountMinor,
          }))
        : [],
    };
  });
  const buckets = counts.buckets.map((bucket, index) => {
    const own = ranges.filter((range) => range.bucket === bucket);
    const prizes = own.reduce((sum, range) => sum + range.count, 0);
    const usersHere = counts.ofBucket[index]!;
    return { bucket, users: usersHere, prizes, ...sizesOf(prizes, usersHere * userBytes, event.journalMax) };
  });
  const prizes = event.rounds.reduce((sum, round) => sum + round.count, 0);
  const add = (key: keyof PlanSizes): number => buckets.reduce((sum, bucket) => sum + bucket[key], 0);
  return {
    event: event.id,
    currency: event.currency,
    budgetMinor: event.budgetMinor,
    unspentMinor: event.budgetMinor - event.rounds.reduce((sum, round) => sum + round.budgetMinor, 0),
    users: users.records.size,
    prizes,
    rounds,
    buckets: topology ? buckets : [],
    sizes: { packBytes: add("packBytes"), redisBytes: add("redisBytes"), mysqlBytes: add("mysqlBytes") },
    warnings: event.rounds.flatMap((round, index) => warningsOf(round, rounds[index]!.eligible)),
  };
}

function sizesOf(prizes: number, userBytes: number, journalMax: number): PlanSizes {
  return {
    packBytes: Math.ceil(prizes * PACK_PRIZE_BYTES + userBytes),
    redisBytes: prizes * REDIS_CLAIM_BYTES + Math.min(prizes, journalMax) * REDIS_JOURNAL_BYTES,
    mysqlBytes: prizes * (MYSQL_PRIZE_BYTES + MYSQL_CLAIM_BYTES),
  };
}

/** What is allowed and still worth a second look. */
function warningsOf(round: RoundPlan, eligible: number): string[] {
  const takeMax = eligible * round.perUser;
  if (takeMax >= round.count) return [];
  return [
    `round ${round.id}: ${round.count} prizes, but ${eligible} users × ${round.perUser} can take ${takeMax} at most`,
  ];
}
