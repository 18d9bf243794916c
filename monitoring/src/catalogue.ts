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

type Labels = Readonly<Record<string, LabelBound>>;

const plain =
  <const T extends "counter" | "gauge">(type: T) =>
  <const N extends string, const L extends Labels = Readonly<Record<never, never>>>(
    name: N,
    unit: MetricUnit,
    help: string,
    labels: L = {} as L,
  ) => ({ name, type, unit, help, labels });
const counter = plain("counter");
const gauge = plain("gauge");
const histogram = <const N extends string, const L extends Labels = Readonly<Record<never, never>>>(
  name: N,
  unit: MetricUnit,
  /** Upper bounds, in the unit. */
  buckets: readonly number[],
  help: string,
  labels: L = {} as L,
) => ({ name, type: "histogram" as const, unit, help, labels, buckets });

export const CATALOGUE = [
  counter("http_requests_total", "1", "Answers given, by door, route and result word.", {
    door: { values: ["http", "spop"] },
    route: ROUTE,
    result: RESULT,
  }),
  histogram(
    "grab_seconds",
    "seconds",
    FAST_SECONDS,
    "Time from a grab's arrival in this process to its answer.",
    { door: { values: ["http", "spop"] }, result: RESULT },
  ),
  histogram("batch_size", "1", BATCHES, "Grabs that went to Redis in one script call."),
  histogram("redis_call_seconds", "seconds", FAST_SECONDS, "Time of a call to Redis, by script or command.", {
    call: { valuesMax: 30 },
  }),
  counter("redis_failures_total", "1", "Calls to Redis that failed or timed out.", {
    call: { valuesMax: 30 },
  }),
  gauge("journal_waiting", "rows", "Claims in the journal that are not in MySQL yet."),
  gauge("journal_max", "rows", "Bound of the journal: beyond it grabs answer busy."),
  counter(
    "persist_rows_total",
    "rows",
    "Claims written to MySQL, by outcome: new, known (the same claim again), violation (another claim).",
    { outcome: { values: ["new", "known", "violation"] } },
  ),
  histogram("persist_batch_seconds", "seconds", FAST_SECONDS, "Time of one bulk insert with its commit."),
  counter("persist_failures_total", "1", "Bulk inserts that failed and are tried again."),
  counter(
    "payout_claims_total",
    "1",
    "What became of claims that came up for payment: paid, accepted (to be confirmed), retry, dead or held.",
    { outcome: { values: ["paid", "accepted", "retry", "dead", "held"] } },
  ),
  counter("payout_paid_minor_total", "minor", "Money that this process has paid out."),
  counter(
    "payout_guarded_total",
    "1",
    "Claims that the budget guard kept from being paid: somebody must look at each of them.",
  ),
  counter("payout_failures_total", "1", "Payout transactions that failed and are tried again."),
  histogram(
    "payout_batch_seconds",
    "seconds",
    FAST_SECONDS,
    "Time of one batch of claims, from being taken up to the commit.",
  ),
  histogram(
    "payout_target_seconds",
    "seconds",
    FAST_SECONDS,
    "Time of a request to the wallet or the order system.",
    { target: { values: ["wallet", "orders"] } },
  ),
  gauge("payouts", "1", "Claims of the bucket by the state of their payout.", { state: PAYOUT_STATE }),
  gauge(
    "payouts_minor",
    "minor",
    "What the claims in each state of payout are worth; without those that nobody has looked at yet.",
    { state: PAYOUT_STATE },
  ),
  gauge("payout_feed_claims", "1", "Claims in MySQL that payout has not looked at yet."),
  gauge("payout_ledger_minor", "minor", "What the built-in ledger says the company has paid."),
  histogram(
    "event_loop_delay_seconds",
    "seconds",
    FAST_SECONDS,
    "How late a timer came, looked at ten times a second: everything in the process waits as long.",
  ),
  counter("log_lines_total", "1", "Lines of the log from warnings up, by level.", {
    level: { values: ["warn", "error", "fatal"] },
  }),
  gauge("connections", "1", "Open connections to the doors of this process.", {
    door: { values: ["http", "spop"] },
  }),
  gauge(
    "breaker_open",
    "1",
    "1 while the process keeps calls from a store or target that fails, but for probes.",
    { target: { values: ["redis", "wallet", "orders"] } },
  ),
  gauge("switch_value", "1", "1 for the value of each switch that this process obeys.", {
    switch: { valuesMax: 30 },
    value: { valuesMax: 200 },
  }),
  gauge("switches_changed", "1", "Switches that are not as they are by default."),
  gauge("grabs_in_flight", "1", "Grabs of the SPOP door that wait for an answer in this process."),
  gauge("prizes_generated", "prizes", "Prizes of the bucket that the pack holds for the round.", {
    round: ROUND,
  }),
  gauge("prizes_issued", "prizes", "Prizes of the bucket that went to users in the round.", { round: ROUND }),
  gauge("prizes_left", "prizes", "Prizes of the bucket that are still to be had in the round.", {
    round: ROUND,
  }),
  gauge(
    "prizes_burned",
    "prizes",
    "Prizes of the round that a rebuild took out of use and nobody has won back.",
    { round: ROUND },
  ),
  gauge("prizes_borrowed", "prizes", "Prizes that came to the bucket from others in the round.", {
    round: ROUND,
  }),
  gauge("prizes_lent_out", "prizes", "Prizes that the bucket gave to others in the round.", { round: ROUND }),
  gauge("prizes_rolled_in", "prizes", "Prizes that came to the round from one that had closed.", {
    round: ROUND,
  }),
  gauge("prizes_rolled_out", "prizes", "Prizes that left the closed round for another.", { round: ROUND }),
  gauge("prizes_claimed", "prizes", "Prizes of the round whose claims stand in MySQL.", { round: ROUND }),
  gauge("prizes_paid", "prizes", "Prizes of the round that were paid.", { round: ROUND }),
  gauge(
    "prizes_generated_minor",
    "minor",
    "What the prizes are worth that the pack holds for the bucket and round.",
    { round: ROUND },
  ),
  gauge("prizes_claimed_minor", "minor", "What the claims of the round in MySQL are worth.", {
    round: ROUND,
  }),
  gauge("prizes_paid_minor", "minor", "What was paid of the claims of the round.", { round: ROUND }),
  gauge(
    "prizes_unbalanced",
    "prizes",
    "Generated, borrowed and rolled in, less issued, left, burned, lent out and rolled out, all of one moment: 0, or prizes were lost or doubled.",
    { round: ROUND },
  ),
  gauge("round_state", "1", "1 for the state that the round is in.", {
    round: ROUND,
    state: { values: ["scheduled", "open", "closed"] },
  }),
  gauge(
    "round_opens_at_seconds",
    "seconds",
    "When the bucket opens the round, in seconds since 1970; missing where nobody has said.",
    { round: ROUND },
  ),
  gauge(
    "round_closes_at_seconds",
    "seconds",
    "When the bucket closes the round, in seconds since 1970; missing where nobody has said.",
    { round: ROUND },
  ),
  gauge("bucket_fenced", "1", "1 while the bucket's Redis is not trusted and grabs answer busy."),
  gauge("store_up", "1", "1 while the store answers this process.", {
    store: { values: ["redis", "mysql", "control"] },
  }),
  gauge("controller_leading", "1", "1 for the controller that acts."),
  histogram("controller_tick_seconds", "seconds", FAST_SECONDS, "Time of one tick of the conductor."),
  gauge("clock_offset_seconds", "seconds", "How far a bucket's Redis clock is ahead of this process's.", {
    bucket: { valuesMax: 256 },
  }),
  gauge(
    "event_active",
    "1",
    "1 from an hour before a round opens until an hour after it closes: no quiet hours then.",
  ),
  gauge("event_local_hour", "1", "The hour of the day in the event's time zone, 0 to 23."),
  counter("balancer_reloads_total", "1", "Reloads of HAProxy, by outcome.", {
    outcome: { values: ["done", "failed"] },
  }),
  gauge("balancer_sync_age_seconds", "seconds", "Age of what the balancer last heard from a controller."),
  gauge(
    "balancer_certificate_expires_at_seconds",
    "seconds",
    "When the balancer's certificate expires, in seconds since 1970; missing without TLS.",
  ),
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
