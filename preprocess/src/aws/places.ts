/** Where copies of what stands in S3 lie. */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** $HONGBAO_WORK, else a directory of this user's among the temporary ones. */
export function workDir(): string {
  return process.env.HONGBAO_WORK || join(tmpdir(), `hongbao-work-${process.getuid?.() ?? 0}`);
}

/** The directory that a folder of S3 is copied to. */
export function localCopy(url: string): string {
  return join(workDir(), createHash("sha256").update(url).digest("hex").slice(0, 16));
}
