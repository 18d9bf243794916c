/**
 * Removes every record under a prefix: the memory of a rehearsal that is over. Apart from the control store's contract, in which
 * records only grow: an etag must never come back, so a prefix that was cleared must never be written to again.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { keyUnder, listS3, persistently, s3Place, s3Trouble, Unreachable } from "@hongbao/preprocess";
import { checkRecord } from "./store.ts";

const POLICY = { tries: 5, timeoutMs: 3_000, pauseMs: 50 };

/** @param folder without a slash at its end. Errors: Unreachable. */
export async function clearControlStore(place: string, folder: string): Promise<void> {
  checkRecord(folder);
  if (place.startsWith("s3://")) {
    const { bucket } = s3Place(place);
    const prefix = keyUnder(s3Place(place), `${folder}/`);
    for (const key of await listS3(bucket, prefix, POLICY)) await deleteS3(bucket, key);
    return;
  }
  await rm(join(place, folder), { recursive: true, force: true }).catch((error: unknown) => {
    throw new Unreachable(`control store ${place}: ${(error as Error).message}`, { cause: error });
  });
}

/** One object, which need not be there. Errors: Unreachable. */
export async function deleteS3(bucket: string, key: string): Promise<void> {
  const answer = await persistently(bucket, { method: "DELETE", key }, POLICY);
  if (![200, 204, 404].includes(answer.status)) throw s3Trouble(bucket, key, answer);
}
