/**
 * An archive into S3: everything under PREFIX/ID/, the manifest after all other files, and last of all PREFIX/ARCHIVED, which says
 * which one it is. Each archive has a folder of its own, so that a second one never mixes with the first.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  keyUnder,
  persistently,
  progress,
  s3Place,
  s3Trouble,
  sha256Hex,
  type Policy,
} from "@hongbao/preprocess";
import { CHECKSUMS, MANIFEST, readManifest } from "./format.ts";

/** Terraform's guard looks for it. */
export const MARKER = "ARCHIVED";

const POLICY: Policy = { tries: 5, timeoutMs: 120_000, pauseMs: 100 };
const FILES_AT_ONCE = 4;

/** Safe to repeat: after a broken one everything is sent again. Answers where the archive is. Errors: Unreachable. */
export async function uploadArchive(dir: string, url: string, policy = POLICY): Promise<string> {
  const place = s3Place(url);
  const { id, event, files, createdAt, by, forced } = readManifest(dir);
  const put = async (key: string, body: Buffer | string): Promise<void> => {
    const answer = await persistently(place.bucket, { method: "PUT", key, body }, policy);
    if (answer.status !== 200) throw s3Trouble(place.bucket, key, answer);
  };
  // S3 compares the content with the digest that the request is signed with.
  const send = (name: string): Promise<void> =>
    put(keyUnder(place, `${id}/${name}`), readFileSync(join(dir, name)));
  const bar = progress("upload", files.length + 2);
  const names = files.map(({ name }) => name);
  for (let from = 0; from < names.length; from += FILES_AT_ONCE) {
    await Promise.all(names.slice(from, from + FILES_AT_ONCE).map(send));
    bar.update(from);
  }
  await send(CHECKSUMS);
  await send(MANIFEST);
  const marker = {
    event: event.id,
    archive: `${id}/`,
    manifest: sha256Hex(readFileSync(join(dir, MANIFEST))),
    createdAt,
    by,
    forced,
  };
  await put(keyUnder(place, MARKER), `${JSON.stringify(marker, null, 2)}\n`);
  bar.done();
  return `s3://${place.bucket}/${keyUnder(place, `${id}/`)}`;
}
