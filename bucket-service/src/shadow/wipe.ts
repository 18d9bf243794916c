/** What a rehearsal leaves in a bucket's stores, and its end. Only what bears the shadow's name is touched. */
import type { RowDataPacket } from "mysql2/promise";
import { SHADOW_EVENT, type BucketPlace, type Secrets } from "@hongbao/preprocess";
import { databaseName, mysqlConnection } from "../mysql/connect.ts";
import { bucketKeys } from "../redis/keys.ts";
import { openStore } from "../stores.ts";

export interface ShadowRemains {
  bucket: string;
  /** Whether the shadow's database is there, and how many of its Redis keys. */
  database: boolean;
  keys: number;
}

const ROUNDS_MAX = 99;

/** Every key that a bucket's Redis may hold for the shadow; all under one tag, so one call takes them. */
function keyNames(bucket: string): string[] {
  const keys = bucketKeys(SHADOW_EVENT, bucket);
  const rounds = Array.from({ length: ROUNDS_MAX }, (_, index) => index + 1);
  return [
    ...[keys.meta, keys.journal, keys.moves, keys.restores],
    ...rounds.flatMap((id) => [keys.round(id), keys.left(id), keys.ranges(id), keys.claims(id)]),
  ];
}

/** What is there; with `wipe` it is gone afterwards, and the answer says what was. Errors: Unreachable. */
export async function shadowRemains(
  bucket: BucketPlace,
  secrets: Pick<Secrets, "redis" | "mysql">,
  { wipe = false } = {},
): Promise<ShadowRemains> {
  const store = await openStore({ bucket, secrets, name: "shadow" }, SHADOW_EVENT, []);
  const mysql = await mysqlConnection(bucket, secrets.mysql).catch((error: unknown) => {
    store.client.disconnect();
    throw error;
  });
  try {
    const database = databaseName(SHADOW_EVENT);
    const [found] = await mysql.query<RowDataPacket[]>(
      "SELECT COUNT(*) AS n FROM information_schema.schemata WHERE schema_name = ?",
      [database],
    );
    const names = keyNames(bucket.id);
    const keys = wipe ? await store.client.unlink(...names) : await store.client.exists(...names);
    if (wipe) await mysql.query(`DROP DATABASE IF EXISTS \`${database}\``);
    return { bucket: bucket.id, database: Number(found[0]!["n"]) > 0, keys };
  } finally {
    store.client.disconnect();
    await mysql.end().catch(() => undefined);
  }
}
