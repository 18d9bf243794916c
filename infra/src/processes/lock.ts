/** One cluster per state directory: a lock that cannot go stale, because it lives and dies with our process. */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { tryListen } from "./ports.ts";

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a directory, or returns null when a living process has it. An abstract socket named after the
 * directory's device and inode: the kernel hands it to exactly one process and takes it back however that one dies.
 */
export async function lockDirectory(dir: string): Promise<Lock | null> {
  const { dev, ino } = statSync(dir);
  const name = createHash("sha256").update(`${dev}:${ino}`).digest("hex").slice(0, 32);
  const server = await tryListen({ path: `\0hongbao-state-${name}` });
  if (server === null) return null;
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
