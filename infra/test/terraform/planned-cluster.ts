/**
 * A cluster from what Terraform planned: its task definitions' commands and environment, and the topology that it rendered, as plain
 * processes on this machine. AWS is a fake; the stores are a local Redis and MySQL; every task has an address of its own on loopback.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { Test } from "tap";
import { startFakeAws, type FakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { proxyHeader } from "../rolling/front.ts";
import { freePort, startMysql, startRedis, temporaryState } from "../../src/index.ts";

export interface PlannedResource {
  address: string;
  values: Record<string, unknown>;
}

interface Container {
  name: string;
  command: string[];
  environment: { name: string; value: string }[];
  secrets: { name: string }[];
}

interface Task {
  family: string;
  container: Container;
  host: string;
}

const ROOT = join(import.meta.dirname, "..", "..", "..");
const NAMESPACE = "spring.hongbao.internal";
const GRAB = `grab-b0.${NAMESPACE}`;
const USERS = 40;

export async function runsAsPlanned(t: Test, planned: PlannedResource[]): Promise<void> {
  const dir = temporaryState(t);
  const fake = await startFakeAws(t);
  const secrets = Object.fromEntries(
    ["TOKEN", "RECEIPT", "OPERATOR", "SPOP", "REDIS", "MYSQL"].map((name) => [
      `HONGBAO_${name}`,
      randomBytes(20).toString("hex"),
    ]),
  );
  const redis = await startRedis({ dir: join(dir, "redis"), password: secrets["HONGBAO_REDIS"]! });
  t.teardown(() => redis.stop());
  const mysql = await startMysql({ dir: join(dir, "mysql"), password: secrets["HONGBAO_MYSQL"]! });
  t.teardown(() => mysql.stop());
  const net = `127.${randomInt(1, 250)}.${randomInt(250)}`;
  const tasks = tasksOf(planned, net);
  const port = await freePort();
  const topology = String(
    planned.find(({ address }) => address === "aws_s3_object.topology")?.values["content"],
  );
  const put = (key: string, body: Buffer | string): unknown =>
    fake.objects.set(key, { body: Buffer.from(body), etag: `"${key}"` });
  put(
    "topology.yaml",
    localTopology(topology, tasks, { dir, port, redis: redis.plainUrl, mysql: mysql.plainUrl }),
  );
  writeCertificate(dir);

  const environment = (task: Task): NodeJS.ProcessEnv => ({
    ...process.env,
    HONGBAO_LOG: "error",
    ...Object.fromEntries(task.container.environment.map(({ name, value }) => [name, value])),
    ...Object.fromEntries(task.container.secrets.map(({ name }) => [name, secrets[name]])),
    HONGBAO_LISTEN: task.host,
    HONGBAO_WORK: join(dir, task.host),
    HONGBAO_STATE: dir,
    // As in the image: nothing is installed.
    HONGBAO_IMAGE: "1",
  });
  const operator = tasks.find(({ family }) => family.endsWith("-operator"))!;
  const command = (...words: string[]): string => run(environment(operator), words);
  // An event's files are copied into the control bucket; what comes then is what docs/operations.md has operators do.
  command("preprocess", "sample", "--users", String(USERS), "--out", join(dir, "event"));
  for (const name of readdirSync(join(dir, "event")))
    put(`input/${name}`, readFileSync(join(dir, "event", name)));
  await background(environment(operator), ["preprocess", "generate", "s3://control/input/event.yaml"]);
  t.ok(fake.objects.has("pack/SHA256SUMS"), "the pack is where the topology says");
  t.ok(fake.objects.has("seed/pack.seed"), "and its seed beside it");
  const pack = /^"?pack"?: "?(s3:[^"\n]*)/m.exec(topology)![1]!;
  await background(environment(operator), ["preprocess", "load", pack, "--opens-in", "1"]);

  const running = tasks
    .filter((task) => task !== operator)
    .map((task) => start(t, task, environment(task), dir));
  for (const [index, task] of tasks.entries()) {
    if (task.family.endsWith("-grab")) {
      const name = `grab-b0.${NAMESPACE}`;
      fake.instances.set(name, [
        ...(fake.instances.get(name) ?? []),
        { id: `task-${index}`, host: task.host },
      ]);
    }
  }
  const balancer = tasks.find(({ family }) => family.endsWith("-balancer"))!;
  fake.instances.set(`balancer.${NAMESPACE}`, [{ id: "task-balancer", host: balancer.host }]);
  await until(async () => keyOf(fake) !== null, running);
  const tokens = (await background(environment(operator), ["token", "--raw", ...users()])).trim().split("\n");
  const words = [];
  for (const token of tokens) {
    // HAProxy may still be finding services.
    await until(async () => (await grab(port, keyOf(fake)!, token)) !== "busy", running);
    words.push(await grab(port, keyOf(fake)!, token));
  }
  t.same([...new Set(words)], ["won"], `${words.length} grabs through TLS and the proxy protocol`);
  await t.test("restarted part by part in the documented order, while people press", async (step) => {
    const words = new Map<string, number>();
    let pressing = true;
    const press = (async () => {
      for (let n = 0; pressing; n += 1) {
        const word = await grab(port, keyOf(fake)!, tokens[n % tokens.length]!);
        words.set(word, (words.get(word) ?? 0) + 1);
        // Within the limit of each user.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    for (const part of ["-c0", "-c1", "-persist", "-payout", "-grab"]) {
      for (const old of running.filter(({ task }) => task.family.endsWith(part))) {
        const isGrab = part === "-grab";
        // A service's successor has an address of its own and is ready first; of the others the old one goes first.
        const host = isGrab ? old.task.host.replace(/(\d+)$/, "1$1") : old.task.host;
        if (!isGrab) await old.stop();
        const next = { ...old.task, host };
        running.push(start(t, next, environment(next), dir));
        await until(() => isReady(host), running);
        if (!isGrab) continue;
        const found = fake.instances.get(GRAB)!;
        fake.instances.set(GRAB, [...found, { id: `next-${host}`, host }]);
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        fake.instances.set(
          GRAB,
          fake.instances.get(GRAB)!.filter((each) => each.host !== old.task.host),
        );
        await old.stop();
      }
    }
    pressing = false;
    await press;
    step.comment(JSON.stringify([...words]));
    step.same(
      [...words.keys()].filter((word) => !["won", "ended", "busy", "limited"].includes(word)),
      [],
    );
    const after = [];
    for (const token of tokens) after.push(await grab(port, keyOf(fake)!, token));
    step.same([...new Set(after)], ["won"], "every win is still there");
  });
  const c0 = tasks.find(({ family }) => family.endsWith("-c0"))!;
  const targets = (await (await fetch(`http://${c0.host}:9100/targets`)).json()) as {
    labels: { role: string };
  }[];
  const roles = targets.map(({ labels }) => labels.role).sort();
  t.same(
    roles,
    ["balancer", "controller", "controller", "grab", "grab", "payout", "persist"],
    "Prometheus is told",
  );
  t.match(await background(environment(operator), ["status", "--json"]), /"state": ?"ready"/);
  t.match(await background(environment(operator), ["audit", "--json"]), /"ok": ?true/);
}

const users = (): string[] => Array.from({ length: USERS / 2 }, (_, index) => `u${index + 1}`);

/** Two of the service, one of everything else; monitoring has no process of ours. */
function tasksOf(planned: PlannedResource[], net: string): Task[] {
  const tasks: Task[] = [];
  for (const { address, values } of planned) {
    const family = String(values["family"]);
    if (!address.endsWith("aws_ecs_task_definition.this") || family.endsWith("-monitoring")) continue;
    const [container] = JSON.parse(String(values["container_definitions"])) as Container[];
    for (let n = 0; n < (family.endsWith("-grab") ? 2 : 1); n += 1) {
      tasks.push({ family, container: container!, host: `${net}.${tasks.length + 1}` });
    }
  }
  return tasks;
}

/** Names become the addresses that DNS would answer, stores and paths those of this machine. */
function localTopology(
  topology: string,
  tasks: Task[],
  here: { dir: string; port: number; redis: string; mysql: string },
): string {
  const hostOf = (name: string): string => {
    const [role, bucket] = name.split("-");
    const end = bucket === undefined ? `-${role}` : `-${bucket}-${role}`;
    return tasks.find(({ family }) => family.endsWith(end))?.host ?? name;
  };
  return topology
    .replaceAll(/((?:balancer|c0|c1|(?:persist|payout)-b0))\.spring\.hongbao\.internal/g, (_, name: string) =>
      hostOf(name),
    )
    .replace("0.0.0.0:8443", `127.0.0.1:${here.port}`)
    .replace(/redis:\/\/[^"\s]+/, here.redis)
    .replace(/mysql:\/\/[^"\s]+/, here.mysql)
    .replaceAll(/("?(?:tls|cluster)"?): true/g, "$1: false")
    .replaceAll("/var/lib/hongbao", here.dir);
}

function writeCertificate(dir: string): void {
  const [key, certificate] = [join(dir, "key.pem"), join(dir, "certificate.pem")];
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "1",
  ];
  execFileSync("openssl", [...request, "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  writeFileSync(join(dir, "tls.pem"), readFileSync(certificate, "utf8") + readFileSync(key, "utf8"), {
    mode: 0o600,
  });
}

/** For a command that asks nothing of the fake, which lives in this process. */
function run(env: NodeJS.ProcessEnv, words: string[]): string {
  const without = { ...env, HONGBAO_TOPOLOGY: "" };
  return execFileSync(join(ROOT, "hongbao"), words, {
    env: without,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function background(env: NodeJS.ProcessEnv, words: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(ROOT, "hongbao"), words, { env, stdio: ["ignore", "pipe", "pipe"] });
    let [output, errors] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0
        ? resolve(output)
        : reject(new Error(`hongbao ${words.join(" ")}: ${code}: ${errors}${output}`)),
    );
  });
}

interface Running {
  task: Task;
  said: () => string;
  /** Its exit code; null while it runs. */
  code: () => number | null;
  stop: () => Promise<void>;
}

function start(t: Test, task: Task, env: NodeJS.ProcessEnv, dir: string): Running {
  mkdirSync(join(dir, task.host), { recursive: true });
  const words = task.container.command.map((word) => word.replace("/var/lib/hongbao", dir));
  const child = spawn(join(ROOT, "hongbao"), words, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let stopping = false;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    stopping = true;
    child.kill("SIGTERM");
    await ended;
  };
  t.teardown(stop);
  return { task, said: () => said, code: () => (stopping ? null : child.exitCode), stop };
}

async function until(holds: () => Promise<boolean>, running: Running[]): Promise<void> {
  for (;;) {
    const dead = running.find(({ code }) => code() !== null);
    if (dead) throw new Error(`${dead.task.family} ended with ${dead.code()}: ${dead.said()}`);
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function isReady(host: string): Promise<boolean> {
  return fetch(`http://${host}:9100/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** The key of round 1, once it is published. */
function keyOf({ objects }: FakeAws): string | null {
  return /"key":"([^"]+)"/.exec(objects.get("start/1.js")?.body.toString() ?? "")?.[1] ?? null;
}

/** As the load balancer brings it: a proxy-protocol header (version 2), then TLS. */
async function grab(port: number, key: string, token: string): Promise<string> {
  const plain = connectTcp(port, "127.0.0.1");
  plain.write(proxyHeader());
  const socket = connectTls({ socket: plain, rejectUnauthorized: false });
  socket.setEncoding("utf8");
  let answer = "";
  socket.on("data", (chunk: string) => (answer += chunk));
  const ended = new Promise<void>((resolve, reject) =>
    socket.once("close", () => resolve()).once("error", reject),
  );
  const head = [
    "host: api.hongbao.example.com",
    `authorization: Bearer ${token}`,
    "content-length: 0",
    "connection: close",
  ];
  socket.write(`POST /v1/rounds/1/grab?k=${key} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
  await ended;
  return /"result":"(\w+)"/.exec(answer)?.[1] ?? answer;
}
