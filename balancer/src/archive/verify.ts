/** Checks an archive without the cluster: every file against its digest, then counts and money again from the tables. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput, sha256Hex, type PackManifest } from "@hongbao/preprocess";
import { ARCHIVE_TABLES } from "@hongbao/bucket-service";
import { FIGURES, sumAudits, type AuditReport } from "../operate/audit.ts";
import { bucketBooks } from "./books.ts";
import { digestOf, tableRows } from "./files.ts";
import { Findings } from "./findings.ts";
import {
  AUDIT,
  CHECKSUMS,
  MANIFEST,
  PACK_MANIFEST,
  partsOf,
  readManifest,
  SEEDS,
  type ArchiveManifest,
} from "./format.ts";
import { checkDraws, readPrizes, type Seed } from "./prizes.ts";

export interface Verdict {
  ok: boolean;
  manifest: ArchiveManifest;
  /** SHA-256 of the manifest. */
  digest: string;
  /** Files that are missing, added or changed. */
  damage: string[];
  /** What the tables say against each other; what an archive was forced to be made with stands in its manifest, too. */
  findings: string[];
  /** Rounds whose prizes were drawn again from their revealed seeds. */
  drawn: number[];
}

/** @param expected the digest that somebody wrote down. Throws Unreachable (no archive), BadInput (no manifest to go by). */
export async function verifyArchive(dir: string, { expected }: { expected?: string } = {}): Promise<Verdict> {
  const manifest = readManifest(dir);
  const digest = sha256Hex(readFileSync(join(dir, MANIFEST)));
  const damage = await checkFiles(dir, manifest, digest);
  if (expected !== undefined && expected !== digest)
    damage.unshift(`${MANIFEST}: its SHA-256 is ${digest}, expected ${expected}`);
  // Tables that are not what was written have nothing to say.
  const { findings, drawn } = damage.length > 0 ? NOTHING : await readable(dir, manifest, damage);
  const isAsWritten = JSON.stringify(findings) === JSON.stringify(manifest.findings);
  return { ok: damage.length === 0 && isAsWritten, manifest, digest, damage, findings, drawn };
}

const NOTHING = { findings: [], drawn: [] };

/** A file that no program can read is damaged, whatever its digest says. */
async function readable(
  dir: string,
  manifest: ArchiveManifest,
  damage: string[],
): Promise<{ findings: string[]; drawn: number[] }> {
  try {
    return await checkTables(dir, manifest);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    damage.push(error.message);
    return NOTHING;
  }
}

/** The lines of SHA256SUMS. */
export function checksumText({ files }: Pick<ArchiveManifest, "files">, manifestDigest: string): string {
  const all = [...files, { name: MANIFEST, sha256: manifestDigest }];
  return all.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
}

async function checkFiles(dir: string, manifest: ArchiveManifest, digest: string): Promise<string[]> {
  const damage: string[] = [];
  const known = new Set(manifest.files.map(({ name }) => name));
  const there = new Set(filesIn(dir));
  for (const name of there) {
    if (!known.has(name) && name !== MANIFEST && name !== CHECKSUMS)
      damage.push(`${name}: is not one of the archive's files`);
  }
  for (const { name, bytes, sha256 } of manifest.files) {
    if (!there.has(name)) {
      damage.push(`${name}: is missing`);
      continue;
    }
    const found = await digestOf(join(dir, name));
    if (found.sha256 !== sha256)
      damage.push(
        `${name}: was changed: found ${found.bytes} bytes with SHA-256 ${found.sha256}, expected ${bytes} with ${sha256}`,
      );
  }
  const sums = there.has(CHECKSUMS) ? readFileSync(join(dir, CHECKSUMS), "utf8") : "";
  if (sums !== checksumText(manifest, digest)) damage.push(`${CHECKSUMS}: is not what ${MANIFEST} says`);
  return damage;
}

function filesIn(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (!entry.isDirectory()) return entry.name;
    return readdirSync(join(dir, entry.name)).map((name) => `${entry.name}/${name}`);
  });
}

/** What the tables say against each other and against the audit's report. Throws BadInput for one that cannot be read. */
export async function checkTables(
  dir: string,
  manifest: ArchiveManifest,
): Promise<{ findings: string[]; drawn: number[] }> {
  const findings = new Findings();
  const pack = readJson<PackManifest>(dir, PACK_MANIFEST);
  const packDigest = sha256Hex(readFileSync(join(dir, PACK_MANIFEST)));
  if (packDigest !== manifest.event.pack)
    findings.add(`${PACK_MANIFEST}: is pack ${packDigest}, the event was of pack ${manifest.event.pack}`);
  requireAllTables(dir, manifest, pack);
  const prizes = await readPrizes(dir, manifest, pack, findings);
  const { seeds } = readJson<{ seeds: Seed[] }>(dir, SEEDS);
  const drawn = checkDraws(pack, prizes, seeds, findings);
  const books = [];
  for (const { id } of pack.buckets)
    books.push(await bucketBooks({ dir, manifest, pack, prizes, findings }, id));
  const again = sumAudits(books, pack, []);
  for (const { bucket, round, what } of again.violations)
    findings.add(`round ${round}, bucket ${bucket}: ${what}`);
  const told = readJson<AuditReport>(dir, AUDIT);
  compare(told, again, findings);
  const totals = totalsOf(told);
  if (JSON.stringify(totals) !== JSON.stringify(manifest.totals))
    findings.add(`${MANIFEST}: its totals are not those of the audit`);
  await readTheRest(dir, manifest);
  return { findings: findings.all(), drawn };
}

function readJson<T>(dir: string, name: string): T {
  try {
    return JSON.parse(readFileSync(join(dir, name), "utf8")) as T;
  } catch (error) {
    throw new BadInput(`${join(dir, name)}: cannot be read as JSON: ${(error as Error).message}`);
  }
}

/** An audit's report over all rounds. */
export function totalsOf({ rounds }: AuditReport): ArchiveManifest["totals"] {
  const total = (name: keyof ArchiveManifest["totals"]) => ({
    count: rounds.reduce((sum, round) => sum + round[name].count, 0),
    amount: rounds.reduce((sum, round) => sum + round[name].amount, 0),
  });
  return {
    claimed: total("claimed"),
    paid: total("paid"),
    pending: total("pending"),
    held: total("held"),
    dead: total("dead"),
    left: total("left"),
    burned: total("burned"),
  };
}

function requireAllTables(dir: string, manifest: ArchiveManifest, pack: PackManifest): void {
  const [found, expected] = [manifest.buckets, pack.buckets].map((list) =>
    list.map(({ id }) => id).join(", "),
  );
  if (found !== expected)
    throw new BadInput(`${join(dir, MANIFEST)}: found buckets ${found}, expected ${expected} as in the pack`);
  for (const { id } of manifest.buckets) {
    for (const { name } of ARCHIVE_TABLES) {
      if (partsOf(manifest, id, name).length === 0)
        throw new BadInput(`${join(dir, MANIFEST)}: found no file of table ${name} of bucket ${id}`);
    }
  }
}

/** The audit looked at Redis, too: what is left is its word. */
function compare(told: AuditReport, again: AuditReport, findings: Findings): void {
  const bookOf = ({ rounds }: AuditReport, round: number, bucket: string) =>
    rounds.find((each) => each.round === round)?.buckets.find((each) => each.bucket === bucket);
  for (const { round, buckets } of again.rounds) {
    for (const mine of buckets) {
      const theirs = bookOf(told, round, mine.bucket);
      for (const name of FIGURES) {
        const [found, expected] = [mine[name], theirs?.[name]];
        if (found.count === expected?.count && found.amount === expected.amount) continue;
        findings.add(
          `round ${round}, bucket ${mine.bucket}: ${name} is ${found.count} worth ${found.amount} by the tables, ` +
            `${expected?.count ?? "nothing"} worth ${expected?.amount ?? "nothing"} by the audit`,
        );
      }
    }
  }
}

const READ_BEFORE = [
  "prizes",
  "claims",
  "claim_conflicts",
  "payouts",
  "ledger_entries",
  "ledger_accounts",
  "orders",
  "range_moves",
  "burned",
];

/** Columns, order and number of rows of what no book needs. */
async function readTheRest(dir: string, manifest: ArchiveManifest): Promise<void> {
  for (const { id } of manifest.buckets) {
    for (const table of ARCHIVE_TABLES) {
      if (READ_BEFORE.includes(table.name)) continue;
      for await (const row of tableRows(dir, manifest, id, table)) void row;
    }
  }
}
