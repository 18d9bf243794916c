/** A topology with its pack, secrets and fake bucket admin ports, for tests of whole processes without any store. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { InOrder, OutOrder, RoundRecord } from "@hongbao/bucket-service";
import { freePort } from "@hongbao/infra";
import { NO_SWITCHES, SECRET_NAMES, type SwitchSet } from "@hongbao/preprocess";
import { closeServer, listenOn } from "../src/listen.ts";
import { ModelBucket } from "./conductor/model.ts";

export const OPERATOR = "operator-secret-operator-secret";
export const TOKEN_SECRET = "token-secret-token-secret-token";
const SCRIPT = join(import.meta.dirname, "..", "..", "hongbao.ts");

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a hongbao command to its end. */
export function hongbao(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const words = ["--disable-warning=ExperimentalWarning", SCRIPT, ...args];
    execFile(process.execPath, words, { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

export interface Cluster {
  dir: string;
  topology: string;
  url: string;
  port: number;
  sitePort: number;
  balancerAdmin: string;
  controllers: { id: string; admin: string }[];
  buckets: ModelBucket[];
}

/** Rounds as lines of an event file, without their dash. */
const ROUNDS = [
  "id: 1\n    kind: envelope\n    opensAt: now+1h\n    closesAt: +10m\n    count: 20\n    budget: 20.00\n    split: { method: equal }",
  "id: 2\n    kind: envelope\n    opensAt: manual\n    closesAt: +10m\n    count: 20\n    budget: 20.00\n    split: { method: equal }",
];

/** @param rounds of 20 prizes each, as `ROUNDS` has them. */
export async function layOutCluster(t: Test, rounds: readonly string[] = ROUNDS): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-balancer-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const ports = await Promise.all(Array.from({ length: 7 }, () => freePort()));
  const at = (index: number): string => `127.0.0.1:${ports[index]}`;
  const buckets = [new ModelBucket("b0", () => Date.now()), new ModelBucket("b1", () => Date.now())];
  const admins = await Promise.all(buckets.map((bucket) => serveAdmin(t, bucket)));
  mkdirSync(join(dir, "secrets"));
  for (const name of SECRET_NAMES) {
    const value =
      { operator: OPERATOR, token: TOKEN_SECRET }[name as string] ?? `${name}-secret-${name}-secret`;
    writeFileSync(join(dir, "secrets", name), value);
  }
  const topology = join(dir, "topology.yaml");
  writeFileSync(
    topology,
    [
      "slots: 1024",
      "pack: pack",
      "control: control",
      `balancer: { listen: "${at(0)}", url: "http://${at(0)}", admin: "${at(1)}", site: "http://${at(2)}" }`,
      `controllers: [{ id: c0, admin: "${at(3)}" }, { id: c1, admin: "${at(4)}" }]`,
      "buckets:",
      ...buckets.map(({ id }, index) =>
        [
          `  - id: ${id}`,
          `    slots: [[${index * 512}, ${index * 512 + 511}]]`,
          `    redis: { url: "redis://127.0.0.1:1" }`,
          `    mysql: { url: "mysql://hongbao@127.0.0.1:1" }`,
          `    services: [{ id: s0, http: "${at(5 + index)}", spop: "127.0.0.1:${index + 2}", admin: "${admins[index]}" }]`,
        ].join("\n"),
      ),
      `secrets: { ${SECRET_NAMES.map((name) => `${name}: { file: secrets/${name} }`).join(", ")} }`,
      "",
    ].join("\n"),
  );
  await makePack(dir, topology, rounds);
  return {
    dir,
    topology,
    url: `http://${at(0)}`,
    port: ports[0]!,
    sitePort: ports[2]!,
    balancerAdmin: at(1),
    controllers: [
      { id: "c0", admin: at(3) },
      { id: "c1", admin: at(4) },
    ],
    buckets,
  };
}

async function makePack(dir: string, topology: string, rounds: readonly string[]): Promise<void> {
  const users = Array.from({ length: 40 }, (_, n) => `u${n},User ${n},staff`);
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("\n")}\n`);
  const event = [
    "event: test",
    "title: { zh: 测试, en: Test }",
    "currency: CNY",
    "timezone: Asia/Shanghai",
    `budget: ${20 * rounds.length}.00`,
    "users: users.csv",
    "rounds:",
    ...rounds.map((round) => `  - ${round}`),
    "",
  ];
  writeFileSync(join(dir, "event.yaml"), event.join("\n"));
  const words = [
    "preprocess",
    "generate",
    join(dir, "event.yaml"),
    "--topology",
    topology,
    "--out",
    join(dir, "pack"),
  ];
  const { code, stderr } = await hongbao(words);
  if (code !== 0) throw new Error(`no pack: ${stderr}`);
}

/** A bucket process's admin port, by the rules of the real one; the model decides. */
async function serveAdmin(t: Test, bucket: ModelBucket): Promise<string> {
  let switches: SwitchSet = NO_SWITCHES;
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    const act = async (): Promise<void> => {
      if (request.url === "/readyz") return answer(bucket.up ? 200 : 503, {});
      if (request.headers.authorization !== `Bearer ${OPERATOR}`) return answer(401, {});
      if (request.url === "/admin/state") return answer(200, bucket.state());
      const body = async <T>(): Promise<T> => JSON.parse(await text(request)) as T;
      if (request.url === "/admin/switches") {
        if (request.method === "PUT") switches = await body();
        return answer(200, switches);
      }
      const [, moveId, half] = /^\/admin\/moves\/([\w.-]+)\/(out|in)$/.exec(request.url ?? "") ?? [];
      if (moveId !== undefined) {
        const order = { ...(await body<object>()), id: moveId };
        const said = half === "out" ? bucket.moveOut(order as OutOrder) : bucket.moveIn(order as InOrder);
        return answer(said.ok ? 200 : said.outdated ? 412 : 409, said.ok ? said : { error: said.why });
      }
      const finalRound = /^\/admin\/rounds\/(\d+)\/final$/.exec(request.url ?? "")?.[1];
      if (finalRound !== undefined) {
        const { stock } = await body<{ stock: number }>();
        return answer(200, { final: bucket.setFinal(Number(finalRound), stock) });
      }
      const round = /^\/admin\/rounds\/(\d+)$/.exec(request.url ?? "")?.[1];
      if (request.method !== "PUT" || round === undefined) return answer(404, {});
      const { ok, ...said } = bucket.put(Number(round), JSON.parse(await text(request)) as RoundRecord);
      answer(ok ? 200 : 409, said);
    };
    act().catch(() => answer(503, { error: "away" }));
  });
  const address = `127.0.0.1:${await freePort()}`;
  await listenOn(server, address);
  t.teardown(() => closeServer(server));
  return address;
}

async function text(request: IncomingMessage): Promise<string> {
  let all = "";
  for await (const chunk of request.setEncoding("utf8")) all += String(chunk);
  return all;
}

/** Asks an admin port as the operator. */
export async function operatorAsks(
  admin: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: unknown }> {
  const response = await fetch(`http://${admin}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${OPERATOR}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, json: await response.json().catch(() => null) };
}

/** Calls `look` until it answers true; the test's own time-out ends what never comes. */
export async function eventually(look: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 20));
}
