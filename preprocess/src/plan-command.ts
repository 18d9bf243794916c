/** `hongbao preprocess plan` and `generate`: from files to reports. */
import { sendPack, sendSeed } from "./aws/bring.ts";
import { BadInput } from "./errors.ts";
import { readEvent } from "./event.ts";
import { generatePack } from "./generate.ts";
import type { Generated } from "./generate.ts";
import { readGreetings } from "./greetings.ts";
import { formatMoney } from "./money.ts";
import type { PlanReport } from "./plan.ts";
import { planEvent } from "./plan.ts";
import { seedPath } from "./pack-format.ts";
import { findTopology } from "./state.ts";
import { print, printJson, progress, say, table } from "./terminal.ts";
import { readTopology } from "./topology.ts";
import { readUsers } from "./users.ts";

export interface PlanOptions {
  topology?: string;
  json?: boolean;
}

/** Checks an event with all its files and prints what it means. */
export async function runPlan(eventPath: string, options: PlanOptions): Promise<void> {
  const event = readEvent(eventPath);
  const topologyPath = options.topology || process.env.HONGBAO_TOPOLOGY;
  const topology = topologyPath ? readTopology(topologyPath) : null;
  readGreetings(event.greetingsPath);
  const report = planEvent(event, await readUsers(event.usersPath), topology);
  if (options.json) printJson(report);
  else print(planText(report));
}

/** The report as a table of rounds × buckets. */
export function planText(report: PlanReport): string {
  const rows = [["round", "kind", "bucket", "eligible", "prizes", `amount ${report.currency}`]];
  for (const round of report.rounds) {
    const of = round.amountsExact ? formatMoney : (minor: number): string => `~${formatMoney(minor)}`;
    rows.push([
      String(round.round),
      round.kind,
      "all",
      String(round.eligible),
      String(round.count),
      formatMoney(round.amountMinor),
    ]);
    for (const { bucket, eligible, count, amountMinor } of round.buckets) {
      rows.push(["", "", bucket, String(eligible), String(count), of(amountMinor)]);
    }
  }
  const sizes = [["bucket", "users", "prizes", "pack", "Redis", "MySQL"]];
  for (const each of report.buckets) {
    const { bucket, users, prizes } = each;
    sizes.push([bucket, String(users), String(prizes), ...sizeCells(each)]);
  }
  sizes.push(["all", String(report.users), String(report.prizes), ...sizeCells(report.sizes)]);
  const budget = formatMoney(report.budgetMinor);
  const lines = [
    `Event ${report.event}: ${report.users} users, ${report.prizes} prizes, budget ${budget} ${report.currency}, ` +
      `of which ${formatMoney(report.unspentMinor)} are in no round.`,
    "",
    table(rows),
    "",
    "Sizes (estimated, with every prize claimed):",
    table(sizes),
    ...report.warnings.map((warning) => `Note: ${warning}`),
  ];
  if (report.buckets.length === 0) lines.push("", "Give --topology FILE to see the buckets' shares.");
  return lines.join("\n");
}

function sizeCells(sizes: { packBytes: number; redisBytes: number; mysqlBytes: number }): string[] {
  return [sizes.packBytes, sizes.redisBytes, sizes.mysqlBytes].map(formatBytes);
}

function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

export interface GenerateCommandOptions {
  topology?: string;
  state?: string;
  out?: string;
  seed?: string;
  force?: boolean;
  json?: boolean;
}

/** Seeds shorter than this can be guessed, and with them every prize before the event. */
const SEED_DIGITS_MIN = 32;

/** Makes the pack of an event. */
export async function runGenerate(eventPath: string, options: GenerateCommandOptions): Promise<void> {
  const event = readEvent(eventPath);
  const topology = readTopology(findTopology(options.topology, options.state));
  const out = options.out ?? topology.pack;
  if (out.startsWith("s3://")) {
    throw new BadInput(
      `--out: found ${out}, expected a local directory (a topology with this pack sends it there)`,
    );
  }
  if (options.seed !== undefined && options.seed.length < SEED_DIGITS_MIN) {
    say(`note: a seed of fewer than ${SEED_DIGITS_MIN} hex digits can be guessed; use it for tests only`);
  }
  const greetings = readGreetings(event.greetingsPath);
  const users = await readUsers(event.usersPath);
  const bar = progress(
    "prizes",
    event.rounds.reduce((sum, round) => sum + round.count, 0),
  );
  const generated = await generatePack({
    event,
    users,
    greetings,
    topology,
    out,
    ...(options.seed === undefined ? {} : { seedHex: options.seed }),
    ...(options.force ? { force: true } : {}),
    onProgress: (done) => bar.update(done),
  });
  bar.done();
  if (options.out === undefined && topology.packFrom !== undefined) {
    await sendPack(generated.dir, topology.packFrom);
    const seed = await sendSeed(`${generated.dir}.seed`, topology.packFrom);
    say(`the pack is at ${topology.packFrom}, its seed at ${seed}`);
  }
  report(generated, users.records.size, options.json === true);
}

const OUTCOMES = {
  new: "is made",
  same: "was there already, with the same prizes",
  replaced: "replaces another",
};

function report({ dir, digest, manifest, outcome }: Generated, users: number, asJson: boolean): void {
  const { prizeCount, rounds, event } = manifest;
  const amountMinor = manifest.ranges.reduce((sum, range) => sum + range.amountMinor, 0);
  if (asJson) {
    const commitments = rounds.map(({ id, commitment }) => ({ round: id, commitment }));
    printJson({
      pack: dir,
      digest,
      outcome,
      event: event.id,
      prizes: prizeCount,
      amountMinor,
      users,
      commitments,
    });
    return;
  }
  print(`The pack ${dir} ${OUTCOMES[outcome]}.`);
  print(
    `${prizeCount} prizes, ${formatMoney(amountMinor)} ${event.currency}, ${users} users, digest ${digest}`,
  );
  for (const { id, commitment } of rounds) print(`round ${id}: commitment ${commitment}`);
  say(`The seed is in ${seedPath(dir)}: keep it secret until the draw is revealed.`);
}
