/** The commands of this folder. What a command needs is imported when it runs, so that others start fast. */
import type { Command } from "commander";
import { BadInput } from "./errors.ts";
import type { FairOptions } from "./fair-command.ts";
import { parentCommand, say } from "./terminal.ts";

/** Adds the commands of this folder. */
export function register(program: Command): void {
  const preprocess = parentCommand(
    program,
    "preprocess",
    "turns an event file and a user list into a pack, loads it and verifies it",
  );
  preprocess
    .command("sample")
    .description("writes a sample event.yaml, users.csv and greetings.txt")
    .requiredOption("--users <n>", "how many users")
    .requiredOption("--out <dir>", "where to write")
    .option("--force", "replace an event file that is there")
    .action(runSample);
  preprocess
    .command("plan <event>")
    .description("checks the event; shows rounds × buckets, budgets, sizes")
    .option("--topology <file>", "show the buckets' shares")
    .option("--json", "one JSON document")
    .action(async (event: string, options: object) => {
      const { runPlan } = await import("./plan-command.ts");
      await runPlan(event, options);
    });
  preprocess
    .command("generate <event>")
    .description("makes all prize IDs and amounts; the seed goes to PACK.seed, never into the pack")
    .option("--topology <file>", "the topology whose buckets share the prizes")
    .option("--state <dir>", "state directory of a running local cluster")
    .option("--out <pack>", "the pack's directory (default: the topology's)")
    .option("--seed <hex>", "make the same pack again (default: a new random seed)")
    .option("--force", "replace another pack that is there")
    .option("--json", "one JSON document")
    .action(async (event: string, options: object) => {
      const { runGenerate } = await import("./plan-command.ts");
      await runGenerate(event, options);
    });
  preprocess
    .command("fair <pack>")
    .description(
      "makes a round's amounts again from its revealed seed and holds them against pack and commitment",
    )
    .requiredOption("--round <round>", "the round")
    .option("--seed <hex>", "the revealed seed of the round (default: from rounds.json)")
    .option("--url <url>", "the published rounds.json (default: that of the topology's balancer)")
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option("--state <dir>", "state directory of a running local cluster")
    .option("--json", "one JSON document")
    .action(async (pack: string, options: FairOptions) =>
      (await import("./fair-command.ts")).runFair(pack, options),
    );
  program
    .command("token [users...]")
    .description("signed user tokens for tests and rehearsals, one user<TAB>token a line")
    .option("--all", "all users of the pack, in the order of users.csv")
    .option("--out <file>", "write to a file (0600) instead of stdout")
    .option("--raw", "the tokens alone")
    .option("--for <duration>", "how long they are valid", "24h")
    .option("--pack <dir>", "the pack for --all (default: the topology's)")
    .option("--topology <file>", "the topology whose token secret signs")
    .option("--state <dir>", "state directory of a running local cluster")
    .action(async (users: string[], options: { for: string }) => {
      const { runToken } = await import("./token-command.ts");
      runToken(users, options);
    });
}

async function runSample(options: { users: string; out: string; force?: boolean }): Promise<void> {
  const { SAMPLE_USERS_MAX, writeSample } = await import("./sample.ts");
  const users = /^\d+$/.test(options.users) ? Number(options.users) : NaN;
  if (!(users >= 1 && users <= SAMPLE_USERS_MAX)) {
    throw new BadInput(
      `--users: found ${options.users}, expected a whole number from 1 to ${SAMPLE_USERS_MAX}`,
    );
  }
  const { event } = writeSample(options.out, users, options.force === true);
  say(`${event} is written, with ${users} users. Next: hongbao preprocess plan ${event}`);
}
