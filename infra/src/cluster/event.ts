/** The event of a local cluster: the sample or the operator's file, made into a pack and loaded once. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { BadInput, readEvent } from "@hongbao/preprocess";
import { runHongbao } from "./hongbao.ts";
import type { Places, Settings } from "./places.ts";

export const SAMPLE_USERS = 5_000;
/** Loading, and starting everything, takes less: no round opens before the cluster is ready and sets the time. */
const START_SECONDS_MAX = 120;

/** The digest of an event file with the lists that belong to it. Throws BadInput or Unreachable like readEvent. */
export async function eventDigest(path: string): Promise<{ id: string; digest: string }> {
  const event = readEvent(path);
  const hash = createHash("sha256");
  for (const file of [path, event.usersPath, event.greetingsPath]) {
    if (file === null) continue;
    hash.update(`\0${file === path ? "event" : "list"}\0`);
    if (existsSync(file)) await pipeline(createReadStream(file), hash, { end: false });
  }
  return { id: event.id, digest: hash.digest("hex") };
}

/**
 * Says whether what is in the state may go on under these options. Throws BadInput when it is another event or
 * another number of buckets: prizes were shared over the buckets, and an event is never thrown away by the way.
 */
export function checkSettings(
  places: Places,
  found: Settings,
  wanted: Pick<Settings, "event"> & { buckets?: number },
): void {
  const anew = `give --fresh to throw that event away, or --state for another directory`;
  if (wanted.buckets !== undefined && wanted.buckets !== found.buckets) {
    throw new BadInput(
      `--buckets: found ${wanted.buckets}, expected ${found.buckets} as in ${places.data}; ${anew}`,
    );
  }
  if (wanted.event.path !== null && wanted.event.digest !== found.event.digest) {
    const changed = wanted.event.id === found.event.id ? " with another content" : "";
    throw new BadInput(
      `--event: found ${wanted.event.id} in ${wanted.event.path}, but ${places.data} holds ${found.event.id}${changed}; ${anew}`,
    );
  }
}

/** Writes the sample event unless it is there; returns its path. */
export async function writeSample(places: Places, signal: AbortSignal): Promise<string> {
  const path = join(places.sample, "event.yaml");
  await runHongbao(["preprocess", "sample", "--users", String(SAMPLE_USERS), "--out", places.sample], signal);
  return path;
}

export async function generate(places: Places, event: string, signal: AbortSignal): Promise<void> {
  const at = ["--topology", places.topology, "--out", places.pack];
  await runHongbao(["preprocess", "generate", resolve(event), ...at], signal);
}

/** Loads the pack into every bucket. With `opensInSeconds` nothing opens before the start is over (see `openIn`). */
export async function load(
  places: Places,
  opensInSeconds: number | null,
  signal: AbortSignal,
): Promise<void> {
  const later = opensInSeconds === null ? [] : ["--opens-in", String(opensInSeconds + START_SECONDS_MAX)];
  await runHongbao(["preprocess", "load", places.pack, "--topology", places.topology, ...later], signal);
}
