/** A whole cluster for tests of moves: people who grab through the balancer, and books by direct figures of both stores. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RowDataPacket } from "mysql2/promise";
import { temporaryState, startTestCluster, waitUntil, type TestCluster } from "@hongbao/infra";
import { bucketOf, openPack, readSecrets } from "@hongbao/preprocess";
import { unpackEntry } from "../../src/persist/journal.ts";
import { withBucket } from "../../src/stores.ts";

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

export interface Person {
  user: string;
  token: string;
  bucket: number;
}

export interface MovesCluster extends TestCluster {
  people: Person[];
}

/** @param rounds YAML lines of the event's rounds, each one flow mapping. */
export async function movesCluster(
  t: Teardown,
  plan: { users: number; budget: string; rounds: string[] },
): Promise<MovesCluster> {
  const dir = temporaryState(t);
  const users = Array.from({ length: plan.users }, (_, index) => `u${index + 1},Name,staff\n`);
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("")}`);
  const event = [
    "event: moves",
    "title: { zh: 移, en: Moves }",
    "currency: CNY",
    "timezone: Asia/Shanghai",
    `budget: ${plan.budget}`,
    "users: users.csv",
    "rounds:",
    ...plan.rounds.map((round) => `  - ${round}`),
    "",
  ];
  writeFileSync(join(dir, "event.yaml"), event.join("\n"));
  const cluster = await startTestCluster(t, { event: join(dir, "event.yaml"), services: 2, buckets: 2 });
  const tokens = join(dir, "tokens");
  const { code, stderr } = await cluster.hongbao(["token", "--all", "--out", tokens]);
  if (code !== 0) throw new Error(stderr);
  const people = readFileSync(tokens, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [user, token] = line.split("\t");
      return { user: user!, token: token!, bucket: bucketOf(cluster.topology, user!) };
    });
  return { ...cluster, people };
}

/** Runs a command that must succeed; its JSON. */
export async function ordered<T>(cluster: TestCluster, words: string): Promise<T> {
  const { code, stdout, stderr } = await cluster.hongbao([...words.split(" "), "--json"]);
  if (code !== 0) throw new Error(`${words}: exit ${code}: ${stderr} ${stdout.slice(0, 2_000)}`);
  return JSON.parse(stdout) as T;
}

/** Opens a round by command; its key, as people find it. */
export async function opened(cluster: TestCluster, round: number): Promise<string> {
  await ordered(cluster, `round open ${round} --yes`);
  let key: string | undefined;
  await waitUntil(
    async () => {
      const text = await (await fetch(`${cluster.url}/start/${round}.js`)).text();
      key = /"key":"([^"]+)"/.exec(text)?.[1];
      return key !== undefined;
    },
    { what: `the start file of round ${round}`, timeoutMsMax: 20_000 },
  );
  return key!;
}

export interface Told {
  word: string;
  id: number | null;
  /** How long each answer took. */
  ms: number[];
}

/** Asks like a page does: again after `busy`, until the first `won` or `ended`. */
export async function grab(
  cluster: TestCluster,
  person: Person,
  ask: { round: number; key: string; n?: number; busyMax?: number },
): Promise<Told> {
  const ms: number[] = [];
  for (let tries = 0; ; tries += 1) {
    const began = performance.now();
    const n = ask.n === undefined ? "" : `&n=${ask.n}`;
    const response = await fetch(`${cluster.url}/v1/rounds/${ask.round}/grab?k=${ask.key}${n}`, {
      method: "POST",
      headers: { authorization: `Bearer ${person.token}` },
    });
    const body = (await response.json()) as { result: string; prize?: { id: string } };
    ms.push(performance.now() - began);
    const isAgain = body.result === "busy" || body.result === "limited";
    if (!isAgain || tries >= (ask.busyMax ?? 100))
      return { word: body.result, id: body.prize === undefined ? null : Number(body.prize.id), ms };
    await sleep(1_000 * Number(response.headers.get("retry-after") ?? 1) * (0.5 + Math.random()));
  }
}

/** All of them, so many at a time. */
export async function grabAll(
  cluster: TestCluster,
  people: readonly Person[],
  ask: { round: number; key: string; n?: number; busyMax?: number },
  atOnce = 50,
): Promise<Told[]> {
  const waiting = [...people];
  const told: Told[] = [];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let person = waiting.pop(); person !== undefined; person = waiting.pop())
        told.push(await grab(cluster, person, ask));
    }),
  );
  return told;
}

export interface Books {
  /** IDs that stand in more than one place, and that stand in none. */
  doubled: number[];
  lost: number[];
  claims: { bucket: string; round: number; prizeId: number; amountMinor: number }[];
  /** By `bucket/round`. */
  left: Record<string, number>;
}

/** Where every generated ID is, by MySQL's claims, Redis's journal and Redis's ranges of all buckets. */
export async function booksOf(cluster: TestCluster): Promise<Books> {
  const pack = openPack(cluster.topology.pack);
  const secrets = readSecrets(cluster.topology, ["redis", "mysql"]);
  const places = new Map<number, number>();
  const stands = (id: number): void => void places.set(id, (places.get(id) ?? 0) + 1);
  const books: Books = { doubled: [], lost: [], claims: [], left: {} };
  for (const bucket of cluster.topology.buckets) {
    await withBucket({ pack, bucket, secrets, name: "books" }, async ({ mysql, store }) => {
      const { state, journal } = await store.cut();
      const [rows] = await mysql.query<RowDataPacket[]>(
        "SELECT prize_id, round_id, amount_minor FROM claims",
      );
      const inMysql = new Set<number>();
      for (const row of rows) {
        const claim = { round: row["round_id"] as number, prizeId: Number(row["prize_id"]) };
        books.claims.push({ ...claim, bucket: bucket.id, amountMinor: Number(row["amount_minor"]) });
        inMysql.add(claim.prizeId);
        stands(claim.prizeId);
      }
      for (const { packed } of journal)
        for (const { prizeId } of unpackEntry(packed)) if (!inMysql.has(prizeId)) stands(prizeId);
      for (const { round, lo, left, waitingRanges } of state.rounds) {
        const runs = [{ lo, count: left }, ...waitingRanges];
        books.left[`${bucket.id}/${round}`] = runs.reduce((sum, { count }) => sum + count, 0);
        for (const run of runs) for (let id = run.lo; id < run.lo + run.count; id += 1) stands(id);
      }
    });
  }
  for (let id = pack.firstId; id < pack.firstId + pack.prizeCount; id += 1) {
    const count = places.get(id) ?? 0;
    if (count === 0) books.lost.push(id);
    if (count > 1) books.doubled.push(id);
    places.delete(id);
  }
  // IDs that were never generated.
  books.doubled.push(...places.keys());
  pack.close();
  return books;
}

/** Nothing is on its way any more. */
export async function allArrived(cluster: TestCluster): Promise<void> {
  await waitUntil(
    async () => {
      const { transfers } = await ordered<{ transfers: { state: string }[] }>(cluster, "round list");
      return transfers.every(({ state }) => state === "done");
    },
    { what: "the end of all transfers", timeoutMsMax: 30_000 },
  );
}

export async function journalsEmpty(cluster: TestCluster): Promise<void> {
  await waitUntil(
    async () => {
      const { buckets } = await ordered<{ buckets: { lagRows: number | null }[] }>(cluster, "status");
      return buckets.every(({ lagRows }) => lagRows === 0);
    },
    { what: "empty journals", timeoutMsMax: 30_000 },
  );
}
