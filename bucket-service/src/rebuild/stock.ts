import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { IdSet } from "../audit/id-set.ts";
import { allClaims } from "../mysql/claims.ts";
import { countOf, idsOf, planBurn, type BurnPlan, type Run } from "./burn-plan.ts";

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
  const stocks = new Map(rounds.map(({ round }) => [round, new Stock()]));
  for (const row of rows) {
    stocks.get(row["round_id"] as number)?.add({ lo: row["lo"] as number, count: row["id_count"] as number });
  }
  for (const stock of stocks.values()) stock.ready();
  for await (const { round, prizeId } of allClaims(mysql)) stocks.get(round)?.claim(prizeId);
  const worth = (runs: readonly Run[]): Amount => {
    let amount = 0;
    for (const id of idsOf(runs)) amount += pack.amountOf(id);
    return { count: countOf(runs), amount };
  };
  return rounds.map(({ round, opened, opensAtMs }) => {
    const stock = stocks.get(round)!;
    const mayHaveOpened = opened || (opensAtMs !== null && opensAtMs <= nowMs) || maybeOpened.includes(round);
    const plan = planBurn(stock.ranges, (id) => stock.has(id), pack.manifest.event.journalMax, mayHaveOpened);
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

/** The ranges of one round in issue order, and which of their IDs are claimed: a bit each. */
class Stock {
  readonly ranges: Run[] = [];
  #sorted: { range: Run; claimed: IdSet }[] = [];

  add(range: Run): void {
    this.ranges.push(range);
  }

  /** Called once, when all ranges are there. */
  ready(): void {
    this.#sorted = this.ranges
      .map((range) => ({ range, claimed: new IdSet(range.lo, range.count) }))
      .sort((a, b) => a.range.lo - b.range.lo);
  }

  claim(id: number): void {
    this.#of(id)?.add(id);
  }

  has(id: number): boolean {
    return this.#of(id)?.has(id) === true;
  }

  #of(id: number): IdSet | undefined {
    let low = 0;
    let high = this.#sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const { range, claimed } = this.#sorted[middle]!;
      if (id < range.lo) high = middle - 1;
      else if (id >= range.lo + range.count) low = middle + 1;
      else return claimed;
    }
    return undefined;
  }
}
