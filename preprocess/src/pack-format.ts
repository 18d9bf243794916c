/**
 * A pack: the generated, read-only data of an event, a directory of columns.
 *
 *   pack.json         the manifest: event, rounds, ranges, buckets, groups, and every column's size and SHA-256
 *   amounts.u32       amount in minor units of prize firstId + index, little-endian
 *   greetings.u16     index into greetings.json of the same prize, little-endian
 *   greetings.json    the greetings, a list of texts
 *   users-BUCKET.bin  the users of a bucket (user-records.ts)
 *   users-order.u16   for each user in the order of users.csv the index of the bucket, little-endian
 *   schedule.json     the rounds' times as the event file has them; not part of the pack's digest
 *   SHA256SUMS        digests of all of the above, for `sha256sum -c`; detects a damaged manifest or schedule
 *
 * The digest of a pack is the SHA-256 of pack.json. The seed stands beside the pack in PACK.seed, never in it.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import type { EventPlan, RoundPlan } from "./event-plan.ts";

export const PACK_FORMAT = 1;
/** The first prize ID of every event: seven digits, so that no one takes an ID for a count. */
export const FIRST_ID = 1_000_001;

export const MANIFEST = "pack.json";
export const AMOUNTS = "amounts.u32";
export const GREETING_INDEX = "greetings.u16";
export const GREETINGS = "greetings.json";
export const USER_ORDER = "users-order.u16";
export const SCHEDULE = "schedule.json";
export const CHECKSUMS = "SHA256SUMS";

/** The users file of a bucket. */
export function usersFile(bucketId: string): string {
  return `users-${bucketId}.bin`;
}

/** Where the seed of a pack is kept. */
export function seedPath(packDir: string): string {
  return `${packDir.replace(/\/+$/, "")}.seed`;
}

/** A round without its times, with the published commitment to its seed (hex). */
export type PackRound = Omit<RoundPlan, "opensAt" | "closesAt"> & { commitment: string };

/** The prizes that one bucket may issue in one round: IDs lo to lo + count - 1. */
export interface PackRange {
  round: number;
  bucket: string;
  lo: number;
  count: number;
  amountMinor: number;
}

export interface PackBucket {
  id: string;
  slots: [number, number][];
  users: number;
}

export type PackEvent = Pick<
  EventPlan,
  "id" | "title" | "currency" | "timezone" | "budgetMinor" | "ack" | "journalMax"
>;

export interface PackManifest {
  format: typeof PACK_FORMAT;
  event: PackEvent;
  rounds: PackRound[];
  /** In the order of IDs; every round × bucket once, also with count 0. */
  ranges: PackRange[];
  firstId: number;
  prizeCount: number;
  /** In the order of the topology. */
  buckets: PackBucket[];
  groups: string[];
  greetings: number;
  files: Record<string, { bytes: number; sha256: string }>;
}

/** JSON with sorted keys, so that the same content has the same bytes. */
export function canonicalJson(value: unknown): string {
  const sorted = (_key: string, each: unknown): unknown =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each;
  return `${JSON.stringify(value, sorted, 1)}\n`;
}

export function sha256Hex(bytes: Buffer | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 (hex) of a file, read in pieces. */
export function sha256OfFile(path: string): string {
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(1024 * 1024);
  const file = openSync(path, "r");
  try {
    for (;;) {
      const length = readSync(file, piece, 0, piece.length, null);
      if (length === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, length));
    }
  } finally {
    closeSync(file);
  }
}
