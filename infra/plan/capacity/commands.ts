/** `hongbao capacity`: its options, read and checked once. */
import type { Command } from "commander";

export interface CapacityCommandOptions {
  users?: string;
  prizes?: string;
  rounds?: string;
  peakQps?: string;
  press?: string;
  presses?: string;
  again?: string;
  late?: string;
  arrival?: string;
  mediaMb?: string;
  headroom?: string;
  buckets?: string;
  zones?: string;
  hours?: string;
  redisRttMs?: string;
  mysqlCommitMs?: string;
  journalMax?: string;
  coreFactor?: string;
  measured?: string;
  aside?: string;
  prices?: string;
  name?: string;
  imageTag?: string;
  out?: string;
  json?: boolean;
}

export function registerCapacity(program: Command): void {
  const capacity = program
    .command("capacity")
    .description(
      "from an event to its cluster on AWS: sizes, cost, head-room, what breaks first (docs/capacity.md)",
    )
    .option("--users <n>", "people who take part")
    .option("--prizes <n>", "prizes of all rounds")
    .option("--rounds <n>", "equal rounds that share the prizes (default: 1)")
    .option("--peak-qps <n>", "grabs a second at the peak; or --press")
    .option("--press <pattern>", 'when people first press after an opening, such as "70%@2s,30%@30s"')
    .option("--presses <n>", "with --press: presses of each user (default: 1)")
    .option("--again <seconds>", "with --presses: apart (default: 1)")
    .option("--late <percent>", "of those who press, so many have no connection yet (default: 10)")
    .option("--arrival <seconds>", "in which everybody opens the page before (default: 600)")
    .option("--media-mb <mb>", "pictures and video of each user, on the CDN (default: 0)")
    .option("--headroom <percent>", "of every limit that stays free (default: 40)")
    .option("--buckets <n>", "exactly so many (default: as few as will do, so that a broken one touches few)")
    .option("--zones <n>", "availability zones, 2 or 3 (default: 3)")
    .option("--hours <n>", "from apply to destroy, for the cost (default: 12)")
    .option("--redis-rtt-ms <ms>", "a call to Redis and back (default: 5)")
    .option("--mysql-commit-ms <ms>", "a commit in two zones (default: 10)")
    .option("--journal-max <n>", "journalMax of the event file (default: 200000)")
    .option("--core-factor <x>", "what a core there does, to one where it was measured (default: 1)")
    .option("--measured <file>", "JSON of `hongbao bench --json` (default: the committed one)")
    .option("--aside <file>", "JSON of `hongbao capacity measure` (default: the committed one)")
    .option("--prices <file>", "price table (default: the committed one)")
    .option("--name <event>", "`event` of terraform.tfvars.json")
    .option("--image-tag <tag>", "`image_tag` of terraform.tfvars.json")
    .option("--out <dir>", "write terraform.tfvars.json and capacity.svg there")
    .option("--json", "one JSON document on stdout")
    .action(async (options: CapacityCommandOptions) => (await import("./command.ts")).runCapacity(options));
  capacity
    .command("measure")
    .description("measures here what the bench does not: connections, answers, /result; about a minute")
    .option("--to <file>", "where the JSON goes (default: stdout)")
    .action(async (options: { to?: string }) => (await import("./command.ts")).runMeasure(options));
}
