/** A grab by way of the cluster client over TLS, in a process that trusts the test's own authority; see cluster.test.ts. */
import type { BucketPlace } from "@hongbao/preprocess";
import { ask, testStore } from "./harness.ts";

const [url = "", password = ""] = process.argv.slice(2);
const place = { id: "b0", redis: { url, tls: true, cluster: true } } as BucketPlace;
const endings: (() => void | Promise<void>)[] = [];
const store = await testStore(
  { teardown: (end) => endings.push(end) },
  { place, password },
  { ranges: [{ lo: 1001, count: 2 }] },
);
const answers = [(await ask(store, ["u1", "u2"])).answers, (await ask(store, ["u1", "u3"])).answers];
process.send?.({ answers, mode: await store.client.info("server") });
for (const end of endings) await end();
process.disconnect();
