import type { Command } from "commander";
import { parentCommand } from "@hongbao/preprocess/terminal";

/** The commands of this folder. Everything heavy is imported when a command runs. */
export function register(program: Command): void {
  const preprocess = parentCommand(program, "preprocess", "makes, loads and checks an event's prizes");
  preprocess
    .command("load <pack>")
    .description("fill every bucket's MySQL and Redis and fix the rounds' times; safe to repeat and resume")
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option("--state <dir>", "state directory of the local cluster")
    .option("--opens-in <seconds>", "shift all rounds so that the first opens this long from now")
    .option("--json", "one JSON document on stdout")
    .action(async (pack: string, options: LoadOptions) =>
      (await import("./provision/run.ts")).runLoad(pack, options),
    );
  preprocess
    .command("verify <pack>")
    .description("hold pack, MySQL and Redis of every bucket against each other")
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option("--state <dir>", "state directory of the local cluster")
    .option("--json", "one JSON document on stdout")
    .action(async (pack: string, options: VerifyOptions) =>
      (await import("./provision/run.ts")).runVerify(pack, options),
    );
  program
    .command("bucket")
    .description("run a bucket's process; without --service all of that bucket's")
    .requiredOption("--bucket <id>", "the bucket")
    .option("--service <id>", "one service, persist or payout process of the topology")
    .option("--roles <list>", "grab, persist, payout", "grab,persist,payout")
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option("--state <dir>", "state directory of the local cluster")
    .action(async (options: BucketOptions) => (await import("./run-bucket.ts")).runBucket(options));
}

export interface VerifyOptions {
  topology?: string;
  state?: string;
  json?: boolean;
}

export interface LoadOptions extends VerifyOptions {
  opensIn?: string;
}

export interface BucketOptions {
  bucket: string;
  service?: string;
  roles: string;
  topology?: string;
  state?: string;
}
