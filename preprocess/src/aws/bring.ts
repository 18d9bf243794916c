/**
 * What stands in S3 and is worked with as files: the topology, the pack, an event's files. They are brought before a command runs,
 * so that everything else reads files as ever; a pack is checked against its digests, and one that is here already stays.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Unreachable } from "../errors.ts";
import { CHECKSUMS } from "../pack-format.ts";
import { openPack } from "../pack.ts";
import { localCopy, workDir } from "./places.ts";
import { keyUnder, listS3, persistently, s3Place, s3Trouble, type Policy } from "./s3.ts";

/** Big objects take their time; the bound is for one that hangs. */
const POLICY: Policy = { tries: 5, timeoutMs: 120_000, pauseMs: 100 };
const OBJECTS_AT_ONCE = 8;

async function get(bucket: string, key: string): Promise<Buffer | null> {
  const answer = await persistently(bucket, { method: "GET", key }, POLICY);
  if (answer.status === 404) return null;
  if (answer.status !== 200) throw s3Trouble(bucket, key, answer);
  return answer.body;
}

/** One file, as it is now; answers where it lies. Errors: Unreachable. */
export async function bringFile(url: string): Promise<string> {
  const { bucket, prefix: key } = s3Place(url);
  const body = await get(bucket, key);
  if (body === null) throw new Unreachable(`${url} is not there`);
  const path = join(workDir(), basename(key));
  mkdirSync(workDir(), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.${process.pid}`, body, { mode: 0o600 });
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

/** A file with all that lies beside it (an event with its users and greetings); answers where the file lies. */
export async function bringFolderOf(url: string): Promise<string> {
  const { bucket, prefix: key } = s3Place(url);
  const folder = url.slice(0, url.lastIndexOf("/"));
  const dir = localCopy(folder);
  await bringAll(folder, dir);
  const path = join(dir, basename(key));
  if (!readdirSync(dir).includes(basename(key))) throw new Unreachable(`s3://${bucket}/${key} is not there`);
  return path;
}

async function bringAll(url: string, dir: string): Promise<void> {
  const place = s3Place(url);
  const keys = await listS3(place.bucket, keyUnder(place, ""), POLICY);
  const prefix = keyUnder(place, "");
  const names = keys
    .map((key) => key.slice(prefix.length))
    .filter((name) => name !== "" && !name.includes("/"));
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (let from = 0; from < names.length; from += OBJECTS_AT_ONCE) {
    await Promise.all(
      names.slice(from, from + OBJECTS_AT_ONCE).map(async (name) => {
        const body = await get(place.bucket, prefix + name);
        if (body !== null) writeFileSync(join(dir, name), body, { mode: 0o600 });
      }),
    );
  }
}

/**
 * The pack at `url` into `dir`. False: there is none. Errors: Unreachable; BadInput for a pack whose files do not have the
 * digests that it names.
 */
export async function bringPack(url: string, dir: string): Promise<boolean> {
  const place = s3Place(url);
  const sums = await get(place.bucket, keyUnder(place, CHECKSUMS));
  if (sums === null) return false;
  if (readIfThere(join(dir, CHECKSUMS))?.equals(sums)) return true;
  const draft = `${dir}.${process.pid}.draft`;
  try {
    await bringAll(url, draft);
    openPack(draft, { verify: true, memoryBytesMax: 0 }).close();
    rmSync(dir, { recursive: true, force: true });
    renameSync(draft, dir);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return true;
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

/** A pack's files to `url`; the list of digests last, so that whoever finds it finds the rest. Errors: Unreachable. */
export async function sendPack(dir: string, url: string): Promise<void> {
  const place = s3Place(url);
  const names = readdirSync(dir).filter((name) => name !== CHECKSUMS);
  for (const name of [...names, CHECKSUMS])
    await send(place.bucket, keyUnder(place, name), readFileSync(join(dir, name)));
}

/** The master seed, beside the pack's folder and never in it: `s3://bucket/seed/pack.seed` for `s3://bucket/pack`. */
export async function sendSeed(file: string, packUrl: string): Promise<string> {
  const { bucket, prefix } = s3Place(packUrl);
  const key = `seed/${prefix.replaceAll("/", "-")}.seed`;
  await send(bucket, key, readFileSync(file));
  return `s3://${bucket}/${key}`;
}

async function send(bucket: string, key: string, body: Buffer): Promise<void> {
  const answer = await persistently(bucket, { method: "PUT", key, body }, POLICY);
  if (answer.status !== 200) throw s3Trouble(bucket, key, answer);
}
