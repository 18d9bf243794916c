/** `hongbao status`: one look at every process and store of a topology. */
import { dirname } from "node:path";
import { adminClient, switchesClient, type AdminState } from "@hongbao/bucket-service";
import {
  findTopology,
  print,
  printJson,
  readClusterFile,
  readSecrets,
  readTopology,
  stateDir,
  table,
  type BucketPlace,
  type ClusterFile,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { readControllerState, type ControllerTransfer } from "./controllers.ts";
import { movingTo, transferLine } from "./move-words.ts";
import { inOrder, settingLine, type ShownSetting } from "./switch-words.ts";

export interface StatusOptions {
  topology?: string;
  state?: string;
  json?: boolean;
}

const ASK_MS_MAX = 1_500;

export interface ProcessStatus {
  id: string;
  pid?: number;
  state: "ok" | "down";
}

export interface BucketStatus {
  id: string;
  state: "ok" | "degraded" | "down";
  services: (ProcessStatus & { admin: string })[];
  persist: ProcessStatus[];
  payout: ProcessStatus[];
  redis: { state: "ok" | "down"; url?: string; pid?: number };
  mysql: { state: "ok" | "down"; url?: string; pid?: number };
  lagRows: number | null;
}

export interface StatusReport {
  state: "starting" | "ready" | "degraded" | "stopping";
  topology: string;
  balancer: { url: string; pid: number | null; state: "ok" | "down" };
  controllers: { id: string; pid?: number; state: "ok" | "down"; leading: boolean }[];
  buckets: BucketStatus[];
  rounds: {
    id: number;
    state: "scheduled" | "open" | "closed";
    left: number;
    issued: number;
    moving: number;
  }[];
  /** Prizes on their way to another bucket or round; null when no controller tells. */
  transfers: ControllerTransfer[] | null;
  /** What is set; null when no controller and no service tells. */
  switches: ShownSetting[] | null;
}

/** Asks everything at once; what does not answer is down, never an error. Throws Unreachable without a topology. */
export async function readStatus(options: StatusOptions): Promise<StatusReport> {
  const path = findTopology(options.topology, options.state);
  const topology = readTopology(path);
  const secrets = readSecrets(topology, ["operator", "redis", "mysql"]);
  const cluster = ourCluster(options, path);
  const [balancer, controllers, buckets] = await Promise.all([
    askJson(topology.balancer.admin, "/admin/state", secrets.operator),
    Promise.all(topology.controllers.map(({ admin }) => askJson(admin, "/admin/state", secrets.operator))),
    Promise.all(topology.buckets.map((bucket) => bucketStatus(bucket, secrets, cluster))),
  ]);
  const told = controllers.map(readControllerState).find((state) => state !== null);
  const transfers = told?.transfers.filter(({ state }) => state !== "done") ?? null;
  const states = buckets.map(({ news }) => news).filter((news) => news !== null);
  const report: StatusReport = {
    state: "ready",
    topology: path,
    balancer: {
      url: topology.balancer.url,
      pid: typeof balancer?.["pid"] === "number" ? balancer["pid"] : null,
      state: balancer === null ? "down" : "ok",
    },
    controllers: topology.controllers.map(({ id }, index) => ({
      id,
      ...pidOf(cluster?.processes.controllers[id]),
      state: controllers[index] === null ? "down" : "ok",
      leading: controllers[index]?.["leading"] === true,
    })),
    buckets: buckets.map(({ status }) => status),
    rounds: roundsOf(states, transfers ?? []),
    transfers,
    switches: told === undefined ? await askServices(topology, secrets.operator) : inOrder(told.switches),
  };
  report.state = overall(report, cluster);
  return report;
}

/** Without a controller: what the services obey. */
async function askServices({ buckets }: Topology, operatorSecret: string): Promise<ShownSetting[] | null> {
  const services = buckets.flatMap(({ services }) => (Array.isArray(services) ? services : []));
  const ask = ({ admin }: { admin: string }) =>
    switchesClient({ admin, operatorSecret, timeoutMs: ASK_MS_MAX })
      .get()
      .catch(() => null);
  const sets = (await Promise.all(services.map(ask))).filter((set) => set !== null);
  if (sets.length === 0) return null;
  const { settings } = sets.reduce((best, set) => (set.v > best.v ? set : best));
  return inOrder(settings.filter(({ untilMs }) => untilMs > Date.now()));
}

/** The running local cluster, when it is the one that this topology belongs to. */
function ourCluster(options: StatusOptions, path: string): ClusterFile | null {
  for (const dir of [stateDir(options.state), dirname(path)]) {
    const file = readClusterFile(dir);
    if (file !== null && file.topology === path) return file;
  }
  return null;
}

function overall(report: StatusReport, cluster: ClusterFile | null): StatusReport["state"] {
  if (cluster !== null && cluster.state !== "ready") return cluster.state;
  const allWell =
    report.balancer.state === "ok" &&
    report.controllers.every(({ state }) => state === "ok") &&
    report.buckets.every(({ state }) => state === "ok");
  return allWell ? "ready" : "degraded";
}

async function bucketStatus(
  bucket: BucketPlace,
  secrets: Pick<Secrets, "operator" | "redis" | "mysql">,
  cluster: ClusterFile | null,
): Promise<{ status: BucketStatus; news: AdminState | null }> {
  const services = Array.isArray(bucket.services) ? bucket.services : [];
  const ask = ({ admin }: { admin: string }): Promise<AdminState | null> =>
    adminClient({ admin, operatorSecret: secrets.operator, timeoutMs: ASK_MS_MAX })
      .state()
      .catch(() => null);
  const [answers, persistAnswers, payoutAnswers] = await Promise.all([
    Promise.all(services.map(ask)),
    Promise.all(bucket.persist.map(ask)),
    Promise.all(bucket.payout.map(ask)),
  ]);
  const news = [...answers, ...persistAnswers].filter((answer) => answer !== null);
  const best = news.find(({ redis }) => redis === "ok") ?? news[0] ?? null;
  const process = (
    kind: "services" | "persist" | "payout",
    id: string,
    answer: AdminState | null | undefined,
  ): ProcessStatus => ({
    id,
    ...pidOf(cluster?.processes[kind][`${bucket.id}/${id}`]),
    state: answer ? "ok" : "down",
  });
  const redis = best?.redis ?? "down";
  const mysql = best?.mysql ?? "down";
  const up = answers.filter((answer) => answer !== null).length;
  const others = [...persistAnswers, ...payoutAnswers];
  const complete = up === services.length && others.every((answer) => answer !== null);
  const usable = up > 0 && redis === "ok" && best?.fenced === null;
  return {
    news: best,
    status: {
      id: bucket.id,
      state: !usable ? "down" : complete && mysql === "ok" ? "ok" : "degraded",
      services: services.map(({ id, admin }, index) => ({
        ...process("services", id, answers[index]),
        admin,
      })),
      persist: bucket.persist.map(({ id }, index) => process("persist", id, persistAnswers[index])),
      payout: bucket.payout.map(({ id }, index) => process("payout", id, payoutAnswers[index])),
      redis: { state: redis, ...storeOf(cluster?.processes.redis[bucket.id], secrets.redis, "") },
      mysql: {
        state: mysql,
        ...storeOf(
          cluster?.processes.mysql[bucket.id],
          secrets.mysql,
          best === null ? "" : databaseOf(best.event),
        ),
      },
      lagRows: best?.journal.waiting ?? null,
    },
  };
}

function databaseOf(event: string): string {
  return `/hongbao_${event.replaceAll("-", "_")}`;
}

function pidOf(pid: number | undefined): { pid?: number } {
  return pid === undefined ? {} : { pid };
}

/** Only where the store is ours: its pid, and an address that a test can log in with. */
function storeOf(
  store: { pid: number; url: string } | undefined,
  password: string,
  path: string,
): { url?: string; pid?: number } {
  if (store === undefined) return {};
  const url = new URL(store.url);
  url.password = password;
  return { url: `${url.href.replace(/\/$/, "")}${path}`, pid: store.pid };
}

/** A round is open when it is in any bucket, closed when it is in all that answer. */
function roundsOf(
  states: readonly AdminState[],
  transfers: readonly ControllerTransfer[],
): StatusReport["rounds"] {
  const rounds = new Map<number, StatusReport["rounds"][number]>();
  for (const { round, state, left, issued } of states.flatMap((state) => state.rounds)) {
    const known = rounds.get(round);
    if (known === undefined) {
      rounds.set(round, { id: round, state, left, issued, moving: movingTo(transfers, round) });
      continue;
    }
    known.left += left;
    known.issued += issued;
    if (state === "open" || (known.state === "closed" && state !== "closed")) known.state = state;
  }
  return [...rounds.values()].sort((a, b) => a.id - b.id);
}

async function askJson(
  admin: string,
  path: string,
  operator: string,
): Promise<Record<string, unknown> | null> {
  try {
    const response = await fetch(`http://${admin}${path}`, {
      headers: { authorization: `Bearer ${operator}` },
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    return response.status === 200 ? ((await response.json()) as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** `hongbao status`. */
export async function runStatus(options: StatusOptions): Promise<void> {
  const report = await readStatus(options);
  if (options.json) return printJson(report);
  print(`cluster ${report.state}, balancer ${report.balancer.url} ${report.balancer.state}`);
  const controllers = report.controllers.map(
    ({ id, state, leading }) => `${id} ${state}${leading ? " (leading)" : ""}`,
  );
  print(`controllers: ${controllers.join(", ")}`);
  const rows = [["bucket", "state", "services", "persist", "payout", "Redis", "MySQL", "journal"]];
  for (const bucket of report.buckets) {
    const count = (list: ProcessStatus[]): string =>
      `${list.filter(({ state }) => state === "ok").length} of ${list.length}`;
    rows.push([
      bucket.id,
      bucket.state,
      count(bucket.services),
      count(bucket.persist),
      count(bucket.payout),
      bucket.redis.state,
      bucket.mysql.state,
      bucket.lagRows === null ? "?" : String(bucket.lagRows),
    ]);
  }
  print(table(rows));
  const rounds = [["round", "state", "issued", "left", "moving"]];
  for (const { id, state, issued, left, moving } of report.rounds)
    rounds.push([String(id), state, String(issued), String(left), String(moving)]);
  print(table(rounds));
  for (const transfer of report.transfers ?? []) print(transferLine(transfer));
  for (const setting of report.switches ?? []) print(settingLine(setting, Date.now()));
}
