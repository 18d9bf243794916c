/** `hongbao rebuild --bucket ID`: what will happen, the question, the work in the bucket, and what came of it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { RebuildOrder, RebuildPreview, RebuildReport, RoundBurn } from "@hongbao/bucket-service";
import {
  BadInput,
  CheckFailed,
  confirmAct,
  formatMoney,
  print,
  printJson,
  progress,
  say,
  table,
  Unreachable,
} from "@hongbao/preprocess";
import { askAny, processesOf, type BucketProcess } from "./buckets.ts";
import { openControllers, type Controllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";

export interface RebuildOptions extends Where {
  bucket: string;
  by?: string;
  why?: string;
  yes?: boolean;
  force?: boolean;
  json?: boolean;
}

const POLL_MS = 100;
/** A process that dies while it rebuilds is followed by another one, so many times in all. */
const RUNS_MAX = 5;
/** A process that is asked how far it is and is silent for so many questions counts as dead. */
const SILENCE_MAX = 3;

export async function runRebuild(options: RebuildOptions): Promise<void> {
  const controllers = openControllers(options);
  const { topology } = controllers;
  const processes = processesOf(topology, options.bucket);
  const { event, rounds } = await controllers.state();
  // The conductor remembers openings that a bucket's MySQL may have missed.
  const maybeOpened = rounds.filter(({ state }) => state !== "scheduled").map(({ round }) => round);
  const order: RebuildOrder = { maybeOpened, force: options.force === true };
  const { answer: preview } = await askAny(processes, (client) => client.preview(order));
  if (preview.state === "unloaded") {
    throw new BadInput(`bucket ${options.bucket}: ${preview.why}: there is nothing to rebuild from`);
  }
  if (preview.state === "whole" && !options.force) {
    const report: RebuildReport = { outcome: "whole", epoch: "", claims: 0, salvaged: 0, rounds: [] };
    return tell(options, report);
  }
  await confirmAct({
    what: [
      `Topology ${topology.path}, event ${event}, bucket ${options.bucket}`,
      ...announcement(options.bucket, preview),
    ],
    ask: { word: options.bucket, yes: options.yes === true },
  });
  const log = (what: string): Promise<void> => logged(controllers, options, what);
  await log(`rebuild of bucket ${options.bucket} ordered (${preview.why || "forced"})`);
  const report = await carryOut(processes, order);
  const burned = report.rounds.map(
    ({ round, holes, beyond }) => `round ${round}: ${holes.count + beyond.count}`,
  );
  await log(`bucket ${options.bucket} ${report.outcome}: burned ${burned.join(", ")}`);
  tell(options, report);
}

async function logged(controllers: Controllers, { by, why }: RebuildOptions, what: string): Promise<void> {
  await controllers.post("/admin/log", { by: by ?? byDefault(), why: why ?? "", what: what.slice(0, 1000) });
}

function announcement(bucket: string, { state, why, rounds }: RebuildPreview): string[] {
  if (state === "rebuilding")
    return [`Will go on with the rebuild of bucket ${bucket} that was broken off; nothing more is burned.`];
  const burns = rounds.map(({ round, holes, beyond, left }) => {
    const [skipped, doubtful] = [`${holes.count} skipped`, `${beyond.count} beyond the last persisted one`];
    return `  round ${round}: about ${holes.count + beyond.count} IDs (${skipped}, ${doubtful}), ${left.count} left`;
  });
  return [
    state === "whole"
      ? `Redis of bucket ${bucket} is whole; it is emptied and filled again all the same.`
      : `Redis of bucket ${bucket} cannot be used: ${why}.`,
    "Will empty it and fill it from MySQL. IDs that may have been given and are not persisted are burned; receipts bring",
    "them back to their users, and `round release` makes the rest stock again:",
    ...burns,
  ];
}

/** Orders the rebuild and follows it; when its process dies another one goes on. */
export async function carryOut(
  processes: readonly BucketProcess[],
  order: RebuildOrder,
): Promise<RebuildReport> {
  let last: unknown;
  let remaining = processes;
  for (let run = 0; run < RUNS_MAX; run += 1) {
    const { process } = await askAny(remaining, (client) => client.start(order));
    try {
      return await follow(process);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      say(`${error.message}; another process goes on`);
      last = error;
      // The one that failed is asked last.
      remaining = [...remaining.filter((each) => each !== process), process];
    }
  }
  throw last;
}

async function follow({ id, client }: BucketProcess): Promise<RebuildReport> {
  const bar = progress("claims", 100);
  let silent = 0;
  for (;;) {
    await sleep(POLL_MS);
    const job = await client.job().catch((error: Error) => {
      silent += 1;
      if (silent >= SILENCE_MAX) throw new Unreachable(`process ${id} is gone: ${error.message}`);
      return null;
    });
    if (job === null) continue;
    silent = 0;
    if (job.state === "idle") throw new Unreachable(`process ${id} was restarted`);
    if (job.state === "failed") throw new CheckFailed(`process ${id}: ${job.error}`);
    if (job.state === "done") {
      bar.done();
      return job.report;
    }
    const { done = 0, total = 0 } = job.at;
    bar.update(total === 0 ? 0 : (100 * done) / total);
  }
}

function tell({ bucket, json }: RebuildOptions, report: RebuildReport): void {
  if (json) {
    const rounds = report.rounds.map((round) => ({ ...round, burned: burnedOf(round), why: whyOf(round) }));
    return printJson({ bucket, ...report, rounds });
  }
  if (report.outcome === "whole") return print(`bucket ${bucket} is whole: nothing was done`);
  print(
    `bucket ${bucket} is ${report.outcome}: ${report.claims} claims are back, ${report.salvaged} of them from the old journal`,
  );
  const rows = [["round", "burned", "worth", "skipped", "beyond", "left", "why"]];
  for (const round of report.rounds) {
    const { count, amount } = burnedOf(round);
    rows.push([
      ...[round.round, count].map(String),
      formatMoney(amount),
      ...[round.holes.count, round.beyond.count, round.left.count].map(String),
      whyOf(round),
    ]);
  }
  print(table(rows));
}

function burnedOf({ holes, beyond }: RoundBurn): { count: number; amount: number } {
  return { count: holes.count + beyond.count, amount: holes.amount + beyond.amount };
}

function whyOf({ holes, beyond }: RoundBurn): string {
  const reasons = [
    ...(holes.count > 0 ? ["skipped: a later ID is persisted, these are not"] : []),
    ...(beyond.count > 0 ? ["beyond: may have been given after the last persisted one"] : []),
  ];
  return reasons.join("; ") || "nothing may have been given that is not persisted";
}
