/** `preprocess generate`: makes a pack and puts it in place in one step, or leaves everything as it was. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BadInput, errorCode } from "./errors.ts";
import { openPack } from "./pack.ts";
import type { PackManifest } from "./pack-format.ts";
import { CHECKSUMS, MANIFEST, SCHEDULE, seedPath, sha256OfFile } from "./pack-format.ts";
import type { GenerateInput } from "./pack-writer.ts";
import { writePackFiles } from "./pack-writer.ts";
import { processStart } from "./state.ts";

export interface GenerateOptions extends Omit<GenerateInput, "seed"> {
  /** Hex; without it a new one is made, or that of an existing pack used to see whether it is the same. */
  seedHex?: string;
  /** The pack's directory. */
  out: string;
  /** Replace an existing pack that is another. */
  force?: boolean;
}

export interface Generated {
  dir: string;
  digest: string;
  manifest: PackManifest;
  /** `same`: a pack with these prizes was there already (its times are brought up to date). */
  outcome: "new" | "same" | "replaced";
}

const SEED_BYTES = 32;

/**
 * Makes a pack and its seed file (0600). Throws BadInput when another pack, or something else, is at `out`.
 * On any error, and on SIGINT and SIGTERM, nothing is left behind.
 */
export async function generatePack(options: GenerateOptions): Promise<Generated> {
  const out = resolve(options.out);
  clearDeadDrafts(out);
  const there = whatIsAt(out);
  if (there === "other") {
    throw new BadInput(`${out}: found files that are no pack, expected an empty or a new directory`);
  }
  const seed = chooseSeed(options, out, there === "pack");
  const draft = `${out}.draft-${process.pid}`;
  mkdirSync(dirname(out), { recursive: true });
  const stopWatching = removeOnSignal(draft);
  try {
    const { manifest, digest } = await writePackFiles(draft, { ...options, seed });
    if (there === "pack") {
      const isSame = isSamePack(out, digest);
      if (!isSame && !options.force) refuseOther(out, digest);
      if (isSame && sha256OfFile(join(draft, SCHEDULE)) === sha256OfFile(join(out, SCHEDULE))) {
        writeSeed(out, seed);
        return { dir: out, digest, manifest, outcome: "same" };
      }
      replace(draft, out, seed);
      return { dir: out, digest, manifest, outcome: isSame ? "same" : "replaced" };
    }
    replace(draft, out, seed);
    return { dir: out, digest, manifest, outcome: "new" };
  } finally {
    rmSync(draft, { recursive: true, force: true });
    stopWatching();
  }
}

/** A file or a directory with something else in it is never touched, not even by force. */
function whatIsAt(out: string): "nothing" | "pack" | "other" {
  const found = statSync(out, { throwIfNoEntry: false });
  if (!found) return "nothing";
  if (!found.isDirectory()) return "other";
  const names = readdirSync(out);
  if (names.length === 0) return "nothing";
  return names.includes(MANIFEST) || names.includes(CHECKSUMS) ? "pack" : "other";
}

/** Reads hex as the master seed. Throws BadInput for anything else; the text does not come back in the message. */
export function parseSeedHex(hex: string): Buffer {
  if (!/^([0-9a-fA-F]{2}){1,64}$/.test(hex)) {
    throw new BadInput(
      `--seed: found ${hex.length} characters, expected 2 to 128 hex digits (64 are usual), an even number`,
    );
  }
  return Buffer.from(hex, "hex");
}

function chooseSeed({ seedHex, force }: GenerateOptions, out: string, isThere: boolean): Buffer {
  if (seedHex !== undefined) return parseSeedHex(seedHex);
  // Without --seed a repeated command should find its own pack again. A pack that is replaced gets a new seed: the
  // old one's rounds may have been revealed.
  const known = isThere && !force ? readSeed(out) : null;
  return known ?? randomBytes(SEED_BYTES);
}

/** The master seed beside a pack, or null when it is not there. Throws BadInput when the file holds something else. */
export function readSeed(packDir: string): Buffer | null {
  return readSeedFile(seedPath(packDir));
}

/** The master seed in a file, or null when there is no such file. Throws BadInput when it holds something else. */
export function readSeedFile(path: string): Buffer | null {
  try {
    const hex = readFileSync(path, "utf8").trim();
    if (/^([0-9a-f]{2}){1,64}$/.test(hex)) return Buffer.from(hex, "hex");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
  throw new BadInput(`${path}: found something else, expected one line of hex`);
}

function writeSeed(out: string, seed: Buffer): void {
  const path = seedPath(out);
  const draft = `${path}.draft-${process.pid}`;
  try {
    writeFileSync(draft, `${seed.toString("hex")}\n`, { mode: 0o600 });
    // The mode above does not apply to a file that was there.
    chmodSync(draft, 0o600);
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

function isSamePack(out: string, digest: string): boolean {
  try {
    const pack = openPack(out);
    pack.close();
    return pack.digest === digest;
  } catch (error) {
    if (error instanceof BadInput) return false;
    throw error;
  }
}

function refuseOther(out: string, digest: string): never {
  let found = "a damaged pack";
  try {
    const pack = openPack(out);
    pack.close();
    found = `the pack of event ${pack.manifest.event.id} with digest ${pack.digest.slice(0, 12)}`;
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
  }
  throw new BadInput(
    `${out}: found ${found}, expected none or the same (${digest.slice(0, 12)}): ` +
      "give another --out, the --seed it was made with, or --force to replace it",
  );
}

/** Moves the draft into place, and the old pack back if that fails half-way. */
function replace(draft: string, out: string, seed: Buffer): void {
  const old = `${out}.draft-${process.pid}-old`;
  const isThere = statSync(out, { throwIfNoEntry: false }) !== undefined;
  if (isThere) renameSync(out, old);
  let isMoved = false;
  try {
    renameSync(draft, out);
    isMoved = true;
    writeSeed(out, seed);
  } catch (error) {
    // What is there without our move is another run's, and finished.
    if (isMoved) rmSync(out, { recursive: true, force: true });
    if (isThere) renameSync(old, out);
    throw error;
  }
  syncDirectory(dirname(out));
  rmSync(old, { recursive: true, force: true });
}

/** Makes renames durable: a power cut after the command's end must not bring the draft's name back. */
function syncDirectory(dir: string): void {
  const handle = openSync(dir, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Clears up after runs that were killed (their pid is in the name), and brings back a pack they had set aside. */
function clearDeadDrafts(out: string): void {
  if (!statSync(dirname(out), { throwIfNoEntry: false })?.isDirectory()) return;
  const start = `${basename(out)}.draft-`;
  for (const name of readdirSync(dirname(out))) {
    const parts = name.startsWith(start) ? /^(\d+)(-old)?$/.exec(name.slice(start.length)) : null;
    if (!parts || processStart(Number(parts[1])) !== null) continue;
    const path = join(dirname(out), name);
    const isThere = statSync(out, { throwIfNoEntry: false }) !== undefined;
    if (parts[2] && !isThere) renameSync(path, out);
    else rmSync(path, { recursive: true, force: true });
  }
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/** Removes the draft when the command is stopped by a signal; returns what ends the watching. */
function removeOnSignal(draft: string): () => void {
  const onSignal = (signal: NodeJS.Signals): void => {
    rmSync(draft, { recursive: true, force: true });
    process.exit(128 + SIGNALS[signal as keyof typeof SIGNALS]);
  };
  for (const signal of Object.keys(SIGNALS)) process.once(signal, onSignal);
  return () => {
    for (const signal of Object.keys(SIGNALS)) process.removeListener(signal, onSignal);
  };
}
