/** Writes a pack: into a draft beside it, renamed when all is there. */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { BLOCK_MAX, fillBlock, TierDraw } from "./amounts.ts";
import type { EventPlan, RoundPlan } from "./event-plan.ts";
import type { PackManifest, PackRange, PackRound } from "./pack-format.ts";
import {
  AMOUNTS,
  canonicalJson,
  CHECKSUMS,
  FIRST_ID,
  GREETING_INDEX,
  GREETINGS,
  MANIFEST,
  PACK_FORMAT,
  SCHEDULE,
  sha256Hex,
  USER_ORDER,
  usersFile,
} from "./pack-format.ts";
import { countUsers, planRanges } from "./plan.ts";
import type { UserCounts } from "./plan.ts";
import { commitmentOf, Keystream, PURPOSE, roundSeed } from "./random.ts";
import { blocksOf } from "./ranges.ts";
import { slotOf } from "./slots.ts";
import { formatTimeExpression } from "./times.ts";
import type { SlotOwners } from "./topology.ts";
import { bucketOfSlot } from "./topology.ts";
import { UserRecords } from "./user-records.ts";
import type { UserList } from "./users.ts";

export interface GenerateInput {
  event: EventPlan;
  users: UserList;
  greetings: string[];
  /** Only the buckets' ids and slots matter. */
  topology: SlotOwners;
  /** The master seed. */
  seed: Buffer;
  /** Prizes done so far. */
  onProgress?: (done: number) => void;
}

type FileEntry = PackManifest["files"][string];

/** A file that is hashed while it is written. */
class HashedFile {
  readonly #file: number;
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(path: string) {
    this.#file = openSync(path, "wx", 0o644);
  }

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done);
  }

  /** Makes the content durable and closes the file. */
  end(): FileEntry {
    fsyncSync(this.#file);
    closeSync(this.#file);
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Closes the file when the writing failed; its content is of no use. */
  abandon(): void {
    closeSync(this.#file);
  }
}

function writeWhole(path: string, content: string | Uint8Array): FileEntry {
  const file = new HashedFile(path);
  try {
    file.write(typeof content === "string" ? Buffer.from(content) : content);
  } catch (error) {
    file.abandon();
    throw error;
  }
  return file.end();
}

/**
 * Writes all files of a pack into `dir`, which must be new. The same event content, users, buckets and seed give the
 * same bytes. Memory does not grow with the prizes. Returns the manifest and its digest.
 * Throws BadInput for rounds that fit neither users nor buckets; a failed run leaves `dir` for the caller to remove.
 */
export async function writePackFiles(
  dir: string,
  input: GenerateInput,
): Promise<{ manifest: PackManifest; digest: string }> {
  const { event, users, greetings, topology, seed } = input;
  const counts = countUsers(users, topology);
  const planned = planRanges(event, users, counts, FIRST_ID);
  mkdirSync(dir, { recursive: false });
  const files: PackManifest["files"] = {};
  Object.assign(files, writeUsers(dir, users, topology, counts));
  files[GREETINGS] = writeWhole(join(dir, GREETINGS), canonicalJson(greetings));
  const { ranges, ...columns } = await writePrizes(dir, input, planned);
  Object.assign(files, columns);
  checkBudgets(event, ranges);
  const manifest: PackManifest = {
    format: PACK_FORMAT,
    event: {
      id: event.id,
      title: event.title,
      currency: event.currency,
      timezone: event.timezone,
      budgetMinor: event.budgetMinor,
      ack: event.ack,
      journalMax: event.journalMax,
    },
    rounds: event.rounds.map((round) => packRound(round, seed)),
    ranges,
    firstId: FIRST_ID,
    prizeCount: event.rounds.reduce((sum, round) => sum + round.count, 0),
    buckets: topology.buckets.map(({ id, slots }, index) => ({ id, slots, users: counts.ofBucket[index]! })),
    groups: users.groups,
    greetings: greetings.length,
    files,
  };
  const text = canonicalJson(manifest);
  writeWhole(join(dir, MANIFEST), text);
  writeWhole(join(dir, SCHEDULE), scheduleText(event));
  const digest = sha256Hex(text);
  writeWhole(join(dir, CHECKSUMS), checksums(files, digest, event));
  return { manifest, digest };
}

/**
 * The budget guard: what was drawn is what was granted, to the cent. The event's checks make it so; this holds when they
 * err, before a pack exists.
 */
export function checkBudgets(
  event: Pick<EventPlan, "budgetMinor" | "rounds">,
  ranges: readonly PackRange[],
): void {
  let drawnMinor = 0;
  for (const { id, budgetMinor, count } of event.rounds) {
    const own = ranges.filter(({ round }) => round === id);
    const amountMinor = own.reduce((sum, range) => sum + range.amountMinor, 0);
    const prizes = own.reduce((sum, range) => sum + range.count, 0);
    if (amountMinor !== budgetMinor || prizes !== count) {
      throw new Error(
        `round ${id}: drew ${prizes} prizes worth ${amountMinor}, its budget is ${count} worth ${budgetMinor}`,
      );
    }
    drawnMinor += amountMinor;
  }
  if (drawnMinor > event.budgetMinor)
    throw new Error(`drew ${drawnMinor} in all, the event's budget is ${event.budgetMinor}`);
}

function packRound(round: RoundPlan, seed: Buffer): PackRound {
  const copy: Partial<RoundPlan> = { ...round };
  delete copy.opensAt;
  delete copy.closesAt;
  return {
    ...(copy as Omit<RoundPlan, "opensAt" | "closesAt">),
    commitment: commitmentOf(roundSeed(seed, round.id)),
  };
}

/** The times as the event file has them. */
export function scheduleText(event: Pick<EventPlan, "rounds">): string {
  const rounds = event.rounds.map(({ id, opensAt, closesAt }) => ({
    id,
    opensAt: formatTimeExpression(opensAt),
    closesAt: formatTimeExpression(closesAt),
  }));
  return canonicalJson({ rounds });
}

/** The lines of SHA256SUMS, as `sha256sum` writes them. */
function checksums(files: PackManifest["files"], digest: string, event: EventPlan): string {
  const entries = Object.entries(files).map(([name, { sha256 }]) => [name, sha256]);
  entries.push([MANIFEST, digest], [SCHEDULE, sha256Hex(scheduleText(event))]);
  return entries
    .toSorted(([a], [b]) => (a! < b! ? -1 : 1))
    .map(([name, sha256]) => `${sha256}  ${name}\n`)
    .join("");
}

function writeUsers(
  dir: string,
  users: UserList,
  topology: SlotOwners,
  counts: UserCounts,
): PackManifest["files"] {
  const owners = bucketOfSlot(topology);
  const tables = topology.buckets.map((_bucket, index) => new UserRecords(counts.ofBucket[index]));
  const order = new Uint16Array(users.records.size);
  let position = 0;
  for (const { id, group } of users.records) {
    const bucket = owners[slotOf(id)]!;
    tables[bucket]!.add(id, group);
    order[position++] = bucket;
  }
  const files: PackManifest["files"] = {
    [USER_ORDER]: writeWhole(join(dir, USER_ORDER), new Uint8Array(order.buffer)),
  };
  topology.buckets.forEach(({ id }, index) => {
    files[usersFile(id)] = writeWhole(join(dir, usersFile(id)), tables[index]!.toFile());
  });
  return files;
}

interface PrizeColumns {
  ranges: PackRange[];
  [AMOUNTS]: FileEntry;
  [GREETING_INDEX]: FileEntry;
}

async function writePrizes(dir: string, input: GenerateInput, planned: PackRange[]): Promise<PrizeColumns> {
  const { event, greetings, topology, seed, onProgress } = input;
  const amountsFile = new HashedFile(join(dir, AMOUNTS));
  const indexFile = new HashedFile(join(dir, GREETING_INDEX));
  const ranges: PackRange[] = [];
  let done = 0;
  try {
    for (const round of event.rounds) {
      const drawn = drawRound(round, planned, topology, roundSeed(seed, round.id), greetings.length);
      for (const { amounts, index, range } of drawn) {
        amountsFile.write(bytesOf(amounts));
        indexFile.write(bytesOf(index));
        done += amounts.length;
        onProgress?.(done);
        if (range) ranges.push(range);
        // Leaves the loop for a moment, so that Ctrl-C is heard.
        await nextTurn();
      }
    }
  } catch (error) {
    amountsFile.abandon();
    indexFile.abandon();
    throw error;
  }
  return { ranges, [AMOUNTS]: amountsFile.end(), [GREETING_INDEX]: indexFile.end() };
}

function bytesOf(column: Uint32Array | Uint16Array): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

/** A block of prizes in the order of their IDs; the last one of a bucket brings the finished range. */
export interface PrizeBlock {
  amounts: Uint32Array;
  index: Uint16Array;
  range: PackRange | null;
}

/**
 * All prizes of a round, from its seed alone: bucket after bucket, block after block. This is what makes a fair draw
 * checkable, so its every step is part of the pack format. `planned` are the ranges of `planRanges`.
 */
export function* drawRound(
  round: RoundPlan | PackRound,
  planned: PackRange[],
  topology: SlotOwners,
  seed: Buffer,
  greetings: number,
): Generator<PrizeBlock> {
  const { split } = round;
  const tiers =
    split.method === "tiers" ? new TierDraw(split.tiers, new Keystream(seed, PURPOSE.amounts, 0, 0)) : null;
  for (const range of planned.filter((each) => each.round === round.id)) {
    const part = topology.buckets.findIndex(({ id }) => id === range.bucket);
    let amountMinor = 0;
    let block = 0;
    let left = range.count;
    for (const { count, budgetMinor } of blocksOf(range.count, range.amountMinor, BLOCK_MAX)) {
      const amounts = new Uint32Array(count);
      if (tiers) {
        amountMinor += tiers.fill(amounts);
      } else if (split.method !== "tiers") {
        fillBlock(amounts, split, budgetMinor, new Keystream(seed, PURPOSE.amounts, part, block));
        amountMinor += budgetMinor;
      }
      left -= count;
      const index = drawGreetings(count, greetings, new Keystream(seed, PURPOSE.greetings, part, block));
      yield { amounts, index, range: left === 0 ? { ...range, amountMinor } : null };
      block++;
    }
    if (range.count === 0) yield { amounts: new Uint32Array(0), index: new Uint16Array(0), range };
  }
}

function drawGreetings(count: number, greetings: number, random: Keystream): Uint16Array {
  const index = new Uint16Array(count);
  if (greetings > 1) for (let i = 0; i < count; i++) index[i] = random.below(greetings);
  return index;
}
