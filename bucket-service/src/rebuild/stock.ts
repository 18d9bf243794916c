import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { IdSet } from "../audit/id-set.ts";
import { allClaims } from "../mysql/claims.ts";
import { countOf, worthOf, type Run } from "../moves/runs.ts";
import { planBurn, type BurnPlan } from "./burn-plan.ts";

/** Prizes and what they are worth, in minor units. */
export interface Amount {
  count: number;
  amount: number;
}

/** What a rebuild does to one round. */
export interface RoundBurn {
  round: number;
  holes: Amount;
  beyond: Amount;
  left: Amount;
}

export interface RoundPlan extends RoundBurn {
  plan: BurnPlan;
}

/**
 * Reckons for every round what a rebuild burns and what it leaves, from MySQL as the connection sees it now. Changes nothing.
 * @param maybeOpened rounds of which something else than MySQL says that they may have been opened.
 */
export async function planRounds(
  mysql: Connection,
  pack: Pack,
  maybeOpened: readonly number[],
  nowMs: number,
): Promise<RoundPlan[]> {
  const rounds = await readRounds(mysql);
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, lo, id_count FROM ranges ORDER BY round_id, ordinal",
  );
  const stocks = new Map(
    rounds.map(({ round }) => {
      const ranges = rows
        .filter((row) => row["round_id"] === round)
        .map((row): Run => ({ lo: row["lo"] as number, count: row["id_count"] as number }));
      return [round, { ranges, claimed: new IdSet([...ranges].sort((a, b) => a.lo - b.lo)) }];
    }),
  );
  for await (const { round, prizeId } of allClaims(mysql)) {
    const claimed = stocks.get(round)?.claimed;
    if (claimed?.covers(prizeId)) claimed.add(prizeId);
  }
  const worth = (runs: readonly Run[]): Amount => ({
    count: countOf(runs),
    amount: worthOf(runs, (id) => pack.amountOf(id)),
  });
  return rounds.map(({ round, opened, opensAtMs }) => {
    const { ranges, claimed } = stocks.get(round)!;
    const mayHaveOpened = opened || (opensAtMs !== null && opensAtMs <= nowMs) || maybeOpened.includes(round);
    const plan = planBurn(ranges, (id) => claimed.has(id), pack.manifest.event.journalMax, mayHaveOpened);
    return { round, plan, holes: worth(plan.holes), beyond: worth(plan.beyond), left: worth(plan.left) };
  });
}

export interface RoundRow {
  round: number;
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  perUser: number;
  opened: boolean;
}

export async function readRounds(mysql: Connection): Promise<RoundRow[]> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, v, opens_at_ms, closes_at_ms, per_user, opened FROM rounds ORDER BY round_id",
  );
  return rows.map((row) => ({
    round: row["round_id"] as number,
    v: row["v"] as number,
    opensAtMs: row["opens_at_ms"] as number | null,
    closesAtMs: row["closes_at_ms"] as number | null,
    perUser: row["per_user"] as number,
    opened: row["opened"] === 1,
  }));
}
