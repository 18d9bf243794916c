/** The shadow in a persist process: its journal goes into its own database. */
import { bucketRoutes } from "../admin/routes.ts";
import type { Frame } from "../frame.ts";
import { BucketView } from "../grab/bucket-view.ts";
import { bucketFence } from "../grab/fence.ts";
import { mysqlProbe } from "../mysql/connect.ts";
import { openStores, operatorDesks } from "../parts.ts";
import { Persist } from "../persist/persist.ts";
import { connectRedis } from "../redis/connect.ts";
import type { ShadowPart } from "./host.ts";

/** Errors: BadInput. */
export async function startShadowPersist(frame: Frame, id: string): Promise<ShadowPart> {
  const { bucket, secrets, pack, logger } = frame;
  const { store, pool, begin, end } = openStores(frame, { multipleStatements: true });
  const reader = connectRedis(bucket, secrets.redis, { name: `${id}-shadow`, blocking: true });
  const view = new BucketView(
    store,
    bucketFence({ pool, store, packDigest: pack.digest, rounds: pack.manifest.rounds.length }),
  );
  const probe = mysqlProbe(pool, () => undefined);
  const operators = operatorDesks(frame, store, pool, view);
  const persist = new Persist({
    reader,
    store,
    pool,
    pack,
    consumer: id,
    ack: () => pack.manifest.event.ack,
    scripts: operators.scripts,
    // A rehearsal's figures must not stand among the event's: its audit tells what became of them.
    observer: {
      persisted: () => undefined,
      conflict: (claim) => logger.error({ claim }, "rehearsal: a journal entry contradicts a claim in MySQL"),
      failed: (what, error) => logger.warn({ err: error }, `rehearsal: ${what} failed; it is tried again`),
    },
  });
  await begin();
  await reader.connect().catch(() => undefined);
  await view.refresh();
  void view.run();
  const running = persist.run();
  return {
    listener: null,
    desk: null,
    routes: bucketRoutes({ frame, roles: ["persist"], store, pool, view, mysqlUp: probe.up }),
    async stop() {
      persist.stop();
      // It may wait in a blocking read, and that ends with its connection.
      reader.disconnect();
      await running;
      operators.receipts.stop();
      view.stop();
      probe.stop();
      await end();
    },
  };
}
