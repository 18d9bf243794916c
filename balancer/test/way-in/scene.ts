/** A whole cluster for the tests of the way in: one start for all of them. */
import { createHmac } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Test } from "tap";
import { startTestCluster, temporaryState, waitUntil, type TestCluster } from "@hongbao/infra";
import { bucketOf, readSecrets, signToken, type Secrets, type ServicePlace } from "@hongbao/preprocess";
import { ask, type Answer, type Ask } from "../haproxy/harness.ts";
import { Contract } from "./contract.ts";

/** 1 for all; 2 for staff only, up to three; 3 an item; 4 stays shut; 5 runs dry; from 10 on as many as a test likes. */
export const ROUND = { all: 1, staff: 2, item: 3, shut: 4, small: 5, more: 10 } as const;
const USERS = 300;
const STAFF = 200;

export interface Scene {
  cluster: TestCluster;
  port: number;
  secrets: Secrets;
  /** u1, u2, …; the last ones are guests. */
  users: string[];
  /** One user of each bucket after the other, who has not been given out before. */
  fresh(bucket: number): string;
  token(user: string): string;
  bearer(user: string): { authorization: string };
  service(bucket: number): ServicePlace;
  contract: Contract;
  /** Whatever `ask` was told. */
  answers: { method: string; path: string; answer: Answer }[];
  /** Through the balancer, over kept connections. */
  ask(path: string, options?: Ask): Promise<Answer>;
  /** The operator's call to an admin port. */
  setSwitch(name: string, value: string): Promise<void>;
  operate(admin: string, path: string, body?: unknown): Promise<unknown>;
  /** Prizes issued so far by round, over all buckets. */
  issued(): Promise<Map<number, number>>;
  /** Opens a round by the operator's order; its key, as people find it. */
  open(round: number): Promise<string>;
  startFile(round: number): Promise<string>;
}

export const keyIn = (startFile: string): string | null => /"key":"([^"]+)"/.exec(startFile)?.[1] ?? null;

export async function startScene(t: Test, moreRounds = 0): Promise<Scene> {
  const dir = temporaryState(t);
  const cluster = await startTestCluster(t, { event: writeEvent(dir, moreRounds), buckets: 2, services: 1 });
  const secrets = readSecrets(cluster.topology);
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  t.teardown(() => agent.destroy());
  const port = Number(new URL(cluster.url).port);
  const users = Array.from({ length: USERS }, (_, index) => `u${index + 1}`);
  const ofBucket = [0, 1].map((bucket) =>
    users.slice(0, STAFF).filter((user) => bucketOf(cluster.topology, user) === bucket),
  );
  const token = (user: string): string =>
    signToken(user, secrets.token[0]!, Math.floor(Date.now() / 1000) + 3600);
  const service = (bucket: number): ServicePlace =>
    (cluster.topology.buckets[bucket]!.services as ServicePlace[])[0]!;
  const operate: Scene["operate"] = async (admin, path, body) => {
    const call = (): Promise<Response> =>
      fetch(`http://${admin}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization: `Bearer ${secrets.operator}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    let response: Response | null = null;
    // A process that was killed is started again.
    for (let tries = 0; response === null && tries < 100; tries += 1) {
      response = await call().catch(() => sleep(100).then(() => null));
    }
    if (response === null) throw new Error(`${admin} does not answer`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const startFile = async (round: number): Promise<string> =>
    (await ask(port, `/start/${round}.js`, { agent })).text;
  const setSwitch = async (name: string, value: string): Promise<void> => {
    const words = ["switch", "set", name, value, "--for", "1h", "--by", "test"];
    const { code, stderr } = await cluster.hongbao(words);
    if (code !== 0) throw new Error(stderr);
  };
  // These tests press far faster than people do; what the limits themselves do is another test's matter.
  for (const name of ["limit.user", "limit.ip"]) await setSwitch(name, "off");
  const answers: Scene["answers"] = [];
  return {
    contract: new Contract(),
    setSwitch,
    answers,
    cluster,
    port,
    secrets,
    users,
    fresh: (bucket) => ofBucket[bucket]!.shift()!,
    token,
    bearer: (user) => ({ authorization: `Bearer ${token(user)}` }),
    service,
    async ask(path, options = {}) {
      const answer = await ask(port, path, { agent, ...options });
      answers.push({ method: options.method ?? "GET", path, answer });
      return answer;
    },
    operate,
    startFile,
    async issued() {
      const sums = new Map<number, number>();
      for (const bucket of [0, 1]) {
        const { rounds } = (await operate(service(bucket).admin, "/admin/state")) as {
          rounds: { round: number; issued: number }[];
        };
        for (const { round, issued } of rounds) sums.set(round, (sums.get(round) ?? 0) + issued);
      }
      return sums;
    },
    async open(round) {
      const order = { by: "test", why: "" };
      await operate(cluster.topology.controllers[0]!.admin, `/admin/rounds/${round}/open`, order);
      let key: string | null = null;
      const isSeen = async (): Promise<boolean> => (key = keyIn(await startFile(round))) !== null;
      await waitUntil(isSeen, { what: `the key of round ${round}`, timeoutMsMax: 20_000, intervalMs: 10 });
      return key!;
    },
  };
}

function writeEvent(dir: string, moreRounds: number): string {
  const lines = Array.from(
    { length: USERS },
    (_, n) => `u${n + 1},User ${n + 1},${n < STAFF ? "staff" : "guest"}`,
  );
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${lines.join("\n")}\n`);
  const envelopes = (id: number, opens: string, count: number, rest = ""): string =>
    `{ id: ${id}, kind: envelope, opensAt: ${opens}, closesAt: +1h, count: ${count}, budget: ${count}.00, ` +
    `split: { method: equal }, leftovers: hold${rest} }`;
  const rounds = [
    envelopes(ROUND.all, "now+1h", 200),
    envelopes(ROUND.staff, "manual", 60, ", perUser: 3, groups: [staff]"),
    `{ id: ${ROUND.item}, kind: item, item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }, opensAt: manual, closesAt: +1h, count: 2 }`,
    envelopes(ROUND.shut, "manual", 10),
    envelopes(ROUND.small, "manual", 4),
    ...Array.from({ length: moreRounds }, (_, n) => envelopes(ROUND.more + n, "manual", 10)),
  ];
  const path = join(dir, "event.yaml");
  const head = [
    "event: way-in",
    "title: { zh: 入口, en: Way in }",
    "currency: CNY",
    "timezone: Asia/Shanghai",
    `budget: ${274 + 10 * moreRounds}.00`,
    "users: users.csv",
    "rounds:",
  ];
  writeFileSync(path, `${[...head, ...rounds.map((round) => `  - ${round}`)].join("\n")}\n`);
  return path;
}

/** Sends raw bytes; what came back until the connection ended, or until nothing more came for a while. */
export function raw(port: number, bytes: string | Buffer, quietMs = 300): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.setEncoding("latin1");
    socket.setTimeout(quietMs, () => socket.destroy());
    socket.on("data", (chunk: string) => (answer += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}

/** A token with any texts as header and claims, signed as HS256 or as something else. */
export function forge(header: string, claims: string, key: string, hash = "sha256"): string {
  const part = (text: string): string => Buffer.from(text).toString("base64url");
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest("base64url")}`;
}

/** Runs `work` for each number below `count`, so many at a time. */
export async function inParallel(
  count: number,
  lanes: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await work(index);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
