/** The report as people and scripts read it. */
import { cpus, release } from "node:os";
import { table } from "@hongbao/preprocess";
import type { Summary } from "../measure/sample.ts";
import { significant } from "../measure/medians.ts";
import type { HandshakeFacts } from "../phases/handshakes.ts";
import type { PackFacts } from "../phases/pack.ts";
import type { PersistFacts } from "../phases/persist.ts";
import type { PayoutFacts } from "../phases/payout.ts";
import type { SellOutFacts } from "../phases/sell-out.ts";
import type { Row } from "../rows.ts";

export interface Report {
  quick: boolean;
  startedAt: string;
  seconds: number;
  machine: { processors: number; model: string; kernel: string; node: string };
  /** This run's nginx floor divided by 10 us: absolute figures are scaled by it. */
  slowness: number;
  rows: Row[];
  systems: Summary[];
  sellOut?: SellOutFacts;
  persist?: PersistFacts;
  payout?: PayoutFacts;
  handshakes?: HandshakeFacts;
  pack?: PackFacts;
}

export function machineFigures(): Report["machine"] {
  const processors = cpus();
  return {
    processors: processors.length,
    model: processors[0]?.model.trim() ?? "unknown",
    kernel: release(),
    node: process.version,
  };
}

/** Everything in tables: the rows first, then what each system showed. */
export function reportText(report: Report): string {
  const { machine } = report;
  const head = [
    `${machine.processors} x ${machine.model}, Linux ${machine.kernel}, Node ${machine.node}, ${report.seconds} s`,
    `nginx floor ${significant(report.slowness * 10)} us a request: absolute figures are scaled to 10 us`,
  ];
  if (report.quick) head.push("QUICK: too short and too small to judge by; it shows that everything works");
  return [
    head.join("\n"),
    rowsTable(report.rows),
    systemsTable(report.systems),
    asides(report),
    notes(report),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

function rowsTable(rows: Row[]): string {
  const lines = rows.map((row) => [
    row.figure === null ? "REFUSED" : row.kept ? (row.target === "told" ? "told" : "kept") : "MISSED",
    row.id,
    row.target,
    row.figure === null ? "-" : String(row.figure),
    row.unit,
    row.raw === undefined ? "" : `raw ${row.raw}`,
    row.what,
  ]);
  return table([["", "row", "target", "figure", "unit", "", "what"], ...lines]);
}

function systemsTable(systems: Summary[]): string {
  if (systems.length === 0) return "";
  const lines = systems.map((system) => [
    system.id,
    system.faults.length > 0 ? "WRONG" : String(significant(system.perSecond)),
    ...[system.latencyMs.p50, system.latencyMs.p99, system.latencyMs.p999].map((ms) => ms.toFixed(1)),
    `${Math.round(system.spread * 100)} %`,
    perRole(system.cpuUs, system.wrkUs),
    Object.entries(system.peakMiB)
      .map(([role, mib]) => `${role} ${mib}`)
      .join(", "),
  ]);
  const head = ["system", "answers/s", "p50 ms", "p99", "p99.9", "spread", "CPU us an answer", "peak MiB"];
  return table([head, ...lines]);
}

function perRole(cpuUs: Record<string, number>, wrkUs: number): string {
  const roles = Object.entries({ ...cpuUs, "(wrk)": wrkUs });
  return roles.map(([role, us]) => `${role} ${us.toFixed(1)}`).join(", ");
}

function asides(report: Report): string {
  const lines = report.rows
    .filter((row) => row.aside !== undefined)
    .map(({ id, aside }) => {
      const figures = Object.entries(aside!).map(([name, value]) => `${name} ${value}`);
      return `  ${id}: ${figures.join(", ")}`;
    });
  const { sellOut } = report;
  if (sellOut && sellOut.faults.length === 0) {
    lines.push(
      `  sell-out of ${sellOut.stock}: ${sellOut.seconds.toFixed(2)} s, ${significant(sellOut.winsPerSecond)} wins/s, ` +
        `p99 ${sellOut.latencyMs.p99.toFixed(1)} ms (every answer looked into)`,
    );
  }
  return lines.length > 0 ? `Beside the rows:\n${lines.join("\n")}` : "";
}

function notes(report: Report): string {
  const lines = report.rows.flatMap(({ id, faults }) => (faults ?? []).map((fault) => `  ${id}: ${fault}`));
  for (const fault of report.sellOut?.faults ?? []) lines.push(`  sell-out: ${fault}`);
  return lines.length > 0 ? `Refused, because a result was wrong:\n${[...new Set(lines)].join("\n")}` : "";
}

/** Whether every figure could be shown: a missed target is a finding, a wrong result is a failure. */
export function isSound(report: Report): boolean {
  return report.rows.every(({ figure }) => figure !== null) && (report.sellOut?.faults ?? []).length === 0;
}
