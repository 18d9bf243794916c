/** A real HAProxy in front of small servers that play the services, for tests of what HAProxy itself decides. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { freePort } from "@hongbao/infra";
import { signToken, type Topology } from "@hongbao/preprocess";
import { BUSY_PAGE } from "../../src/haproxy/answers.ts";
import { CONFIG, writeWhole } from "../../src/haproxy/files.ts";
import { MAPS, mapText, pushedMaps, slotsMap, type RoundWord } from "../../src/haproxy/maps.ts";
import { Master } from "../../src/haproxy/master.ts";
import { render, TOKEN_KEY, TOKEN_KEY_PREVIOUS, type RoundRules } from "../../src/haproxy/render.ts";
import { reconcileMap } from "../../src/haproxy/runtime.ts";
import { STANDARD_VARIABLES, switchView } from "../../src/haproxy/switched.ts";

export const KEY = "0123456789abcdef0123456789abcdef";
export const PREVIOUS_KEY = "fedcba9876543210fedcba9876543210";

export const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3600;
export const tokenOf = (user: string, key = KEY): string => signToken(user, key, inAnHour());
export const bearer = (user: string): Record<string, string> => ({
  authorization: `Bearer ${tokenOf(user)}`,
});

export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
  /** The parsed body; undefined when it is empty or not JSON. */
  json: { result?: string; [field: string]: unknown } | undefined;
}

export interface Ask {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string;
  agent?: Agent;
  /** Our own address, one of 127.0.0.0/8. */
  from?: string;
}

export function ask(
  port: number,
  path: string,
  { method = "GET", headers = {}, body, agent, from }: Ask = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        headers,
        agent: agent ?? false,
        ...(from === undefined ? {} : { localAddress: from }),
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => {
          resolve({ status: response.statusCode!, headers: response.headers, text, json: parse(text) });
        });
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

function parse(text: string): Answer["json"] {
  try {
    return JSON.parse(text) as Answer["json"];
  } catch {
    return undefined;
  }
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export function answerJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Tells who was asked what: bucket, service, method, URL and the headers that arrived. */
export function echo(bucket: string, service: string): Handler {
  return (request, response) =>
    answerJson(response, 200, {
      bucket,
      service,
      method: request.method,
      url: request.url,
      headers: request.headers,
    });
}

export interface FakeService {
  http: string;
  admin: string;
  handler: Handler;
  ready: boolean;
  requests: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function fakeService(t: Test, handler: Handler): Promise<FakeService> {
  const [httpPort, adminPort] = [await freePort(), await freePort()];
  let servers: Server[] = [];
  const service: FakeService = {
    http: `127.0.0.1:${httpPort}`,
    admin: `127.0.0.1:${adminPort}`,
    handler,
    ready: true,
    requests: 0,
    async start() {
      const doors: [number, Handler][] = [
        [httpPort, (request, response) => ((service.requests += 1), service.handler(request, response))],
        [adminPort, (_request, response) => response.writeHead(service.ready ? 200 : 503).end()],
      ];
      servers = doors.map(([, door]) => createServer({ keepAliveTimeout: 60_000 }, door));
      await Promise.all(
        servers.map(
          (server, index) =>
            new Promise<void>((resolve) => server.listen(doors[index]![0], "127.0.0.1", resolve)),
        ),
      );
    },
    async stop() {
      await Promise.all(
        servers.map((server) => {
          const closed = new Promise((resolve) => server.close(resolve));
          server.closeAllConnections();
          return closed;
        }),
      );
      servers = [];
    },
  };
  await service.start();
  t.teardown(() => service.stop());
  return service;
}

export interface Rig {
  port: number;
  dir: string;
  topology: Topology;
  /** By bucket. */
  services: Record<string, FakeService[]>;
  site: FakeService;
  master: Master;
  setRounds(rounds: Record<string, string>): Promise<void>;
  setStocks(stocks: Record<string, string>): Promise<void>;
  /** Where the grabs of a bucket go in a `switched` round. */
  setPlaces(places: Record<string, string>): Promise<void>;
  grab(round: number | string, user: string, query?: string): Promise<Answer>;
}

export interface RigOptions {
  /** Slots of each bucket; default two halves. */
  slots?: Record<string, [number, number][]>;
  servicesPerBucket?: number;
  rounds?: RoundRules[] | null;
  keys?: string[];
  url?: string;
  /** Where the page is, when it is not a controller behind HAProxy. */
  siteUrl?: string;
  controllers?: Topology["controllers"];
  /** Ends TLS, with a certificate that nobody signed. */
  tls?: boolean;
  threads?: number;
  /** Default: no limits, so that tests may ask as often as they like. */
  limits?: { user: number; ip: number };
  /** Where HAProxy listens, without the port. */
  host?: string;
  proxyProtocol?: boolean;
}

/** Files and services, without HAProxy. */
export async function layOut(t: Test, options: RigOptions = {}) {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-haproxy-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const slots = options.slots ?? { b0: [[0, 511]], b1: [[512, 1023]] };
  const services: Record<string, FakeService[]> = {};
  for (const bucket of Object.keys(slots)) {
    services[bucket] = [];
    for (let index = 0; index < (options.servicesPerBucket ?? 1); index += 1) {
      services[bucket].push(await fakeService(t, echo(bucket, `s${index}`)));
    }
  }
  const site = await fakeService(t, echo("site", "site"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const topology: Topology = {
    path: join(dir, "topology.yaml"),
    slots: 1024,
    pack: join(dir, "pack"),
    control: join(dir, "control"),
    balancer: {
      listen: `${options.host ?? "127.0.0.1"}:${port}`,
      url: options.url ?? `http://127.0.0.1:${port}`,
      admin: `127.0.0.1:${adminPort}`,
      ...(options.tls === true ? { tls: { cert: makeCertificate(dir) } } : {}),
      site: options.siteUrl ?? `http://${site.http}`,
      ...(options.proxyProtocol ? { proxyProtocol: true } : {}),
    },
    controllers: options.controllers ?? [],
    buckets: Object.entries(slots).map(([id, runs]) => ({
      id,
      slots: runs,
      redis: { url: "redis://127.0.0.1:1", tls: false, cluster: false },
      mysql: { url: "mysql://hongbao@127.0.0.1:1", tls: false },
      services: services[id]!.map(({ http, admin }, index) => ({
        id: `s${index}`,
        http,
        admin,
        spop: "127.0.0.1:1",
      })),
      persist: [],
      payout: [],
    })),
    secrets: {} as Topology["secrets"],
  };
  return { dir, port, topology, services, site };
}

function makeCertificate(dir: string): string {
  const [key, cert, both] = ["key.pem", "cert.pem", "tls.pem"].map((name) => join(dir, name));
  const options =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...options.split(" "), "-keyout", key!, "-out", cert!], { stdio: "ignore" });
  writeFileSync(both!, readFileSync(cert!, "utf8") + readFileSync(key!, "utf8"), { mode: 0o600 });
  return both!;
}

function roundsMap(rounds: Record<string, string>): Map<string, string> {
  const words = Object.entries(rounds).map(([id, word]): [number, RoundWord] => [
    Number(id),
    word as RoundWord,
  ]);
  return pushedMaps({ rounds: new Map(words), stocks: new Map() }).rounds;
}

export async function startRig(t: Test, options: RigOptions = {}): Promise<Rig> {
  const laidOut = await layOut(t, options);
  const { dir, port, topology } = laidOut;
  mkdirSync(join(dir, "maps"));
  const rules = options.rounds === undefined ? [{ id: 1, perUser: 1, groups: null }] : options.rounds;
  const manifest = rules === null ? null : { rounds: rules };
  writeWhole(
    dir,
    CONFIG,
    render(topology, manifest, {
      threads: options.threads ?? 2,
      connectionsMax: 1_000,
      door: "http",
      variables: {
        ...STANDARD_VARIABLES,
        "proc.limit_user": options.limits?.user ?? 0,
        "proc.limit_ip": options.limits?.ip ?? 0,
      },
    }),
  );
  writeWhole(dir, BUSY_PAGE.name, BUSY_PAGE.text);
  writeWhole(dir, MAPS.slots, slotsMap(topology));
  writeWhole(
    dir,
    MAPS.rounds,
    mapText(roundsMap(Object.fromEntries((rules ?? []).map(({ id }) => [id, "live"])))),
  );
  writeWhole(dir, MAPS.stocks, "");
  writeWhole(dir, MAPS.ended, "");
  writeWhole(dir, MAPS.switches, mapText(switchView([], Object.keys(laidOut.services), 0).places));
  const [current = KEY, previous] = options.keys ?? [KEY];
  const master = new Master({
    dir,

    keys: { [TOKEN_KEY]: current, ...(previous === undefined ? {} : { [TOKEN_KEY_PREVIOUS]: previous }) },
  });
  await master.start();
  t.teardown(() => master.stop());
  const set = async (map: string, entries: Record<string, string>): Promise<void> => {
    await reconcileMap(master.runtime, map, new Map(Object.entries(entries)));
  };
  return {
    ...laidOut,
    master,
    setRounds: (rounds) => set(MAPS.rounds, Object.fromEntries(roundsMap(rounds))),
    setStocks: (stocks) => set(MAPS.stocks, stocks),
    setPlaces: (places) => set(MAPS.switches, places),
    grab: (round, user, query = "k=key") =>
      ask(port, `/v1/rounds/${round}/grab?${query}`, { method: "POST", headers: bearer(user) }),
  };
}

/** Calls `look` until it answers true; the test's own time-out ends what never comes. */
export async function eventually(look: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 20));
}
