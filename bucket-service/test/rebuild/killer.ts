/** Rebuilds bucket b0 of a topology and kills itself at a step; for rebuild-crash.test.ts. Arguments: topology, step or "". */
import { openPack, readSecrets, readTopology } from "@hongbao/preprocess";
import { mysqlConnection, mysqlPool } from "../../src/mysql/connect.ts";
import { RebuildScripts } from "../../src/rebuild/rebuild-scripts.ts";
import { rebuildBucket } from "../../src/rebuild/rebuild.ts";
import { openStore } from "../../src/stores.ts";

const [, , topologyPath = "", fatal = ""] = process.argv;
const topology = readTopology(topologyPath);
const secrets = readSecrets(topology);
const pack = openPack(topology.pack);
const bucket = topology.buckets[0]!;
const event = pack.manifest.event.id;
const rounds = pack.manifest.rounds.map(({ id }) => id);
const store = await openStore({ bucket, secrets, name: "killer" }, event, rounds);
const pool = mysqlPool(bucket, secrets.mysql, event);
const mysql = await mysqlConnection(bucket, secrets.mysql, event);
let filled = 0;
const report = await rebuildBucket({
  pack,
  pool,
  mysql,
  scripts: new RebuildScripts(store, rounds),
  maybeOpened: [],
  onStep: ({ step }) => {
    if (step === "filling") filled += 1;
    if (step === fatal || `${step}-${filled}` === fatal) process.kill(process.pid, "SIGKILL");
  },
});
process.stdout.write(JSON.stringify(report));
store.client.disconnect();
await pool.end();
await mysql.end();
