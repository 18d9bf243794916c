/** `hongbao payout status|retry|export`: the money side of all buckets. */
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { once } from "node:events";
import { finished } from "node:stream/promises";
import type { Writable } from "node:stream";
import {
  adminClient,
  payoutClient,
  type BucketPayouts,
  type ExportRow,
  type PayoutClient,
  type PayoutSum,
} from "@hongbao/bucket-service";
import {
  BadInput,
  confirmAct,
  findTopology,
  formatMoney,
  openPack,
  print,
  printJson,
  readSecrets,
  readTopology,
  table,
  Unreachable,
  type BucketPlace,
  type Topology,
} from "@hongbao/preprocess";
import { openControllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";

export interface PayoutStatusOptions extends Where {
  json?: boolean;
}

export interface PayoutRetryOptions extends PayoutStatusOptions {
  round?: string;
  bucket?: string;
  prize?: string[];
  by?: string;
  why?: string;
}

export interface PayoutExportOptions extends Where {
  out?: string;
  onlyState?: string;
}

/** A status reads every claim once. */
const ASK_MS_MAX = 60_000;
const THERE_MS_MAX = 1_500;
const PAGE_ROWS = 5_000;
const STATES = ["pending", "paid", "dead", "held"] as const;
type State = (typeof STATES)[number];

interface Bucket {
  id: string;
  /** Asks the bucket's processes, payout first, until one answers. Errors: Unreachable with all their words; BadInput. */
  ask<T>(work: (client: PayoutClient) => Promise<T>): Promise<T>;
}

function openBuckets(where: Where): { topology: Topology; currency: string; buckets: Bucket[] } {
  const topology = readTopology(findTopology(where.topology, where.state));
  const { operator } = readSecrets(topology, ["operator"]);
  const pack = openPack(topology.pack, { verify: false, memoryBytesMax: 0 });
  const { currency } = pack.manifest.event;
  pack.close();
  const buckets = topology.buckets.map((bucket): Bucket => ({
    id: bucket.id,
    async ask(work) {
      const failures: string[] = [];
      for (const { id, admin } of processesOf(bucket)) {
        try {
          // One that is frozen must not hold the question up for as long as a real answer may take.
          const isThere = await adminClient({
            admin,
            operatorSecret: operator,
            timeoutMs: THERE_MS_MAX,
          }).ready();
          if (!isThere) throw new Unreachable(`admin port ${admin}: not ready`);
          return await work(payoutClient({ admin, operatorSecret: operator, timeoutMs: ASK_MS_MAX }));
        } catch (error) {
          if (error instanceof BadInput) throw error;
          failures.push(`${id} (${(error as Error).message})`);
        }
      }
      throw new Unreachable(`bucket ${bucket.id}: no process answers about payouts: ${failures.join("; ")}`);
    },
  }));
  return { topology, currency, buckets };
}

function processesOf({ payout, persist, services }: BucketPlace): { id: string; admin: string }[] {
  return [...payout, ...persist, ...(Array.isArray(services) ? services : [])];
}

export type PayoutRound = { round: number } & Record<State, PayoutSum> & {
    buckets: ({ bucket: string } & Record<State, PayoutSum>)[];
  };

export interface PayoutReport {
  rounds: PayoutRound[];
  total: Record<State, PayoutSum>;
  ledger: { credits: number; amount: number; balanced: boolean };
  reasons: { bucket: string; state: string; reason: string; count: number }[];
}

const noSums = (): Record<State, PayoutSum> => ({
  pending: { count: 0, amount: 0 },
  paid: { count: 0, amount: 0 },
  dead: { count: 0, amount: 0 },
  held: { count: 0, amount: 0 },
});

function add(to: Record<State, PayoutSum>, what: Record<State, PayoutSum>): void {
  for (const state of STATES) {
    to[state].count += what[state].count;
    to[state].amount += what[state].amount;
  }
}

/** Adds up what the buckets tell. Pure. */
export function sumPayouts(told: readonly BucketPayouts[]): PayoutReport {
  const rounds = new Map<number, PayoutRound>();
  const total = noSums();
  for (const { bucket, rounds: figures } of told) {
    for (const { round, ...sums } of figures) {
      const report = rounds.get(round) ?? { round, ...noSums(), buckets: [] };
      rounds.set(round, report);
      add(report, sums);
      add(total, sums);
      report.buckets.push({ bucket, ...sums });
    }
  }
  const ledger = { credits: 0, amount: 0, balanced: true };
  for (const { ledger: of } of told) {
    ledger.credits += of.credits;
    ledger.amount += of.companyMinor;
    ledger.balanced &&= of.entriesMinor === 0 && of.balancesMinor === 0 && of.paidMinor === of.companyMinor;
  }
  const reasons = told
    .flatMap(({ bucket, reasons: of }) => of.map((reason) => ({ bucket, ...reason })))
    .sort((a, b) => b.count - a.count);
  return { rounds: [...rounds.values()].sort((a, b) => a.round - b.round), total, ledger, reasons };
}

export async function runPayoutStatus(options: PayoutStatusOptions): Promise<void> {
  const { buckets, currency } = openBuckets(options);
  const report = sumPayouts(
    await Promise.all(buckets.map((bucket) => bucket.ask((client) => client.status()))),
  );
  if (options.json) return printJson(report);
  const cells = (sums: Record<State, PayoutSum>): string[] =>
    STATES.flatMap((state) => [String(sums[state].count), formatMoney(sums[state].amount)]);
  const rows = [["round", "bucket", ...STATES.flatMap((state) => [state, currency])]];
  for (const round of report.rounds) {
    for (const books of round.buckets) rows.push([String(round.round), books.bucket, ...cells(books)]);
  }
  rows.push(["all", "all", ...cells(report.total)]);
  print(table(rows));
  const { credits, amount, balanced } = report.ledger;
  print(
    `ledger: ${credits} credits, ${formatMoney(amount)} ${currency}, ${balanced ? "balanced" : "NOT balanced"}`,
  );
  for (const { bucket, state, reason, count } of report.reasons)
    print(`${bucket}: ${count} ${state}: ${reason || "no reason given"}`);
}

/** Dead payouts become pending again: all of them, or those of a round, a bucket or with given prize IDs. */
export async function runPayoutRetry(options: PayoutRetryOptions): Promise<void> {
  const round = options.round === undefined ? undefined : readNumber("--round", options.round);
  const prizes = options.prize?.map((text) => readNumber("--prize", text));
  const { topology, buckets } = openBuckets(options);
  const chosen = buckets.filter(({ id }) => options.bucket === undefined || id === options.bucket);
  if (chosen.length === 0) {
    const known = buckets.map(({ id }) => id).join(", ");
    throw new BadInput(`--bucket: found "${options.bucket}", expected one of ${known}`);
  }
  const controllers = openControllers(options);
  const { event } = await controllers.state();
  const which = prizes === undefined ? "all dead payouts" : `the dead payouts of prizes ${prizes.join(", ")}`;
  const where = `buckets ${chosen.map(({ id }) => id).join(", ")}`;
  await confirmAct({
    what: [
      `Topology ${topology.path}, event ${event}, ${where}`,
      `Will retry ${which}${round === undefined ? "" : ` of round ${round}`}, under the same idempotency keys.`,
    ],
  });
  const wish = { ...(prizes === undefined ? {} : { prizes }), ...(round === undefined ? {} : { round }) };
  const retried = await Promise.all(
    chosen.map(async (bucket) => ({
      bucket: bucket.id,
      count: await bucket.ask((client) => client.retry(wish)),
    })),
  );
  const count = retried.reduce((sum, each) => sum + each.count, 0);
  const what = `retried ${count} of ${which} in ${where}`;
  await controllers.post("/admin/log", {
    by: options.by ?? byDefault(),
    what: what.slice(0, 1000),
    why: options.why ?? "",
    ...(round === undefined ? {} : { round }),
  });
  if (options.json) return printJson({ retried: count, buckets: retried });
  print(count === 0 ? "no dead payout was found" : `${count} dead payouts are pending again`);
}

function readNumber(option: string, text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text);
  throw new BadInput(`${option}: found "${text}", expected a whole number`);
}

const COLUMNS = "bucket,prize,round,user,n,amount,currency,claimed_at,state,attempts,paid_at,reason";

/** One line of the export. IDs and words need no quotes; a reason may hold anything. Pure. */
export function csvLine(bucket: string, currency: string, row: ExportRow): string {
  const { prize, round, user, n, amount, claimedAt, state, attempts, paidAt, reason } = row;
  const quoted = reason === null ? "" : `"${reason.replaceAll('"', '""').replaceAll(/[\r\n]+/g, " ")}"`;
  const cells = [
    bucket,
    prize,
    round,
    user,
    n,
    formatMoney(amount),
    currency,
    claimedAt,
    state,
    attempts,
    paidAt ?? "",
    quoted,
  ];
  return `${cells.join(",")}\n`;
}

/** Every claim with its payout as CSV, on stdout or in a file that appears when it is whole. Memory: a page. */
export async function runPayoutExport(options: PayoutExportOptions): Promise<void> {
  const { onlyState, out } = options;
  if (onlyState !== undefined && !STATES.includes(onlyState as State))
    throw new BadInput(`--only-state: found "${onlyState}", expected one of ${STATES.join(", ")}`);
  const { buckets, currency } = openBuckets(options);
  if (out === undefined) return writeRows(process.stdout, buckets, currency, onlyState);
  const draft = `${out}.${process.pid}.tmp`;
  const file = createWriteStream(draft, { mode: 0o600, flags: "wx" });
  try {
    await once(file, "open");
  } catch (error) {
    throw new BadInput(
      `--out: found ${out}, expected a path that can be written: ${(error as Error).message}`,
    );
  }
  try {
    await writeRows(file, buckets, currency, onlyState);
    file.end();
    await finished(file);
    await rename(draft, out);
  } catch (error) {
    file.destroy();
    await rm(draft, { force: true });
    throw error;
  }
}

async function writeRows(
  stream: Writable,
  buckets: readonly Bucket[],
  currency: string,
  onlyState: string | undefined,
): Promise<void> {
  const write = async (text: string): Promise<void> => {
    if (text !== "" && !stream.write(text)) await once(stream, "drain");
  };
  await write(`${COLUMNS}\n`);
  for (const bucket of buckets) {
    let after = 0;
    for (;;) {
      const rows = await bucket.ask((client) => client.page(after, PAGE_ROWS));
      const wanted = rows.filter(({ state }) => onlyState === undefined || state === onlyState);
      await write(wanted.map((row) => csvLine(bucket.id, currency, row)).join(""));
      if (rows.length < PAGE_ROWS) break;
      after = rows.at(-1)!.prize;
    }
  }
}
