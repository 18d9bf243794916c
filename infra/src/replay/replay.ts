/** `npm start -- --replay`: the article's event from the generation to the audit, with real load at each opening. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput, CheckFailed, print } from "@hongbao/preprocess";
import { onStopSignals, tell } from "../cluster/foreground.ts";
import { runHongbao } from "../cluster/hongbao.ts";
import { placesOf, writeAtomically } from "../cluster/places.ts";
import { moveRounds } from "../cluster/schedule.ts";
import { startCluster, type RunningCluster, type UpOptions } from "../cluster/up.ts";
import { liveView } from "../cluster/view.ts";
import { ensurePackages } from "../install/packages.ts";
import { CONNECTIONS, DURATION_SECONDS, loadThreads } from "../rehearse/options.ts";
import { auditReport, rehearse, type RehearseReport } from "../rehearse/rehearse.ts";
import { ARTICLE, REPLAY_ROUNDS, ROUND_OPEN_MS, writeReplayEvent, type ReplayScale } from "./event.ts";
import { svgPicture } from "./picture.ts";
import { faults, summaryText, type ReplaySummary } from "./summary.ts";

const WAIT_SECONDS = 60;

type ReplayOptions = Omit<UpOptions, "tell" | "signal">;

/** Runs the replay, or shows the one that was run. Throws CheckFailed unless it is clean. */
export async function runReplay(options: ReplayOptions, scale: ReplayScale = ARTICLE): Promise<void> {
  if (options.event !== undefined)
    throw new BadInput("--replay: found --event too, expected one or the other");
  const places = placesOf(options.home, { replay: true });
  const summaryPath = join(places.data, "summary.json");
  const picturePath = join(places.data, "replay.svg");
  const known = options.fresh === true ? null : readSummary(summaryPath);
  if (known !== null) {
    print(summaryText(known));
    print(`\nThis replay ended at ${known.finishedAt}; "npm start -- --replay --fresh" runs it anew.`);
    return judge(known);
  }
  await ensurePackages(["wrk"]);
  const summary = await run(options, scale);
  writeFileSync(picturePath, svgPicture(summary.rounds), { mode: 0o600 });
  writeAtomically(summaryPath, `${JSON.stringify(summary)}\n`);
  print(summaryText(summary));
  print(`\nThe picture: ${picturePath}`);
  judge(summary);
}

async function run(options: ReplayOptions, scale: ReplayScale): Promise<ReplaySummary> {
  const stop = new AbortController();
  let cluster: RunningCluster | null = null;
  const release = onStopSignals(stop, () => {
    cluster?.killAll();
    process.exit(130);
  });
  try {
    // An unfinished replay is of no use to anybody: its rounds went by without their load.
    const anew = { fresh: true, replay: true, opensInSeconds: scale.opensInSeconds };
    const makeEvent: UpOptions["makeEvent"] = (places, signal) => writeReplayEvent(places, scale, signal);
    cluster = await startCluster({ ...options, ...anew, makeEvent, tell, signal: stop.signal });
    tell(`The page: ${cluster.topology.balancer.url}/`);
    const rounds: RehearseReport[] = [];
    for (const round of REPLAY_ROUNDS) rounds.push(await replayRound(cluster, round, scale, stop.signal));
    const audit = await auditReport(cluster.topology);
    const { buckets } = cluster.topology;
    const services = buckets[0] && Array.isArray(buckets[0].services) ? buckets[0].services.length : 0;
    return {
      format: 1,
      finishedAt: new Date().toISOString(),
      buckets: buckets.length,
      services,
      rounds,
      audit,
    };
  } finally {
    tell("Stopping ...");
    await cluster?.stop();
    release();
  }
}

/** Opens (the first one is on its way already), loads, closes. */
async function replayRound(
  cluster: RunningCluster,
  round: number,
  scale: ReplayScale,
  signal: AbortSignal,
): Promise<RehearseReport> {
  const { topology } = cluster;
  if (round !== REPLAY_ROUNDS[0]) {
    const opensAtMs = Date.now() + scale.opensInSeconds * 1000;
    await moveRounds(
      topology,
      [{ round, opensAtMs, closesAtMs: opensAtMs + ROUND_OPEN_MS }],
      "replay: its turn",
    );
  }
  const seen = new AbortController();
  const view = liveView(() => cluster.figures(), AbortSignal.any([signal, seen.signal]));
  try {
    return await rehearse({
      topology,
      users: scale.users,
      round,
      connections: CONNECTIONS,
      threads: loadThreads(),
      durationSecondsMax: DURATION_SECONDS,
      waitSecondsMax: WAIT_SECONDS,
      verify: true,
      tell,
      signal,
    });
  } finally {
    seen.abort();
    await view;
    const words = ["round", "close", String(round), "--yes", "--by", "replay", "--why", "its load is over"];
    if (!signal.aborted) await runHongbao([...words, "--topology", topology.path]);
  }
}

function readSummary(path: string): ReplaySummary | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ReplaySummary;
  } catch {
    return null;
  }
}

function judge(summary: ReplaySummary): void {
  const found = faults(summary);
  if (found.length > 0) throw new CheckFailed(`the replay is not clean: ${found.join("; ")}`);
}
