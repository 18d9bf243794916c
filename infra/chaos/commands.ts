/** `hongbao chaos`: its options, read and checked once. */
import type { Command } from "commander";

export interface ChaosCommandOptions {
  scenario?: string[];
  matrix?: boolean;
  list?: boolean;
  for?: string;
  soak?: string;
  seed?: string;
  json?: boolean;
  keep?: string;
}

export function registerChaos(program: Command): void {
  program
    .command("chaos")
    .description(
      "breaks a cluster of its own under load, and holds what users were told against what is in the stores",
    )
    .option("--scenario <ids...>", "these scenarios")
    .option("--matrix", "all of them: every fault of the list, about a quarter of an hour")
    .option("--for <time>", "random ones for so long, as 20m")
    .option("--soak <time>", "rounds open and close for so long, as 1h; what should stay flat is watched")
    .option("--list", "what there is")
    .option("--seed <n>", "play the schedule of an earlier run again")
    .option("--keep <dir>", "keep histories, logs and stores in this directory")
    .option("--json", "one JSON document on stdout")
    .action(async (options: ChaosCommandOptions) => (await import("./command.ts")).runChaosCommand(options));
}
