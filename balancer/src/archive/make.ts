/** Makes an archive: in a draft beside its place, checked, and renamed when all is there and durable. */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  BadInput,
  CheckFailed,
  processStart,
  progress,
  sha256Hex,
  type Pack,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { ARCHIVE_TABLES, exportBucket } from "@hongbao/bucket-service";
import type { AuditReport } from "../operate/audit.ts";
import type { ControlLine } from "./control-records.ts";
import { writeTable, writeText } from "./files.ts";
import {
  ARCHIVE_FORMAT,
  AUDIT,
  CHECKSUMS,
  CONTROL,
  MANIFEST,
  README,
  SCHEMA,
  SEEDS,
  type ArchiveFile,
  type ArchiveManifest,
} from "./format.ts";
import type { Seed } from "./prizes.ts";
import { readmeText } from "./readme.ts";
import { software } from "./software.ts";
import { checksumText, checkTables, totalsOf } from "./verify.ts";

export interface MakeParts {
  topology: Topology;
  secrets: Pick<Secrets, "redis" | "mysql">;
  pack: Pack;
  audit: AuditReport;
  control: readonly ControlLine[];
  seeds: readonly Seed[];
  by: string;
  why: string;
  /** What an operator overruled. */
  forced: string[];
  createdAt: Date;
}

/** The pack's files that tell what was generated; its columns stand in the table of prizes. */
const PACK_FILES = ["pack.json", "schedule.json", "SHA256SUMS"];

/**
 * Answers the manifest's digest. Throws CheckFailed when the tables do not agree with the audit that was made before (and nothing is
 * forced): then something has moved meanwhile. A run that fails or is killed leaves nothing at `out`.
 */
export async function makeArchive(
  out: string,
  parts: MakeParts,
): Promise<{ manifest: ArchiveManifest; digest: string }> {
  removeOldDrafts(out);
  const draft = `${out}.draft-${process.pid}`;
  try {
    await mkdir(draft, { mode: 0o700 });
  } catch (error) {
    throw new BadInput(`--out: found ${out}, expected a path that can be made: ${(error as Error).message}`);
  }
  try {
    const made = await writeAll(draft, parts);
    syncAll(draft);
    renameSync(draft, out);
    syncDir(dirname(out));
    return made;
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
}

async function writeAll(
  dir: string,
  parts: MakeParts,
): Promise<{ manifest: ArchiveManifest; digest: string }> {
  const { pack, audit, control, seeds, forced } = parts;
  const { buckets, files: tables } = await writeBuckets(dir, parts);
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const files: ArchiveFile[] = [
    await writeText(dir, SCHEMA, json({ tables: ARCHIVE_TABLES })),
    await writeText(dir, AUDIT, json(audit)),
    await writeText(dir, CONTROL, control.map((line) => `${JSON.stringify(line)}\n`).join("")),
    await writeText(dir, SEEDS, json({ seeds })),
  ];
  for (const name of PACK_FILES)
    files.push(await writeText(dir, `pack/${name}`, readFileSync(join(pack.dir, name), "utf8")));
  files.push(...tables);
  const facts = { ...(await factsOf(parts)), buckets };
  const { findings } = await checkTables(dir, { ...facts, findings: [], files });
  if (findings.length > 0 && forced.length === 0) {
    throw new CheckFailed(
      `nothing was archived: what was written does not agree with the audit (${findings.length} findings; first: ${findings[0]!}); ` +
        "if somebody changed something meanwhile, run it again",
    );
  }
  const told = { ...facts, findings };
  files.unshift(await writeText(dir, README, readmeText(told)));
  const manifest: ArchiveManifest = { ...told, files };
  const text = json(manifest);
  const digest = sha256Hex(text);
  await writeText(dir, MANIFEST, text);
  await writeText(dir, CHECKSUMS, checksumText(manifest, digest));
  return { manifest, digest };
}

async function writeBuckets(
  dir: string,
  { topology, pack, secrets }: MakeParts,
): Promise<{ buckets: ArchiveManifest["buckets"]; files: ArchiveFile[] }> {
  const buckets: ArchiveManifest["buckets"] = [];
  const files: ArchiveFile[] = [];
  for (const bucket of topology.buckets) {
    const bar = progress(`bucket ${bucket.id}`, ARCHIVE_TABLES.length);
    let done = 0;
    const { mysql } = await exportBucket({ pack, bucket, secrets }, async (table, pages) => {
      files.push(...(await writeTable(dir, bucket.id, table, pages)));
      bar.update((done += 1));
    });
    bar.done();
    buckets.push({ id: bucket.id, mysql });
  }
  return { buckets, files };
}

async function factsOf({
  topology,
  pack,
  audit,
  by,
  why,
  forced,
  createdAt,
}: MakeParts): Promise<Omit<ArchiveManifest, "files" | "findings" | "buckets">> {
  const { event } = pack.manifest;
  return {
    format: ARCHIVE_FORMAT,
    id: `${event.id}-${createdAt
      .toISOString()
      .replaceAll(/[-:]|\.\d+/g, "")
      .toLowerCase()}`,
    createdAt: createdAt.toISOString(),
    by,
    why,
    software: await software(),
    event: { id: event.id, currency: event.currency, pack: pack.digest },
    paidBy: {
      envelope: topology.wallet === undefined ? "ledger" : "wallet",
      item: topology.orders === undefined ? "orders" : "order system",
    },
    totals: totalsOf(audit),
    forced,
  };
}

/** Clears up after runs that were killed; their pid is in the name. */
function removeOldDrafts(out: string): void {
  const prefix = `${basename(out)}.draft-`;
  for (const name of namesIn(dirname(out))) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : NaN;
    if (Number.isInteger(pid) && (pid === process.pid || processStart(pid) === null))
      rmSync(join(dirname(out), name), { recursive: true, force: true });
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    // It is not there: making the draft says so.
    return [];
  }
}

function syncAll(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) syncDir(join(dir, entry.name));
  syncDir(dir);
}

function syncDir(dir: string): void {
  const file = openSync(dir, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
