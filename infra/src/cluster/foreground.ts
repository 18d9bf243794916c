/** `hongbao up` as an operator sees it: address, links, live view, Ctrl-C. */
import { say } from "@hongbao/preprocess";
import type { Figures } from "./figures.ts";
import { watchNpm } from "./npm-parent.ts";
import { startCluster, type RunningCluster, type UpOptions } from "./up.ts";
import { count, isOver, liveView } from "./view.ts";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** npm hands a signal on that the terminal has sent to us too: what comes so soon is the same request. */
const SAME_REQUEST_MS = 500;

/**
 * Aborts at the first request to stop; a second one (not the hang-up, which may come twice) calls `force`.
 * Returns how to stop listening.
 */
export function onStopSignals(stop: AbortController, force: () => void): () => void {
  let firstAt = 0;
  const handler = (name: NodeJS.Signals) => {
    if (!stop.signal.aborted) firstAt = performance.now();
    else if (name !== "SIGHUP" && performance.now() - firstAt > SAME_REQUEST_MS) force();
    stop.abort();
  };
  for (const name of STOP_SIGNALS) process.on(name, handler);
  const unwatch = watchNpm(() => stop.abort());
  return () => {
    unwatch();
    for (const name of STOP_SIGNALS) process.off(name, handler);
  };
}

/**
 * A terminal that was closed, or a reader that went away, is no reason to fall over: the cluster goes on, or comes
 * to its orderly end.
 */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}

/** Starts the cluster, shows it until it is told to stop, stops it. */
export async function runForeground(options: Omit<UpOptions, "tell" | "signal">): Promise<void> {
  outliveReaders();
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const stop = new AbortController();
  let cluster: RunningCluster | null = null;
  const release = onStopSignals(stop, () => {
    cluster?.killAll();
    process.exit(130);
  });
  try {
    cluster = await startCluster({ ...options, tell, signal: stop.signal });
    for (const line of await welcome(cluster)) print(line);
    print("Ctrl-C stops it.");
    await watch(cluster, stop.signal);
    tell("Stopping ...");
    await cluster.stop();
    tell("Stopped. The next start goes on where this one was.");
  } finally {
    release();
  }
}

async function watch(cluster: RunningCluster, signal: AbortSignal): Promise<void> {
  let told = isOver((await cluster.figures()).rounds);
  const read = async () => {
    const figures = await cluster.figures();
    if (!told && isOver(figures.rounds)) {
      for (const line of results(figures)) tell(line);
      told = true;
    }
    return figures;
  };
  await liveView(read, signal);
}

/** A line of its own, also while the status line is being drawn. */
export function tell(text: string): void {
  say(process.stderr.isTTY ? `\r\x1b[K${text}` : text);
}

/** What a started cluster says of itself; an event that is over shows its results. */
export async function welcome(cluster: RunningCluster): Promise<string[]> {
  const { url } = cluster.topology.balancer;
  const figures = await cluster.figures();
  const width = Math.max(0, ...cluster.links.map(({ user }) => user.length));
  return [
    "",
    `  The page:  ${url}/`,
    "",
    "  Open it as one of these users:",
    ...cluster.links.map((link) => `    ${link.user.padEnd(width)}  ${link.url}`),
    "",
    ...(cluster.monitoring === null
      ? []
      : [
          `  Dashboards:    ${cluster.monitoring.dashboards}`,
          `  Prometheus:    ${cluster.monitoring.prometheus}/`,
          `  Alertmanager:  ${cluster.monitoring.alertmanager}/`,
          "",
        ]),
    ...(isOver(figures.rounds) ? [...results(figures), ""] : []),
  ];
}

/** The results of an event that is over, and how to start anew. */
export function results({ rounds }: Figures): string[] {
  return [
    "The event is over:",
    ...rounds.map(
      ({ round, issued, left }) => `  round ${round}: ${count(issued)} of ${count(issued + left)} given`,
    ),
    'Start anew with "npm start -- --fresh" (this throws the event\'s data away).',
  ];
}
