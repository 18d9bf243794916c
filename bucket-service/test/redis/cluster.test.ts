/** Redis as ElastiCache runs it: cluster mode (one shard), TLS, a password. */
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort, startRedis, temporaryState } from "@hongbao/infra";
import type { BucketPlace } from "@hongbao/preprocess";
import t from "tap";
import { connectRedis } from "../../src/redis/connect.ts";
import { makeAuthority } from "../certificates.ts";
import { ask, testStore } from "./harness.ts";

t.test("a grab through the cluster client, with TLS and a password", async (t) => {
  const dir = temporaryState(t);
  const password = "0123456789abcdef";
  const authority = makeAuthority(dir);
  const [own, others] = [authority.sign("localhost"), authority.sign("somewhere-else.example")];
  const tlsPort = await freePort();
  const server = await startRedis({
    dir: join(dir, "redis"),
    password,
    appendfsync: "no",
    extra: [
      // Without an address of its own a node would send the client somewhere else.
      ...["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"],
      ...["--cluster-port", String(await freePort()), "--tls-cluster", "yes"],
      ...["--tls-port", String(tlsPort), "--tls-cert-file", own.certificate, "--tls-key-file", own.key],
      ...["--tls-ca-cert-file", authority.file, "--tls-auth-clients", "no"],
    ],
  });
  t.teardown(() => server.stop());
  const admin = new Redis({ port: server.port, password });
  t.teardown(() => admin.disconnect());
  await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  while (!(await admin.cluster("INFO")).includes("cluster_state:ok"))
    await new Promise((resolve) => setTimeout(resolve, 20));

  const place = (cluster = true): BucketPlace =>
    ({ id: "b0", redis: { url: `redis://localhost:${tlsPort}`, tls: true, cluster } }) as BucketPlace;
  /** Every error there was; of a cluster's nodes the client knows only that they closed the connection. */
  const refusal = async (cluster: boolean, secret = password): Promise<string> => {
    const client = connectRedis(place(cluster), secret, { name: "test" });
    const errors: unknown[] = [];
    client.on("error", (error: Error) => errors.push(error));
    try {
      await client.connect();
      await client.get("{b0}x");
      return "connected";
    } catch (error) {
      const inside = [error, ...errors].map((each) => (each as { lastNodeError?: Error }).lastNodeError);
      return [error, ...errors, ...inside].map(String).join("\n");
    } finally {
      client.disconnect();
    }
  };
  t.match(await refusal(true), /closed/, "an authority that nobody knows is refused");
  t.match(await refusal(false), /certificate/, "and this is why");
  authority.trust();
  t.match(await refusal(true, "another-password-000"), /WRONGPASS|closed/, "the password counts");

  const store = await testStore(t, { place: place(), password }, { ranges: [{ lo: 1001, count: 2 }] });
  t.same((await ask(store, ["u1", "u2"])).answers, [1002, 1001]);
  t.same((await ask(store, ["u1", "u3"])).answers, [1002, -5]);
  t.match(await store.client.info("server"), "redis_mode:cluster");

  await admin.config("SET", "tls-cert-file", others.certificate, "tls-key-file", others.key);
  t.match(await refusal(true), /closed/, "another server's certificate is refused");
  t.match(await refusal(false), /altnames|Hostname/, "and this is why");
});
