import { Option, type Command } from "commander";
import { parentCommand } from "@hongbao/preprocess";
import type { ControllerOptions } from "./conductor/run.ts";
import type { SiteCommandOptions } from "./conductor/site-command.ts";
import type { RenderCommandOptions } from "./haproxy/render-command.ts";
import type { RunOptions } from "./haproxy/run.ts";
import type { ArchiveOptions } from "./operate/archive.ts";
import type { AuditOptions } from "./operate/audit.ts";
import type { Where } from "./operate/controllers.ts";
import type { LendOptions, RolloverOptions } from "./operate/moves.ts";
import type { LogOptions } from "./operate/log.ts";
import type { PreflightOptions } from "./operate/preflight/scene.ts";
import type { PayoutExportOptions, PayoutRetryOptions, PayoutStatusOptions } from "./operate/payout.ts";
import type { RebuildOptions } from "./operate/rebuild.ts";
import type { ReceiptsOptions } from "./operate/receipts.ts";
import type { ReleaseOptions } from "./operate/release.ts";
import type { RevealOptions } from "./operate/reveal.ts";
import type { RoundAction, RoundListOptions, RoundOptions } from "./operate/round.ts";
import type { ShadowHoldOptions, ShadowWipeOptions } from "./operate/shadow.ts";
import type { StatusOptions } from "./operate/status.ts";
import type { SwitchListOptions, SwitchOptions, SwitchSetOptions } from "./operate/switch.ts";
import type { UserListOptions, UserOptions } from "./operate/user.ts";
import type { WhyOptions } from "./operate/why.ts";

/** The commands of this folder. Everything heavy is imported when a command runs. */
export function register(program: Command): void {
  registerLooks(program);
  registerRounds(program);
  registerUsers(program);
  registerSwitches(program);
  registerPayouts(program);
  registerLosses(program);
  registerShadow(program);
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
    .addOption(new Option("--shadow <spec>").hideHelp())
    .action(async (options: AuditOptions) => (await import("./operate/audit.ts")).runAudit(options));
  where(
    program.command("why <user>").description("what is known of one user: attempts, wins, payouts, rules"),
  )
    .option("--round <round>", "only of this round")
    .addOption(json())
    .action(async (user: string, options: WhyOptions) =>
      (await import("./operate/why.ts")).runWhy(user, options),
    );
  where(
    program
      .command("preflight")
      .description("go or no-go before an event: what is wrong, and the command that mends it"),
  )
    .option("--alertmanager <url>", "Alertmanager (default: the one of the local cluster)")
    .option("--no-alert-test", "do not send a test alert to phone and mail")
    .option("--connections <count>", "connections that come at once (default: one for each user)")
    .addOption(json())
    .action(async (options: PreflightOptions) =>
      (await import("./operate/preflight/command.ts")).runPreflight(options),
    );
  withOperator(
    where(
      program
        .command("archive")
        .description("everything an auditor needs, in one directory, before the cluster is destroyed"),
    ),
  )
    .option("--out <dir>", "make it there; where the topology names an archive it is sent there, too")
    .option("--verify <dir>", "check one: files, counts and money, without the cluster")
    .option("--digest <sha256>", "with --verify: what was told when it was made")
    .option("--force", "although payouts are open or the audit is not clean; never while a round is open")
    .addOption(json())
    .action(async (options: ArchiveOptions) => (await import("./operate/archive.ts")).runArchive(options));
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
  signed(where(round.command("rollover <round>")))
    .description(
      "move what a closed round has left into the next one like it, also when the event holds it; asks first",
    )
    .action(async (number: string, options: RolloverOptions) =>
      (await import("./operate/moves.ts")).runRollover(number, options),
    );
  withOperator(where(round.command("lend <round>")))
    .description("move prizes of a round from one bucket to another")
    .requiredOption("--from <bucket>", "the bucket that lends")
    .requiredOption("--to <bucket>", "the bucket that borrows")
    .requiredOption("--count <count>", "prizes at most")
    .addOption(json())
    .action(async (number: string, options: LendOptions) =>
      (await import("./operate/moves.ts")).runLend(number, options),
    );
  signed(where(round.command("reveal <round>")))
    .description("publish a closed round's seed, for everybody to check its draw; asks first")
    .option(
      "--seed-file <file>",
      "the file with the pack's master seed (default: PACK.seed); only the round's seed leaves it",
    )
    .action(async (number: string, options: RevealOptions) =>
      (await import("./operate/reveal.ts")).runReveal(number, options),
    );
  signed(where(round.command("release <round>")))
    .description("make burned IDs stock again, after the claim period; asks first")
    .action(async (number: string, options: ReleaseOptions) =>
      (await import("./operate/release.ts")).runRelease(number, options),
    );
}

/** Who and why. */
function withOperator(command: Command): Command {
  return command
    .option("--by <name>", "who does it, for the log (default: the user of this machine)")
    .option("--why <text>", "why, for the log");
}

function registerUsers(program: Command): void {
  const user = parentCommand(program, "user", "late joiners and cheaters");
  for (const rule of ["allow", "deny"] as const) {
    const description = {
      allow: "let a user take part, also one who is not in the user list; held payouts are paid",
      deny: "stop a user's grabs and hold what is not paid yet",
    }[rule];
    withOperator(where(user.command(`${rule} <id>`).description(description)))
      .option("--round <round>", "only in this round (default: in all)")
      .addOption(json())
      .action(async (id: string, options: UserOptions) =>
        (await import("./operate/user.ts")).runUserAction(rule, id, options),
      );
  }
  where(user.command("list [id]").description("what was said of single users"))
    .option("--round <round>", "what counts in this round")
    .addOption(json())
    .action(async (id: string | undefined, options: UserListOptions) =>
      (await import("./operate/user.ts")).runUserList(id, options),
    );
}

function registerSwitches(program: Command): void {
  const parent = parentCommand(program, "switch", "live settings that change the logic without a restart");
  where(parent.command("list").description("every switch: its value, who set it, how long it holds"))
    .addOption(json())
    .action(async (options: SwitchListOptions) =>
      (await import("./operate/switch.ts")).runSwitchList(options),
    );
  withOperator(where(parent.command("set <name> [value]").description("set a switch; it returns by itself")))
    .option("--bucket <id>", "only in this bucket (default: in all)")
    .option("--for <duration>", "how long, 1s to 7d", "30m")
    .addOption(json())
    .action(async (name: string, value: string | undefined, options: SwitchSetOptions) =>
      (await import("./operate/switch.ts")).runSwitchSet(name, value, options),
    );
  withOperator(where(parent.command("clear <name>").description("back to the default now")))
    .option("--bucket <id>", "only what is set for this bucket (default: wherever it is set)")
    .addOption(json())
    .action(async (name: string, options: SwitchOptions) =>
      (await import("./operate/switch.ts")).runSwitchClear(name, options),
    );
}

function registerPayouts(program: Command): void {
  const payout = parentCommand(program, "payout", "the money side: what is paid, pending, dead or held");
  where(payout.command("status").description("payouts of all buckets, and why some are not paid"))
    .addOption(json())
    .action(async (options: PayoutStatusOptions) =>
      (await import("./operate/payout.ts")).runPayoutStatus(options),
    );
  withOperator(where(payout.command("retry").description("make dead payouts pending again")))
    .option("--round <round>", "only those of a round")
    .option("--bucket <id>", "only those of a bucket")
    .option("--prize <id...>", "only those of these prizes")
    .addOption(json())
    .action(async (options: PayoutRetryOptions) =>
      (await import("./operate/payout.ts")).runPayoutRetry(options),
    );
  where(payout.command("export").description("every claim with its payout, as CSV"))
    .option("--out <file>", "into a file, which appears when it is whole (default: stdout)")
    .option("--only-state <state>", "only pending, paid, dead or held ones")
    .action(async (options: PayoutExportOptions) =>
      (await import("./operate/payout.ts")).runPayoutExport(options),
    );
}

/** Who, why, and whether to ask. */
function signed(command: Command): Command {
  return withOperator(command).option("--yes", "do not ask").addOption(json());
}

function registerLosses(program: Command): void {
  signed(
    where(
      program
        .command("rebuild")
        .description("make a bucket's Redis anew from its MySQL, after its data was lost; asks first"),
    ),
  )
    .requiredOption("--bucket <id>", "the bucket")
    .option("--force", "also when its Redis is whole: burns what may be on its way to MySQL for nothing")
    .action(async (options: RebuildOptions) => (await import("./operate/rebuild.ts")).runRebuild(options));
  const receipts = parentCommand(
    program,
    "receipts",
    "wins that were lost in a rebuild, brought back by their receipts",
  );
  signed(
    where(receipts.command("restore <file>").description("take receipts, one a line, of all buckets")),
  ).action(async (file: string, options: ReceiptsOptions) =>
    (await import("./operate/receipts.ts")).runReceipts(file, options),
  );
}

function registerShadow(program: Command): void {
  const shadow = parentCommand(
    program,
    "shadow",
    "a rehearsal's round on the real way; `rehearse --shadow` runs it",
  );
  where(shadow.command("hold").description("keeps one open until its input ends; then it is wiped"))
    .option("--like <round>", "the round whose rules it has (default: the event's first)")
    .option("--prizes <count>", "prizes, worth nothing (default: as many as that round has)")
    .option("--clear <duration>", "refused when a round opens within this", "10m")
    .option("--by <name>", "who does it, for the log (default: the user of this machine)")
    .action(async (options: ShadowHoldOptions) =>
      (await import("./operate/shadow.ts")).runShadowHold(options),
    );
  where(shadow.command("wipe").description("takes away what one that was killed has left"))
    .addOption(json())
    .action(async (options: ShadowWipeOptions) =>
      (await import("./operate/shadow.ts")).runShadowWipe(options),
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
    .option(
      "--drain <seconds>",
      "how long a stop waits for kept connections to end by themselves (default: 3)",
    )
    .action(async (options: RunOptions) => (await import("./haproxy/run.ts")).runBalancer(options));
  where(
    balancer.command("site").description("write the page as a folder for a CDN, with what it is served with"),
  )
    .requiredOption("--out <dir>", "the folder; what else is in it stays")
    .option(
      "--api <origin>",
      "the API's origin, if not the page's own (default: as a topology that is given says)",
    )
    .addOption(json())
    .action(async (options: SiteCommandOptions) =>
      (await import("./conductor/site-command.ts")).runSite(options),
    );
  where(
    program.command("controller").description("run a conductor: opens and closes rounds, serves the site"),
  )
    .requiredOption("--id <id>", "the controller in the topology")
    .action(async (options: ControllerOptions) =>
      (await import("./conductor/run.ts")).runController(options),
    );
}
