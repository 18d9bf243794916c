/** A rehearsal's report as text. */
import { formatMoney } from "@hongbao/preprocess";
import { count } from "../cluster/view.ts";
import type { Latency } from "./figures.ts";
import type { AuditReport, RehearseReport } from "./rehearse.ts";

export function reportText(report: RehearseReport): string {
  const { answers, errors, told } = report;
  const all = Object.values(answers).reduce((sum, value) => sum + value, 0);
  const words = Object.entries(answers).sort(([, a], [, b]) => b - a);
  const lost = Object.entries(errors).filter(([, value]) => value > 0);
  const lines = [
    `Round ${report.round} (${report.kind}): ${count(report.users)} users over ${report.connections} connections` +
      (report.spreadSeconds === null ? "" : `, pressing in ${report.spreadSeconds} s`),
    `  answers    ${count(all)}: ${words.map(([word, value]) => `${word} ${count(value)}`).join(", ")}`,
    `  peak       ${count(report.peakPerSecond)} answers, ${count(report.peakWinsPerSecond)} new wins in one second`,
    `  last win   ${report.secondsToLastWin === null ? "none" : `after ${report.secondsToLastWin.toFixed(1)} s`}` +
      (report.soldOut ? ", sold out" : ""),
    ...Object.entries(report.latency).map(
      ([word, latency]) => `  ${word.padEnd(10)} ${latencyText(latency)}`,
    ),
    `  told wins  ${count(told.wins)}: ${toldText(told)}`,
  ];
  const left = report.buckets.map(({ bucket, users, generated, left }) => {
    return `${bucket} ${count(left)} of ${count(generated)} (${count(users)} users)`;
  });
  lines.push(`  left       ${left.join(", ")}`);
  if (lost.length > 0)
    lines.push(`  no answer  ${lost.map(([kind, value]) => `${kind} ${count(value)}`).join(", ")}`);
  if (!report.finished) lines.push("  The time was over before every user had asked (--duration).");
  return [...lines, ...auditLines(report.audit)].join("\n");
}

function latencyText(latency: Latency | null): string {
  if (latency === null) return "no sample";
  return `p50 ${latency.p50Ms} ms, p99 ${latency.p99Ms} ms, max ${latency.maxMs} ms (${count(latency.count)} samples)`;
}

function toldText({ verified, missing, unknown }: RehearseReport["told"]): string {
  const parts = [`${count(verified)} found again`];
  if (missing > 0) parts.push(`${count(missing)} LOST`);
  if (unknown > 0) parts.push(`${count(unknown)} not asked or not answered`);
  return parts.join(", ");
}

export function auditLines({ ok, rounds, violations }: AuditReport): string[] {
  const sum = ({ count: prizes, amount }: { count: number; amount: number }) =>
    `${count(prizes)} (${formatMoney(amount)})`;
  return [
    `  audit      ${ok ? "clean" : "NOT CLEAN"}`,
    ...rounds.map((round) => {
      const parts = (["generated", "issued", "claimed", "left"] as const).map(
        (name) => `${name} ${sum(round[name])}`,
      );
      return `    round ${round.round}: ${parts.join(", ")}`;
    }),
    ...violations
      .slice(0, 20)
      .map((v) => `    promise ${v.promise}, round ${v.round}, bucket ${v.bucket}: ${v.what}`),
  ];
}
