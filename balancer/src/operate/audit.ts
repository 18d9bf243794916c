/** `hongbao audit`: the books of all buckets, added up. */
import {
  BadInput,
  CheckFailed,
  findTopology,
  formatMoney,
  openPack,
  print,
  printJson,
  readSecrets,
  readTopology,
  shadowPack,
  shadowSpecSchema,
  table,
  type Pack,
  type Secrets,
  type ShadowSpec,
  type Topology,
} from "@hongbao/preprocess";
import {
  auditBucket,
  loansOut,
  type AuditMove,
  type BucketAudit,
  type RoundAudit,
  type Sum,
  type Violation,
} from "@hongbao/bucket-service";

export interface AuditOptions {
  topology?: string;
  state?: string;
  json?: boolean;
  /** The books of a rehearsal that is held, by its spec (JSON). */
  shadow?: string;
}

export const FIGURES = [
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
  "held",
] as const;

type Figures = Record<(typeof FIGURES)[number], Sum>;

export type RoundReport = { round: number } & Figures & { buckets: ({ bucket: string } & Figures)[] };

/** A move whose IDs have left and have not come yet: whoever finds it finishes it. */
export interface UnderWay extends Sum {
  move: string;
  kind: "lend" | "roll";
  from: { bucket: string; round: number };
  to: { bucket: string; round: number };
}

export interface AuditReport {
  ok: boolean;
  rounds: RoundReport[];
  underWay: UnderWay[];
  violations: Violation[];
}

/** Where violations stand that are no single bucket's. */
const ALL_BUCKETS = "all";

/**
 * Adds the buckets' books up, round by round, and holds them against each other and the event. Pure.
 * @param lateLoans loans that lenders have recorded, read after all audits: what came meanwhile had left by then.
 */
export function sumAudits(
  audits: readonly BucketAudit[],
  event: Pick<Pack["manifest"], "event" | "rounds">,
  lateLoans: readonly AuditMove[],
): AuditReport {
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
  const moves = matchMoves(
    audits.flatMap((audit) => audit.moves),
    lateLoans,
  );
  const violations = [
    ...audits.flatMap((audit) => audit.violations),
    ...moves.violations,
    ...budgetViolations([...rounds.values()], event),
  ];
  const underWay = moves.underWay;
  return { ok: violations.length === 0, rounds: [...rounds.values()], underWay, violations };
}

/** What came here must be what left there. Pure. */
function matchMoves(
  moves: readonly AuditMove[],
  lateLoans: readonly AuditMove[],
): { underWay: UnderWay[]; violations: Violation[] } {
  const name = ({ id, kind }: AuditMove, from: string, to: string): string => `${kind} ${id} ${from} ${to}`;
  const gone = new Map<string, AuditMove>();
  for (const out of [...lateLoans, ...moves])
    if (out.direction === "out") gone.set(name(out, out.bucket, out.peerBucket), out);
  const violations: Violation[] = [];
  const came = new Set<string>();
  for (const move of moves) {
    if (move.direction === "out") continue;
    const { id, bucket, round, peerBucket, peerRound, count } = move;
    const key = name(move, peerBucket, bucket);
    came.add(key);
    const out = gone.get(key);
    const isSame =
      out !== undefined &&
      out.round === peerRound &&
      out.peerRound === round &&
      JSON.stringify(out.runs) === JSON.stringify(move.runs);
    if (isSame) continue;
    const what =
      `move ${id} brought ${count} prizes from bucket ${peerBucket}, round ${peerRound}; ` +
      (out === undefined ? "nothing left there" : `${out.count} left there, or other ones`);
    violations.push({ promise: 6, round, bucket, what });
  }
  const underWay = moves
    .filter((move) => move.direction === "out" && !came.has(name(move, move.bucket, move.peerBucket)))
    .map(({ id, kind, bucket, round, peerBucket, peerRound, count, amount }) => ({
      move: id,
      kind,
      from: { bucket, round },
      to: { bucket: peerBucket, round: peerRound },
      count,
      amount,
    }));
  return { underWay, violations };
}

/** What was generated is each round's budget; what was won is not more than the event's. Pure. */
function budgetViolations(
  rounds: readonly RoundReport[],
  { event, rounds: planned }: Pick<Pack["manifest"], "event" | "rounds">,
): Violation[] {
  const violations: Violation[] = [];
  for (const { round, generated } of rounds) {
    const { count, budgetMinor } = planned.find(({ id }) => id === round)!;
    if (generated.count === count && generated.amount === budgetMinor) continue;
    const what = `${generated.count} prizes worth ${generated.amount} were generated, planned were ${count} worth ${budgetMinor}`;
    violations.push({ promise: 4, round, bucket: ALL_BUCKETS, what });
  }
  const won = rounds.reduce((sum, { claimed, waiting }) => sum + claimed.amount + waiting.amount, 0);
  if (won > event.budgetMinor) {
    const what = `prizes worth ${won} were won, the event's budget is ${event.budgetMinor}`;
    violations.push({ promise: 4, round: 0, bucket: ALL_BUCKETS, what });
  }
  return violations;
}

function noFigures(): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, { count: 0, amount: 0 }])) as Figures;
}

function figuresOf(books: RoundAudit): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, books[name]])) as Figures;
}

/** Every bucket's books, added up. Errors: Unreachable, BadInput. */
export async function auditAll(parts: {
  topology: Topology;
  secrets: Pick<Secrets, "redis" | "mysql">;
  pack: Pack;
}): Promise<AuditReport> {
  const { topology, secrets, pack } = parts;
  const audits: BucketAudit[] = [];
  for (const { id } of topology.buckets)
    audits.push(await auditBucket({ topology, bucket: id, secrets, pack }));
  // A loan may have come to a bucket after its lender was looked at.
  const lateLoans: AuditMove[] = [];
  for (const bucket of topology.buckets) lateLoans.push(...(await loansOut({ pack, bucket, secrets })));
  return sumAudits(audits, pack.manifest, lateLoans);
}

function readSpec(text: string): ShadowSpec {
  try {
    return shadowSpecSchema.parse(JSON.parse(text));
  } catch {
    throw new BadInput(`--shadow: found ${text.slice(0, 60)}, expected what \`shadow hold\` tells`);
  }
}

/** Runs the audit on every bucket and tells it. Throws CheckFailed with violations, Unreachable without a store. */
export async function runAudit(options: AuditOptions): Promise<void> {
  const topology = readTopology(findTopology(options.topology, options.state));
  const secrets = readSecrets(topology, ["redis", "mysql"]);
  const pack = openPack(topology.pack, { verify: true });
  const audited = options.shadow === undefined ? pack : shadowPack(pack, readSpec(options.shadow));
  const report = await auditAll({ topology, secrets, pack: audited });
  pack.close();
  if (options.json) printJson(report);
  else tell(report, pack.manifest.event.currency);
  if (!report.ok) throw new CheckFailed(`${report.violations.length} violations`);
}

function tell(report: AuditReport, currency: string): void {
  // Held stands in pending, too.
  const shown = FIGURES.filter((name) => name !== "held");
  const cell = ({ count, amount }: Sum): string[] => [String(count), formatMoney(amount)];
  const rows = [["round", "bucket", ...shown.flatMap((name) => [name, currency])]];
  for (const round of report.rounds) {
    for (const books of round.buckets) {
      rows.push([String(round.round), books.bucket, ...shown.flatMap((name) => cell(books[name]))]);
    }
    rows.push([String(round.round), "all", ...shown.flatMap((name) => cell(round[name]))]);
  }
  print(table(rows));
  const held = report.rounds.reduce((sum, round) => sum + round.held.count, 0);
  if (held > 0) print(`${held} of what is pending is held, because an operator denied the users`);
  for (const { move, kind, from, to, count } of report.underWay) {
    const way = `bucket ${from.bucket}, round ${from.round} to bucket ${to.bucket}, round ${to.round}`;
    print(`under way (${kind} ${move}): ${count} prizes from ${way}; the conductor finishes it`);
  }
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
