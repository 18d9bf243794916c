/** What a replay comes to: its figures, its verdict, its text. */
import { table } from "@hongbao/preprocess";
import { count } from "../cluster/view.ts";
import type { AuditReport, RehearseReport } from "../rehearse/rehearse.ts";
import { auditLines } from "../rehearse/text.ts";
import { terminalPicture } from "./picture.ts";

export interface ReplaySummary {
  format: 1;
  finishedAt: string;
  buckets: number;
  services: number;
  rounds: RehearseReport[];
  /** After everything was over. */
  audit: AuditReport;
}

/** Everything that must hold; an empty list is a clean replay. */
export function faults({ rounds, audit }: ReplaySummary): string[] {
  return [
    ...rounds.filter(({ soldOut }) => !soldOut).map(({ round }) => `round ${round}: prizes were left`),
    ...rounds
      .filter(({ finished }) => !finished)
      .map(({ round }) => `round ${round}: not every user came to ask`),
    ...rounds
      .filter(({ told }) => told.missing > 0)
      .map(({ round, told }) => `round ${round}: ${told.missing} wins that were told are not there any more`),
    ...(audit.ok ? [] : [`the audit found ${audit.violations.length} violations`]),
  ];
}

export function summaryText(summary: ReplaySummary): string {
  const { rounds, audit, buckets, services } = summary;
  const users = Math.max(0, ...rounds.map((round) => round.users));
  const head = [
    "round",
    "wins",
    "peak QPS",
    "peak wins/s",
    "sold out in",
    "wins p50",
    "p99",
    "ended p50",
    "p99",
  ];
  const ms = (value: number | undefined) => (value === undefined ? "-" : `${value.toFixed(1)} ms`);
  const rows = rounds.map(
    ({ round, told, peakPerSecond, peakWinsPerSecond, secondsToLastWin, soldOut, latency }) => [
      String(round),
      count(told.wins),
      count(peakPerSecond),
      count(peakWinsPerSecond),
      soldOut && secondsToLastWin !== null ? `${secondsToLastWin.toFixed(1)} s` : "not sold out",
      ms(latency.won?.p50Ms),
      ms(latency.won?.p99Ms),
      ms(latency.ended?.p50Ms),
      ms(latency.ended?.p99Ms),
    ],
  );
  return [
    ...rounds.flatMap((round) => [terminalPicture(round), ""]),
    `${count(users)} users, ${rounds.length} rounds, ${buckets} buckets of ${services} services, load from the same machine.`,
    "",
    table([head, ...rows]),
    "",
    ...auditLines(audit).map((line) => line.trimEnd()),
  ].join("\n");
}
