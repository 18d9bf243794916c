import { Option, type Command } from "commander";
import { parentCommand } from "@hongbao/preprocess";
import type { ControllerOptions } from "./conductor/run.ts";
import type { RenderCommandOptions } from "./haproxy/render-command.ts";
import type { RunOptions } from "./haproxy/run.ts";
import type { AuditOptions } from "./operate/audit.ts";
import type { Where } from "./operate/controllers.ts";
import type { LendOptions, RolloverOptions } from "./operate/moves.ts";
import type { LogOptions } from "./operate/log.ts";
import type { RoundAction, RoundListOptions, RoundOptions } from "./operate/round.ts";
import type { StatusOptions } from "./operate/status.ts";

/** The commands of this folder. Everything heavy is imported when a command runs. */
export function register(program: Command): void {
  registerLooks(program);
  registerRounds(program);
  registerProcesses(program);
}

/** Every command finds its cluster in the same way. */
function where(command: Command): Command {
  return command
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option("--state <dir>", "state directory of the local cluster");
}

const json = (): Option => new Option("--json", "one JSON document on stdout");

function registerLooks(program: Command): void {
  where(program.command("status").description("one look at every process, store and round"))
    .addOption(json())
    .action(async (options: StatusOptions) => (await import("./operate/status.ts")).runStatus(options));
  where(program.command("audit").description("the conservation proof over all buckets; right under load too"))
    .addOption(json())
    .action(async (options: AuditOptions) => (await import("./operate/audit.ts")).runAudit(options));
  where(program.command("watch").description("a live view of controllers, buckets and rounds")).action(
    async (options: Where) => (await import("./operate/watch.ts")).runWatch(options),
  );
  where(program.command("log").description("what operators and the conductor did"))
    .option("--limit <count>", "the newest so many entries", "100")
    .addOption(json())
    .action(async (options: LogOptions) => (await import("./operate/log.ts")).runLog(options));
}

const MOMENT = "a time with its zone, or +5m: five minutes from now";

function registerRounds(program: Command): void {
  const round = parentCommand(program, "round", "looks at and changes rounds");
  where(round.command("list").description("all rounds with their times and states"))
    .addOption(json())
    .action(async (options: RoundListOptions) => (await import("./operate/round.ts")).runRoundList(options));
  const action = (name: RoundAction, description: string): Command =>
    where(round.command(`${name} <round>`).description(description))
      .option("--by <name>", "who does it, for the log (default: the user of this machine)")
      .option("--why <text>", "why, for the log")
      .addOption(json())
      .action(async (number: string, options: RoundOptions) =>
        (await import("./operate/round.ts")).runRoundAction(name, number, options),
      );
  action("open", "open a round now, before its time; asks first")
    .option("--closes-at <time>", MOMENT)
    .option("--yes", "do not ask");
  action("close", "close a round now, for good; asks first").option("--yes", "do not ask");
  action("move", "change times that have not come yet")
    .option("--opens-at <time>", MOMENT)
    .option("--closes-at <time>", MOMENT);
  const actor = (command: Command): Command =>
    where(command)
      .option("--by <name>", "who does it, for the log (default: the user of this machine)")
      .option("--why <text>", "why, for the log")
      .addOption(json());
  actor(round.command("rollover <round>"))
    .description(
      "move what a closed round has left into the next one like it, also when the event holds it; asks first",
    )
    .option("--yes", "do not ask")
    .action(async (number: string, options: RolloverOptions) =>
      (await import("./operate/moves.ts")).runRollover(number, options),
    );
  actor(round.command("lend <round>"))
    .description("move prizes of a round from one bucket to another")
    .requiredOption("--from <bucket>", "the bucket that lends")
    .requiredOption("--to <bucket>", "the bucket that borrows")
    .requiredOption("--count <count>", "prizes at most")
    .action(async (number: string, options: LendOptions) =>
      (await import("./operate/moves.ts")).runLend(number, options),
    );
}

function registerProcesses(program: Command): void {
  const balancer = parentCommand(program, "balancer", "HAProxy: its configuration, and running it");
  where(balancer.command("render").description("print HAProxy's configuration for a topology"))
    .option("--threads <count>", "HAProxy threads (default: one for each processor)")
    .option("--door <door>", "http: leave the services' SPOP doors out (default: spop)")
    .option("--out <dir>", "write it with its maps into a directory instead")
    .action(async (options: RenderCommandOptions) =>
      (await import("./haproxy/render-command.ts")).runRender(options),
    );
  where(balancer.command("run").description("run HAProxy, keep it running, tell it of the rounds"))
    .option("--threads <count>", "HAProxy threads (default: one for each processor)")
    .option("--door <door>", "http: leave the services' SPOP doors out (default: spop)")
    .option("--dir <dir>", "where HAProxy runs (default: balancer/ beside the topology file)")
    .action(async (options: RunOptions) => (await import("./haproxy/run.ts")).runBalancer(options));
  where(
    program.command("controller").description("run a conductor: opens and closes rounds, serves the site"),
  )
    .requiredOption("--id <id>", "the controller in the topology")
    .action(async (options: ControllerOptions) =>
      (await import("./conductor/run.ts")).runController(options),
    );
}
