/** The table of promises about speed: what is measured, against what, and when it counts as kept. */
import type { Facts } from "./facts.ts";
import { slowness } from "./facts.ts";
import { median, pairedRatio, significant } from "./measure/medians.ts";
import type { Sample } from "./measure/sample.ts";

export type Group =
  "grab" | "chain" | "ended" | "durable" | "delay" | "tls" | "persist" | "payout" | "pack" | "start";

export interface RowPlan {
  id: string;
  group: Group;
  what: string;
  unit: string;
  /** Absent: told, not promised. */
  target?: { sign: "<=" | ">=" | "<"; value: number };
  /** Absolute figures are held against the target as this machine would show them if it were as fast as the one they were set on. */
  scales?: "rate" | "time";
  /** Systems whose runs are compared, or parts that are measured once: `persist`, `payout`, `handshakes`, `pack`. */
  needs: string[];
  figure: (facts: Facts) => number;
  /** Further figures to show with it. */
  aside?: (facts: Facts) => Record<string, number>;
}

export interface Row {
  id: string;
  what: string;
  target: string;
  /** Scaled where the target is absolute; null: refused, because a result was wrong. */
  figure: number | null;
  unit: string;
  kept: boolean;
  /** As measured, when `figure` is scaled. */
  raw?: number;
  aside?: Record<string, number>;
  faults?: string[];
}

const samples = (facts: Facts, id: string): Sample[] => facts.series.get(id)?.samples ?? [];
const perSecond = (facts: Facts, id: string): number[] => samples(facts, id).map(({ wrk }) => wrk.perSecond);
const role = (facts: Facts, id: string, name: string): number[] =>
  samples(facts, id).map(({ cpuUs }) => cpuUs[name]!);

/** All of a system's processes, the load generator apart. */
const whole = (facts: Facts, id: string): number[] =>
  samples(facts, id).map(({ cpuUs }) => Object.values(cpuUs).reduce((sum, us) => sum + us, 0));

const rate = (a: string, b: string) => (facts: Facts) =>
  pairedRatio(perSecond(facts, a), perSecond(facts, b));

/** How busy a process is decides what a request costs it: nginx's two are busy all the time, so ours has to be, too. */
const BUSY = "hongbao-one";

function serviceAgainstNginx(id: string): Pick<RowPlan, "figure" | "aside" | "needs" | "unit"> {
  const toNginx = (one: string, facts: Facts): number =>
    pairedRatio(role(facts, one, "service"), role(facts, "nginx-lua", "nginx"));
  return {
    unit: "ratio",
    needs: [id, "nginx-lua"],
    figure: (facts) => pairedRatio(role(facts, id, "service"), whole(facts, "nginx-lua")),
    aside: (facts) => ({
      serviceUs: median(role(facts, id, "service")),
      nginxAndRedisUs: median(whole(facts, "nginx-lua")),
      // The same comparison with nginx's processes alone on the other side.
      ratioToNginxAlone: toNginx(id, facts),
    }),
  };
}

const grabRows: RowPlan[] = [
  {
    id: "service-spop",
    group: "grab",
    what: "CPU of a busy service process per win, SPOP door, to the whole of nginx + Lua + Redis",
    target: { sign: "<=", value: 0.3 },
    ...serviceAgainstNginx(BUSY),
  },
  {
    id: "service-spop-floor",
    group: "grab",
    what: "CPU of a busy service process per win, SPOP door, to nginx returning a constant",
    target: { sign: "<", value: 1 },
    unit: "ratio",
    needs: [BUSY, "hongbao", "floor-nginx"],
    figure: (facts) => pairedRatio(role(facts, BUSY, "service"), role(facts, "floor-nginx", "nginx")),
    aside: (facts) => ({
      floorUs: median(role(facts, "floor-nginx", "nginx")),
      // Four processes that share the same load, each of them idle most of the time.
      serviceUsOfFour: median(role(facts, "hongbao", "service")),
    }),
  },
  {
    id: "service-http",
    group: "grab",
    what: "CPU of a busy service process per win, HTTP door, to the whole of nginx + Lua + Redis",
    target: { sign: "<=", value: 1 },
    ...serviceAgainstNginx("hongbao-http"),
  },
  {
    id: "metrics",
    group: "grab",
    what: "CPU of the service processes per win with metrics, to the same without",
    target: { sign: "<=", value: 1.03 },
    unit: "ratio",
    needs: ["hongbao", "hongbao-no-metrics"],
    figure: (facts) =>
      pairedRatio(role(facts, "hongbao", "service"), role(facts, "hongbao-no-metrics", "service")),
    aside: (facts) => ({ withoutUs: median(role(facts, "hongbao-no-metrics", "service")) }),
  },
];

const chainRows: RowPlan[] = [
  {
    id: "chain-naive",
    group: "chain",
    what: "whole chain, wins/s, to naive behind the same HAProxy",
    target: { sign: ">=", value: 3 },
    unit: "ratio",
    needs: ["hongbao", "naive"],
    figure: rate("hongbao", "naive"),
    aside: (facts) => ({ naivePerSecond: median(perSecond(facts, "naive")) }),
  },
  {
    id: "chain-nginx",
    group: "chain",
    what: "whole chain, wins/s, to nginx + Lua asked directly without a token check",
    target: { sign: ">=", value: 1 },
    unit: "ratio",
    needs: ["hongbao", "nginx-lua"],
    figure: rate("hongbao", "nginx-lua"),
    aside: (facts) => ({ nginxPerSecond: median(perSecond(facts, "nginx-lua")) }),
  },
  {
    id: "chain-wins",
    group: "chain",
    what: "whole chain, wins/s, everything on this machine",
    target: { sign: ">=", value: 30_000 },
    unit: "1/s",
    scales: "rate",
    needs: ["hongbao"],
    figure: (facts) => median(perSecond(facts, "hongbao")),
    aside: (facts) => ({
      p50Ms: median(samples(facts, "hongbao").map(({ wrk }) => wrk.latencyMs.p50)),
      p99Ms: median(samples(facts, "hongbao").map(({ wrk }) => wrk.latencyMs.p99)),
      wholeUs: median(whole(facts, "hongbao")),
    }),
  },
  {
    id: "service-core",
    group: "grab",
    what: "one service process on its own core, wins/s (from its CPU per win)",
    target: { sign: ">=", value: 100_000 },
    unit: "1/s",
    scales: "rate",
    needs: [BUSY],
    figure: (facts) => 1e6 / median(role(facts, BUSY, "service")),
  },
];

const endedRows: RowPlan[] = [
  {
    id: "ended-over",
    group: "ended",
    what: "`ended` once a round is over everywhere, answers/s, to HAProxy returning a constant",
    target: { sign: ">=", value: 0.9 },
    unit: "ratio",
    needs: ["ended-over", "floor-haproxy"],
    figure: rate("ended-over", "floor-haproxy"),
    aside: (facts) => ({
      cpuRatio: pairedRatio(role(facts, "floor-haproxy", "haproxy"), role(facts, "ended-over", "haproxy")),
      perSecond: median(perSecond(facts, "ended-over")),
    }),
  },
  {
    id: "ended-token",
    group: "ended",
    what: "`ended` of one bucket, with the token check, answers/s, to HAProxy returning a constant",
    target: { sign: ">=", value: 0.5 },
    unit: "ratio",
    needs: ["ended-token", "floor-haproxy"],
    figure: rate("ended-token", "floor-haproxy"),
    aside: (facts) => ({
      cpuRatio: pairedRatio(role(facts, "floor-haproxy", "haproxy"), role(facts, "ended-token", "haproxy")),
      perSecond: median(perSecond(facts, "ended-token")),
    }),
  },
];

const durableRows: RowPlan[] = [
  {
    id: "fsync-always",
    group: "durable",
    what: "wins/s with appendfsync always, to appendfsync no",
    target: { sign: ">=", value: 0.8 },
    unit: "ratio",
    needs: ["hongbao", "hongbao-fsync-no"],
    figure: rate("hongbao", "hongbao-fsync-no"),
  },
  {
    id: "ack-database",
    group: "durable",
    what: "wins/s with ack: database, to ack: journal",
    target: { sign: ">=", value: 0.6 },
    unit: "ratio",
    needs: ["hongbao-ack-database", "hongbao"],
    figure: rate("hongbao-ack-database", "hongbao"),
    aside: (facts) => ({
      p50Ms: median(samples(facts, "hongbao-ack-database").map(({ wrk }) => wrk.latencyMs.p50)),
    }),
  },
  {
    id: "redis-5ms",
    group: "delay",
    what: "wins/s with 5 ms added to every answer of Redis, to the same without",
    target: { sign: ">=", value: 0.8 },
    unit: "ratio",
    needs: ["hongbao-5ms", "hongbao-wide"],
    figure: rate("hongbao-5ms", "hongbao-wide"),
    aside: (facts) => ({ p50Ms: median(samples(facts, "hongbao-5ms").map(({ wrk }) => wrk.latencyMs.p50)) }),
  },
];

const tlsRows: RowPlan[] = [
  {
    id: "tls-handshakes",
    group: "tls",
    what: "TLS handshakes a second and core of HAProxy (P-256, with one small answer each)",
    unit: "1/s",
    needs: ["handshakes"],
    figure: (facts) => facts.handshakes?.perSecondAndCore ?? Number.NaN,
    aside: (facts) => ({ haproxyUs: facts.handshakes?.haproxyUs ?? Number.NaN }),
  },
  {
    id: "tls-grab",
    group: "tls",
    what: "CPU per win of the whole chain on kept-alive TLS, to plain",
    target: { sign: "<=", value: 1.3 },
    unit: "ratio",
    needs: ["hongbao-tls", "hongbao"],
    figure: (facts) => pairedRatio(whole(facts, "hongbao-tls"), whole(facts, "hongbao")),
    aside: (facts) => ({
      haproxyRatio: pairedRatio(role(facts, "hongbao-tls", "haproxy"), role(facts, "hongbao", "haproxy")),
    }),
  },
];

const persistRows: RowPlan[] = [
  {
    id: "persist-rate",
    group: "persist",
    what: "claims/s from journal to MySQL, one bucket",
    target: { sign: ">=", value: 50_000 },
    unit: "1/s",
    scales: "rate",
    needs: ["persist"],
    figure: (facts) => facts.persist?.perSecond ?? Number.NaN,
    aside: (facts) => ({
      persistUs: facts.persist?.cpuUsPerClaim.persist ?? Number.NaN,
      mysqlUs: facts.persist?.cpuUsPerClaim.mysql ?? Number.NaN,
    }),
  },
  {
    id: "persist-burst",
    group: "persist",
    what: "a burst of 100,000 claims in one bucket's journal is in MySQL after",
    target: { sign: "<=", value: 5 },
    unit: "s",
    scales: "time",
    needs: ["persist"],
    figure: (facts) => facts.persist?.seconds ?? Number.NaN,
    aside: (facts) => ({ claims: facts.persist?.burst ?? Number.NaN }),
  },
];

const payoutRows: RowPlan[] = [
  {
    id: "payout-rate",
    group: "payout",
    what: "claims/s from MySQL to the built-in ledger, one bucket, two pullers",
    target: { sign: ">=", value: 20_000 },
    unit: "1/s",
    scales: "rate",
    needs: ["payout"],
    figure: (facts) => facts.payout?.perSecond ?? Number.NaN,
    aside: (facts) => ({
      claims: facts.payout?.claims ?? Number.NaN,
      payoutUs: facts.payout?.cpuUsPerClaim.payout ?? Number.NaN,
      mysqlUs: facts.payout?.cpuUsPerClaim.mysql ?? Number.NaN,
    }),
  },
];

const packRows: RowPlan[] = [
  {
    id: "generate-time",
    group: "pack",
    what: "preprocess generate, 1,000,000 prizes and 150,000 users",
    target: { sign: "<=", value: 3 },
    unit: "s",
    scales: "time",
    needs: ["pack"],
    figure: (facts) => facts.pack?.generate.seconds ?? Number.NaN,
    aside: (facts) => ({ prizes: facts.pack?.prizes ?? Number.NaN, users: facts.pack?.users ?? Number.NaN }),
  },
  {
    id: "generate-memory",
    group: "pack",
    what: "preprocess generate, highest memory",
    target: { sign: "<=", value: 300 },
    unit: "MiB",
    needs: ["pack"],
    figure: (facts) => facts.pack?.generate.peakMiB ?? Number.NaN,
  },
  {
    id: "load",
    group: "pack",
    what: "preprocess load, to a bare LOAD DATA of the same rows",
    target: { sign: "<=", value: 2 },
    unit: "ratio",
    needs: ["pack"],
    figure: (facts) => (facts.pack ? facts.pack.load.seconds / facts.pack.bareLoadSeconds : Number.NaN),
    aside: (facts) => ({
      loadSeconds: facts.pack?.load.seconds ?? Number.NaN,
      bareSeconds: facts.pack?.bareLoadSeconds ?? Number.NaN,
    }),
  },
  {
    id: "start-time",
    group: "start",
    what: "service start with that pack, from the command to ready",
    target: { sign: "<=", value: 2 },
    unit: "s",
    scales: "time",
    needs: ["pack"],
    figure: (facts) => facts.pack?.start.seconds ?? Number.NaN,
  },
  {
    id: "start-bytes",
    group: "start",
    what: "service with that pack, memory a prize",
    target: { sign: "<=", value: 24 },
    unit: "bytes",
    needs: ["pack"],
    figure: (facts) => facts.pack?.bytesPerPrize ?? Number.NaN,
  },
  {
    id: "start-memory",
    group: "start",
    what: "service with that pack, resident memory",
    target: { sign: "<=", value: 200 },
    unit: "MiB",
    needs: ["pack"],
    figure: (facts) => facts.pack?.start.residentMiB ?? Number.NaN,
    aside: (facts) => ({ peakMiB: facts.pack?.start.peakMiB ?? Number.NaN }),
  },
];

export const ROWS: readonly RowPlan[] = [
  ...grabRows,
  ...chainRows,
  ...endedRows,
  ...durableRows,
  ...tlsRows,
  ...persistRows,
  ...payoutRows,
  ...packRows,
];

/** Holds one row's figure against its target. A figure that rests on a wrong result is refused. */
export function judge(plan: RowPlan, facts: Facts): Row {
  const { id, what, unit, target } = plan;
  const text = target === undefined ? "told" : `${target.sign} ${target.value}`;
  const faults = [...facts.faults, ...plan.needs.flatMap((name) => faultsOf(facts, name))];
  if (faults.length > 0) return { id, what, target: text, figure: null, unit, kept: false, faults };
  const raw = plan.figure(facts);
  const figure = scaled(raw, plan.scales, slowness(facts));
  if (!Number.isFinite(figure)) {
    return { id, what, target: text, figure: null, unit, kept: false, faults: ["was not measured"] };
  }
  const aside = Object.entries(plan.aside?.(facts) ?? {}).map(([name, value]) => [name, significant(value)]);
  return {
    id,
    what,
    target: text,
    figure: significant(figure),
    unit,
    kept: holds(figure, target),
    ...(plan.scales ? { raw: significant(raw) } : {}),
    ...(aside.length > 0 ? { aside: Object.fromEntries(aside) as Record<string, number> } : {}),
  };
}

function scaled(raw: number, scales: RowPlan["scales"], factor: number): number {
  if (scales === "rate") return raw * factor;
  return scales === "time" ? raw / factor : raw;
}

function holds(figure: number, target: RowPlan["target"]): boolean {
  if (target === undefined) return true;
  if (target.sign === "<") return figure < target.value;
  return target.sign === "<=" ? figure <= target.value : figure >= target.value;
}

function faultsOf(facts: Facts, need: string): string[] {
  if (need === "payout") return facts.payout?.faults ?? [];
  if (need === "persist") return facts.persist?.faults ?? [];
  if (need === "handshakes") return facts.handshakes?.faults ?? [];
  const found = samples(facts, need).flatMap(({ verdict }) => verdict.faults);
  return [...new Set(found)].map((fault) => `${need}: ${fault}`);
}
