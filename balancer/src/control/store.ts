/**
 * The control store: the conductor's memory. Small records under names, written only on a condition, so that any
 * number of controllers may write at any time and none needs to be the leader to be right.
 *
 * One contract for every place where it may live; `test/control/contract.ts` is the test-suite of that contract.
 *
 *  - A reader sees a whole record or none, never a half; what `put` answered is durable.
 *  - Of several writers with the same condition exactly one wins; the others get null.
 *  - An etag names one version of one record and never comes back.
 *  - A `put` that throws may have happened or not: read again. (A store behind a network cannot promise more.)
 */
export interface ControlStore {
  /** The record, or null when there is none. Errors: Unreachable. */
  get(name: string): Promise<ControlRecord | null>;
  /** The new etag, or null when the condition did not hold. Errors: Unreachable (outcome unknown). */
  put(name: string, value: string, condition?: PutCondition): Promise<string | null>;
  /** Names that start with `prefix`, in the order of their code units. Errors: Unreachable. */
  list(prefix: string): Promise<string[]>;
}

export interface ControlRecord {
  value: string;
  etag: string;
}

/** Without a condition the last writer wins: only for records that nobody decides by. */
export type PutCondition = { ifNoneMatch: true } | { ifMatch: string } | Record<string, never>;

/** A record is a few hundred bytes; more means that somebody mistook the store for a database. */
export const RECORD_BYTES_MAX = 65_536;

/** Parts of a name, between slashes; the alphabet is what a file system and S3 both take as it stands. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}(\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,7}$/;

/** Throws a TypeError: a wrong name or a huge value is a fault of the caller. */
export function checkRecord(name: string, value = ""): void {
  if (!NAME.test(name))
    throw new TypeError(`control store: found the name "${name}", expected ${NAME.source}`);
  const bytes = Buffer.byteLength(value);
  if (bytes > RECORD_BYTES_MAX) {
    throw new TypeError(`control store: ${name} has ${bytes} bytes, expected at most ${RECORD_BYTES_MAX}`);
  }
}

/** The part of a store under `prefix` (which ends with a slash), as a store of its own. */
export function storeUnder(store: ControlStore, prefix: string): ControlStore {
  return {
    get: (name) => store.get(prefix + name),
    put: (name, value, condition) => store.put(prefix + name, value, condition),
    list: async (inner) => (await store.list(prefix + inner)).map((name) => name.slice(prefix.length)),
  };
}
