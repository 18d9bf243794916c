import { BadInput } from "@hongbao/preprocess";
import { openDirectoryStore } from "./directory-store.ts";
import { openS3Store } from "./s3-store.ts";
import type { ControlStore } from "./store.ts";

/** Opens the control store that a topology names. Errors: BadInput (a kind we have not), Unreachable. */
export async function openControlStore(place: string): Promise<ControlStore> {
  if (place.startsWith("s3://")) return openS3Store(place);
  if (/^[a-z0-9]+:\/\//.test(place)) {
    throw new BadInput(`control: found "${place}", expected a directory or s3://bucket/prefix`);
  }
  return openDirectoryStore(place);
}
