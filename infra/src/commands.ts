/** The commands of this folder; what they need is imported when they run. */
import type { Command } from "commander";
import { Option } from "commander";
import { parentCommand } from "@hongbao/preprocess";
import { registerBench } from "../bench/commands.ts";
import { registerChaos } from "../chaos/commands.ts";
import { registerCapacity } from "../plan/capacity/commands.ts";
import { registerSimulate } from "../plan/simulate/commands.ts";
import type { AlertTestOptions } from "./monitoring/alert-test.ts";
import type { DashboardsOptions } from "./monitoring/dashboards.ts";

interface StateOption {
  state?: string;
}

export interface UpCommandOptions extends StateOption {
  buckets?: string;
  services?: string;
  event?: string;
  port?: string;
  opensIn?: string;
  detach?: boolean;
  supervise?: boolean;
  fresh?: boolean;
  replay?: boolean;
  monitoring?: boolean;
  alerts?: string;
}

export interface RehearseCommandOptions extends StateOption {
  users?: string;
  round?: string;
  connections?: string;
  threads?: string;
  duration?: string;
  spread?: string;
  wait?: string;
  verify: boolean;
  shadow?: boolean;
  like?: string;
  prizes?: string;
  clear?: string;
  wipe?: boolean;
  json?: boolean;
  topology?: string;
}

const STATE = [
  "--state <dir>",
  "state directory (default: $HONGBAO_STATE, then .hongbao beside the script)",
] as const;

export function register(program: Command): void {
  program
    .command("up")
    .description("runs a whole cluster on this machine; goes on where it was at the last start")
    .option("--buckets <n>", "buckets, each with a Redis and a MariaDB of its own (default: 2)")
    .option("--services <n>", "service processes of each bucket (default: 2)")
    .option("--event <file>", "event file (default: the one of the state, then a sample)")
    .option("--port <port>", "port of the page (default: that of the last start, then a free one)")
    .option("--opens-in <seconds>", "shift all rounds so that the first opens this long after ready")
    .option("--detach", "return when it is ready; `hongbao down` stops it")
    .option("--fresh", "throw away the event of the state first")
    .option("--monitoring", "Prometheus, Alertmanager, exporters and dashboards beside it")
    .option("--alerts <file>", "who is told of alerts, with --monitoring (docs/runbook.md)")
    .option("--replay", "run the article's event: 150,000 users, three rounds, real load, a summary")
    .option(...STATE)
    .addOption(new Option("--supervise").hideHelp())
    .action(async (options: UpCommandOptions) => (await import("./cluster/command.ts")).runUp(options));
  program
    .command("down")
    .description("stops the cluster of the state directory; fine when nothing runs")
    .option(...STATE)
    .action(async (options: StateOption) => (await import("./cluster/command.ts")).runDownCommand(options));
  program
    .command("rehearse")
    .description("real load (wrk) through the balancer: users grab in a round's opening; ends with the audit")
    .option("--users <n>", "the first so many of the user list")
    .option("--round <id>", "the round (default: the open one, else the next)")
    .option("--connections <n>", "connections to the balancer (default: 128)")
    .option("--threads <n>", "threads of wrk (default: 2, or the processors if fewer)")
    .option("--duration <seconds>", "at most so long (default: 300)")
    .option(
      "--spread <seconds>",
      "people instead of wrk: each presses once in so long, and retries as the page does",
    )
    .option("--wait <seconds>", "wait for the opening at most so long (default: 900)")
    .option(
      "--shadow",
      "against a round of its own that cannot pay, wiped afterwards; no real one is touched",
    )
    .option("--like <round>", "with --shadow: the round whose rules it has (default: the event's first)")
    .option("--prizes <n>", "with --shadow: prizes (default: as many as that round has)")
    .option("--clear <duration>", "with --shadow: refused when a round opens within this (default: 10m)")
    .option("--wipe", "only take away what a shadow that was killed has left")
    .option("--no-verify", "do not ask everybody's result at the end")
    .option("--json", "one JSON document on stdout")
    .option("--topology <file>", "topology file (default: $HONGBAO_TOPOLOGY, then the running cluster's)")
    .option(...STATE)
    .action(async (options: RehearseCommandOptions) =>
      (await import("./rehearse/command.ts")).runRehearse(options),
    );
  program
    .command("selftest [files...]")
    .description("runs the tests with all that they need; --check: types, lint, format, house rules")
    .option("--check", "the static checks instead")
    .action(async (files: string[], options: { check?: boolean }) => {
      await (await import("./selftest/command.ts")).runSelftest(files, options);
    });
  registerMonitoring(program);
  registerBench(program);
  registerChaos(program);
  registerCapacity(program);
  registerSimulate(program);
}

function registerMonitoring(program: Command): void {
  parentCommand(program, "alert", "alerts to phone and mail")
    .command("test")
    .description("sends a test alert and sees it through; 1 when it does not reach everybody")
    .option("--alertmanager <url>", "Alertmanager (default: the one of the state's cluster)")
    .option(...STATE)
    .option("--json", "one JSON document on stdout")
    .action(async (options: AlertTestOptions) =>
      (await import("./monitoring/alert-test.ts")).runAlertTest(options),
    );
  program
    .command("dashboards")
    .description("draws the dashboards out of a Prometheus, where there is no Grafana")
    .requiredOption("--prometheus <url>", "Prometheus")
    .option("--listen <host:port>", "where the page is; loopback or a private network", "127.0.0.1:3000")
    .action(async (options: DashboardsOptions) =>
      (await import("./monitoring/dashboards.ts")).runDashboards(options),
    );
}
