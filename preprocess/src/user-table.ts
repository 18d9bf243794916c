/** Who is who in a bucket, for the grab path: one look-up in flat memory says whether a user may take part. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput } from "./errors.ts";
import type { Pack } from "./pack.ts";
import type { PackManifest } from "./pack-format.ts";
import { USER_ORDER, usersFile } from "./pack-format.ts";
import { UserRecords } from "./user-records.ts";

/** A user of a pack; the group is an index into the manifest's groups. */
export interface PackUser {
  id: string;
  group: number;
}

export interface PackUsers extends Iterable<PackUser> {
  count: number;
}

/** The users of one bucket in the order of the user list. Throws BadInput for an unknown bucket or a damaged file. */
export function readPackUsers(pack: Pick<Pack, "dir" | "manifest">, bucketId: string): PackUsers {
  const records = readRecords(pack, bucketId);
  return { count: records.size, [Symbol.iterator]: () => records[Symbol.iterator]() };
}

function readRecords({ dir, manifest }: Pick<Pack, "dir" | "manifest">, bucketId: string): UserRecords {
  if (!manifest.buckets.some(({ id }) => id === bucketId)) {
    const known = manifest.buckets.map(({ id }) => id).join(", ");
    throw new BadInput(`${dir}: found no bucket "${bucketId}", expected one of ${known}`);
  }
  const path = join(dir, usersFile(bucketId));
  return UserRecords.fromFile(readFileSync(path), path);
}

/** All users of a pack in the order of users.csv, merged from the buckets' files. */
export function* allPackUsers(pack: Pick<Pack, "dir" | "manifest">): Generator<PackUser> {
  const bytes = readFileSync(join(pack.dir, USER_ORDER));
  const sources = pack.manifest.buckets.map(({ id }) => readRecords(pack, id)[Symbol.iterator]());
  for (let at = 0; at < bytes.length; at += 2) {
    const next = sources[bytes.readUInt16LE(at)]?.next();
    if (!next || next.done) throw new BadInput(`${join(pack.dir, USER_ORDER)}: does not fit the users files`);
    yield next.value;
  }
}

export interface UserTable {
  size: number;
  /** Bytes that the table holds. */
  memoryBytes: number;
  /** The index of a user's group, -1 for an unknown user. */
  groupOf(userId: string): number;
  /** Whether the user is known here and in one of the round's groups; false for an unknown round. */
  mayTakePart(userId: string, roundId: number): boolean;
}

/** Loads the users of one bucket: the file as it is, and 8 to 16 bytes a user to find them by. */
export function loadUserTable(pack: Pick<Pack, "dir" | "manifest">, bucketId: string): UserTable {
  const records = readRecords(pack, bucketId);
  const allowed = allowedGroups(pack.manifest);
  return {
    size: records.size,
    memoryBytes: records.memoryBytes,
    groupOf: (userId) => records.groupOf(userId),
    mayTakePart(userId, roundId) {
      const groups = allowed.get(roundId);
      const group = records.groupOf(userId);
      return groups !== undefined && group !== -1 && groups[group] === 1;
    },
  };
}

/** For each round a 1 for every group that may take part. */
function allowedGroups({ rounds, groups }: PackManifest): Map<number, Uint8Array> {
  return new Map(
    rounds.map((round) => [
      round.id,
      Uint8Array.from(groups, (name) => (round.groups === null || round.groups.includes(name) ? 1 : 0)),
    ]),
  );
}
