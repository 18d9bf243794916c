/** A payout puller in a process of its own, so that it can be killed: prints "ready", then runs until its end. */
import { mysqlPool } from "../../src/mysql/connect.ts";
import { httpTarget } from "../../src/payout/http-target.ts";
import { Payout } from "../../src/payout/payout.ts";
import { builtInLedger } from "../../src/payout/target.ts";
import { observer, packOf, PASSWORD, type PackSpec } from "./books.ts";
import type { BucketPlace } from "@hongbao/preprocess";

const { mysql, spec, wallet } = JSON.parse(process.argv[2]!) as {
  mysql: string;
  spec: PackSpec;
  wallet?: { url: string; secret: string; timeoutMs: number };
};
const pack = packOf(spec);
const place = { id: "b0", mysql: { url: mysql, tls: false } } as BucketPlace;
const envelope = wallet === undefined ? builtInLedger : httpTarget({ name: "wallet", ...wallet });
const payout = new Payout({
  pool: mysqlPool(place, PASSWORD, spec.event),
  pack,
  bucket: "b0",
  targets: { envelope, item: builtInLedger },
  runs: () => true,
  observer: observer().observer,
  ...(wallet === undefined
    ? {}
    : { policy: { timeoutMs: wallet.timeoutMs, retryDelayMs: () => 50, inFlightMax: 64 } }),
});
process.stdout.write("ready\n");
await payout.run();
