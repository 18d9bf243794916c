/** `hongbao simulate`: its options; what they mean is read in command.ts. */
import { Option, type Command } from "commander";

export interface SimulateCommandOptions {
  users?: string;
  come?: string;
  prizes?: string;
  perUser?: string;
  buckets?: string;
  event?: string;
  topology?: string;
  round?: string;
  spread?: string;
  peak?: string;
  press: "even" | "front";
  skew?: string;
  again?: string;
  lend: "both" | "on" | "off";
  lose?: string[];
  zones?: string;
  services?: string;
  frontCores?: string;
  machineCores?: string;
  connections?: string;
  latency?: string;
  record?: string;
  costs?: string;
  seconds?: string;
  seed?: string;
  against?: string;
  calibrate?: string;
  svg?: string;
  json?: boolean;
}

export function registerSimulate(program: Command): void {
  program
    .command("simulate")
    .description(
      "a round that no test machine can hold: time to sell out, imbalance, stranded prizes, losses",
    )
    .option("--users <n>", "users of the event (default: 150000), named u1, u2, … as in the sample")
    .option("--come <n>", "how many of them press (default: all)")
    .option("--prizes <n>", "prizes of the round (default: two for three users)")
    .option("--per-user <n>", "prizes that one user may have (default: 1)")
    .option(
      "--buckets <n>",
      "buckets, with slots and prizes as `up` and `preprocess` share them (default: 2)",
    )
    .option("--event <file>", "instead: users and prizes of an event file")
    .option("--topology <file>", "with --event: its buckets and slots")
    .option("--round <id>", "with --event: the round (default: its first)")
    .option("--spread <seconds>", "first presses are spread over so long (default: 3)")
    .option("--peak <requests>", "instead: first presses a second")
    .addOption(
      new Option("--press <pattern>", "even; front: most at once, fewer and fewer after that")
        .choices(["even", "front"])
        .default("even"),
    )
    .option("--skew <share>", "so much of those who come are of the first bucket, such as 0.85")
    .option("--again <share>", "so much of the winners press once more (default: 0.1)")
    .addOption(
      new Option("--lend <how>", "buckets lend by themselves")
        .choices(["both", "on", "off"])
        .default("both", "both, side by side"),
    )
    .option(
      "--lose <what...>",
      "b3@2+10: bucket b3 is away from second 2 for 10 s; zone1@2: that zone, for good",
    )
    .option("--zones <n>", "zones; bucket i stands in zone i modulo n (default: 3)")
    .option("--services <n>", "service processes of each bucket (default: 2)")
    .option(
      "--front-cores <n>",
      "cores of all HAProxys (default: as many as it takes; the report says how many)",
    )
    .option("--machine-cores <n>", "instead of all that: everything, load generator too, on one machine")
    .option(
      "--connections <n>",
      "a closed loop of so many, as wrk is, instead of people who press by the clock",
    )
    .option("--latency <ms>", "network and rest, added to every answer (default: 10)")
    .option("--record <ms>", "a write to the control store (default: 2, a directory; S3 takes about 30)")
    .option("--costs <file>", "report of `bench --json` (default: the one of docs/performance.md)")
    .option("--seconds <n>", "the model ends after so long at the latest (default: 300)")
    .option("--seed <n>", "the same seed gives the same report (default: 1)")
    .option(
      "--against <file>",
      "a report of `rehearse --json`: simulate that, and compare; 1 when 20 % apart",
    )
    .option(
      "--calibrate <file>",
      "with --against: another rehearsal by wrk there, which tells what a win costs",
    )
    .option("--svg <file>", "draw the stock of every bucket over time")
    .option("--json", "one JSON document on stdout")
    .action(async (options: SimulateCommandOptions) => (await import("./command.ts")).runSimulate(options));
}
