/** A bucket whose Redis is lost in several ways, for tests of fence, rebuild and receipts. */
import { spawn } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RowDataPacket } from "mysql2/promise";
import { freePort, startRedis, waitUntil } from "@hongbao/infra";
import { adminClient, type AdminClient } from "../../src/admin/client.ts";
import { rebuildClient, type RebuildClient } from "../../src/admin/rebuild-client.ts";
import type { ReceiptAnswer } from "../../src/receipts/desk.ts";
import type { RebuildReport } from "../../src/rebuild/rebuild.ts";
import { openFrame, startPersist, type RunningPart } from "../../src/process.ts";
import { withBucket, type OpenBucket } from "../../src/stores.ts";
import { world, type World, type WorldPlan } from "../world.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

export interface Told {
  user: string;
  prize: number;
  receipt: string;
}

export interface Scene {
  w: World;
  /** Everybody who was told of a win, by user. */
  told: Map<string, Told>;
  operator: RebuildClient;
  admin: AdminClient;
  /** Each of these users grabs once; wins are remembered in `told`. @returns the answers' words, counted. */
  grabs: (users: readonly string[]) => Promise<Record<string, number>>;
  persisted: () => Promise<void>;
  /** Kills Redis and starts it again on what `change` makes of its data directory. */
  lose: (change: "delete" | { copy: string }) => Promise<void>;
  copyData: () => string;
  fenced: () => Promise<string>;
  rebuild: () => Promise<RebuildReport>;
  /** As the page does it: each user sends the own receipt. */
  sendReceipts: (users: readonly string[]) => Promise<ReceiptAnswer[]>;
  claims: () => Promise<Map<string, number>>;
  inStores: <T>(work: (open: OpenBucket) => Promise<T>) => Promise<T>;
  /** A persist process of its own, which can be frozen. */
  startPersistChild: () => Promise<{ kill: (signal: NodeJS.Signals) => void }>;
  startPersist: (id: string) => Promise<RunningPart>;
}

export async function scene(t: Teardown, plan: WorldPlan = {}): Promise<Scene> {
  const w = await world(t, {
    users: 400,
    rounds: `
  - { id: 1, kind: envelope, opensAt: now+0s, closesAt: now+1h, count: 400, budget: 400.00, split: { method: lucky, min: 0.01, max: 20.00 } }
  - { id: 2, kind: envelope, opensAt: now+1h, closesAt: now+2h, count: 50, budget: 50.00, split: { method: equal } }
`,
    budget: "450.00",
    event: "journalMax: 60",
    persist: false,
    ...plan,
  });
  const told = new Map<string, Told>();
  const bucket = w.topology.buckets[0]!;
  const place = (bucket.services as { id: string; http: string; admin: string }[])[0]!;
  const operator = rebuildClient({
    admin: place.admin,
    operatorSecret: w.secrets.operator,
    timeoutMs: 10_000,
  });
  const parts = { pack: w.pack, bucket, secrets: w.secrets, name: "test" };
  const inStores: Scene["inStores"] = (work) => withBucket(parts, work);
  const dataDir = join(w.dir, "redis-0", "appendonlydir");
  let copies = 0;
  return {
    w,
    told,
    operator,
    admin: w.admin(0),
    async grabs(users) {
      const words: Record<string, number> = {};
      await Promise.all(
        users.map(async (user) => {
          const { body } = await w.grab(user);
          const word = String(body["result"]);
          words[word] = (words[word] ?? 0) + 1;
          if (word !== "won") return;
          const prize = Number((body["prize"] as { id: string }).id);
          told.set(user, { user, prize, receipt: String(body["receipt"]) });
        }),
      );
      return words;
    },
    async persisted() {
      await waitUntil(async () => (await w.admin(0).state()).journal.waiting === 0, {
        what: "an empty journal",
        timeoutMsMax: 20_000,
      });
    },
    copyData() {
      const copy = join(w.dir, `copy-${(copies += 1)}`);
      cpSync(dataDir, copy, { recursive: true });
      return copy;
    },
    async lose(change) {
      const old = w.redis[0]!;
      old.kill("SIGKILL");
      await old.exited;
      rmSync(dataDir, { recursive: true });
      if (change !== "delete") cpSync(change.copy, dataDir, { recursive: true });
      w.redis[0] = await startRedis({
        dir: join(w.dir, "redis-0"),
        password: w.secrets.redis,
        appendfsync: "no",
        port: old.port,
      });
    },
    async fenced() {
      let why: string | null = null;
      const isFenced = async (): Promise<boolean> => {
        why = (await w.admin(0).state()).fenced;
        const mark = await inStores(async ({ mysql }) => {
          const [rows] = await mysql.query<RowDataPacket[]>("SELECT value FROM meta WHERE name = 'fence'");
          return rows.length > 0;
        });
        return why !== null && mark;
      };
      await waitUntil(isFenced, { what: "a fence", timeoutMsMax: 20_000 });
      return why!;
    },
    async rebuild() {
      await operator.start({ maybeOpened: [] });
      let report: RebuildReport | null = null;
      await waitUntil(
        async () => {
          const job = await operator.job();
          if (job.state === "failed") throw new Error(job.error);
          if (job.state === "done") report = job.report;
          return report !== null;
        },
        { what: "the rebuild", timeoutMsMax: 60_000 },
      );
      return report!;
    },
    async sendReceipts(users) {
      const answers = await Promise.all(
        users.map(async (user) => {
          const response = await fetch(`http://${place.http}/v1/receipts`, {
            method: "POST",
            headers: { authorization: `Bearer ${w.token(user)}` },
            body: JSON.stringify([told.get(user)!.receipt]),
          });
          const body = (await response.json()) as { receipts?: ReceiptAnswer[] };
          if (body.receipts === undefined) throw new Error(`receipts: ${JSON.stringify(body)}`);
          return body.receipts;
        }),
      );
      return answers.flat();
    },
    claims: () =>
      inStores(async ({ mysql }) => {
        const [rows] = await mysql.query<RowDataPacket[]>("SELECT user_id, prize_id FROM claims");
        return new Map(rows.map((row) => [row["user_id"] as string, row["prize_id"] as number]));
      }),
    inStores,
    async startPersistChild() {
      const words = ["bucket", "--bucket", "b0", "--service", "p0", "--roles", "persist"];
      const child = spawn(
        process.execPath,
        [join(ROOT, "hongbao.ts"), ...words, "--topology", join(w.dir, "topology.yaml")],
        { stdio: "ignore", env: { ...process.env, HONGBAO_LOG: "silent" } },
      );
      const exited = new Promise((resolve) => child.once("exit", resolve));
      t.teardown(async () => {
        child.kill("SIGKILL");
        await exited;
      });
      const admin = adminClient({
        admin: bucket.persist[0]!.admin,
        operatorSecret: w.secrets.operator,
        timeoutMs: 1000,
      });
      await waitUntil(() => admin.ready(), { what: "the persist process", timeoutMsMax: 20_000 });
      return { kill: (signal) => void child.kill(signal) };
    },
    async startPersist(id) {
      const part = await startPersist(openFrame(w.topology, "b0", "persist", id), {
        id,
        admin: `127.0.0.1:${await freePort()}`,
      });
      t.teardown(() => part.stop());
      return part;
    },
  };
}
