/** Starts, once, the systems that the wanted rows need, and keeps what has to be stopped at the end. */
import { join } from "node:path";
import type { System } from "./measure/sample.ts";
import { firstLine, firstLines } from "./phases/files.ts";
import type { Sizes } from "./sizes.ts";
import { startHaproxyFloor, startNginxFloor } from "./systems/floors.ts";
import { startCluster, startPart, type BalancerSpec, type Cluster } from "./systems/hongbao/cluster.ts";
import { endedSystem, grabPath, RoundSupply, untilEnded, winSystem } from "./systems/hongbao/system.ts";
import { bucketPorts, writeTopology, type RoundSpec } from "./systems/hongbao/topology.ts";
import { AUTHORIZATION, makeWorld, type World } from "./systems/hongbao/world.ts";
import { startNaive, type Front, type NaiveBackend } from "./systems/naive/system.ts";
import { startNginxLua } from "./systems/nginx-lua/system.ts";
import { runWrk, type Load } from "./measure/wrk.ts";
import { freePort } from "../src/processes/ports.ts";

/** Whoever waits longer for each answer needs more clients to keep a machine busy; both sides of that row get as many. */
export const WIDE_CONNECTIONS = 1024;
const NAIVE_PROCESSES = 2;
const NGINX_PROCESSES = 2;
const DELAY_MS = 5;
/** So much stock that one bucket still has some when the other has none. */
const DRY_STOCK = 4_000;
const OVER_AFTER = "now+10s";

/** One cluster runs at a time, with one way in; what others would spend on their clocks and checks is not on the machine. */
class Spotlight {
  readonly #clusters: Cluster[] = [];
  #lit: { cluster: Cluster | null; way: string | undefined } = { cluster: null, way: undefined };

  /** From now on this one is in the dark until it is its turn. */
  add(cluster: Cluster): void {
    this.#clusters.push(cluster);
    cluster.freeze();
  }

  /** @param way the way in that is needed; all of them when it is not given. */
  async on(cluster: Cluster | null, way?: string): Promise<void> {
    if (cluster === this.#lit.cluster && way === this.#lit.way) return;
    this.#lit.cluster?.freeze();
    this.#lit = { cluster, way };
    await cluster?.thaw(way);
  }

  /** A stopped process could not stop itself. */
  async all(): Promise<void> {
    await Promise.allSettled(this.#clusters.map((cluster) => cluster.thaw()));
  }

  light(system: System, cluster: Cluster | null, way?: string): System {
    const begin = async (): Promise<Load> => {
      await this.on(cluster, way);
      return system.begin();
    };
    return { ...system, begin };
  }
}

/** The way in that every cluster has. */
const PLAIN = "plain";

/** Ways to win on the main cluster: which HAProxy, which door, what is set before. */
const MAIN_WAYS = {
  hongbao: { balancer: "plain", door: "spop", what: "whole chain, SPOP door" },
  "hongbao-fsync-no": { balancer: "plain", door: "spop", what: "whole chain, appendfsync no" },
  "hongbao-tls": { balancer: "tls", door: "spop", what: "whole chain, kept-alive TLS" },
  "hongbao-wide": { balancer: "plain", door: "spop", what: `whole chain, ${WIDE_CONNECTIONS} connections` },
} as const;

type MainWay = keyof typeof MAIN_WAYS;

export interface Stage {
  world: World;
  /** In the order in which they take their turns. */
  winners: System[];
  ended: System[];
  /** Brings the rounds of the ended systems to their end. */
  prepareEnded: () => Promise<void>;
  main: Cluster | null;
  /** Rounds of the main cluster that belong to one phase. */
  rounds: { sellOut: number; burst: number; over: number };
  plainBalancer: string;
  /** Before the main cluster is used outside of its systems' runs. */
  lightMain: () => Promise<void>;
}

export interface StageOptions {
  dir: string;
  sizes: Sizes;
  /** IDs of systems and one-time parts, from the rows. */
  needs: ReadonlySet<string>;
  /** Whether HAProxy can be told to leave the SPOP door alone. */
  tell: (text: string) => void;
}

export async function setStage(options: StageOptions, begun: AsyncDisposableStack): Promise<Stage> {
  const { dir, sizes, needs, tell } = options;
  tell(`signing ${sizes.users} tokens`);
  const world = makeWorld(join(dir, "world"), sizes.users);
  const spotlight = new Spotlight();
  const references = await startReferences(options, world, begun);
  const winners = references.winners.map((system) => spotlight.light(system, null));
  const variants: { system: System; way: string; cluster: Cluster }[] = [];
  for (const variant of VARIANTS) {
    const ways = variantWays(variant).filter(({ id }) => needs.has(id));
    if (ways.length === 0) continue;
    const { systems, cluster } = await startVariant(options, world, variant, ways);
    begun.defer(() => cluster.stop());
    spotlight.add(cluster);
    variants.push(...systems.map((system) => ({ ...system, cluster })));
  }
  const plan = planMain(sizes, needs);
  const main = plan.isNeeded ? await startMain(options, world, plan) : null;
  const ended: System[] = [];
  if (main) {
    begun.defer(() => main.stop());
    const systems = await endedSystems(options, world, main, plan);
    spotlight.add(main);
    for (const { system, way } of mainWinners(options, world, main, plan)) {
      winners.push(spotlight.light(system, main, way));
    }
    if (references.haproxyFloor) ended.push(spotlight.light(references.haproxyFloor, null));
    ended.push(...systems.map((system) => spotlight.light(system, main, PLAIN)));
  }
  winners.push(...variants.map(({ system, way, cluster }) => spotlight.light(system, cluster, way)));
  begun.defer(() => spotlight.all());
  return {
    world,
    winners,
    ended,
    prepareEnded: async () => {
      if (main === null || !needs.has("ended-token")) return;
      await spotlight.on(main, PLAIN);
      await sellOutFirstBucket(main, world, plan.dry);
    },
    main,
    rounds: plan,
    plainBalancer: "plain",
    lightMain: () => spotlight.on(main),
  };
}

async function startReferences(
  { dir, sizes, needs, tell }: StageOptions,
  world: World,
  begun: AsyncDisposableStack,
): Promise<{ winners: System[]; haproxyFloor: System | null }> {
  tell("starting the reference systems");
  const winners: System[] = [];
  const floor = await startNginxFloor(join(dir, "floor-nginx"));
  begun.defer(() => floor.stop());
  winners.push(floor);
  const common = { stock: sizes.users, connections: sizes.connections };
  if (needs.has("nginx-lua")) {
    const at = { dir: join(dir, "nginx-lua"), usersFile: world.idsFile, processes: NGINX_PROCESSES };
    const reference = await startNginxLua({ ...common, ...at });
    begun.defer(() => reference.stop());
    winners.push(reference);
  }
  if (needs.has("naive")) {
    const at = { dir: join(dir, "naive"), tokensFile: world.tokensFile, processes: NAIVE_PROCESSES };
    const front = (backends: NaiveBackend[]): Promise<Front> =>
      sameHaproxy(join(dir, "naive"), world, backends);
    const reference = await startNaive({ ...common, ...at, front });
    begun.defer(() => reference.stop());
    winners.push(reference);
  }
  if (!needs.has("floor-haproxy")) return { winners, haproxyFloor: null };
  const haproxyFloor = await startHaproxyFloor(join(dir, "floor-haproxy"), {
    method: "POST",
    paths: [grabPath(1, "0123456789abcdef0123456789abcdef")],
    identities: { file: world.tokensFile, header: AUTHORIZATION },
  });
  begun.defer(() => haproxyFloor.stop());
  return { winners, haproxyFloor };
}

/** Our own HAProxy, with every rule, in front of somebody else's processes: it only needs a topology that names them. */
async function sameHaproxy(dir: string, world: World, backends: NaiveBackend[]): Promise<Front> {
  const [bucket] = await bucketPorts(1, backends.length, false);
  backends.forEach(({ http, admin }, index) => {
    const service = bucket!.services[index]!;
    service.http = Number(http.split(":")[1]);
    service.admin = Number(admin.split(":")[1]);
  });
  const [listen, adminPort] = [await freePort(), await freePort()];
  const topology = writeTopology(join(dir, "topology.yaml"), world, {
    buckets: [bucket!],
    balancer: { listen, admin: adminPort },
    controllerAdmin: await freePort(),
    site: await freePort(),
    pack: join(dir, "no-pack"),
  });
  const words = ["balancer", "run", "--topology", topology, "--dir", join(dir, "balancer"), ...HTTP_ONLY];
  const child = await startPart("balancer (naive)", words, join(dir, "balancer.log"), adminPort);
  return {
    url: `http://127.0.0.1:${listen}`,
    pids: [child.pid],
    stop: async () => void (await child.stop()),
  };
}

/** Words of `hongbao balancer run` that leave the SPOP door out. */
const HTTP_ONLY = ["--door", "http"];

interface MainPlan {
  isNeeded: boolean;
  specs: RoundSpec[];
  ways: { id: MainWay; rounds: number[] }[];
  sellOut: number;
  burst: number;
  over: number;
  dry: number;
}

/** Every run of every way gets a round of its own, with a prize for everybody. */
function planMain(sizes: Sizes, needs: ReadonlySet<string>): MainPlan {
  const ways = (Object.keys(MAIN_WAYS) as MainWay[]).filter((id) => needs.has(id));
  const isNeeded =
    ways.length > 0 ||
    ["ended-over", "ended-token", "persist", "payout", "handshakes"].some((need) => needs.has(need));
  const specs: RoundSpec[] = [];
  const add = (count: number, more: Partial<RoundSpec> = {}): number => {
    const id = specs.length + 1;
    specs.push({ id, count, ...more });
    return id;
  };
  const runs = sizes.rounds + 1;
  return {
    isNeeded,
    specs,
    ways: ways.map((id) => ({ id, rounds: Array.from({ length: runs }, () => add(sizes.users)) })),
    sellOut: add(sizes.sellOut),
    burst: add(sizes.users),
    over: add(10, { closesAt: OVER_AFTER }),
    dry: add(DRY_STOCK),
  };
}

async function startMain({ dir, needs, tell }: StageOptions, world: World, plan: MainPlan): Promise<Cluster> {
  const balancers: BalancerSpec[] = [{ id: "plain" }];
  if (needs.has("hongbao-tls") || needs.has("handshakes")) balancers.push({ id: "tls", tls: true });
  return startCluster({
    name: "main",
    world,
    dir,
    buckets: 2,
    services: 2,
    rounds: plan.specs,
    balancers,
    tell,
  });
}

function mainWinners(
  { sizes }: StageOptions,
  world: World,
  main: Cluster,
  plan: MainPlan,
): { system: System; way: string }[] {
  return plan.ways.map(({ id, rounds }) => {
    const way = MAIN_WAYS[id].balancer;
    const common = { ...MAIN_WAYS[id], id, cluster: main, world, rounds: new RoundSupply(rounds) };
    const connections = id === "hongbao-wide" ? WIDE_CONNECTIONS : sizes.connections;
    if (id !== "hongbao-fsync-no") return { way, system: winSystem({ ...common, connections }) };
    const before = (): Promise<void> => main.setAppendfsync("no");
    const after = (): Promise<void> => main.setAppendfsync("always");
    return { way, system: winSystem({ ...common, connections, before, after }) };
  });
}

interface Variant {
  id: string;
  name: string;
  what: string;
  /** Default: 2 and 2. */
  buckets?: number;
  services?: number;
  ack?: "database";
  redisDelayMs?: number;
  metrics?: "off";
  connections?: number;
  /** The same cluster through the HTTP door, as a system of its own. */
  http?: { id: string; what: string };
}

/** A way into a variant's cluster. */
interface VariantWay {
  id: string;
  what: string;
  balancer: string;
  door: "http" | "spop";
}

function variantWays({ id, what, http }: Variant): VariantWay[] {
  const plain: VariantWay = { id, what, balancer: PLAIN, door: "spop" };
  return http === undefined ? [plain] : [plain, { ...http, balancer: "http", door: "http" }];
}

/** Clusters that differ in one thing that cannot be changed while they run. */
const VARIANTS: Variant[] = [
  {
    id: "hongbao-one",
    name: "one",
    what: "whole chain, SPOP door, 1 bucket with 1 service process",
    buckets: 1,
    services: 1,
    http: { id: "hongbao-http", what: "whole chain, HTTP door, 1 bucket with 1 service process" },
  },
  { id: "hongbao-no-metrics", name: "no-metrics", what: "whole chain, no metrics kept", metrics: "off" },
  { id: "hongbao-ack-database", name: "database", what: "whole chain, ack: database", ack: "database" },
  {
    id: "hongbao-5ms",
    name: "slow-redis",
    what: `whole chain, Redis answers ${DELAY_MS} ms later, ${WIDE_CONNECTIONS} connections`,
    redisDelayMs: DELAY_MS,
    connections: WIDE_CONNECTIONS,
  },
];

async function startVariant(
  { dir, sizes, tell }: StageOptions,
  world: World,
  variant: Variant,
  ways: VariantWay[],
): Promise<{ systems: { system: System; way: string }[]; cluster: Cluster }> {
  const { name, ack, redisDelayMs, metrics, connections = sizes.connections } = variant;
  const { buckets = 2, services = 2 } = variant;
  const runs = sizes.rounds + 1;
  const rounds = Array.from({ length: runs * ways.length }, (_, index) => ({
    id: index + 1,
    count: sizes.users,
  }));
  const cluster = await startCluster({
    name,
    world,
    dir,
    buckets,
    services,
    balancers: ways.map(({ balancer, door }) => ({
      id: balancer,
      ...(door === "http" ? { words: HTTP_ONLY } : {}),
    })),
    rounds,
    tell,
    ...(ack ? { ack } : {}),
    ...(redisDelayMs === undefined ? {} : { redisDelayMs }),
    ...(metrics === undefined ? {} : { metrics }),
  });
  const systems = ways.map((way, index) => {
    const own = rounds.slice(index * runs, (index + 1) * runs).map(({ id }) => id);
    const system = winSystem({ ...way, cluster, world, connections, rounds: new RoundSupply(own) });
    return { way: way.balancer, system };
  });
  return { systems, cluster };
}

async function endedSystems(
  { sizes, needs, tell }: StageOptions,
  world: World,
  main: Cluster,
  plan: MainPlan,
): Promise<System[]> {
  const systems: System[] = [];
  const common = { cluster: main, balancer: "plain", connections: sizes.connections };
  const url = main.url("plain");
  if (needs.has("ended-over") || needs.has("handshakes")) {
    tell("waiting for a round to be over everywhere");
    await untilEnded(`${url}${grabPath(plan.over, "over")}`, null);
  }
  if (needs.has("ended-over")) {
    systems.push(
      endedSystem({
        ...common,
        id: "ended-over",
        what: "ended, over everywhere",
        round: plan.over,
        tokensFile: world.tokensFile,
        needsToken: false,
      }),
    );
  }
  if (needs.has("ended-token")) {
    systems.push(
      endedSystem({
        ...common,
        id: "ended-token",
        what: "ended, one bucket, with the token check",
        round: plan.dry,
        tokensFile: world.firstBucketTokensFile,
        needsToken: true,
      }),
    );
  }
  return systems;
}

/**
 * The first bucket's share goes to its users; the other bucket keeps its own, so the round is not over everywhere. Without
 * controllers, who would lend the first one what the other has.
 */
async function sellOutFirstBucket(main: Cluster, world: World, round: number): Promise<void> {
  const path = grabPath(round, await main.key(round));
  main.holdControllers(true);
  const tokens = firstLines(world.firstBucketTokensFile, DRY_STOCK);
  await runWrk(
    {
      url: main.url("plain"),
      method: "POST",
      paths: [path],
      identities: { file: tokens, header: AUTHORIZATION },
      ends: "stop",
    },
    { seconds: 2, connections: 32, threads: 1 },
  );
  await untilEnded(`${main.url("plain")}${path}`, firstLine(world.firstBucketTokensFile));
}
