/**
 * An archive: all that is worth keeping of an event, in a directory of open formats.
 *
 *   README.md                 what this is and how it is read and checked
 *   manifest.json             event, software, who and why, what was found; every file with its size and SHA-256
 *   SHA256SUMS                digests of all files but itself, for `sha256sum -c`
 *   schema.json               the tables and their columns
 *   audit.json                the audit's report, made just before
 *   control.ndjson            the conductor's records, one a line: schedule, keys, switches, moves, users, log
 *   seeds.json                each round's commitment, and its seed when it was revealed
 *   pack/                     the pack's manifest, times and digests
 *   BUCKET/TABLE-0001.csv.gz  the tables of each bucket's MySQL, in the order of their keys, in parts
 *
 * The digest of an archive is the SHA-256 of manifest.json: whoever wrote it down elsewhere knows a changed archive.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput, errorCode, Unreachable } from "@hongbao/preprocess";
import { z } from "zod";

export const ARCHIVE_FORMAT = 1;
export const MANIFEST = "manifest.json";
export const CHECKSUMS = "SHA256SUMS";
export const README = "README.md";
export const SCHEMA = "schema.json";
export const AUDIT = "audit.json";
export const CONTROL = "control.ndjson";
export const SEEDS = "seeds.json";
export const PACK_MANIFEST = "pack/pack.json";

/** A table is cut into files of so many rows: a spreadsheet takes 1,048,576, and an upload has one in memory. */
export const PART_ROWS_MAX = 1_000_000;

export function partName(bucket: string, table: string, part: number): string {
  return `${bucket}/${table}-${String(part).padStart(4, "0")}.csv.gz`;
}

const fileSchema = z.object({
  name: z.string().regex(/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)?$/),
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** A part of a table, in the order in which they stand here. */
  bucket: z.string().optional(),
  table: z.string().optional(),
  rows: z.int().min(0).optional(),
});

export type ArchiveFile = z.infer<typeof fileSchema>;

const sum = z.object({ count: z.int(), amount: z.int() });

const manifestSchema = z.object({
  format: z.literal(ARCHIVE_FORMAT),
  /** Names this archive among those of its event. */
  id: z.string().regex(/^[a-z0-9-]+$/),
  createdAt: z.string(),
  by: z.string(),
  why: z.string(),
  software: z.object({ version: z.string(), revision: z.string().nullable(), node: z.string() }),
  event: z.object({ id: z.string(), currency: z.string(), pack: z.string() }),
  /** Who paid: the built-in ledger and order book, or others, whose books are not in here. */
  paidBy: z.object({ envelope: z.enum(["ledger", "wallet"]), item: z.enum(["orders", "order system"]) }),
  buckets: z.array(z.object({ id: z.string(), mysql: z.string() })),
  /** Over all buckets and rounds. */
  totals: z.object({ claimed: sum, paid: sum, pending: sum, held: sum, dead: sum, left: sum, burned: sum }),
  /** What spoke against an archive and was overruled by `why`. */
  forced: z.array(z.string()),
  /** What the check of these files found when they were written; empty unless it was forced. */
  findings: z.array(z.string()),
  files: z.array(fileSchema),
});

export type ArchiveManifest = z.infer<typeof manifestSchema>;

/** Throws Unreachable (no archive there), BadInput (damaged). */
export function readManifest(dir: string): ArchiveManifest {
  const path = join(dir, MANIFEST);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw new Unreachable(`${path}: cannot be read (${code})`);
    throw new Unreachable(`${dir}: no archive is there; make one with "hongbao archive --out ${dir}"`);
  }
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    const where = issue === undefined ? "" : ` at ${issue.path.join(".")}: ${issue.message}`;
    throw new BadInput(`${path}: is damaged${where}, expected the manifest of an archive`);
  }
}

/** The names of a bucket's files of one table, in order. */
export function partsOf(
  { files }: Pick<ArchiveManifest, "files">,
  bucket: string,
  table: string,
): ArchiveFile[] {
  return files.filter((file) => file.bucket === bucket && file.table === table);
}
