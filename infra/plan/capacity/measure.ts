/**
 * What `hongbao bench` does not measure and a plan needs: sizes of answers, what an idle connection holds, and the costs of
 * /result, /wins and a health check. A small cluster of its own, under two minutes.
 */
import { connect as connectPlain, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { CheckFailed } from "@hongbao/preprocess";
import { residentBytes } from "../../bench/measure/proc.ts";
import { measureOnce, type Sample, type System } from "../../bench/measure/sample.ts";
import { scratchDir } from "../../bench/measure/scratch.ts";
import type { Load } from "../../bench/measure/wrk.ts";
import { firstLine } from "../../bench/phases/files.ts";
import { machineFigures } from "../../bench/report/report.ts";
import { startCluster, type Cluster } from "../../bench/systems/hongbao/cluster.ts";
import { grabPath } from "../../bench/systems/hongbao/system.ts";
import { AUTHORIZATION, makeWorld, type World } from "../../bench/systems/hongbao/world.ts";
import { ensurePackages } from "../../src/install/packages.ts";
import type { AsideFile } from "./figures.ts";

const USERS = 60_000;
const CONNECTIONS = 256;
const SECONDS = 6;
const IDLE_CONNECTIONS = 2_000;
/** Handshakes at once, so that none waits for long. */
const HANDSHAKES_AT_ONCE = 50;
/** In which HAProxy gives back what it has borrowed for a request. */
const QUIET_MS = 2_000;
const ROUND = 1;
/** Over long before its answer is asked for. */
const OVER = { id: 2, count: 10, closesAt: "now+5s" };

/** Throws CheckFailed when an answer was wrong, and Unreachable when something does not start. */
export async function measureAside(tell: (text: string) => void): Promise<AsideFile> {
  await ensurePackages(["redis-server", "mariadb-server", "haproxy", "wrk"]);
  const began = new Date();
  using scratch = scratchDir();
  const world = makeWorld(join(scratch.path, "world"), USERS);
  const cluster = await startCluster({
    name: "aside",
    world,
    dir: scratch.path,
    buckets: 2,
    services: 1,
    // Some are left: a round that is sold out tells nobody what they have won.
    rounds: [{ id: ROUND, count: USERS + 1_000 }, OVER],
    balancers: [{ id: "plain" }, { id: "tls", tls: true }],
    tell,
  });
  try {
    const figures = await measure(cluster, world, tell);
    const seconds = Math.round((Date.now() - began.getTime()) / 1000);
    return { what: "aside", measuredAt: began.toISOString(), seconds, machine: machineFigures(), figures };
  } finally {
    await cluster.stop();
  }
}

async function measure(
  cluster: Cluster,
  world: World,
  tell: (text: string) => void,
): Promise<AsideFile["figures"]> {
  const path = grabPath(ROUND, await cluster.key(ROUND));
  const redis = (): number => residentBytes(cluster.processes("plain")["redis"]!);
  const empty = redis();
  tell(`winning ${USERS} prizes`);
  const asked = { url: cluster.url("plain"), identities: { file: world.tokensFile, header: AUTHORIZATION } };
  await ask(cluster, { ...asked, method: "POST", paths: [path], ends: "stop" }, 60);
  const redisClaimBytes = (redis() - empty) / USERS;
  tell("asking for results, wins and health");
  const result = await ask(cluster, { ...asked, method: "GET", paths: [`/v1/rounds/${ROUND}/result`] });
  const wins = await ask(cluster, { ...asked, method: "GET", paths: ["/v1/wins"] });
  const admin = `http://127.0.0.1:${cluster.persistAdminPort("b0")}`;
  const check = await ask(cluster, { url: admin, method: "GET", paths: ["/readyz"] }, SECONDS, [
    cluster.persist("b0").pid,
  ]);
  tell(`holding ${IDLE_CONNECTIONS} connections`);
  const token = firstLine(world.tokensFile);
  const idle = await holdIdle(cluster);
  return {
    resultHaproxyUs: result.cpuUs["haproxy"]!,
    resultServiceUs: result.cpuUs["service"]!,
    resultRedisUs: result.cpuUs["redis"]!,
    resultMysqlUs: result.cpuUs["mysql"]!,
    winsHaproxyUs: wins.cpuUs["haproxy"]!,
    winsServiceUs: wins.cpuUs["service"]!,
    winsRedisUs: wins.cpuUs["redis"]!,
    winsMysqlUs: wins.cpuUs["mysql"]!,
    checkUs: check.cpuUs["process"]!,
    redisClaimBytes,
    idleConnectionBytes: idle.bytesEach,
    haproxyBytes: idle.bytesBefore,
    handshakeOutBytes: idle.handshakeBytes,
    ...(await answerBytes(cluster, token, path)),
  };
}

async function ask(cluster: Cluster, load: Load, seconds = SECONDS, pids?: number[]): Promise<Sample> {
  const system: System = {
    id: load.paths[0]!,
    what: "",
    processes: () => (pids === undefined ? cluster.processes("plain") : { process: pids }),
    begin: async () => load,
    settle: async () => ({ wins: 0, faults: [] }),
  };
  const sample = await measureOnce(system, { seconds, connections: CONNECTIONS, threads: 1 });
  const { faults } = sample.verdict;
  if (faults.length > 0) throw new CheckFailed(`capacity measure: ${load.paths[0]}: ${faults.join("; ")}`);
  return sample;
}

/** Connections as they are in the last minute before an opening: shaken hands, one small answer, then nothing. */
async function holdIdle(
  cluster: Cluster,
): Promise<{ bytesEach: number; bytesBefore: number; handshakeBytes: number }> {
  const pids = cluster.processes("tls")["haproxy"]!;
  const { hostname, port } = new URL(cluster.url("tls"));
  const connect = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const plain = connectPlain(Number(port), hostname);
      const tls = connectTls({ socket: plain, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
      tls.once("secureConnect", () => tls.write("GET /v1/none HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      tls.once("data", () => resolve(plain));
      tls.once("error", reject);
    });
  const sockets: Socket[] = [];
  try {
    sockets.push(await connect());
    // The answer of this small request is in this figure, too.
    const handshakeBytes = sockets[0]!.bytesRead;
    await sleep(QUIET_MS);
    const bytesBefore = residentBytes(pids);
    for (let left = IDLE_CONNECTIONS; left > 0; left -= HANDSHAKES_AT_ONCE) {
      sockets.push(...(await Promise.all(Array.from({ length: HANDSHAKES_AT_ONCE }, connect))));
    }
    await sleep(QUIET_MS);
    return { bytesEach: (residentBytes(pids) - bytesBefore) / IDLE_CONNECTIONS, bytesBefore, handshakeBytes };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

async function answerBytes(
  cluster: Cluster,
  token: string,
  path: string,
): Promise<Record<"wonBytes" | "endedBytes" | "resultBytes" | "winsBytes", number>> {
  const { hostname, port } = new URL(cluster.url("plain"));
  const one = async (method: string, target: string, word: string): Promise<number> => {
    const socket = connectPlain(Number(port), hostname);
    let said = "";
    socket.setEncoding("utf8").on("data", (text: string) => (said += text));
    const words = [`host: api.example.com`, `authorization: Bearer ${token}`, "connection: close"];
    socket.write(`${method} ${target} HTTP/1.1\r\n${words.join("\r\n")}\r\n\r\n`);
    await new Promise((resolve, reject) => socket.once("close", resolve).once("error", reject));
    if (!said.includes(word))
      throw new CheckFailed(`capacity measure: ${target}: found ${said.slice(-200)}, expected ${word}`);
    return socket.bytesRead;
  };
  return {
    wonBytes: await one("POST", path, '"won"'),
    endedBytes: await one("POST", grabPath(OVER.id, "over"), '"ended"'),
    resultBytes: await one("GET", `/v1/rounds/${ROUND}/result`, '"wins":[{'),
    winsBytes: await one("GET", "/v1/wins", '"wins":[{'),
  };
}
