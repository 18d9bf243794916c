/** Which version of this software runs. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const GIT_MS_MAX = 5_000;

/** The revision is null where there is no checkout, as in an image. */
export async function software(): Promise<{ version: string; revision: string | null; node: string }> {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const revision = await new Promise<string | null>((resolve) => {
    execFile(
      "git",
      ["-C", ROOT, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
      { timeout: GIT_MS_MAX },
      (error, stdout) => resolve(error === null ? stdout.trim() || null : null),
    );
  });
  return { version, revision, node: process.version };
}
