/** What processes of a bucket are made of, whatever their role and whether it is the event or its shadow. */
import type { Connection, Pool } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { rebuildRoutes } from "./admin/rebuild-routes.ts";
import type { Frame } from "./frame.ts";
import type { BucketView } from "./grab/bucket-view.ts";
import { mysqlConnection, mysqlPool } from "./mysql/connect.ts";
import { ReceiptDesk } from "./receipts/desk.ts";
import { RebuildDesk } from "./rebuild/desk.ts";
import { RebuildScripts } from "./rebuild/rebuild-scripts.ts";
import { connectRedis } from "./redis/connect.ts";
import { bucketKeys } from "./redis/keys.ts";
import { BucketStore } from "./redis/scripts.ts";

export function roundIds(pack: Pack): number[] {
  return pack.manifest.rounds.map(({ id }) => id);
}

/** A bucket's two stores for as long as a process runs; nothing is connected before `begin`. */
export function openStores(
  frame: Frame,
  options: { multipleStatements?: boolean } = {},
): {
  store: BucketStore;
  pool: Pool;
  begin: () => Promise<void>;
  end: () => Promise<void>;
} {
  const { bucket, secrets, pack, id } = frame;
  const event = pack.manifest.event.id;
  const client = connectRedis(bucket, secrets.redis, { name: id });
  const pool = mysqlPool(bucket, secrets.mysql, event, options);
  return {
    store: new BucketStore(client, bucketKeys(event, bucket.id), roundIds(pack)),
    pool,
    // A first attempt that fails is followed by others, as retryStrategy says.
    begin: () => client.connect().catch(() => undefined),
    end: async () => {
      client.disconnect();
      await pool.end().catch(() => undefined);
    },
  };
}

/** What any process of a bucket does for operators after a loss. */
export function operatorDesks(frame: Frame, store: BucketStore, pool: Pool, view: BucketView): OperatorDesks {
  const { bucket, secrets, pack, logger } = frame;
  const scripts = new RebuildScripts(store, roundIds(pack));
  const connect = (): Promise<Connection> => mysqlConnection(bucket, secrets.mysql, pack.manifest.event.id);
  const desk = new RebuildDesk({ pack, pool, scripts }, connect, (step) => logger.warn({ step }, "rebuild"));
  const receipts = new ReceiptDesk({ pool, scripts, pack, bucket: bucket.id, secrets: secrets.receipt });
  receipts.start((wins) => logger.warn({ wins }, "finished restorations that had been broken off"));
  const routes = rebuildRoutes({
    desk,
    receipts,
    rounds: roundIds(pack),
    bucket: bucket.id,
    seq: () => view.seq,
  });
  return { scripts, receipts, routes };
}

export interface OperatorDesks {
  scripts: RebuildScripts;
  receipts: ReceiptDesk;
  routes: ReturnType<typeof rebuildRoutes>;
}
