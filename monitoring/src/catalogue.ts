/**
 * Every metric there is: its name (without the prefix `hongbao_`), type, unit, meaning and labels.
 * A label has a closed list of values, or a bound on how many different ones there may be: a metric with an
 * unbounded label (a user, an address) would grow until Prometheus falls over. What does not fit becomes "other".
 */

export type MetricType = "counter" | "gauge" | "histogram";
export type MetricUnit = "1" | "seconds" | "bytes" | "rows" | "prizes" | "minor";

/** Either the values a label may have, or how many different values it may have at most. */
export type LabelBound = { values: readonly string[] } | { valuesMax: number };

export interface MetricDefinition {
  name: string;
  type: MetricType;
  unit: MetricUnit;
  help: string;
  labels: Readonly<Record<string, LabelBound>>;
  /** Upper bounds of a histogram, in its unit. */
  buckets?: readonly number[];
}

/** A grab takes tenths of a millisecond when all is well and seconds when not. */
const FAST_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5] as const;
const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048] as const;

const ROUND = { valuesMax: 99 } as const;
const RESULT = {
  values: [
    "won",
    "ended",
    "no_such_round",
    "unauthorized",
    "bad_request",
    "limited",
    "not_eligible",
    "not_open",
    "busy",
    "ok",
  ],
} as const;
const PAYOUT_STATE = { values: ["pending", "paid", "dead", "held"] } as const;
const ROUTE = {
  values: ["grab", "result", "wins", "session", "rounds", "start", "page", "receipts"],
} as const;

export const CATALOGUE = [
  {
    name: "http_requests_total",
    type: "counter",
    unit: "1",
    help: "Answers given, by door, route and result word.",
    labels: { door: { values: ["http", "spop"] }, route: ROUTE, result: RESULT },
  },
  {
    name: "grab_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time from a grab's arrival in this process to its answer.",
    labels: { door: { values: ["http", "spop"] }, result: RESULT },
    buckets: FAST_SECONDS,
  },
  {
    name: "batch_size",
    type: "histogram",
    unit: "1",
    help: "Grabs that went to Redis in one script call.",
    labels: {},
    buckets: BATCHES,
  },
  {
    name: "redis_call_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time of a call to Redis, by script or command.",
    labels: { call: { valuesMax: 30 } },
    buckets: FAST_SECONDS,
  },
  {
    name: "redis_failures_total",
    type: "counter",
    unit: "1",
    help: "Calls to Redis that failed or timed out.",
    labels: { call: { valuesMax: 30 } },
  },
  {
    name: "journal_waiting",
    type: "gauge",
    unit: "rows",
    help: "Claims in the journal that are not in MySQL yet.",
    labels: {},
  },
  {
    name: "journal_max",
    type: "gauge",
    unit: "rows",
    help: "Bound of the journal: beyond it grabs answer busy.",
    labels: {},
  },
  {
    name: "persist_rows_total",
    type: "counter",
    unit: "rows",
    help: "Claims written to MySQL, by outcome: new, known (the same claim again), violation (another claim).",
    labels: { outcome: { values: ["new", "known", "violation"] } },
  },
  {
    name: "persist_batch_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time of one bulk insert with its commit.",
    labels: {},
    buckets: FAST_SECONDS,
  },
  {
    name: "persist_failures_total",
    type: "counter",
    unit: "1",
    help: "Bulk inserts that failed and are tried again.",
    labels: {},
  },
  {
    name: "payout_claims_total",
    type: "counter",
    unit: "1",
    help: "What became of claims that came up for payment: paid, accepted (to be confirmed), retry, dead or held.",
    labels: { outcome: { values: ["paid", "accepted", "retry", "dead", "held"] } },
  },
  {
    name: "payout_paid_minor_total",
    type: "counter",
    unit: "minor",
    help: "Money that this process has paid out.",
    labels: {},
  },
  {
    name: "payout_guarded_total",
    type: "counter",
    unit: "1",
    help: "Claims that the budget guard kept from being paid: somebody must look at each of them.",
    labels: {},
  },
  {
    name: "payout_failures_total",
    type: "counter",
    unit: "1",
    help: "Payout transactions that failed and are tried again.",
    labels: {},
  },
  {
    name: "payout_batch_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time of one batch of claims, from being taken up to the commit.",
    labels: {},
    buckets: FAST_SECONDS,
  },
  {
    name: "payout_target_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time of a request to the wallet or the order system.",
    labels: { target: { values: ["wallet", "orders"] } },
    buckets: FAST_SECONDS,
  },
  {
    name: "payouts",
    type: "gauge",
    unit: "1",
    help: "Claims of the bucket by the state of their payout.",
    labels: { state: PAYOUT_STATE },
  },
  {
    name: "payouts_minor",
    type: "gauge",
    unit: "minor",
    help: "What the claims in each state of payout are worth; without those that nobody has looked at yet.",
    labels: { state: PAYOUT_STATE },
  },
  {
    name: "payout_feed_claims",
    type: "gauge",
    unit: "1",
    help: "Claims in MySQL that payout has not looked at yet.",
    labels: {},
  },
  {
    name: "payout_ledger_minor",
    type: "gauge",
    unit: "minor",
    help: "What the built-in ledger says the company has paid.",
    labels: {},
  },
  {
    name: "event_loop_delay_seconds",
    type: "gauge",
    unit: "seconds",
    help: "Delay of the event loop since the last look, by quantile.",
    labels: { quantile: { values: ["0.5", "0.99", "1"] } },
  },
  {
    name: "grabs_in_flight",
    type: "gauge",
    unit: "1",
    help: "Grabs that wait for an answer in this process.",
    labels: {},
  },
  {
    name: "prizes_generated",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the bucket that the pack holds for the round.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_issued",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the bucket that went to users in the round.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_left",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the bucket that are still to be had in the round.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_burned",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the round that a rebuild took out of use and nobody has won back.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_borrowed",
    type: "gauge",
    unit: "prizes",
    help: "Prizes that came to the bucket from others in the round.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_lent_out",
    type: "gauge",
    unit: "prizes",
    help: "Prizes that the bucket gave to others in the round.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_rolled_in",
    type: "gauge",
    unit: "prizes",
    help: "Prizes that came to the round from one that had closed.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_rolled_out",
    type: "gauge",
    unit: "prizes",
    help: "Prizes that left the closed round for another.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_claimed",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the round whose claims stand in MySQL.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_paid",
    type: "gauge",
    unit: "prizes",
    help: "Prizes of the round that were paid.",
    labels: { round: ROUND },
  },
  {
    name: "prizes_unbalanced",
    type: "gauge",
    unit: "prizes",
    help: "Generated, borrowed and rolled in, less issued, left, burned, lent out and rolled out, all of one moment: 0, or prizes were lost or doubled.",
    labels: { round: ROUND },
  },
  {
    name: "round_state",
    type: "gauge",
    unit: "1",
    help: "1 for the state that the round is in.",
    labels: { round: ROUND, state: { values: ["scheduled", "open", "closed"] } },
  },
  {
    name: "bucket_fenced",
    type: "gauge",
    unit: "1",
    help: "1 while the bucket's Redis is not trusted and grabs answer busy.",
    labels: {},
  },
  {
    name: "store_up",
    type: "gauge",
    unit: "1",
    help: "1 while the store answers this process.",
    labels: { store: { values: ["redis", "mysql", "control"] } },
  },
  {
    name: "controller_leading",
    type: "gauge",
    unit: "1",
    help: "1 for the controller that acts.",
    labels: {},
  },
  {
    name: "controller_tick_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Time of one tick of the conductor.",
    labels: {},
    buckets: FAST_SECONDS,
  },
  {
    name: "clock_offset_seconds",
    type: "gauge",
    unit: "seconds",
    help: "How far a bucket's Redis clock is ahead of this process's.",
    labels: { bucket: { valuesMax: 256 } },
  },
  {
    name: "balancer_reloads_total",
    type: "counter",
    unit: "1",
    help: "Reloads of HAProxy, by outcome.",
    labels: { outcome: { values: ["done", "failed"] } },
  },
  {
    name: "balancer_sync_age_seconds",
    type: "gauge",
    unit: "seconds",
    help: "Age of what the balancer last heard from a controller.",
    labels: {},
  },
] as const satisfies readonly MetricDefinition[];

export type Catalogue = typeof CATALOGUE;
export type MetricName = Catalogue[number]["name"];
type Entry<T extends MetricType> = Extract<Catalogue[number], { type: T }>;
/** Names of the metrics of one type. */
export type NameOf<T extends MetricType> = Entry<T>["name"];
type ValueOf<B> = B extends { readonly values: readonly (infer V extends string)[] } ? V : string;
type ValuesOf<L> = { [K in keyof L]: ValueOf<L[K]> };
/** The labels that a metric takes, all of them, with their allowed words. */
export type LabelsOf<N extends MetricName> = ValuesOf<Extract<Catalogue[number], { name: N }>["labels"]>;
