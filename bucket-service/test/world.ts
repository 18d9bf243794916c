/** A small world for tests: real Redis and MySQL for each bucket, a generated and loaded event, services in this process. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, startMysql, startRedis, temporaryState, type Server } from "@hongbao/infra";
import {
  bucketOf,
  generatePack,
  openPack,
  readEvent,
  readGreetings,
  readSecrets,
  LiveSwitches,
  readTopology,
  readUsers,
  signToken,
  type Pack,
  type Secrets,
  type SwitchValues,
  type Topology,
} from "@hongbao/preprocess";
import { adminClient, type AdminClient } from "../src/admin/client.ts";
import { openFrame, startPersist, startService, type RunningPart } from "../src/process.ts";
import { startPayout } from "../src/payout/run.ts";
import { loadPack } from "../src/provision/load.ts";

export interface WorldPlan {
  buckets?: number;
  services?: number;
  users?: number;
  /** YAML of the event's rounds, each line indented by two; {opens} is 1 s ago. */
  rounds?: string;
  budget?: string;
  /** Further top-level lines of the event. */
  event?: string;
  appendfsync?: "always" | "no";
  persist?: boolean;
  /** "no": leave the stores empty. */
  load?: boolean;
  /** Requests a second that a service bears from one user; default: any number. */
  limitUser?: number;
}

export interface World {
  dir: string;
  topology: Topology;
  secrets: Secrets;
  pack: Pack;
  redis: Server[];
  mysql: Server[];
  users: string[];
  admin(bucket: number, service?: number): AdminClient;
  open(round: number, key: string): Promise<void>;
  close(round: number): Promise<void>;
  /** What the conductor says once nothing can come to an empty stock. */
  sayFinal(round: number): Promise<void>;
  token(user: string): string;
  bucketOf(user: string): number;
  grab(
    user: string,
    ask?: GrabAsk,
  ): Promise<{ status: number; body: Record<string, unknown>; stock: string | null; isOften: boolean }>;
  get(user: string, path: string): Promise<{ status: number; body: Record<string, unknown> }>;
  startPersist(bucket: number): Promise<RunningPart>;
  startPayout(bucket: number): Promise<RunningPart>;
}

export interface GrabAsk {
  round?: number;
  key?: string;
  n?: number | string;
  service?: number;
  bucket?: number;
  headers?: Record<string, string>;
  token?: string;
}

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

const envelopes = `
  - id: 1
    kind: envelope
    opensAt: now+0s
    closesAt: now+1h
    count: 100
    budget: 100.00
    split: { method: lucky, min: 0.01, max: 20.00 }
`;

/** Switches as they are, but for the limit: tests press faster than people. */
function limitUser(switches: LiveSwitches, perSecond: number): void {
  const real = Object.getOwnPropertyDescriptor(LiveSwitches.prototype, "current")!;
  const current = (): SwitchValues => ({
    ...(real.get!.call(switches) as SwitchValues),
    limitUser: perSecond,
  });
  Object.defineProperty(switches, "current", { get: current });
}

export async function world(t: Teardown, plan: WorldPlan = {}): Promise<World> {
  const dir = temporaryState(t);
  const buckets = plan.buckets ?? 1;
  const services = plan.services ?? 1;
  const redis: Server[] = [];
  const mysql: Server[] = [];
  mkdirSync(join(dir, "secrets"));
  const secret = (name: string): string => {
    const value = randomBytes(32).toString("hex");
    writeFileSync(join(dir, "secrets", name), value, { mode: 0o600 });
    return value;
  };
  const password = { redis: secret("redis"), mysql: secret("mysql") };
  for (const name of ["token", "receipt", "operator", "spop"]) secret(name);
  const index = Array.from({ length: buckets }, (_, b) => b);
  const appendfsync = plan.appendfsync ?? "no";
  const start = {
    redis: (b: number) => startRedis({ dir: join(dir, `redis-${b}`), password: password.redis, appendfsync }),
    mysql: (b: number) => startMysql({ dir: join(dir, `mysql-${b}`), password: password.mysql }),
  };
  redis.push(...(await Promise.all(index.map(start.redis))));
  mysql.push(...(await Promise.all(index.map(start.mysql))));
  t.teardown(async () => {
    await Promise.all([...redis, ...mysql].map((server) => server.stop()));
  });
  const port = async (): Promise<string> => `127.0.0.1:${await freePort()}`;
  const lines = ["slots: 1024", "pack: pack", "control: control"];
  const front = await port();
  lines.push(
    `balancer: { listen: "${front}", url: "http://${front}", admin: "${await port()}", site: "http://${await port()}" }`,
  );
  lines.push(`controllers: [{ id: c0, admin: "${await port()}" }]`, "buckets:");
  for (let b = 0; b < buckets; b += 1) {
    const from = Math.floor((1024 * b) / buckets);
    const to = Math.floor((1024 * (b + 1)) / buckets) - 1;
    lines.push(`  - id: b${b}`, `    slots: [[${from}, ${to}]]`);
    lines.push(`    redis: { url: "${redis[b]!.plainUrl}", tls: false, cluster: false }`);
    lines.push(`    mysql: { url: "${mysql[b]!.plainUrl}", tls: false }`, "    services:");
    for (let s = 0; s < services; s += 1) {
      lines.push(
        `      - { id: s${s}, http: "${await port()}", spop: "${await port()}", admin: "${await port()}" }`,
      );
    }
    lines.push(
      `    persist: [{ id: p0, admin: "${await port()}" }]`,
      `    payout: [{ id: pay0, admin: "${await port()}" }]`,
    );
  }
  const secretLines = ["token", "receipt", "operator", "spop", "redis", "mysql"].map(
    (name) => `${name}: { file: secrets/${name} }`,
  );
  lines.push(`secrets: { ${secretLines.join(", ")} }`);
  writeFileSync(join(dir, "topology.yaml"), `${lines.join("\n")}\n`);

  const users = Array.from({ length: plan.users ?? 50 }, (_, index) => `u${index + 1}`);
  writeFileSync(
    join(dir, "users.csv"),
    `id,name,group\n${users.map((id) => `${id},Name ${id},staff`).join("\n")}\n`,
  );
  writeFileSync(join(dir, "greetings.txt"), '恭喜发财\nHappy "New" Year\n');
  const head = `event: world\ntitle: { zh: 世界, en: World }\ncurrency: CNY\ntimezone: Asia/Shanghai\nbudget: ${plan.budget ?? "100.00"}\n`;
  writeFileSync(
    join(dir, "event.yaml"),
    `${head}users: users.csv\ngreetings: greetings.txt\n${plan.event ?? ""}\nrounds:${plan.rounds ?? envelopes}`,
  );
  const topology = readTopology(join(dir, "topology.yaml"));
  const secrets = readSecrets(topology);
  const event = readEvent(join(dir, "event.yaml"));
  await generatePack({
    event,
    users: await readUsers(event.usersPath),
    greetings: readGreetings(event.greetingsPath),
    topology,
    out: join(dir, "pack"),
  });
  const pack = openPack(join(dir, "pack"));
  if (plan.load !== false) await loadPack({ pack, topology, secrets });

  const running: RunningPart[] = [];
  t.teardown(async () => {
    for (const server of [...redis, ...mysql]) server.kill("SIGCONT");
    await Promise.all(running.map((part) => part.stop()));
  });
  const startPersistOf = async (b: number): Promise<RunningPart> => {
    const bucket = topology.buckets[b]!;
    const part = await startPersist(openFrame(topology, bucket.id, "persist", "p0"), bucket.persist[0]!);
    running.push(part);
    return part;
  };
  if (plan.load !== false) {
    for (const [b, bucket] of topology.buckets.entries()) {
      if (!Array.isArray(bucket.services)) throw new Error("services are listed here");
      for (const place of bucket.services) {
        const frame = openFrame(topology, bucket.id, "grab", place.id);
        limitUser(frame.switches, plan.limitUser ?? 0);
        running.push(await startService(frame, place));
      }
      if (plan.persist !== false) await startPersistOf(b);
    }
  }
  const place = (b: number, s: number): { http: string; admin: string } => {
    const { services: places } = topology.buckets[b]!;
    return (places as { http: string; admin: string }[])[s]!;
  };
  const admin = (b: number, s = 0): AdminClient =>
    adminClient({ admin: place(b, s).admin, operatorSecret: secrets.operator, timeoutMs: 3000 });
  const install = async (
    round: number,
    change: (ms: number) => { closesAtMs: number | null; key: string | null },
  ): Promise<void> => {
    for (let b = 0; b < buckets; b += 1) {
      const state = await admin(b).state();
      const record = state.rounds.find((candidate) => candidate.round === round)!;
      await admin(b).putRound(round, {
        v: record.v + 1,
        opensAtMs: state.timeMs - 1000,
        ...change(state.timeMs),
      });
    }
  };
  const token = (user: string): string =>
    signToken(user, secrets.token[0]!, Math.floor(Date.now() / 1000) + 3600);
  const call = async (method: string, url: string, headers: Record<string, string>): Promise<Response> =>
    fetch(url, { method, headers });
  return {
    dir,
    topology,
    secrets,
    pack,
    redis,
    mysql,
    users,
    admin,
    open: (round, key) => install(round, (ms) => ({ closesAtMs: ms + 3_600_000, key })),
    close: (round) => install(round, (ms) => ({ closesAtMs: ms - 1, key: "k" })),
    async sayFinal(round) {
      for (let b = 0; b < buckets; b += 1) {
        const { rounds } = await admin(b).state();
        await admin(b).setFinal(round, rounds.find((each) => each.round === round)!.stock);
      }
    },
    token,
    bucketOf: (user) => bucketOf(topology, user),
    startPersist: startPersistOf,
    async startPayout(b) {
      const bucket = topology.buckets[b]!;
      const part = await startPayout(openFrame(topology, bucket.id, "payout", "pay0"), bucket.payout[0]!);
      running.push(part);
      return part;
    },
    async grab(user, ask = {}) {
      const http = place(ask.bucket ?? bucketOf(topology, user), ask.service ?? 0).http;
      const n = ask.n === undefined ? "" : `&n=${ask.n}`;
      const response = await call(
        "POST",
        `http://${http}/v1/rounds/${ask.round ?? 1}/grab?k=${ask.key ?? "k"}${n}`,
        {
          authorization: `Bearer ${ask.token ?? token(user)}`,
          ...ask.headers,
        },
      );
      return {
        status: response.status,
        body: (await response.json()) as Record<string, unknown>,
        stock: response.headers.get("x-hongbao-stock"),
        isOften: response.headers.has("x-hongbao-often"),
      };
    },
    async get(user, path) {
      const response = await call("GET", `http://${place(bucketOf(topology, user), 0).http}${path}`, {
        authorization: `Bearer ${token(user)}`,
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
  };
}
