/**
 * The control store in a directory of one machine, for any number of processes, without locks: a process that is
 * killed or frozen in the middle of a write can neither tear a record nor keep the others waiting.
 *
 * Every version of a record is a file of its own, `NAME.record/000000000007`; the highest number is the record.
 * A writer puts the text into a draft, syncs it, and link(2)s it to the next number: the kernel lets exactly one
 * writer have a number, and a reader finds a whole file or none. Old versions are removed once VERSIONS_KEPT newer
 * ones exist. A writer that slept through so many versions could then be given a number that was used and removed:
 * it finds out by looking again after its link, and reports a conflict.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, type Dirent } from "node:fs";
import { link, mkdir, open, readdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode, Unreachable } from "@hongbao/preprocess";
import type { ControlRecord, ControlStore, PutCondition } from "./store.ts";
import { checkRecord } from "./store.ts";

const RECORD_SUFFIX = ".record";
const DRAFTS = ".drafts";
const VERSION_DIGITS = 12;
const VERSION = /^\d{12}$/;
const VERSIONS_KEPT = 64;
/** Removing is done in strides, not at every write. */
const CLEANING_STRIDE = 16;
/** A draft that nobody linked for so long is left over from a killed process. */
const DRAFT_AGE_MS_MAX = 3_600_000;
/** Reading and unconditional writing race with writers; each lost race means that somebody else got on. */
const TRIES_MAX = 1_000;

/** Opens (and makes, when there is none) the store in `dir`. Errors: Unreachable. */
export async function openDirectoryStore(dir: string): Promise<ControlStore> {
  const drafts = join(dir, DRAFTS);
  await reaching(dir, async () => {
    await mkdir(drafts, { recursive: true, mode: 0o700 });
    await removeOldDrafts(drafts);
  });
  return {
    get: (name) => reaching(dir, async () => read(join(dir, recordPath(name)))),
    put: (name, value, condition = {}) => {
      checkRecord(name, value);
      return reaching(dir, () => write(join(dir, recordPath(name)), drafts, value, condition));
    },
    list: (prefix) => reaching(dir, () => list(dir, prefix)),
  };
}

function recordPath(name: string): string {
  checkRecord(name);
  if (name.split("/").some((part) => part.endsWith(RECORD_SUFFIX))) {
    throw new TypeError(
      `control store: found the name "${name}", expected no part that ends in ${RECORD_SUFFIX}`,
    );
  }
  return name + RECORD_SUFFIX;
}

async function reaching<T>(dir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Unreachable(`control store ${dir}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Version numbers of a record, lowest first. Read at once, not by way of the thread pool: every controller reads every record
 * ten times a second, the kernel has these in memory, and a hop to another thread costs ten times the call itself.
 */
function versionsOf(record: string): number[] {
  try {
    return readdirSync(record)
      .filter((name) => VERSION.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

function versionFile(record: string, version: number): string {
  return join(record, String(version).padStart(VERSION_DIGITS, "0"));
}

function read(record: string): ControlRecord | null {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const version = versionsOf(record).at(-1);
    if (version === undefined) return null;
    try {
      return { value: readFileSync(versionFile(record, version), "utf8"), etag: String(version) };
    } catch (error) {
      // Newer versions came and this one was removed between the two looks.
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }
  throw new Unreachable(`control store: ${record} changes too fast to be read`);
}

async function write(
  record: string,
  drafts: string,
  value: string,
  condition: PutCondition,
): Promise<string | null> {
  const conditional = "ifMatch" in condition || "ifNoneMatch" in condition;
  for (let tries = 0; tries < (conditional ? 1 : TRIES_MAX); tries += 1) {
    const current = versionsOf(record).at(-1) ?? 0;
    if ("ifNoneMatch" in condition && current !== 0) return null;
    if ("ifMatch" in condition && String(current) !== condition.ifMatch) return null;
    const etag = await append(record, drafts, current + 1, value);
    if (etag !== null) return etag;
  }
  if (conditional) return null;
  throw new Unreachable(`control store: ${record} changes too fast to be written`);
}

/** Makes `version` of the record, or answers null when another writer has it (also one long ago). */
export async function append(
  record: string,
  drafts: string,
  version: number,
  value: string,
): Promise<string | null> {
  const draft = join(drafts, `${process.pid}-${randomBytes(9).toString("hex")}`);
  await writeSynced(draft, value);
  try {
    await makeRecord(record);
    await link(draft, versionFile(record, version));
  } catch (error) {
    if (errorCode(error) === "EEXIST") return null;
    throw error;
  } finally {
    await unlink(draft).catch(() => undefined);
  }
  await syncDirectory(record);
  const newest = versionsOf(record).at(-1) ?? version;
  if (newest - version >= VERSIONS_KEPT) {
    // Either this number had been used and removed before, or so many writers came after us just now. A reader of
    // the record sees none of it either way, and the caller, who has to read again, learns which.
    await unlink(versionFile(record, version)).catch(() => undefined);
    return null;
  }
  if (version % CLEANING_STRIDE === 0) await removeOldVersions(record, newest);
  return String(version);
}

async function writeSynced(path: string, value: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(value, "utf8");
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A new directory is durable only when its parent was synced, up to the first that was there. */
async function makeRecord(record: string): Promise<void> {
  const first = await mkdir(record, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = record; ; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (made === first || made === dirname(made)) return;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function removeOldVersions(record: string, newest: number): Promise<void> {
  for (const version of versionsOf(record)) {
    if (newest - version < VERSIONS_KEPT) return;
    await unlink(versionFile(record, version)).catch(() => undefined);
  }
}

async function removeOldDrafts(drafts: string): Promise<void> {
  for (const name of await readdir(drafts)) {
    const path = join(drafts, name);
    const found = await stat(path).catch(() => null);
    if (found && Date.now() - found.mtimeMs > DRAFT_AGE_MS_MAX) await unlink(path).catch(() => undefined);
  }
}

async function list(dir: string, prefix: string): Promise<string[]> {
  // Only the folder that the prefix names needs to be walked.
  const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (folder !== "") checkRecord(folder.slice(0, -1));
  const names: string[] = [];
  await walk(dir, folder, names);
  return names.filter((name) => name.startsWith(prefix)).sort();
}

async function walk(dir: string, folder: string, names: string[]): Promise<void> {
  for (const entry of await entriesOf(join(dir, folder))) {
    if (!entry.isDirectory() || entry.name === DRAFTS) continue;
    const path = folder + entry.name;
    if (!entry.name.endsWith(RECORD_SUFFIX)) await walk(dir, `${path}/`, names);
    // A record's directory is made just before its first version.
    else if (versionsOf(join(dir, path)).length > 0) names.push(path.slice(0, -RECORD_SUFFIX.length));
  }
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
