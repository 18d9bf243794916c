/** `hongbao bench`: its options, read and checked once. */
import { Option, type Command } from "commander";

export interface BenchCommandOptions {
  json?: boolean;
  only?: string;
  quick?: boolean;
  svg?: string;
  scale?: boolean;
  overload?: boolean;
  door?: "http" | "spop";
  rounds?: string;
  seconds?: string;
  connections?: string;
}

export function registerBench(program: Command): void {
  program
    .command("bench")
    .description(
      "measures Hongbao against reference systems in one run; says which promises about speed are kept",
    )
    .option("--only <rows>", "rows or groups of rows, with commas between them")
    .option("--quick", "short and small: shows that everything works, not how fast it is")
    .option("--scale", "instead: how the cost of a grab grows with prizes, users, buckets and processes")
    .option("--overload", "instead: three times as many requests as a capped service bears, by the clock")
    .addOption(
      new Option("--door <door>", "with --overload: the door that is asked")
        .choices(["http", "spop"])
        .default("http"),
    )
    .option("--rounds <n>", "how often each system takes its turn (default: 3)")
    .option("--seconds <n>", "length of a run (default: 4)")
    .option("--connections <n>", "connections of the load generator (default: 256)")
    .option("--svg <file>", "draw the picture of the README")
    .option("--json", "one JSON document on stdout")
    .action(async (options: BenchCommandOptions) => (await import("./command.ts")).runBench(options));
}
