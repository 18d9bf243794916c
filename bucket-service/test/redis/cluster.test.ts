/** Redis as ElastiCache runs it: cluster mode (one shard), TLS, a password. */
import { execFileSync, fork } from "node:child_process";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort, startRedis, temporaryState } from "@hongbao/infra";
import t from "tap";

t.test("a grab through the cluster client, with TLS and a password", async (t) => {
  const dir = temporaryState(t);
  const password = "0123456789abcdef";
  const [key, certificate] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
      ],
      ...[
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        key,
        "-out",
        certificate,
      ],
    ],
    { stdio: "ignore" },
  );
  const tlsPort = await freePort();
  const server = await startRedis({
    dir: join(dir, "redis"),
    password,
    appendfsync: "no",
    extra: [
      // Without an address of its own a node would send the client somewhere else.
      ...[
        "--cluster-enabled",
        "yes",
        "--cluster-announce-ip",
        "127.0.0.1",
        "--cluster-port",
        String(await freePort()),
      ],
      ...["--tls-port", String(tlsPort), "--tls-cert-file", certificate, "--tls-key-file", key],
      ...["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no", "--tls-cluster", "yes"],
    ],
  });
  t.teardown(() => server.stop());
  const admin = new Redis({ port: server.port, password });
  await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  while (!(await admin.cluster("INFO")).includes("cluster_state:ok"))
    await new Promise((resolve) => setTimeout(resolve, 20));
  admin.disconnect();

  const child = fork(
    join(import.meta.dirname, "cluster-client.ts"),
    [`redis://localhost:${tlsPort}`, password],
    {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
      execArgv: ["--disable-warning=ExperimentalWarning"],
    },
  );
  const told = new Promise<{ answers: unknown[]; mode: string }>((resolve, reject) => {
    child.once("message", (message) => resolve(message as { answers: unknown[]; mode: string }));
    child.once("exit", () => reject(new Error("the client ended without a word")));
  });
  const { answers, mode } = await told;
  t.match(mode, "redis_mode:cluster");
  t.same(answers, [
    [1002, 1001],
    [1002, -5],
  ]);
});
