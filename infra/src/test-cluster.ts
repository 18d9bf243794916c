/** A whole cluster for a test, in a directory of its own, gone with the test. */
import { join, resolve } from "node:path";
import { readClusterFile, readTopology, type ClusterFile, type Topology } from "@hongbao/preprocess";
import { hongbaoWords, tryHongbao, type Outcome } from "./cluster/hongbao.ts";
import { logTail, spawnChild } from "./processes/child.ts";
import { waitUntil } from "./processes/wait.ts";
import { temporaryState, type Teardown } from "./temporary.ts";

export interface TestClusterOptions {
  buckets?: number;
  services?: number;
  /** Path of an event file; without it the sample of 5,000 users. */
  event?: string;
  /** Seconds from ready to the first opening. */
  opensIn?: number;
  /** With Prometheus and what belongs to it; the path of a file that says who is told of alerts. */
  monitoring?: { alerts: string };
}

export interface TestCluster {
  state: string;
  topology: Topology;
  url: string;
  /** cluster.json as it is now: pids change when a process is started again. */
  now(): ClusterFile;
  /** Runs `hongbao ARGS` for this cluster; never throws for an exit code. */
  hongbao(args: string[]): Promise<Outcome>;
  /** For tests of the stop itself; a test's end does it too. */
  down(): Promise<Outcome>;
}

const READY_MS_MAX = 90_000;
const GRACE_MS_MAX = 60_000;

/**
 * Runs `up` as a child that dies with the test, also when the test is killed; throws with its output when it fails.
 */
export async function startTestCluster(t: Teardown, options: TestClusterOptions = {}): Promise<TestCluster> {
  const state = temporaryState(t);
  const at = ["--state", state];
  const down = () => tryHongbao(["down", ...at]);
  // Handlers run last in, first out: the cluster is gone before its directory is looked at.
  t.teardown(async () => void (await down()));
  const { buckets, services, event, opensIn, monitoring } = options;
  const values = {
    buckets,
    services,
    "opens-in": opensIn,
    event: event === undefined ? undefined : resolve(event),
    alerts: monitoring?.alerts,
  };
  const words = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
  const up = await spawnChild({
    name: "up",
    ...hongbaoWords(["up", ...at, ...(monitoring ? ["--monitoring"] : []), ...words]),
    logPath: join(state, "up.log"),
    graceMsMax: GRACE_MS_MAX,
  });
  const isReady = async () => readClusterFile(state)?.state === "ready";
  await waitUntil(isReady, { what: "hongbao up", timeoutMsMax: READY_MS_MAX, child: up }).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${logTail(up.logPath, 20)}`);
    },
  );
  const now = () => {
    const file = readClusterFile(state);
    if (file === null) throw new Error(`no cluster is running in ${state}`);
    return file;
  };
  const { topology, url } = now();
  const hongbao = (args: string[]) => tryHongbao([...args, "--topology", topology]);
  return { state, topology: readTopology(topology), url, now, hongbao, down };
}
