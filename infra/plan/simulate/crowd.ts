/** Who comes, to which bucket they belong, and when they press: arrays, because there may be ten million of them. */
import { bucketOfSlot, shareOut, slotOf, type SlotOwners } from "@hongbao/preprocess";
import { randomFrom, seedOf } from "../../chaos/random.ts";
import type { Press } from "./scenario.ts";

export interface Crowd {
  /** Of each who comes: the bucket. */
  bucketOf: Uint16Array;
  /** All users of each bucket, those who stay away too: prizes are shared by them. */
  usersOf: number[];
}

export interface Comers {
  users: number;
  /** How many of them come. */
  come: number;
  /** Which part of those who come are of the first bucket; null: as the list has them. */
  firstShare: number | null;
}

/** Users `u1`, `u2`, … as `preprocess sample` names them, by the product's slots. */
export function crowdOfNames({ users, come, firstShare }: Comers, topology: SlotOwners): Crowd {
  const owners = bucketOfSlot(topology);
  const usersOf = new Array<number>(topology.buckets.length).fill(0);
  const bucketOf = new Uint16Array(come);
  const ofFirst = firstShare === null ? Infinity : Math.round(come * firstShare);
  const ofOthers = firstShare === null ? Infinity : come - ofFirst;
  const taken = [0, 0];
  let filled = 0;
  for (let number = 1; number <= users; number += 1) {
    const bucket = owners[slotOf(`u${number}`)]!;
    usersOf[bucket]! += 1;
    const side = bucket === 0 ? 0 : 1;
    if (filled === come || taken[side]! >= (side === 0 ? ofFirst : ofOthers)) continue;
    taken[side]! += 1;
    bucketOf[filled] = bucket;
    filled += 1;
  }
  return { bucketOf: filled === come ? bucketOf : bucketOf.slice(0, filled), usersOf };
}

/** So many of each bucket, in an order without an order. */
export function crowdOfCounts(come: readonly number[], seed: number): Crowd {
  const bucketOf = new Uint16Array(come.reduce((sum, count) => sum + count, 0));
  let from = 0;
  come.forEach((count, bucket) => bucketOf.fill(bucket, from, (from += count)));
  const random = randomFrom(seedOf(seed, "order"));
  for (let at = bucketOf.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    const bucket = bucketOf[at]!;
    bucketOf[at] = bucketOf[other]!;
    bucketOf[other] = bucket;
  }
  return { bucketOf, usersOf: [...come] };
}

/** The prizes of each bucket, as preprocess shares them. */
export function stockOf(prizes: number, { usersOf }: Crowd): number[] {
  return shareOut(prizes, usersOf);
}

/** At which step each presses for the first time. */
export function firstPresses(count: number, press: Press, stepMs: number, seed: number): Int32Array {
  const random = randomFrom(seedOf(seed, "press"));
  const presses = new Int32Array(count);
  const steps = press.spreadMs / stepMs;
  for (let user = 0; user < count; user += 1) {
    const part = random();
    // An exponential with a time constant of a fifth of the spread, cut off at its end.
    const at = press.shape === "even" ? part : -Math.log(1 - part * (1 - Math.exp(-5))) / 5;
    presses[user] = Math.floor(at * steps);
  }
  return presses;
}
