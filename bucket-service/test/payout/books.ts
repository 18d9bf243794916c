/** A bucket's books for payout tests: a real MariaDB with the event's tables, a made-up pack, claims as persist writes them. */
import { randomBytes } from "node:crypto";
import type { Pool, RowDataPacket } from "mysql2/promise";
import { startMysql, temporaryState, type Server } from "@hongbao/infra";
import type { BucketPlace, Pack } from "@hongbao/preprocess";
import { insertClaims, type PersistableClaim } from "../../src/mysql/claims.ts";
import { mysqlConnection, mysqlPool } from "../../src/mysql/connect.ts";
import { migrate } from "../../src/mysql/migrate.ts";
import type { GuardedClaim } from "../../src/payout/decide.ts";
import type { PayoutObserver } from "../../src/payout/observer.ts";

export const PASSWORD = "0123456789abcdef";

export interface TestPack extends Pick<Pack, "amountOf" | "holds" | "manifest"> {
  spec: PackSpec;
}

/** What a puller in another process needs to make the same pack. */
export interface PackSpec {
  event: string;
  budgetMinor: number;
  rounds: { id: number; lo: number; count: number; kind: "envelope" | "item" }[];
}

/** Prize ID → its worth; any rule will do, as long as neighbours differ. */
export const worth = (id: number): number => (id % 97) + 1;

export function packOf(spec: PackSpec): TestPack {
  const roundOf = (id: number) => spec.rounds.find(({ lo, count }) => id >= lo && id < lo + count);
  const amountOf = (id: number): number => (roundOf(id)!.kind === "item" ? 0 : worth(id));
  const ranges = spec.rounds.map(({ id, lo, count, kind }) => ({
    round: id,
    bucket: "b0",
    lo,
    count,
    amountMinor:
      kind === "item"
        ? 0
        : Array.from({ length: count }, (_, index) => worth(lo + index)).reduce((a, b) => a + b, 0),
  }));
  const rounds = spec.rounds.map(({ id, kind, count }) => ({
    id,
    kind,
    count,
    perUser: 1,
    ...(kind === "item"
      ? { item: { sku: "PHONE-1", title: { zh: "手机", en: "Phone" }, priceMinor: 100 } }
      : {}),
  }));
  const event = { id: spec.event, currency: "CNY", budgetMinor: spec.budgetMinor };
  return {
    spec,
    amountOf,
    holds: (id) => roundOf(id) !== undefined,
    manifest: { event, rounds, ranges } as unknown as Pack["manifest"],
  };
}

export interface Books {
  server: Server;
  place: BucketPlace;
  /** An event of its own: a database and a pool. */
  event(spec?: Partial<PackSpec>): Promise<{ pack: TestPack; pool: Pool }>;
}

/** What the bucket's record says; claims are of it. */
const EPOCH = "e1";

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

export async function startBooks(t: Teardown): Promise<Books> {
  const server = await startMysql({ dir: temporaryState(t), password: PASSWORD });
  t.teardown(() => server.stop());
  const place = { id: "b0", mysql: { url: server.plainUrl, tls: false } } as BucketPlace;
  return {
    server,
    place,
    async event(spec = {}) {
      const pack = packOf({
        event: `payout-${randomBytes(4).toString("hex")}`,
        budgetMinor: 1_000_000_000,
        rounds: [{ id: 1, lo: 1_000_001, count: 200_000, kind: "envelope" }],
        ...spec,
      });
      const connection = await mysqlConnection(place, PASSWORD);
      await migrate(connection, pack.spec.event);
      for (const { id, kind } of pack.spec.rounds) {
        await connection.query("INSERT INTO rounds (round_id, kind, per_user, v) VALUES (?, ?, 1, 1)", [
          id,
          kind,
        ]);
      }
      await connection.query("INSERT INTO meta (name, value) VALUES ('epoch', ?)", [EPOCH]);
      await connection.end();
      const pool = mysqlPool(place, PASSWORD, pack.spec.event);
      t.teardown(() => pool.end());
      return { pack, pool };
    },
  };
}

/** Claims on the highest IDs of a round first, as the grab script gives them; each of a user of its own. */
export function claimsOf(
  pack: TestPack,
  {
    count,
    round = 1,
    from = 0,
    amountOf = pack.amountOf,
  }: {
    count: number;
    round?: number;
    from?: number;
    amountOf?: (id: number) => number;
  },
): PersistableClaim[] {
  const range = pack.manifest.ranges.find((candidate) => candidate.round === round)!;
  return Array.from({ length: count }, (_, index) => {
    const prizeId = range.lo + range.count - 1 - from - index;
    const user = `u${(prizeId * 7919) % 1_000_003}`;
    return {
      prizeId,
      round,
      user,
      n: 1,
      claimedAtMs: 1_790_000_000_000,
      amountMinor: amountOf(prizeId),
      entryId: "1-1",
    };
  });
}

export async function persistClaims(pool: Pool, claims: readonly PersistableClaim[]): Promise<void> {
  for (let from = 0; from < claims.length; from += 8192)
    await insertClaims(pool, claims.slice(from, from + 8192), EPOCH);
}

export interface Seen {
  outcomes: Record<string, number>;
  guarded: GuardedClaim[];
  failures: unknown[];
}

export function observer(): { observer: PayoutObserver; seen: Seen } {
  const seen: Seen = { outcomes: {}, guarded: [], failures: [] };
  return {
    seen,
    observer: {
      outcome: (what, count) => (seen.outcomes[what] = (seen.outcomes[what] ?? 0) + count),
      paidMinor: () => undefined,
      batch: () => undefined,
      answer: () => undefined,
      guarded: (claim) => seen.guarded.push(claim),
      failed: (_what, error) => seen.failures.push(error),
    },
  };
}

export async function one(pool: Pool, sql: string): Promise<Record<string, unknown>> {
  const [rows] = await pool.query<RowDataPacket[]>(sql);
  return { ...rows[0] };
}

export async function states(pool: Pool): Promise<Record<string, number>> {
  const [rows] = await pool.query<RowDataPacket[]>("SELECT state, COUNT(*) AS n FROM payouts GROUP BY state");
  return Object.fromEntries(rows.map((row) => [row["state"] as string, row["n"] as number]));
}
