/** Everything that the checks look at, asked once and side by side: what does not answer is part of the scene. */
import { dirname } from "node:path";
import {
  mysqlFacts,
  redisFacts,
  verifyPack,
  type AdminState,
  type MysqlFacts,
  type RedisFacts,
  type VerifyReport,
} from "@hongbao/bucket-service";
import {
  findTopology,
  openPack,
  readClusterFile,
  readSchedule,
  readSecrets,
  readTopology,
  stateDir,
  Unreachable,
  type BucketPlace,
  type ClusterFile,
  type Pack,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { readControllerState, type ControllerState } from "../controllers.ts";
import { gauges, type Gauge } from "./gauges.ts";

export interface PreflightOptions {
  topology?: string;
  state?: string;
  /** Alertmanager's address; default: that of the local cluster. */
  alertmanager?: string;
  /** False: nobody is woken by a test alert. */
  alertTest: boolean;
  /** Connections that come at once, in place of one for each user. */
  connections?: string;
  json?: boolean;
}

export type ProcessKind = "service" | "persist" | "payout" | "controller" | "balancer";

/** One process as its admin port shows it. */
export interface SeenProcess {
  kind: ProcessKind;
  /** Null for those of no bucket. */
  bucket: string | null;
  id: string;
  /** "service b0/s1", "controller c0" */
  name: string;
  admin: string;
  /** `GET /admin/state`; null: it did not answer. */
  state: Record<string, unknown> | null;
  why: string;
  /** How far its machine's clock is ahead of ours, to about a second; null: not known. */
  clockAheadMs: number | null;
  gauges: readonly Gauge[];
}

export interface SeenBucket {
  place: BucketPlace;
  redis: RedisFacts | Error;
  mysql: MysqlFacts | Error;
  /** What its processes say; those that answer. */
  states: AdminState[];
}

export interface Scene {
  options: PreflightOptions;
  topology: Topology;
  secrets: Secrets;
  pack: Pack;
  schedule: ReturnType<typeof readSchedule>;
  /** The local cluster that this topology belongs to. */
  cluster: ClusterFile | null;
  processes: SeenProcess[];
  controllers: ControllerState[];
  buckets: SeenBucket[];
  /** Pack, MySQL and Redis against each other; an error where a store is away. */
  verified: VerifyReport | Error;
  /** Null: none is known. */
  alertmanager: string | null;
  /** Of a place in AWS: what stands in S3, or is found by its registry. */
  onAws: boolean;
}

const ASK_MS_MAX = 3_000;

/** Throws Unreachable without a topology, a secret or a pack, and when nothing at all of the cluster answers; BadInput. */
export async function lookAround(options: PreflightOptions): Promise<Scene> {
  const topology = readTopology(findTopology(options.topology, options.state));
  const secrets = readSecrets(topology);
  const pack = openPack(topology.pack, { verify: true });
  const cluster = ourCluster(options, topology.path);
  const [processes, buckets, verified] = await Promise.all([
    Promise.all(placesOf(topology).map((place) => seeProcess(place, secrets.operator))),
    Promise.all(topology.buckets.map((place) => seeStores(place, secrets, pack.manifest.event.id))),
    verifyPack(pack, topology, secrets).catch(asError),
  ]);
  const isSilent =
    processes.every(({ state }) => state === null) &&
    buckets.every(({ redis, mysql }) => redis instanceof Error && mysql instanceof Error);
  if (isSilent)
    throw new Unreachable(`nothing of ${topology.path} answers: ${processes[0]?.why ?? "no process"}`);
  return {
    options,
    topology,
    secrets,
    pack,
    schedule: readSchedule(topology.pack),
    cluster,
    processes,
    controllers: processes.flatMap(({ kind, state }) =>
      kind === "controller" ? (readControllerState(state) ?? []) : [],
    ),
    buckets: buckets.map((bucket) => ({
      ...bucket,
      states: processes.flatMap(({ kind, bucket: id, state }) =>
        id === bucket.place.id && kind !== "payout" && state !== null ? [state as unknown as AdminState] : [],
      ),
    })),
    verified,
    alertmanager: options.alertmanager ?? cluster?.monitoring?.alertmanager ?? null,
    onAws: isOnAws(topology),
  };
}

function ourCluster({ state }: PreflightOptions, path: string): ClusterFile | null {
  for (const dir of [stateDir(state), dirname(path)]) {
    const file = readClusterFile(dir);
    if (file?.topology === path) return file;
  }
  return null;
}

const isOnAws = ({ packFrom, control, archive, buckets }: Topology): boolean =>
  packFrom !== undefined ||
  archive !== undefined ||
  control.startsWith("s3://") ||
  buckets.some(({ services }) => !Array.isArray(services));

type Place = Pick<SeenProcess, "kind" | "bucket" | "id" | "name" | "admin">;

/** Services that only a registry knows are named in the topology by then, unless none was found. */
function placesOf({ buckets, controllers, balancer }: Topology): Place[] {
  return [
    ...buckets.flatMap(({ id: bucket, services, persist, payout }) => {
      const of = (kind: ProcessKind, list: { id: string; admin: string }[]): Place[] =>
        list.map(({ id, admin }) => ({ kind, bucket, id, name: `${kind} ${bucket}/${id}`, admin }));
      return [
        ...of("service", Array.isArray(services) ? services : []),
        ...of("persist", persist),
        ...of("payout", payout),
      ];
    }),
    ...controllers.map(({ id, admin }): Place => ({
      kind: "controller",
      bucket: null,
      id,
      name: `controller ${id}`,
      admin,
    })),
    { kind: "balancer", bucket: null, id: "", name: "the balancer", admin: balancer.admin },
  ];
}

async function seeProcess(place: Place, operatorSecret: string): Promise<SeenProcess> {
  const unseen = { ...place, state: null, clockAheadMs: null, gauges: [] };
  try {
    const ask = (path: string): Promise<Response> =>
      fetch(`http://${place.admin}${path}`, {
        headers: { authorization: `Bearer ${operatorSecret}` },
        signal: AbortSignal.timeout(ASK_MS_MAX),
      });
    const response = await ask("/admin/state");
    const nowMs = Date.now();
    const state = (await response.json()) as Record<string, unknown>;
    const dateMs = Date.parse(response.headers.get("date") ?? "");
    if (!response.ok)
      return { ...unseen, why: `answered ${response.status} ${JSON.stringify(state["error"] ?? "")}` };
    const metrics = await ask("/metrics").then((answer) => answer.text());
    return {
      ...place,
      state,
      why: "",
      // The header says whole seconds.
      clockAheadMs: Number.isNaN(dateMs) ? null : dateMs + 500 - nowMs,
      gauges: gauges(metrics),
    };
  } catch (error) {
    return { ...unseen, why: reasonOf(error) };
  }
}

async function seeStores(
  place: BucketPlace,
  secrets: Secrets,
  event: string,
): Promise<Pick<SeenBucket, "place" | "redis" | "mysql">> {
  const [redis, mysql] = await Promise.all([
    redisFacts(place, secrets).catch(asError),
    mysqlFacts(place, secrets, event).catch(asError),
  ]);
  return { place, redis, mysql };
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** Why a call failed, in a few words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? error.message;
}
