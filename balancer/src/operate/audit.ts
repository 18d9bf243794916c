/** `hongbao audit`: the books of all buckets, added up. */
import {
  CheckFailed,
  findTopology,
  formatMoney,
  openPack,
  print,
  printJson,
  readSecrets,
  readTopology,
  table,
} from "@hongbao/preprocess";
import {
  auditBucket,
  type BucketAudit,
  type RoundAudit,
  type Sum,
  type Violation,
} from "@hongbao/bucket-service";

export interface AuditOptions {
  topology?: string;
  state?: string;
  json?: boolean;
}

const FIGURES = [
  "generated",
  "borrowed",
  "rolledIn",
  "issued",
  "left",
  "burned",
  "lentOut",
  "rolledOut",
  "waiting",
  "claimed",
  "paid",
  "pending",
  "dead",
] as const;

type Figures = Record<(typeof FIGURES)[number], Sum>;

export type RoundReport = { round: number } & Figures & { buckets: ({ bucket: string } & Figures)[] };

export interface AuditReport {
  ok: boolean;
  rounds: RoundReport[];
  violations: Violation[];
}

/** Adds the buckets' books up, round by round. Pure. */
export function sumAudits(audits: readonly BucketAudit[]): AuditReport {
  const rounds = new Map<number, RoundReport>();
  for (const books of audits.flatMap((audit) => audit.rounds)) {
    const report = rounds.get(books.round) ?? { round: books.round, ...noFigures(), buckets: [] };
    rounds.set(books.round, report);
    for (const name of FIGURES) {
      report[name].count += books[name].count;
      report[name].amount += books[name].amount;
    }
    report.buckets.push({ bucket: books.bucket, ...figuresOf(books) });
  }
  const violations = audits.flatMap((audit) => audit.violations);
  return { ok: violations.length === 0, rounds: [...rounds.values()], violations };
}

function noFigures(): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, { count: 0, amount: 0 }])) as Figures;
}

function figuresOf(books: RoundAudit): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, books[name]])) as Figures;
}

/** Runs the audit on every bucket and tells it. Throws CheckFailed with violations, Unreachable without a store. */
export async function runAudit(options: AuditOptions): Promise<void> {
  const topology = readTopology(findTopology(options.topology, options.state));
  const secrets = readSecrets(topology, ["redis", "mysql"]);
  const pack = openPack(topology.pack, { verify: true });
  const audits: BucketAudit[] = [];
  for (const { id } of topology.buckets)
    audits.push(await auditBucket({ topology, bucket: id, secrets, pack }));
  pack.close();
  const report = sumAudits(audits);
  if (options.json) printJson(report);
  else tell(report, pack.manifest.event.currency);
  if (!report.ok) throw new CheckFailed(`${report.violations.length} violations`);
}

function tell(report: AuditReport, currency: string): void {
  const shown = [
    "generated",
    "borrowed",
    "rolledIn",
    "issued",
    "left",
    "burned",
    "lentOut",
    "rolledOut",
    "waiting",
    "claimed",
  ] as const;
  const cell = ({ count, amount }: Sum): string[] => [String(count), formatMoney(amount)];
  const rows = [["round", "bucket", ...shown.flatMap((name) => [name, currency])]];
  for (const round of report.rounds) {
    for (const books of round.buckets) {
      rows.push([String(round.round), books.bucket, ...shown.flatMap((name) => cell(books[name]))]);
    }
    rows.push([String(round.round), "all", ...shown.flatMap((name) => cell(round[name]))]);
  }
  print(table(rows));
  for (const { promise, round, bucket, what, prize, user } of report.violations) {
    const where = [
      `round ${round}`,
      `bucket ${bucket}`,
      ...(prize ? [`prize ${prize}`] : []),
      ...(user ? [`user ${user}`] : []),
    ];
    print(`promise ${promise} broken: ${where.join(", ")}: ${what}`);
  }
  print(report.ok ? "clean: every prize is accounted for" : "NOT clean");
}
