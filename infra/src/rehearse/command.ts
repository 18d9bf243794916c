/** The options of `rehearse`, read and checked once; its exit code. */
import {
  BadInput,
  CheckFailed,
  findTopology,
  print,
  printJson,
  readTopology,
  say,
} from "@hongbao/preprocess";
import { onStopSignals } from "../cluster/foreground.ts";
import type { RehearseCommandOptions } from "../commands.ts";
import { ensurePackages } from "../install/packages.ts";
import { wholeOption } from "../options.ts";
import { CONNECTIONS, DURATION_SECONDS, loadThreads } from "./options.ts";
import { rehearse, type RehearseReport } from "./rehearse.ts";
import { checkShadowOptions, holdShadow, wipeShadow, type HeldShadow } from "./shadow.ts";
import { reportText } from "./text.ts";

const USERS_MAX = 10_000_000;
const THREADS_MAX = 64;
const WAIT_SECONDS = 900;
const SECONDS_MAX = 86_400;
const SPREAD_SECONDS_MAX = 3_600;
/** Each of them is a task of this process. */
const PEOPLE_MAX = 200_000;

export async function runRehearse(options: RehearseCommandOptions): Promise<void> {
  if (options.wipe) return wipeShadow(options);
  checkShadowOptions(options);
  const users = wholeOption("--users", options.users, 1, USERS_MAX)!;
  const round = wholeOption("--round", options.round, 1, 99);
  const threads = wholeOption("--threads", options.threads, 1, THREADS_MAX) ?? loadThreads();
  const connections = wholeOption("--connections", options.connections, 1, 50_000) ?? CONNECTIONS;
  const durationSecondsMax = wholeOption("--duration", options.duration, 1, SECONDS_MAX) ?? DURATION_SECONDS;
  const waitSecondsMax = wholeOption("--wait", options.wait, 0, SECONDS_MAX) ?? WAIT_SECONDS;
  const spreadSeconds = wholeOption("--spread", options.spread, 0, SPREAD_SECONDS_MAX);
  if (spreadSeconds !== undefined && users > PEOPLE_MAX) {
    throw new BadInput(`--users: found ${users} with --spread, expected at most ${PEOPLE_MAX}`);
  }
  const topology = readTopology(findTopology(options.topology, options.state));
  if (spreadSeconds === undefined) await ensurePackages(["wrk"]);
  say(`Load on ${topology.balancer.url} (${topology.path})`);
  let shadow: HeldShadow | null = null;
  const stop = new AbortController();
  const release = onStopSignals(stop, () => process.exit(130));
  try {
    shadow = options.shadow ? await holdShadow(topology, options) : null;
    const report = await rehearse({
      topology,
      ...(shadow === null ? {} : { shadow }),
      users,
      ...(round === undefined ? {} : { round }),
      ...(spreadSeconds === undefined ? {} : { spreadSeconds }),
      threads,
      connections,
      durationSecondsMax,
      waitSecondsMax,
      verify: options.verify,
      tell: say,
      signal: stop.signal,
    });
    if (options.json) printJson(report);
    else print(reportText(report));
    judge(report);
  } finally {
    await shadow?.end();
    release();
  }
}

/** Throws CheckFailed unless every told win was kept and the audit is clean. */
export function judge({ told, audit }: RehearseReport): void {
  if (told.missing > 0) throw new CheckFailed(`${told.missing} wins that were told are not there any more`);
  if (!audit.ok) throw new CheckFailed(`the audit found ${audit.violations.length} violations`);
}
