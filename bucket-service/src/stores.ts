import type { Connection } from "mysql2/promise";
import { Unreachable, type BucketPlace, type Pack, type Secrets } from "@hongbao/preprocess";
import { loadRecord } from "./mysql/bucket-record.ts";
import { databaseName, mysqlConnection, mysqlErrorCode } from "./mysql/connect.ts";
import { connectRedis } from "./redis/connect.ts";
import { bucketKeys } from "./redis/keys.ts";
import { BucketStore } from "./redis/scripts.ts";

/** Both stores of one bucket, for a command that works on them and ends. */
export interface OpenBucket {
  mysql: Connection;
  store: BucketStore;
  /** What MySQL says of the load; empty strings when nothing was loaded. */
  record: { epoch: string; pack: string; claims: number };
}

/** Opens a bucket's stores for as long as `work` runs. Errors: Unreachable, naming bucket, store and address. */
export async function withBucket<T>(
  parts: { pack: Pack; bucket: BucketPlace; secrets: Pick<Secrets, "redis" | "mysql">; name: string },
  work: (open: OpenBucket) => Promise<T>,
): Promise<T> {
  const { pack, bucket, secrets } = parts;
  const { event, rounds } = pack.manifest;
  const mysql = await mysqlConnection(bucket, secrets.mysql);
  try {
    const record = await useDatabase(mysql, event.id);
    const store = await openStore(
      parts,
      event.id,
      rounds.map((round) => round.id),
    );
    try {
      return await work({ mysql, store, record });
    } finally {
      store.client.disconnect();
    }
  } finally {
    await mysql.end().catch(() => undefined);
  }
}

async function useDatabase(mysql: Connection, event: string): Promise<OpenBucket["record"]> {
  try {
    await mysql.query(`USE \`${databaseName(event)}\``);
    return await loadRecord(mysql);
  } catch (error) {
    const code = mysqlErrorCode(error);
    if (code === "ER_BAD_DB_ERROR" || code === "ER_NO_SUCH_TABLE") return { epoch: "", pack: "", claims: 0 };
    throw error;
  }
}

/** A connected store. Errors: Unreachable. */
export async function openStore(
  { bucket, secrets, name }: { bucket: BucketPlace; secrets: Pick<Secrets, "redis">; name: string },
  event: string,
  rounds: number[],
): Promise<BucketStore> {
  const client = connectRedis(bucket, secrets.redis, { name });
  try {
    await client.connect();
  } catch (error) {
    client.disconnect();
    const why = (error as { code?: string }).code ?? (error as Error).message;
    throw new Unreachable(`Redis of bucket ${bucket.id} at ${new URL(bucket.redis.url).host}: ${why}`);
  }
  return new BucketStore(client, bucketKeys(event, bucket.id), rounds);
}
