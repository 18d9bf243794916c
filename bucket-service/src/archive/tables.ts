/** What an archive holds of a bucket's MySQL: which tables, which columns, in which order, and what they mean. */

/** int: a whole number; time: ISO 8601 in UTC, with milliseconds. An empty cell is NULL, an empty text stands as "". */
export type ColumnType = "int" | "text" | "time";

export interface ArchiveColumn {
  name: string;
  type: ColumnType;
  what: string;
}

export interface ArchiveTable {
  name: string;
  what: string;
  columns: readonly ArchiveColumn[];
  /** The primary key, in whose order rows come. */
  key: readonly string[];
}

const column = (name: string, type: ColumnType, what: string): ArchiveColumn => ({ name, type, what });
const PRIZE = column("prize_id", "int", "the prize; unique in the event");
const MINOR = column("amount_minor", "int", "worth, in minor units of the currency (cents)");
const USER = column("user_id", "text", "the user's id as in the user list");
const wonIn = column("round_id", "int", "the round that the prize was won in");

/** payout_feed is left out: it is the list of what payout has not looked at yet. */
export const ARCHIVE_TABLES: readonly ArchiveTable[] = [
  {
    name: "meta",
    what: "Which load of which pack this bucket held.",
    columns: [column("name", "text", "what"), column("value", "text", "its value")],
    key: ["name"],
  },
  {
    name: "rounds",
    what: "The rounds' times as this bucket had them last.",
    columns: [
      column("round_id", "int", "the round"),
      column("kind", "text", "envelope or item"),
      column("per_user", "int", "prizes that one user may win"),
      column("v", "int", "version of the times"),
      column("opens_at_ms", "int", "ms since 1970; empty: by command only"),
      column("closes_at_ms", "int", "ms since 1970; empty: by command only"),
      column("opened", "int", "1: it was opened once"),
    ],
    key: ["round_id"],
  },
  {
    name: "prizes",
    what: "Every prize that was generated for this bucket, won or not; it stays where and for which round it was generated.",
    columns: [
      PRIZE,
      column("round_id", "int", "the round it was generated for"),
      column("kind", "text", "envelope or item"),
      MINOR,
    ],
    key: ["prize_id"],
  },
  {
    name: "ranges",
    what: "The runs of prize IDs that this bucket might issue, in the order in which it used them.",
    columns: [
      column("round_id", "int", "the round"),
      column("ordinal", "int", "order within the round"),
      column("lo", "int", "first ID"),
      column("id_count", "int", "how many IDs"),
      column("origin", "text", "generated, lent, rolled or released"),
    ],
    key: ["round_id", "ordinal"],
  },
  {
    name: "claims",
    what: "Who won what. One row for each prize that was won.",
    columns: [
      PRIZE,
      wonIn,
      USER,
      column("n", "int", "the user's n-th prize of the round"),
      MINOR,
      column("claimed_at", "time", "when it was won, by the clock of the bucket's Redis"),
    ],
    key: ["prize_id"],
  },
  {
    name: "claim_conflicts",
    what: "Entries of the journal that contradicted a claim; kept for people to judge. Empty in a clean event.",
    columns: [
      column("conflict_id", "int", "number"),
      PRIZE,
      wonIn,
      USER,
      column("n", "int", "the user's n-th prize of the round"),
      MINOR,
      column("claimed_at", "time", "what the entry said"),
      column("journal_entry", "text", "the entry"),
    ],
    key: ["conflict_id"],
  },
  {
    name: "payouts",
    what: "What became of each claim's payout. A claim without a row is pending.",
    columns: [
      PRIZE,
      wonIn,
      column("state", "text", "pending, paid, dead (refused or given up) or held (the user was denied)"),
      column("attempts", "int", "failed attempts"),
      MINOR,
      column("granted", "int", "1: booked on the round's budget"),
      column("next_at", "time", "when a pending one is due"),
      column("accepted_at", "time", "when the target took it, if it confirms later"),
      column("paid_at", "time", "when it was paid"),
      column("reason", "text", "why it is not paid"),
    ],
    key: ["prize_id"],
  },
  {
    name: "payout_totals",
    what: "The budget guard's books: what was released for payment, by round.",
    columns: [
      wonIn,
      column("granted_count", "int", "payouts"),
      column("granted_minor", "int", "their amounts together, in minor units"),
    ],
    key: ["round_id"],
  },
  {
    name: "ledger_entries",
    what: "The built-in ledger, double entry: each paid envelope is a credit of the user and a debit of the company.",
    columns: [
      PRIZE,
      column("side", "text", "credit or debit"),
      column("account", "text", "user:ID or company"),
      column("amount_minor", "int", "minor units; negative for a debit"),
      column("booked_at", "time", "when"),
    ],
    key: ["prize_id", "side"],
  },
  {
    name: "ledger_accounts",
    what: "The built-in ledger's balances; together they are 0.",
    columns: [column("account", "text", "user:ID or company"), column("balance_minor", "int", "minor units")],
    key: ["account"],
  },
  {
    name: "orders",
    what: "The built-in order book for items.",
    columns: [
      PRIZE,
      wonIn,
      USER,
      column("sku", "text", "the item"),
      column("price_minor", "int", "its price, in minor units"),
      column("placed_at", "time", "when"),
    ],
    key: ["prize_id"],
  },
  {
    name: "range_moves",
    what: "Prize IDs that left (out) or came (in): lend to another bucket, roll to a later round, release of burned ones.",
    columns: [
      column("move_id", "text", "the move; the same on both sides"),
      column("direction", "text", "in or out"),
      column("part", "int", "a move may have several runs of IDs"),
      column("kind", "text", "lend, roll or release"),
      column("round_id", "int", "the round on this side"),
      column("peer_bucket", "text", "the bucket on the other side"),
      column("peer_round_id", "int", "the round on the other side"),
      column("lo", "int", "first ID"),
      column("id_count", "int", "how many IDs"),
      column("amount_minor", "int", "what they are worth together, in minor units"),
      column("moved_at", "time", "when"),
    ],
    key: ["move_id", "direction", "part"],
  },
  {
    name: "burned",
    what: "Prize IDs that a rebuild took out of use because they might have been given.",
    columns: [
      PRIZE,
      column("round_id", "int", "the round"),
      MINOR,
      column("epoch", "text", "the rebuild"),
      column("state", "text", "burned, restored (its user proved it) or released (stock again)"),
      column("burned_at", "time", "when"),
    ],
    key: ["prize_id"],
  },
  {
    name: "rebuilds",
    what: "Each rebuild of a lost Redis, by round: what it burned and why.",
    columns: [
      column("epoch", "text", "the rebuild"),
      column("round_id", "int", "the round"),
      column("holes", "int", "IDs skipped before the last persisted claim"),
      column("holes_minor", "int", "their worth"),
      column("beyond", "int", "IDs that might have been issued after it"),
      column("beyond_minor", "int", "their worth"),
      column("left_count", "int", "what the round could still give"),
      column("left_minor", "int", "its worth"),
      column("rebuilt_at", "time", "when"),
    ],
    key: ["epoch", "round_id"],
  },
  {
    name: "user_rules",
    what: "Late joiners (allow) and cheaters (deny), as operators said.",
    columns: [
      USER,
      column("round_id", "int", "the round; 0 is every round"),
      column("rule", "text", "allow or deny"),
    ],
    key: ["user_id", "round_id"],
  },
];
