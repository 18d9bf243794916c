/** The options of `up` and `down`, read and checked once. */
import { resolve } from "node:path";
import { BadInput, stateDir } from "@hongbao/preprocess";
import type { UpCommandOptions } from "../commands.ts";
import { wholeOption } from "../options.ts";
import { runLauncher, runSupervisor } from "./detach.ts";
import { runDown } from "./down.ts";
import { runForeground } from "./foreground.ts";
import type { UpOptions } from "./up.ts";

const BUCKETS_MAX = 64;
const SERVICES_MAX = 32;
const OPENS_IN_SECONDS_MAX = 366 * 86_400;

export async function runUp(options: UpCommandOptions): Promise<void> {
  const buckets = wholeOption("--buckets", options.buckets, 1, BUCKETS_MAX);
  const services = wholeOption("--services", options.services, 1, SERVICES_MAX);
  const port = wholeOption("--port", options.port, 1, 65_535);
  const opensInSeconds = wholeOption("--opens-in", options.opensIn, 0, OPENS_IN_SECONDS_MAX);
  if (options.alerts !== undefined && options.monitoring !== true) {
    throw new BadInput(`--alerts: found without --monitoring, which runs what tells of alerts`);
  }
  const monitoring = options.alerts === undefined ? {} : { alerts: resolve(options.alerts) };
  const event = options.event === undefined ? undefined : resolve(options.event);
  const up = {
    home: stateDir(options.state),
    fresh: options.fresh === true,
    ...(buckets === undefined ? {} : { buckets }),
    ...(services === undefined ? {} : { services }),
    ...(port === undefined ? {} : { port }),
    ...(opensInSeconds === undefined ? {} : { opensInSeconds }),
    ...(event === undefined ? {} : { event }),
    ...(options.monitoring === true ? { monitoring } : {}),
  };
  if (options.replay) {
    if (options.detach) throw new BadInput("--replay: found --detach too; a replay ends by itself");
    const { runReplay } = await import("../replay/replay.ts");
    return runReplay(up);
  }
  if (options.supervise) return runSupervisor(up);
  if (options.detach) return runLauncher(up, wordsOf(up));
  return runForeground(up);
}

/** The same options as words, with absolute paths: the supervisor starts in another directory. */
function wordsOf(up: Omit<UpOptions, "tell" | "signal">): string[] {
  const { home, fresh, buckets, services, port, opensInSeconds, event, monitoring } = up;
  const values = { buckets, services, port, "opens-in": opensInSeconds, event, alerts: monitoring?.alerts };
  const words = Object.entries(values).flatMap(([name, value]) => {
    return value === undefined ? [] : [`--${name}`, String(value)];
  });
  const flags = [...(fresh ? ["--fresh"] : []), ...(monitoring ? ["--monitoring"] : [])];
  return ["--state", home, ...flags, ...words];
}

export async function runDownCommand(options: { state?: string }): Promise<void> {
  await runDown(stateDir(options.state));
}
