/** Opens a pack for reading: what a prize is worth, its greeting, which range it is of, without a call to anyone. */
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { BadInput, errorCode, Unreachable } from "./errors.ts";
import { openColumn } from "./pack-column.ts";
import type { PackManifest, PackRange } from "./pack-format.ts";
import {
  AMOUNTS,
  CHECKSUMS,
  GREETING_INDEX,
  GREETINGS,
  MANIFEST,
  PACK_FORMAT,
  SCHEDULE,
  sha256Hex,
  sha256OfFile,
} from "./pack-format.ts";
import type { TimeExpression } from "./times.ts";
import { readTimeExpression } from "./times.ts";
import type { SlotOwners } from "./topology.ts";

export interface Pack {
  /** Absolute. */
  dir: string;
  /** SHA-256 of pack.json, hex. */
  digest: string;
  manifest: PackManifest;
  firstId: number;
  prizeCount: number;
  /** Whether the ID is one of the generated ones. */
  holds(id: number): boolean;
  /** Minor units. Like the next three it throws RangeError for an ID that the pack does not hold. */
  amountOf(id: number): number;
  greetingOf(id: number): string;
  /** The round for which the prize was generated. */
  roundOf(id: number): number;
  /** Where and for which round the prize was generated. */
  originOf(id: number): { round: number; bucket: string };
  /** Compares every file with its digest. Throws BadInput naming the first damaged one. */
  verifyFiles(): void;
  /** Closes the files of a pack that is read page by page. */
  close(): void;
}

export interface OpenPackOptions {
  /** Compare every file's digest first (default); else only sizes and the manifest. */
  verify?: boolean;
  /** Columns larger than this together are read page by page (default: all in memory). */
  memoryBytesMax?: number;
}

/**
 * Opens the pack in a directory. Throws Unreachable when there is none, and BadInput naming the file that is
 * damaged, cut, missing or of another version.
 */
export function openPack(
  dir: string,
  { verify = true, memoryBytesMax = Infinity }: OpenPackOptions = {},
): Pack {
  if (dir.startsWith("s3://")) {
    throw new Unreachable(`${dir}: packs are read from a directory; copy this one to local disk first`);
  }
  const root = resolve(dir);
  const { manifest, digest } = readManifest(root);
  const verifyFiles = (): void => {
    readManifest(root);
    checkFiles(root, manifest, true);
  };
  checkFiles(root, manifest, verify);
  const greetings = JSON.parse(readFileSync(join(root, GREETINGS), "utf8")) as string[];
  const share = memoryBytesMax / (4 + 2);
  const amounts = openColumn(join(root, AMOUNTS), 4, manifest.prizeCount, share * 4);
  const index = openColumn(join(root, GREETING_INDEX), 2, manifest.prizeCount, share * 2);
  const { firstId, prizeCount } = manifest;
  const ranges = manifest.ranges.filter((range) => range.count > 0);
  const positionOf = (id: number): number => {
    const position = id - firstId;
    if (Number.isInteger(position) && position >= 0 && position < prizeCount) return position;
    throw new RangeError(`prize ${id} is not one of the pack's (${firstId} to ${firstId + prizeCount - 1})`);
  };
  const rangeOf = (id: number): PackRange => {
    positionOf(id);
    return ranges[lastAtMost(ranges, id)]!;
  };
  return {
    dir: root,
    digest,
    manifest,
    firstId,
    prizeCount,
    holds: (id) => Number.isInteger(id) && id >= firstId && id < firstId + prizeCount,
    amountOf: (id) => amounts.at(positionOf(id)),
    greetingOf: (id) => greetings[index.at(positionOf(id))] ?? "",
    roundOf: (id) => rangeOf(id).round,
    originOf: (id) => {
      const { round, bucket } = rangeOf(id);
      return { round, bucket };
    },
    verifyFiles,
    close: () => {
      amounts.close();
      index.close();
    },
  };
}

/** The last range that begins at or before the ID; ranges are in the order of IDs, the first one begins before it. */
function lastAtMost(ranges: readonly PackRange[], id: number): number {
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ranges[middle]!.lo <= id) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A file of the pack. Throws Unreachable when the pack is not there at all, BadInput when a part of it is missing. */
function readPart(root: string, name: string): string {
  try {
    return readFileSync(join(root, name), "utf8");
  } catch (error) {
    const code = errorCode(error);
    const isPack = name !== MANIFEST || isThere(join(root, CHECKSUMS));
    if (code === "ENOENT" && isPack)
      throw new BadInput(`${join(root, name)}: is missing, expected a whole pack`);
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new Unreachable(`${root}: no pack is there; make one with "hongbao preprocess generate"`);
    }
    throw new Unreachable(`${join(root, name)}: cannot be read (${code})`);
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The digests of SHA256SUMS by file name. */
function readChecksums(root: string): Map<string, string> {
  const sums = new Map<string, string>();
  const text = readPart(root, CHECKSUMS);
  for (const line of text.split(/(?<=\n)/)) {
    const parts = /^([0-9a-f]{64}) {2}(\S+)\n$/.exec(line);
    if (!parts) throw new BadInput(`${join(root, CHECKSUMS)}: found a damaged line, expected "DIGEST  FILE"`);
    sums.set(parts[2]!, parts[1]!);
  }
  return sums;
}

function readManifest(root: string): { manifest: PackManifest; digest: string } {
  const text = readPart(root, MANIFEST);
  const path = join(root, MANIFEST);
  const digest = sha256Hex(text);
  const manifest = parseManifest(path, text);
  const format: number = manifest.format;
  if (format !== PACK_FORMAT) {
    throw new BadInput(`${path}: format: found ${format}, expected ${PACK_FORMAT}: generate it again`);
  }
  const sums = readChecksums(root);
  if (sums.get(MANIFEST) !== digest) {
    throw new BadInput(
      `${path}: is damaged: found digest ${digest}, expected ${sums.get(MANIFEST)} of ${CHECKSUMS}`,
    );
  }
  for (const [name, { sha256 }] of Object.entries(manifest.files)) {
    if (sums.get(name) !== sha256)
      throw new BadInput(`${join(root, CHECKSUMS)}: is damaged: its digest of ${name} is another`);
  }
  return { manifest, digest };
}

function parseManifest(path: string, text: string): PackManifest {
  try {
    const manifest: unknown = JSON.parse(text);
    if (typeof manifest === "object" && manifest !== null && "format" in manifest)
      return manifest as PackManifest;
  } catch {
    // Falls through to the same message.
  }
  throw new BadInput(`${path}: is damaged, expected the JSON manifest of a pack`);
}

function checkFiles(root: string, manifest: PackManifest, digests: boolean): void {
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const path = join(root, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) throw new BadInput(`${path}: is missing, expected ${bytes} bytes`);
    if (found.size !== bytes)
      throw new BadInput(`${path}: is damaged: found ${found.size} bytes, expected ${bytes}`);
    if (digests && sha256OfFile(path) !== sha256) {
      throw new BadInput(`${path}: is damaged: its SHA-256 is not ${sha256}`);
    }
  }
  readSchedule(root);
}

/**
 * The rounds' times as the event file has them, by round ID. Throws BadInput when the file is damaged.
 */
export function readSchedule(
  dir: string,
): Map<number, { opensAt: TimeExpression; closesAt: TimeExpression }> {
  const path = join(dir, SCHEDULE);
  const text = readPart(dir, SCHEDULE);
  if (readChecksums(dir).get(SCHEDULE) !== sha256Hex(text)) {
    throw new BadInput(`${path}: is damaged: its digest is not that of ${CHECKSUMS}`);
  }
  const { rounds } = JSON.parse(text) as { rounds: { id: number; opensAt: string; closesAt: string }[] };
  return new Map(
    rounds.map(({ id, opensAt, closesAt }) => [
      id,
      { opensAt: readTimeExpression(opensAt)!, closesAt: readTimeExpression(closesAt)! },
    ]),
  );
}

/** Throws BadInput when a pack was made for other buckets or slots than the topology's. */
export function requireSameBuckets(
  pack: Pick<Pack, "dir" | "manifest">,
  topology: SlotOwners & { path: string },
): void {
  const describe = ({ buckets }: SlotOwners): string =>
    buckets.map(({ id, slots }) => `${id} ${slots.map((run) => run.join("-")).join(",")}`).join("; ");
  const [found, expected] = [describe(pack.manifest), describe(topology)];
  if (found === expected) return;
  throw new BadInput(
    `${pack.dir}: found a pack for ${found}, expected one for ${expected} as in ${topology.path}`,
  );
}
