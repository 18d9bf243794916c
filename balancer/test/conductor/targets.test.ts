/** Prometheus asks every task, also where there are more than DNS would name: twelve of a bucket, and three HAProxys. */
import { createServer, type Server } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { adminServer } from "@hongbao/bucket-service";
import { freePort, spawnChild, temporaryState, waitUntil } from "@hongbao/infra";
import { createRegistry, prometheusConfig, type Target } from "@hongbao/monitoring";
import { readTopology } from "@hongbao/preprocess";
import t from "tap";
import { startFakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { FoundServices } from "../../src/conductor/found-services.ts";
import { targetsPage } from "../../src/conductor/targets-page.ts";
import { listenOn } from "../../src/listen.ts";
import { layOutCluster } from "../cluster.ts";

const hosts = (count: number, from: number): string[] =>
  Array.from({ length: count }, (_, index) => `127.0.7.${from + index}`);

t.test(
  "a controller tells Prometheus of every task that was found, and of those that came and went",
  async (t) => {
    const fake = await startFakeAws(t);
    const [port, address] = [await freePort(), `127.0.0.1:${await freePort()}`];
    const topology = readTopology((await layOutCluster(t)).topology);
    const bucket = topology.buckets[0]!;
    bucket.services = { discover: "grab-b0.spring.internal", http: 1, spop: 2, admin: port };
    topology.balancer = {
      ...topology.balancer,
      admin: `balancer:${port}`,
      discover: "balancer.spring.internal",
    };
    const [services, balancers] = [hosts(12, 1), hosts(3, 101)];
    const tell = (name: string, found: string[]): unknown =>
      fake.instances.set(
        name,
        found.map((host) => ({ id: `task-${host}`, host })),
      );
    tell("grab-b0.spring.internal", services.slice(4));
    tell("balancer.spring.internal", balancers);

    const servers: Server[] = [];
    t.teardown(() => servers.forEach((server) => (server.closeAllConnections(), server.close())));
    for (const host of [...services, ...balancers]) {
      const server = createServer((_request, response) => response.end("some_metric 1\n"));
      await listenOn(server, `${host}:${port}`);
      servers.push(server);
    }
    const found = new FoundServices(topology.buckets, topology.balancer);
    await found.start(
      () => undefined,
      (error) => t.fail(String(error)),
    );
    t.teardown(() => found.stop());
    const admin = adminServer({
      operatorSecret: "0123456789abcdef",
      registry: createRegistry({ labels: { role: "controller", id: "c0" } }),
      ready: () => ({ ready: true, why: "" }),
      pages: targetsPage(topology, found),
    });
    await listenOn(admin, address);
    servers.push(admin);

    const told = async (): Promise<Target[]> =>
      (await (await fetch(`http://${address}/targets`)).json()) as Target[];
    const count = async (role: string, id = "b0"): Promise<number> =>
      (await told()).filter(({ labels }) => labels?.["role"] === role && (labels["bucket"] ?? id) === id)
        .length;
    t.equal(await count("grab"), 8);
    tell("grab-b0.spring.internal", services);
    await waitUntil(async () => (await count("grab")) === 12, { what: "twelve", timeoutMsMax: 30_000 });
    t.same((await told())[0], {
      targets: balancers.map((host) => `${host}:${port}`),
      labels: { role: "balancer" },
    });
    t.equal(await count("controller"), topology.controllers.length);

    const dir = temporaryState(t);
    const config = prometheusConfig({
      // The other controller is away.
      topology: { targetUrls: [`http://${address}/targets`, `http://127.0.0.1:${await freePort()}/targets`] },
      exporters: { node: [], redis: null, mysql: {} },
      alertmanagers: [],
      rules: [],
    }).replace("refresh_interval: 5s", "refresh_interval: 1s");
    writeFileSync(join(dir, "prometheus.yml"), config);
    const listen = `127.0.0.1:${await freePort()}`;
    const prometheus = await spawnChild({
      name: "prometheus",
      command: "prometheus",
      args: [
        `--config.file=${join(dir, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(dir, "data")}`,
        `--web.listen-address=${listen}`,
      ],
      logPath: join(dir, "prometheus.log"),
    });
    t.teardown(() => prometheus.stop());
    const up = async (role: string): Promise<string> => {
      const url = `http://${listen}/api/v1/query?query=${encodeURIComponent(`sum(up{job="hongbao",role="${role}"})`)}`;
      const { data } = (await (await fetch(url)).json()) as {
        data: { result: { value: [number, string] }[] };
      };
      return data.result[0]?.value[1] ?? "none";
    };
    const scraped = (role: string, wanted: number): Promise<void> =>
      waitUntil(async () => (await up(role)) === String(wanted), {
        what: `${wanted} of ${role}`,
        timeoutMsMax: 60_000,
        child: prometheus,
      });
    await scraped("grab", 12);
    await scraped("balancer", 3);
    tell("grab-b0.spring.internal", services.slice(4));
    await waitUntil(async () => (await count("grab")) === 8, { what: "eight", timeoutMsMax: 30_000 });
  },
);
