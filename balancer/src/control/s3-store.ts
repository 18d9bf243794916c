/**
 * The control store in S3: one object a record, written by conditional PUTs (`If-None-Match: *`, `If-Match: etag`).
 *
 * S3's etag is the digest of the content, so the same value written twice would have one etag; each write therefore begins with
 * a line of its own, a random word. That word also answers the question after a lost answer: whose write is it that stands there?
 *
 *     put ──200──> etag        412, 404 ──nothing of ours was under way──> null
 *      │ no answer, 5xx, 409: again, on the same condition: whichever copy of ours comes first makes the others fail
 *      └──412, 404 after that──> read: our word stands there ──> its etag
 *                                      another stands there ──> Unreachable: ours may have been there before it
 */
import { randomBytes } from "node:crypto";
import {
  askS3,
  keyUnder,
  listS3,
  pause,
  persistently,
  s3Place,
  s3Trouble,
  Unreachable,
  type Policy,
  type S3Answer,
} from "@hongbao/preprocess";
import type { ControlRecord, ControlStore, PutCondition } from "./store.ts";
import { checkRecord } from "./store.ts";

const POLICY: Policy = { tries: 5, timeoutMs: 2_000, pauseMs: 40 };

/** Opens the store at `s3://bucket/prefix`. Errors: Unreachable, also where credentials are missing or may not read. */
export async function openS3Store(url: string, policy = POLICY): Promise<ControlStore> {
  const place = s3Place(url);
  const { bucket } = place;
  const read = async (name: string): Promise<(ControlRecord & { word: string }) | null> => {
    const key = keyUnder(place, name);
    const answer = await persistently(bucket, { method: "GET", key }, policy);
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw s3Trouble(bucket, key, answer);
    const text = answer.body.toString();
    const end = text.indexOf("\n");
    return { word: text.slice(0, end), value: text.slice(end + 1), etag: answer.etag };
  };
  const store: ControlStore = {
    async get(name) {
      checkRecord(name);
      const found = await read(name);
      return found && { value: found.value, etag: found.etag };
    },
    async put(name, value, condition = {}) {
      checkRecord(name, value);
      return write({ bucket, key: keyUnder(place, name), value, condition, policy, read: () => read(name) });
    },
    async list(prefix) {
      const keys = await listS3(bucket, keyUnder(place, prefix), policy);
      return keys.map((key) => key.slice(keyUnder(place, "").length));
    },
  };
  await store.get("epoch");
  return store;
}

async function write(parts: {
  bucket: string;
  key: string;
  value: string;
  condition: PutCondition;
  policy: Policy;
  read: () => Promise<{ word: string; etag: string } | null>;
}): Promise<string | null> {
  const { bucket, key, value, condition, policy, read } = parts;
  const word = randomBytes(15).toString("base64url");
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    ...("ifNoneMatch" in condition ? { "if-none-match": "*" } : {}),
    ...("ifMatch" in condition ? { "if-match": condition.ifMatch } : {}),
  };
  let unsure = false;
  let failure: unknown = null;
  for (let tries = 0; tries < policy.tries; tries += 1) {
    if (tries > 0) await pause(policy, tries);
    let answer: S3Answer;
    try {
      const body = `${word}\n${value}`;
      answer = await askS3(bucket, { method: "PUT", key, headers, body, timeoutMs: policy.timeoutMs });
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      failure = error;
      unsure = true;
      continue;
    }
    if (answer.status === 200) return answer.etag;
    failure = s3Trouble(bucket, key, answer);
    if (answer.status === 412 || answer.status === 404) {
      if (answer.code === "NoSuchBucket") throw failure;
      if (!unsure) return null;
      const found = await read();
      if (found?.word === word) return found.etag;
      throw failure;
    }
    // 409: another write was just under way; nothing was written.
    if (answer.status >= 500) unsure = true;
    else if (answer.status !== 409 && answer.status !== 429) throw failure;
  }
  throw failure;
}
