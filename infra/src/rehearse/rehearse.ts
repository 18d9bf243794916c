/** A rehearsal: waits for a round's opening, sends every user through the balancer, proves the result. */
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  BadInput,
  bucketOfSlot,
  HongbaoError,
  slotOf,
  Unreachable,
  type Topology,
} from "@hongbao/preprocess";
import { errorLine, runHongbao, tryHongbao } from "../cluster/hongbao.ts";
import { publishedRounds, type PublishedRound } from "../cluster/schedule.ts";
import {
  dense,
  latencyOf,
  peakPerSecond,
  secondsToLastWin,
  sumCounts,
  withMoments,
  type Latency,
} from "./figures.ts";
import { People } from "./people.ts";
import { Sampler, type SampledUser, type Samples } from "./sampler.ts";
import type { HeldShadow } from "./shadow.ts";
import { waitForKey } from "./start-file.ts";
import { NO_WRK, runWrk, STEP_MS, type WrkFigures } from "./wrk.ts";

/** What is asked of a round. */
export type RehearsedRound = Pick<PublishedRound, "id" | "kind" | "perUser" | "opensAt">;

export interface RehearseOptions {
  topology: Topology;
  /** The first so many of the user list. */
  users: number;
  /** Default: the round that is open, else the next to open. */
  round?: number;
  connections: number;
  threads: number;
  durationSecondsMax: number;
  /** How long to wait for the opening. */
  waitSecondsMax: number;
  verify: boolean;
  /** People instead of wrk: each presses at a moment of so many seconds, and asks again as the page does. */
  spreadSeconds?: number;
  /** A rehearsal's round that is held open meanwhile, in place of one of the event's. */
  shadow?: HeldShadow;
  tell: (text: string) => void;
  signal?: AbortSignal;
}

export interface AuditReport {
  ok: boolean;
  rounds: (BucketSums & { round: number; buckets?: (BucketSums & { bucket: string })[] })[];
  violations: { promise: number; round: number; bucket: string; what: string }[];
}

interface BucketSums {
  generated: Sum;
  issued: Sum;
  left: Sum;
  claimed: Sum;
  waiting: Sum;
}

interface Sum {
  count: number;
  amount: number;
}

/** Of one bucket: its users who were sent, its prizes, and what was left of them in the end. */
export interface BucketRehearsal {
  bucket: string;
  users: number;
  generated: number;
  left: number;
}

export interface RehearseReport {
  event: string;
  round: number;
  kind: "envelope" | "item";
  users: number;
  perUser: number;
  connections: number;
  threads: number;
  /** Over how long people pressed; null when wrk pressed for them, one after the other, as fast as it went. */
  spreadSeconds: number | null;
  buckets: BucketRehearsal[];
  /** False when the time was over before every user had asked. */
  finished: boolean;
  /** Answers to grabs by result word; a win that was told before is `repeat`. */
  answers: Record<string, number>;
  errors: { connect: number; read: number; write: number; timeout: number; unanswered: number };
  /** Answers, and new wins, in the best second. */
  peakPerSecond: number;
  peakWinsPerSecond: number;
  /** From the first answer to the last new win; null when no prize went. */
  secondsToLastWin: number | null;
  soldOut: boolean;
  latency: Record<string, Latency | null>;
  /** Wins that clients were told of, and what `/result` knew of them afterwards. */
  told: { wins: number; verified: number; missing: number; unknown: number };
  series: { stepMs: number; answers: number[]; wins: number[] };
  audit: AuditReport;
}

const SAMPLED_PART = 1 / 50;
const SAMPLED_MIN = 20;
const SAMPLED_MAX = 3_000;
const SAMPLER_CONNECTIONS = 12;
const PASSES_MAX = 4;

/** Throws BadInput, Unreachable; what the audit found is in the report. */
export async function rehearse(options: RehearseOptions): Promise<RehearseReport> {
  const { topology, tell, signal } = options;
  const { event, round } = options.shadow ?? (await published(topology, options.round));
  const dir = mkdtempSync(join(tmpdir(), "hongbao-rehearse-"));
  try {
    const tokensPath = join(dir, "tokens");
    await runHongbao(["token", "--all", "--out", tokensPath, "--topology", topology.path], signal);
    const sampled = Math.min(
      SAMPLED_MAX,
      Math.max(SAMPLED_MIN, Math.ceil(options.users * SAMPLED_PART)),
      options.users >> 1,
    );
    const users = await lastUsers(tokensPath, options.users, sampled);
    tell(`Round ${round.id} of ${event}: ${options.users} users, ${options.connections} connections`);
    const key = await waitForKey(topology, round, options.waitSecondsMax, tell, signal);
    const { figures, samples, told } =
      options.spreadSeconds === undefined
        ? await load(options, round, key, tokensPath, users)
        : await letPeoplePress(options, round, key, tokensPath);
    tell("Auditing ...");
    const words = options.shadow ? ["--shadow", JSON.stringify(options.shadow.spec)] : [];
    const audit = await auditReport(topology, words);
    const buckets = await bucketRehearsals(topology, round.id, tokensPath, options.users, audit);
    return report(options, event, round, figures, samples, told, audit, buckets);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function published(
  topology: Topology,
  wanted?: number,
): Promise<{ event: string; round: RehearsedRound }> {
  const { event, rounds } = await publishedRounds(topology);
  return { event, round: chooseRound(rounds, wanted) };
}

/** The one asked for, else an open one, else the next. */
export function chooseRound(rounds: PublishedRound[], wanted?: number): PublishedRound {
  if (wanted !== undefined) {
    const round = rounds.find(({ id }) => id === wanted);
    if (round?.state === "closed") throw new Unreachable(`round ${wanted} is closed`);
    if (round) return round;
    throw new BadInput(`--round: found ${wanted}, expected one of ${rounds.map(({ id }) => id).join(", ")}`);
  }
  const waiting = rounds.filter(({ state, opensAt }) => state === "scheduled" && opensAt !== null);
  const next = waiting.sort((a, b) => Date.parse(a.opensAt!) - Date.parse(b.opensAt!))[0];
  const round = rounds.find(({ state }) => state === "open") ?? next;
  if (round) return round;
  throw new Unreachable(
    `no round is open or has a time to open (${rounds.map(({ id, state }) => `${id} ${state}`).join(", ")})`,
  );
}

/** The sampled users: the last ones of the first `count` of the file. */
async function lastUsers(path: string, count: number, sampled: number): Promise<SampledUser[]> {
  const users: SampledUser[] = [];
  let lines = 0;
  for await (const user of usersOf(path)) {
    lines += 1;
    if (lines > count - sampled && lines <= count) users.push(user);
  }
  if (lines < count)
    throw new BadInput(`--users: found ${count}, expected at most ${lines}, the users of the event`);
  return users;
}

async function* usersOf(path: string): AsyncGenerator<SampledUser> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const [user = "", token = ""] = line.split("\t");
    yield { user, token };
  }
}

/** Where those who were sent belong, beside what the audit says of prizes. */
async function bucketRehearsals(
  topology: Topology,
  round: number,
  path: string,
  count: number,
  audit: AuditReport,
): Promise<BucketRehearsal[]> {
  const owners = bucketOfSlot(topology);
  const sent = topology.buckets.map(() => 0);
  let lines = 0;
  for await (const { user } of usersOf(path)) {
    lines += 1;
    if (lines > count) break;
    sent[owners[slotOf(user)]!]! += 1;
  }
  const sums = audit.rounds.find((each) => each.round === round)?.buckets ?? [];
  return topology.buckets.map(({ id }, index) => {
    const sum = sums.find(({ bucket }) => bucket === id);
    return {
      bucket: id,
      users: sent[index]!,
      generated: sum?.generated.count ?? 0,
      left: sum?.left.count ?? 0,
    };
  });
}

/** People press; then each who was told of a win is asked whether it is still there. */
async function letPeoplePress(
  options: RehearseOptions,
  round: RehearsedRound,
  key: string,
  tokensPath: string,
): Promise<{ figures: WrkFigures; samples: Samples; told: RehearseReport["told"] }> {
  const { topology, signal, users, durationSecondsMax, connections } = options;
  const people = new People({
    ...{ url: topology.balancer.url, round: round.id, key, perUser: round.perUser, connections },
    users: await lastUsers(tokensPath, users, users),
    spreadMs: options.spreadSeconds! * 1000,
    durationMsMax: durationSecondsMax * 1000,
    ...(signal ? { signal } : {}),
  });
  try {
    const { beganAtMs, finished, samples } = await people.press();
    const looked = options.verify ? await people.verify() : { verified: 0, missing: 0, unknown: 0 };
    const wins = [...samples.told.values()].reduce((sum, ids) => sum + ids.size, 0);
    const told = { wins, ...looked, unknown: options.verify ? looked.unknown : wins };
    return { figures: { ...NO_WRK, beganAtMs, finished }, samples, told };
  } finally {
    people.close();
  }
}

/** wrk and the sampler side by side; then the sampler looks for its wins. */
async function load(
  options: RehearseOptions,
  round: RehearsedRound,
  key: string,
  tokensPath: string,
  users: SampledUser[],
): Promise<{ figures: WrkFigures; samples: Samples; told: RehearseReport["told"] }> {
  const { topology, verify, signal } = options;
  const common = { url: topology.balancer.url, round: round.id, key, perUser: round.perUser };
  const grabbed = new AbortController();
  const sampler = new Sampler({ ...common, users, connections: SAMPLER_CONNECTIONS, stop: grabbed.signal });
  try {
    let sampling: Promise<Samples> | null = null;
    const figures = await runWrk({
      ...common,
      tokensPath,
      users: options.users - users.length,
      threads: options.threads,
      connections: options.connections,
      durationSecondsMax: options.durationSecondsMax,
      passesMax: PASSES_MAX,
      verify,
      // Not before: the few would take what the many came for.
      onStart: () => void (sampling = sampler.run()),
      onGrabsFinished: () => grabbed.abort(),
      ...(signal ? { signal } : {}),
    }).finally(() => grabbed.abort());
    const samples = await (sampling ?? sampler.run());
    const sampled = verify ? await sampler.verify() : { verified: 0, missing: [], unknown: 0 };
    const looked = figures.verified + figures.missing;
    const wins = figures.told_wins + [...samples.told.values()].reduce((sum, ids) => sum + ids.size, 0);
    const told = {
      wins,
      verified: figures.verified + sampled.verified,
      missing: figures.missing + sampled.missing.length,
      unknown: verify ? figures.told_wins - looked + sampled.unknown : wins,
    };
    return { figures, samples, told };
  } finally {
    sampler.close();
  }
}

/** `hongbao audit`: a report also when it found something; anything else is thrown with its exit code. */
export async function auditReport(topology: Topology, more: string[] = []): Promise<AuditReport> {
  const words = ["audit", "--json", "--topology", topology.path, ...more];
  const { code, stdout, stderr } = await tryHongbao(words);
  if (code > 1 || stdout.trim() === "") throw new HongbaoError(errorLine(stderr, words), code || 1);
  return JSON.parse(stdout) as AuditReport;
}

function report(
  options: RehearseOptions,
  event: string,
  round: RehearsedRound,
  figures: WrkFigures,
  samples: Samples,
  told: RehearseReport["told"],
  audit: AuditReport,
  buckets: BucketRehearsal[],
): RehearseReport {
  const sampledCounts = Object.fromEntries(
    Array.from(samples.latenciesMs, ([word, list]) => [word, list.length]),
  );
  const moments = (list: Samples["answers"]) => list.map(({ atMs }) => atMs - figures.beganAtMs);
  const answers = withMoments(dense(figures.answers), moments(samples.answers), STEP_MS);
  const newWins = samples.answers.filter(({ isNewWin }) => isNewWin);
  const wins = withMoments(dense(figures.wins), moments(newWins), STEP_MS);
  return {
    event,
    round: round.id,
    kind: round.kind,
    users: options.users,
    perUser: round.perUser,
    connections: options.connections,
    threads: options.threads,
    spreadSeconds: options.spreadSeconds ?? null,
    buckets,
    finished: figures.finished,
    answers: sumCounts(figures.counts, sampledCounts),
    errors: { ...figures.errors, unanswered: figures.unanswered + samples.errors },
    peakPerSecond: peakPerSecond(answers, STEP_MS),
    peakWinsPerSecond: peakPerSecond(wins, STEP_MS),
    secondsToLastWin: secondsToLastWin(answers, wins, STEP_MS),
    soldOut: audit.rounds.some((sum) => sum.round === round.id && sum.left.count === 0),
    latency: Object.fromEntries(
      ["won", "ended", ...samples.latenciesMs.keys()].map((word) => [
        word,
        latencyOf(samples.latenciesMs.get(word)),
      ]),
    ),
    told,
    series: { stepMs: STEP_MS, answers, wins },
    audit,
  };
}
