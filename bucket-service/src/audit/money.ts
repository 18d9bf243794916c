import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Topology } from "@hongbao/preprocess";
import { ledgerFigures, payoutFaults } from "../payout/figures.ts";
import type { Violation } from "./audit.ts";

/** What is wrong with the money: payouts, ledger, order book, budget books, and the key that keeps a user at one claim an n. */
export async function moneyFaults(parts: {
  /** In a snapshot. */
  mysql: Connection;
  topology: Pick<Topology, "wallet" | "orders">;
  report: (violation: Omit<Violation, "bucket">) => void;
}): Promise<void> {
  const { mysql, topology, report } = parts;
  const insideKinds = [
    ...(topology.wallet === undefined ? (["envelope"] as const) : []),
    ...(topology.orders === undefined ? (["item"] as const) : []),
  ];
  for await (const { round, what, prizeId, user } of payoutFaults(mysql, { insideKinds })) {
    report({
      promise: 4,
      round,
      what,
      ...(prizeId === undefined ? {} : { prize: String(prizeId) }),
      ...(user === undefined ? {} : { user }),
    });
  }
  const ledger = await ledgerFigures(mysql);
  if (ledger.entriesMinor !== 0 || ledger.balancesMinor !== 0 || ledger.companyMinor !== ledger.paidMinor) {
    const what =
      `the ledger is not balanced: entries add up to ${ledger.entriesMinor}, balances to ${ledger.balancesMinor} (expected 0 and 0); ` +
      `${ledger.paidMinor} was credited, the company's account says ${ledger.companyMinor}`;
    report({ promise: 4, round: 0, what });
  }
  await budgetBooks(mysql, report);
  await onceKey(mysql, report);
}

/** The budget guard counts what it lets pass; a count that is too low would let pass too much. */
async function budgetBooks(
  mysql: Connection,
  report: (violation: Omit<Violation, "bucket">) => void,
): Promise<void> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT t.round_id AS round, t.granted_count AS n, t.granted_minor AS minor, COALESCE(p.n, 0) AS isN, COALESCE(p.minor, 0) AS isMinor " +
      "FROM payout_totals t LEFT JOIN (SELECT round_id, COUNT(*) AS n, SUM(amount_minor) AS minor FROM payouts WHERE granted = 1 " +
      "GROUP BY round_id) p ON p.round_id = t.round_id",
  );
  for (const row of rows) {
    const [n, minor, isN, isMinor] = ["n", "minor", "isN", "isMinor"].map((name) => Number(row[name]));
    if (n === isN && minor === isMinor) continue;
    const what = `the budget guard has booked ${n} payouts worth ${minor}, released for payment are ${isN} worth ${isMinor}`;
    report({ promise: 4, round: row["round"] as number, what });
  }
}

/** The unique key is what makes MySQL refuse a second claim of a user's n; without it the claims have to be searched. */
async function onceKey(
  mysql: Connection,
  report: (violation: Omit<Violation, "bucket">) => void,
): Promise<void> {
  const [keys] = await mysql.query<RowDataPacket[]>(
    "SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) AS columns_of FROM information_schema.statistics WHERE " +
      "table_schema = DATABASE() AND table_name = 'claims' AND non_unique = 0 GROUP BY index_name",
  );
  if (keys.some((row) => row["columns_of"] === "round_id,user_id,n")) return;
  report({ promise: 3, round: 0, what: "claims have lost their unique key on round, user and n" });
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, user_id, n, COUNT(*) AS times, MAX(prize_id) AS prize FROM claims GROUP BY round_id, user_id, n HAVING COUNT(*) > 1 LIMIT 1000",
  );
  for (const row of rows) {
    report({
      promise: 3,
      round: row["round_id"] as number,
      prize: String(row["prize"]),
      user: row["user_id"] as string,
      what: `the user has ${row["times"]} claims as number ${row["n"]}`,
    });
  }
}
