/** Reads the facts out of a quiet cluster as an outsider: plain SQL, plain Redis commands, and the audit command. */
import type { RowDataPacket } from "mysql2/promise";
import type { ChaosCluster } from "../stage/cluster.ts";
import type { Facts, RoundFact, Run, StockFact } from "./facts.ts";

export interface OrderedTimes {
  opensAtMs: number | null;
  closesAtMs: number | null;
}

/** Errors: those of the stores. */
export async function readFacts(
  cluster: ChaosCluster,
  ordered: ReadonlyMap<number, OrderedTimes>,
  { audit = true } = {},
): Promise<Facts> {
  const { pack } = cluster;
  const { manifest, firstId, prizeCount } = pack;
  const facts: Facts = {
    firstId,
    amounts: Array.from({ length: prizeCount }, (_, index) => pack.amountOf(firstId + index)),
    budget: manifest.event.budgetMinor,
    rounds: manifest.rounds.map(({ id, kind, perUser, count, budgetMinor, leftovers }): RoundFact => {
      const times = ordered.get(id);
      return {
        round: id,
        kind,
        perUser,
        count,
        budget: budgetMinor,
        orderedOpensAtMs: times?.opensAtMs ?? null,
        orderedClosesAtMs: times?.closesAtMs ?? null,
        leftovers,
      };
    }),
    stocks: [],
    claims: [],
    payouts: [],
    ledger: [],
    accounts: [],
    orders: [],
    wallet: cluster.wallet === null ? null : [...cluster.wallet.payments.values()],
    burned: [],
    underWay: 0,
    conflicts: 0,
    audit: null,
  };
  for (const { id } of cluster.topology.buckets) {
    await readMysql(cluster, id, facts);
    facts.stocks.push(...(await readRedis(cluster, id)));
  }
  if (!audit) return facts;
  const { code, stdout, stderr } = await cluster.hongbao(["audit", "--json"]);
  if (code !== 0 && code !== 1) throw new Error(`audit ended with ${code}: ${stderr.trim().slice(-300)}`);
  const report = JSON.parse(stdout) as NonNullable<Facts["audit"]> & { underWay: { count: number }[] };
  facts.audit = { ok: report.ok, violations: report.violations };
  facts.underWay = report.underWay.reduce((sum, { count }) => sum + count, 0);
  return facts;
}

async function readMysql(cluster: ChaosCluster, bucket: string, facts: Facts): Promise<void> {
  const pool = cluster.mysql(bucket);
  const rows = async (sql: string): Promise<RowDataPacket[]> => (await pool.query<RowDataPacket[]>(sql))[0];
  const claims = await rows(
    "SELECT prize_id, round_id, user_id, n, amount_minor, UNIX_TIMESTAMP(claimed_at) * 1000 AS at_ms FROM claims",
  );
  for (const row of claims) {
    facts.claims.push({
      bucket,
      prize: Number(row["prize_id"]),
      round: Number(row["round_id"]),
      user: String(row["user_id"]),
      n: Number(row["n"]),
      amount: Number(row["amount_minor"]),
      atMs: Math.round(Number(row["at_ms"])),
    });
  }
  for (const row of await rows("SELECT prize_id, state, amount_minor FROM payouts")) {
    const amount = Number(row["amount_minor"]);
    facts.payouts.push({ bucket, prize: Number(row["prize_id"]), state: String(row["state"]), amount });
  }
  for (const row of await rows("SELECT prize_id, side, account, amount_minor FROM ledger_entries")) {
    facts.ledger.push({
      bucket,
      prize: Number(row["prize_id"]),
      side: row["side"] as "credit" | "debit",
      account: String(row["account"]),
      amount: Number(row["amount_minor"]),
    });
  }
  for (const row of await rows("SELECT account, balance_minor FROM ledger_accounts"))
    facts.accounts.push({ bucket, account: String(row["account"]), balance: Number(row["balance_minor"]) });
  for (const row of await rows("SELECT prize_id, user_id FROM orders"))
    facts.orders.push({ bucket, prize: Number(row["prize_id"]), user: String(row["user_id"]) });
  for (const row of await rows("SELECT prize_id, state FROM burned"))
    facts.burned.push({ bucket, prize: Number(row["prize_id"]), state: String(row["state"]) });
  facts.conflicts += Number((await rows("SELECT COUNT(*) AS n FROM claim_conflicts"))[0]!["n"]);
}

async function readRedis(cluster: ChaosCluster, bucket: string): Promise<StockFact[]> {
  const redis = await cluster.redis(bucket);
  try {
    const tag = `{hongbao:${cluster.event}:${bucket}}`;
    const time = (text: string | null): number | null => (text === null || text === "" ? null : Number(text));
    const stocks: StockFact[] = [];
    for (const { id: round } of cluster.pack.manifest.rounds) {
      const [opensAt = null, closesAt = null, lo = null] = await redis.hmget(
        `${tag}:round:${round}`,
        "opensAt",
        "closesAt",
        "lo",
      );
      const left: Run[] = [{ lo: Number(lo), count: Number(await redis.get(`${tag}:left:${round}`)) }];
      for (const range of await redis.lrange(`${tag}:ranges:${round}`, 0, -1)) {
        const [from, count] = range.split(":").map(Number);
        left.push({ lo: from!, count: count! });
      }
      const claims = Object.entries(await redis.hgetall(`${tag}:claims:${round}`));
      stocks.push({
        bucket,
        round,
        opensAtMs: time(opensAt),
        closesAtMs: time(closesAt),
        left: left.filter(({ count }) => count > 0),
        claims: claims.map(([field, prize]): [string, number] => [field, Number(prize)]),
      });
    }
    return stocks;
  } finally {
    redis.disconnect();
  }
}
