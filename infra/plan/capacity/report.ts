/** The plan as people read it. Pure. */
import { table } from "@hongbao/preprocess";
import { significant } from "../../bench/measure/medians.ts";
import type { CapacityRequest } from "./options.ts";
import type { Breaking, Plan } from "./plan.ts";
import type { Figure, Figures } from "./figures.ts";
import type { Prices } from "./prices.ts";
import type { ASSUMED } from "./facts.ts";
import type { Tfvars } from "./tfvars.ts";

export interface Report {
  request: CapacityRequest;
  plan: Plan;
  tfvars: Tfvars;
  figures: Figures;
  assumed: typeof ASSUMED;
  sources: string[];
  prices: Prices;
  warnings: string[];
}

export function reportText(report: Report): string {
  const { plan } = report;
  return [
    head(report),
    section("Asked of each endpoint, at its peak (whole event)", endpointTable(plan)),
    section(plan.clusters > 1 ? "Sizes of each cluster" : "Sizes", sizesTable(report)),
    section("What breaks first, with more and more of the same crowd (each cluster)", usesTable(plan.uses)),
    section("AWS quotas", quotasText(plan)),
    section(`Cost of ${report.request.plan.hours} h, in ${report.prices.currency}`, costTable(report)),
    section("Where each figure is from", figuresTable(report)),
  ].join("\n\n");
}

const section = (title: string, text: string): string => `${title}\n${text}`;

export function whole(value: number): string {
  if (Math.abs(value) < 100) return String(significant(value, 2));
  return (value >= 1e6 ? significant(value) : Math.round(value)).toLocaleString("en-US");
}

/** `12 %`, and `0.4 %` where the whole number would say nothing. */
export function percent(part: number): string {
  return `${part >= 0.1 ? Math.round(part * 100) : significant(part * 100, 1)} %`;
}

export function howOften(times: number | null): string {
  if (times === null) return "never";
  return `${times >= 100 ? whole(times) : significant(times, times >= 10 ? 2 : 3)} x`;
}

/** A line that says it all, and what to mind. */
function head({ request, plan, prices }: Report): string {
  const { shape } = request.plan;
  const first = plan.uses[0]!;
  const free = Math.round(request.policy.headroom * 100);
  const exceeded = plan.quotas.filter((quota) => quota.exceeded).length;
  return [
    `${many(shape.users, "user")}, ${many(shape.prizes, "prize")} in ${many(shape.rounds, "round")}, ${whole(plan.whole.grabs)} grabs/s at the peak; ${free} % of every limit stays free`,
    `a round of ${whole(plan.whole.roundPrizes)}: ${soldOut(plan.whole.sellOutSeconds)}; paid ${seconds(plan.payoutSeconds)} later by the built-in ledger`,
    ...(plan.clusters > 1
      ? [
          `ONE CLUSTER IS NOT ENOUGH (${plan.whySeveral}): ${plan.clusters} clusters, each with its part of the users, the prizes and an event of its own`,
        ]
      : []),
    `breaks first: ${first.what}, at ${howOften(first.times)} the load${first.grabs === null ? "" : ` (${whole(first.grabs)} grabs/s${plan.clusters > 1 ? " a cluster" : ""})`}: ${first.beyond}`,
    `costs ${money(plan.costOfAll)} ${prices.currency} for ${request.plan.hours} h`,
    ...(exceeded > 0 ? [`${many(exceeded, "AWS quota")} must be raised first, see below`] : []),
  ].join("\n");
}

function endpointTable({ whole: demand }: Plan): string {
  const rows = demand.endpoints
    .filter(({ perSecond }) => perSecond > 0)
    .map((load) => [
      load.phase,
      load.place,
      load.what,
      whole(load.perSecond),
      bits(load.bytesPerSecond),
      load.why,
    ]);
  return table([["when", "answered by", "", "1/s", "out", "because"], ...rows]);
}

function bits(bytesPerSecond: number): string {
  const bitsPerSecond = bytesPerSecond * 8;
  const [unit, factor] = (
    [
      ["Gbit/s", 1e9],
      ["Mbit/s", 1e6],
      ["kbit/s", 1e3],
    ] as const
  ).find(([, each]) => bitsPerSecond >= each) ?? ["bit/s", 1];
  return `${significant(bitsPerSecond / factor)} ${unit}`;
}

/** `1 user`, `2 users`. */
export function many(count: number, word: string): string {
  return `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
}

function soldOut(after: number): string {
  return Number.isFinite(after)
    ? `sold out ${seconds(after)} after its opening`
    : "not sold out by these presses";
}

function seconds(value: number): string {
  return value < 0.1 ? "within 0.1 s" : `${significant(value, 2)} s`;
}

function sizesTable({ plan, request }: Report): string {
  const { sizes } = plan;
  const task = (each: { vcpus: number; memoryMib: number }): string =>
    `${each.vcpus} vCPU, ${each.memoryMib} MiB`;
  return table([
    ...(plan.clusters > 1 ? [["clusters", String(plan.clusters), "", plan.whySeveral ?? ""]] : []),
    ["HAProxy tasks", String(sizes.balancer.count), task(sizes.balancer), ""],
    ["buckets", String(sizes.buckets), "", plan.whyBuckets],
    ["service processes of a bucket", String(sizes.grab.count), task(sizes.grab), "one task each"],
    ["Redis of a bucket", "2", sizes.redis.type, "one shard with a replica, durable"],
    ["MySQL of a bucket", "1", `${sizes.mysql.type}, ${sizes.mysql.storageGb} GB`, "in two zones"],
    ["availability zones", String(request.policy.zones), "", "sizes hold with one of them gone"],
  ]);
}

function usesTable(uses: Breaking[]): string {
  const rows = uses.map((use) => [
    howOften(use.times),
    use.grabs === null ? "" : `${whole(use.grabs)}/s`,
    use.what,
    percent(use.used),
    `${whole(use.amount)} of ${whole(use.limit)} ${use.unit}`.trimEnd(),
    use.beyond,
  ]);
  return table([["at", "grabs", "limit", "used", "", "beyond it"], ...rows]);
}

function quotasText({ quotas }: Plan): string {
  const rows = quotas.map((quota) => [
    quota.exceeded ? "ASK FOR" : "fits",
    whole(quota.needs),
    `of ${whole(quota.standard)}`,
    quota.what,
    quota.from,
  ]);
  return table(rows);
}

function costTable({ plan, prices }: Report): string {
  const lines = plan.cost.lines.map(({ what, amount, from }) => [what, money(amount), from]);
  const total = ["together", money(plan.cost.total), `${money(plan.cost.perHour)} an hour while it stands`];
  const all = plan.clusters > 1 ? [[`${plan.clusters} clusters`, money(plan.costOfAll), ""]] : [];
  const notes = [
    `prices of ${prices.date}, ${prices.region}: ${prices.source}`,
    "not counted: logs, metrics, snapshots, traffic between zones, SMS, what durability of Redis costs a write",
  ];
  return `${table([...lines, total, ...all])}\n${notes.join("\n")}`;
}

export function money(amount: number): string {
  return amount >= 1000 ? Math.round(amount).toLocaleString("en-US") : amount.toFixed(2);
}

function figuresTable({ figures, assumed, sources }: Report): string {
  const rows = Object.entries({ ...figures, ...assumed }).map(
    ([name, { value, unit, from }]: [string, Figure]) => [
      name,
      value >= 1_000_000 ? whole(value) : String(significant(value)),
      unit,
      from,
    ],
  );
  return `${table(rows)}\n${sources.join("\n")}`;
}
