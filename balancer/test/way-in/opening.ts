/** Start control: nothing is issued before the opening, whoever calls and however; then the key works everywhere at once. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { SpopClient } from "../../../bucket-service/test/spop/client.ts";
import { ask } from "../haproxy/harness.ts";
import { inParallel, keyIn, ROUND, type Scene } from "./scene.ts";

const guess = (): string => randomBytes(18).toString("base64url");

/** Ways to ask for a prize of a round that is shut. */
function attempts(scene: Scene, round: number, otherKey: string): ((index: number) => Promise<string>)[] {
  const path = (query: string): string => `/v1/rounds/${round}/grab${query}`;
  const word = ({ json, status }: { json?: { result?: string } | undefined; status: number }): string =>
    json?.result ?? `status ${status}`;
  const user = (index: number): string => scene.users[index % scene.users.length]!;
  const post = async (index: number, query: string, headers: Record<string, string> = {}) =>
    word(
      await scene.ask(path(query), { method: "POST", headers: { ...scene.bearer(user(index)), ...headers } }),
    );
  const direct = async (index: number, query: string, headers: Record<string, string> = {}) => {
    const port = Number(scene.service(index % 2).http.split(":")[1]);
    return word(
      await ask(port, path(query), { method: "POST", headers: { ...scene.bearer(user(index)), ...headers } }),
    );
  };
  const marks = { "x-hongbao-second-pass": "1" };
  return [
    (index) => post(index, `?k=${guess()}`),
    (index) => post(index, `?k=${otherKey}`),
    (index) => post(index, "?k="),
    (index) => post(index, ""),
    (index) => post(index, `?k=${guess()}&k=${otherKey}&n=1`, marks),
    (index) => post(index, `?k=null`),
    (index) => post(index, `?k=${otherKey.slice(0, -1)}`),
    (index) => post(index, `?k=${guess()}`, { "x-hongbao-key": otherKey, "x-forwarded-for": "127.0.0.1" }),
    (index) => direct(index, `?k=${guess()}`),
    (index) => direct(index, `?k=${otherKey}`, marks),
    (index) => direct(index, "?k=", marks),
  ];
}

/** The same by the other door, as somebody would who has broken into the private network and knows its secret. */
async function askAgents(
  scene: Scene,
  round: number,
  keys: string[],
  words: Map<string, number>,
): Promise<void> {
  for (const bucket of [0, 1]) {
    const client = await SpopClient.ready(Number(scene.service(bucket).spop.split(":")[1]));
    for (const [index, key] of keys.entries()) {
      const user = scene.users[index % scene.users.length]!;
      const args = { secret: scene.secrets.spop[0]!, round: String(round), user, key, n: null };
      const answer = await client.ask(index + 1, args);
      const { result = "none" } = JSON.parse(String(answer?.["txn.body"] ?? "{}")) as { result?: string };
      words.set(result, (words.get(result) ?? 0) + 1);
    }
    client.end();
  }
}

export async function beforeOpening(t: Test, scene: Scene, guesses: number, otherKey: string): Promise<void> {
  const words = new Map<string, number>();
  for (const round of [ROUND.all, ROUND.shut]) {
    const ways = attempts(scene, round, otherKey);
    await inParallel(guesses / 2, 24, async (index) => {
      const word = await ways[index % ways.length]!(index);
      words.set(word, (words.get(word) ?? 0) + 1);
    });
    const keys = Array.from({ length: guesses / 20 }, (_, n) => [guess(), otherKey, "", "null"][n % 4]!);
    await askAgents(scene, round, keys, words);
  }
  t.comment(`before the opening: ${JSON.stringify(Object.fromEntries(words))}`);
  // A user of the other bucket is told `busy` by a service that is asked directly.
  t.same(
    [...words.keys()].filter((word) => !["not_open", "busy"].includes(word)),
    [],
  );
  t.ok(words.get("not_open")! > guesses / 2);
  const issued = await scene.issued();
  t.same([issued.get(ROUND.all), issued.get(ROUND.shut)], [0, 0], "nothing was issued");
}

/** Whoever knows no secret is told nothing at the private doors. */
export async function privateDoors(t: Test, scene: Scene): Promise<void> {
  const { topology } = scene.cluster;
  const { http, spop } = scene.service(0);
  const answer = await ask(Number(http.split(":")[1]), `/v1/rounds/${ROUND.all}/grab?k=x`, {
    method: "POST",
  });
  t.match(answer, { status: 401, json: { result: "unauthorized" } }, "the HTTP door wants a token");
  const cookie = `hongbao=${scene.token("u1")}`;
  t.match(
    await ask(Number(http.split(":")[1]), "/v1/wins", { headers: { cookie } }),
    { status: 401 },
    "and takes no cookie, as it cannot judge where it comes from",
  );
  for (const secret of ["", "x", scene.secrets.receipt[0]!, scene.secrets.spop[0]!.slice(1), null]) {
    const client = await SpopClient.ready(Number(spop.split(":")[1]));
    const args = { round: "1", user: "u1", key: "x", n: null, ...(secret === null ? {} : { secret }) };
    t.equal(
      await client.ask(1, args),
      null,
      `the SPOP door with the secret ${secret === null ? "left out" : "wrong"}`,
    );
    await client.closed();
  }
  const admins = [
    topology.balancer.admin,
    ...topology.controllers.map(({ admin }) => admin),
    ...topology.buckets.flatMap(({ services, persist, payout }) =>
      [...(services as { admin: string }[]), ...persist, ...payout].map(({ admin }) => admin),
    ),
  ];
  const wrong = [
    "",
    "Bearer",
    "Bearer x",
    `Bearer ${scene.secrets.token[0]}`,
    `bearer ${scene.secrets.operator}x`,
  ];
  for (const admin of admins) {
    for (const [method, path] of [
      ["GET", "/admin/state"],
      ["POST", "/admin/rounds/1/open"],
      ["PUT", "/admin/rounds/1"],
      ["POST", "/admin/reload"],
      ["GET", "/admin/anything"],
      // A controller's is the operator's page, which holds nothing.
      ...(topology.controllers.some((controller) => controller.admin === admin)
        ? []
        : [["GET", "/"] as const]),
    ] as const) {
      for (const authorization of wrong) {
        const headers = authorization === "" ? {} : { authorization };
        const { status } = await fetch(`http://${admin}${path}`, { method, headers });
        if (status !== 401)
          t.equal(status, 401, `${admin} ${method} ${path} with "${authorization.slice(0, 9)}"`);
      }
    }
  }
  t.pass(`${admins.length} admin ports refuse whoever has no operator secret`);
}

export interface Opening {
  /** ms after the opening when each bucket had the key, and when its first user had won. */
  installedMs: number[];
  wonMs: number[];
  startFileMs: number;
  key: string;
}

/** Moves a round's opening to a moment from now and watches it from outside. */
export async function watchOpening(scene: Scene, round: number): Promise<Opening> {
  const opensAtMs = Date.now() + 700;
  const controller = scene.cluster.topology.controllers[0]!.admin;
  await scene.operate(controller, `/admin/rounds/${round}/move`, { by: "test", why: "", opensAtMs });
  const since = (): number => Date.now() - opensAtMs;
  const until = async <T>(look: () => Promise<T | null>): Promise<T> => {
    for (;;) {
      const found = await look();
      if (found !== null) return found;
      if (since() > 30_000) throw new Error(`round ${round} does not open`);
      await sleep(5);
    }
  };
  const installed = [0, 1].map((bucket) =>
    until(async () => {
      const state = await scene.operate(scene.service(bucket).admin, "/admin/state");
      const { rounds } = state as { rounds: { round: number; hasKey: boolean }[] };
      return rounds.find((each) => each.round === round)!.hasKey ? since() : null;
    }),
  );
  const key = await until(async () => keyIn(await scene.startFile(round)));
  const startFileMs = since();
  const won = [0, 1].map((bucket) => {
    const headers = scene.bearer(scene.fresh(bucket));
    return until(async () => {
      const { json } = await scene.ask(`/v1/rounds/${round}/grab?k=${key}`, { method: "POST", headers });
      return json?.result === "won" ? since() : null;
    });
  });
  const [installedMs, wonMs] = await Promise.all([Promise.all(installed), Promise.all(won)]);
  return { installedMs, wonMs, startFileMs, key };
}

export async function openings(t: Test, scene: Scene, rounds: number[]): Promise<string[]> {
  const seen: Opening[] = [];
  for (const round of rounds) seen.push(await watchOpening(scene, round));
  const figures = (values: number[]): string => {
    const sorted = values.toSorted((a, b) => a - b);
    return `p50 ${sorted[Math.floor((sorted.length - 1) / 2)]} ms, max ${sorted.at(-1)} ms`;
  };
  t.comment(
    `${rounds.length} openings: in each bucket ${figures(seen.flatMap(({ installedMs }) => installedMs))};`,
  );
  t.comment(`start file ${figures(seen.map(({ startFileMs }) => startFileMs))};`);
  t.comment(`first win in each bucket ${figures(seen.flatMap(({ wonMs }) => wonMs))}`);
  const early = seen.flatMap(({ startFileMs, wonMs }) => [startFileMs, ...wonMs]).filter((ms) => ms < 0);
  t.same(early, [], "nothing before the opening");
  const keys = seen.map(({ key }) => key);
  t.equal(new Set(keys).size, keys.length, "a key of its own for each");
  for (const key of keys) t.match(key, /^[A-Za-z0-9_-]{22,}$/, "random and long");
  return keys;
}

/** The controller that leads is killed just when the key has been decided, and one bucket is away all the while. */
export async function killedAndAway(t: Test, scene: Scene, round: number): Promise<void> {
  const { state, topology } = scene.cluster;
  const { processes } = scene.cluster.now();
  const leads = async ({ admin }: { admin: string }): Promise<boolean> =>
    ((await scene.operate(admin, "/admin/state")) as { leading: boolean }).leading;
  const [first, second] = topology.controllers as [
    { id: string; admin: string },
    { id: string; admin: string },
  ];
  const leader = (await leads(first)) ? first : second;
  const isDecided = (): boolean =>
    readdirSync(join(state, "control"), { recursive: true }).some((name) =>
      String(name).endsWith(`keys/${round}.record`),
    );
  t.notOk(isDecided(), "there is no key before the opening");
  const redis = processes.redis["b1"]!.pid;
  process.kill(redis, "SIGSTOP");
  const opensAtMs = Date.now() + 1_000;
  await scene.operate(leader.admin, `/admin/rounds/${round}/move`, { by: "test", why: "", opensAtMs });
  while (!isDecided() && Date.now() < opensAtMs + 10_000) await sleep(1);
  process.kill(processes.controllers[leader.id]!, "SIGKILL");
  let key: string | null = null;
  const isSeen = async (): Promise<boolean> => (key = keyIn(await scene.startFile(round))) !== null;
  await waitUntil(isSeen, { what: "the start file", timeoutMsMax: 30_000, intervalMs: 10 });
  const seenMs = Date.now() - opensAtMs;
  const press = async (user: string): Promise<string> =>
    (await scene.ask(`/v1/rounds/${round}/grab?k=${key}`, { method: "POST", headers: scene.bearer(user) }))
      .json!.result!;
  t.equal(await press(scene.fresh(0)), "won", "the bucket that is there opens");
  const waiting = scene.fresh(1);
  t.equal(await press(waiting), "busy", "the other one is away");
  process.kill(redis, "SIGCONT");
  const backAtMs = Date.now();
  const hasWon = async (): Promise<boolean> => (await press(waiting)) === "won";
  await waitUntil(hasWon, { what: "a win with the same key", timeoutMsMax: 30_000, intervalMs: 10 });
  t.equal(keyIn(await scene.startFile(round)), key, "and the key is still the same");
  t.comment(
    `killed at the opening: start file after ${seenMs} ms; back, the bucket opened in ${Date.now() - backAtMs} ms`,
  );
}

/** What was made before an opening does not hold the key. */
export function keysAreNew(t: Test, scene: Scene, keys: string[]): void {
  const { state } = scene.cluster;
  const made = ["pack", "topology.yaml", "balancer/haproxy.cfg", "secrets", "pack.seed", "event"];
  for (const entry of readdirSync(state, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !made.some((name) => path.startsWith(join(state, name)))) continue;
    const text = readFileSync(path, "latin1");
    for (const key of keys) if (text.includes(key)) t.fail(`${path} holds a key`);
  }
  t.pass("no file of before the opening holds a key");
}
