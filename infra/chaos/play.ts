/** One scenario on a running cluster: open, press, break, mend, wait until all is quiet, and hold it against the promises. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RowDataPacket } from "mysql2/promise";
import { check, type Circumstances, type Violation } from "./checker/check.ts";
import { effectOf, type Effect } from "./checker/effect.ts";
import { leftIn } from "./checker/facts.ts";
import { judgedBy, type Judged } from "./checker/judged.ts";
import { readFacts, type OrderedTimes } from "./checker/read-facts.ts";
import { Caller } from "./crowd/caller.ts";
import { Crowd, type Press } from "./crowd/crowd.ts";
import { History, type Entry } from "./crowd/history.ts";
import { Nemesis, type Deed } from "./nemesis/nemesis.ts";
import { bucketOfTarget } from "./nemesis/targets.ts";
import { seedOf } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import type { ChaosCluster } from "./stage/cluster.ts";
import { Conducting } from "./stage/conducting.ts";
import { Strain } from "./stage/strain.ts";
import { treeOf } from "./stage/tree.ts";

export interface Played {
  id: string;
  seed: number;
  violations: Violation[];
  effect: Effect & {
    deeds: Deed[];
    recoveredMs: number;
    restarts: number;
    /** The part of the time in which this machine had no time for some process that answers. */
    strain: number;
    /** Steps that did not come off, because the machine was too slow for their moment. */
    notPlayed: string[];
    /** What the scenario's last round has not given. */
    left: number;
  };
  /** Which promises could be judged, and why not the others. */
  judged: Judged;
  seconds: number;
  history: string;
  /** What the judgement was made of, but for the stores. */
  evidence: { entries: readonly Entry[]; circumstances: Circumstances };
}

export interface PlayOptions {
  cluster: ChaosCluster;
  scenario: Scenario;
  /** The IDs of its rounds on this cluster. */
  rounds: number[];
  seed: number;
  /** Where histories go. */
  dir: string;
  /** Of the whole cluster so far: opening and closing as they were ordered. */
  ordered: Map<number, OrderedTimes>;
  tell: (text: string) => void;
}

/** From the order to the opening: the conductor, every bucket and HAProxy have to hear of it. */
const OPENS_IN_MS = 2_000;
/** People who come early poll the start file. */
const EARLY_MS = 1_000;
/** A round that is closed by order is given a closing far away first. */
const OPEN_FOR_MS = 600_000;
const ORDER_MS_MAX = 20_000;
const SETTLED_MS_MAX = 70_000;
const READY_MS_MAX = 60_000;
const QUIET_MS_MAX = 60_000;
const LOOK_MS = 150;
const RESULT_TRIES = 20;
/** Of a bucket's equal share of prizes: it has a little more or less, as it has users. */
const SHARE_SURE = 0.95;
/** At the end a sample is enough of those whose last answer is long known; everybody else is asked. */
const LAST_QUESTIONS_MAX = 250;

export async function play(options: PlayOptions): Promise<Played> {
  const { cluster, scenario, rounds, seed, dir, ordered, tell } = options;
  const began = performance.now();
  const own = seedOf(seed, scenario.id);
  const history = new History(join(dir, `${scenario.id}.history.jsonl`));
  const caller = new Caller(cluster.links.get("clients")!.port, history);
  const crowd = new Crowd(caller, own);
  const nemesis = new Nemesis({
    cluster,
    crowd,
    history,
    rounds,
    seed: own,
    tell: (text) => tell(`${scenario.id}: ${text}`),
  });
  const noticesBefore = cluster.notices.length;
  const late: Violation[] = [];
  const strain = new Strain({ pids: watched(cluster), nowMs: () => history.nowMs() });
  const conducting = new Conducting(cluster, () => history.nowMs());
  try {
    const openedMs = await orderOpenings(cluster, scenario, rounds, ordered);
    const presses = comeAll(crowd, cluster, scenario, rounds, openedMs);
    const brokenFromMs =
      history.nowMs() +
      openedMs -
      performance.now() +
      1000 * Math.min(0, ...scenario.steps.map(({ at }) => at - 1));
    await nemesis.play(scenario.steps, openedMs);
    await crowd.settled(
      Math.max(1_000, openedMs + scenario.load.seconds * 1000 - performance.now()) + SETTLED_MS_MAX,
    );
    await nemesis.heal();
    const healedMs = history.nowMs();
    await orFail(late, () => cluster.ready(READY_MS_MAX));
    await orFail(late, () => untilTrusted(cluster));
    const recoveredMs = history.nowMs() - healedMs;
    const { share, isStrained } = strain.read();
    // Who still waits has asked a cluster that is whole for a while now.
    await crowd.settled(10_000);
    await closeAll(cluster, scenario, rounds, ordered);
    await crowd.settled(8_000);
    await crowd.end();
    await orFail(late, () => untilQuiet(cluster, scenario, rounds));
    await crowd.askResults(lastQuestions(history, presses), RESULT_TRIES);
    await conducting.end();
    const facts = await readFacts(cluster, ordered);
    const circumstances: Circumstances = {
      rounds,
      sound: soundBuckets(cluster, scenario),
      broken: { fromMs: brokenFromMs, toMs: healedMs + recoveredMs },
      starved: strain.starved,
      outages: conducting.outages,
      noneAllowed: scenario.steps.some(hitsTheWayIn),
      killed: scenario.steps.some(killsWhoAnswers),
      bothDoorsKilled: scenario.steps.some(
        (step) => step.do === "kill" && /^(service b\d+\/all|bucket|all)/.test(step.target),
      ),
      dataLost: scenario.steps.some((step) => step.do === "wipe" || step.do === "goBack"),
      soldOut: scenario.soldOut,
    };
    const violations = check(history.entries, facts, circumstances);
    for (const text of nemesis.audits) violations.push({ promise: 6, what: `audit under load: ${text}` });
    if (!isStrained) {
      for (const text of nemesis.failures)
        violations.push({ promise: 0, what: `the scenario could not be played: ${text}` });
    }
    const restarts = cluster.notices
      .slice(noticesBefore)
      .filter(({ text }) => text.includes("started again")).length;
    return {
      id: scenario.id,
      seed,
      violations: [...late, ...violations],
      effect: {
        ...effectOf(history.entries),
        ...{ deeds: nemesis.deeds, recoveredMs: Math.round(recoveredMs), restarts },
        ...{ strain: share, notPlayed: nemesis.failures, left: leftIn(facts, rounds.at(-1)!) },
      },
      judged: judgedBy(history.entries, facts, circumstances),
      seconds: Math.round((performance.now() - began) / 100) / 10,
      history: history.path!,
      evidence: { entries: history.entries, circumstances },
    };
  } finally {
    strain.end();
    await conducting.end();
    await nemesis.heal();
    await crowd.end();
    caller.close();
    await history.end();
  }
}

/** What does not come about although all is mended is a violation, and the rest is looked at all the same. */
async function orFail(late: Violation[], work: () => Promise<void>): Promise<void> {
  await work().catch((error: unknown) =>
    late.push({ promise: 0, what: `it does not recover: ${(error as Error).message}` }),
  );
}

/** Answers with the moment of the first opening, as performance.now(). */
async function orderOpenings(
  cluster: ChaosCluster,
  scenario: Scenario,
  rounds: readonly number[],
  ordered: Map<number, OrderedTimes>,
): Promise<number> {
  const nowAtMs = Date.now();
  const openedMs = performance.now() + OPENS_IN_MS;
  for (const [index, round] of rounds.entries()) {
    const laterMs = index === 0 ? 0 : (scenario.secondOpensAfter ?? 0) * 1000;
    const opensAtMs = nowAtMs + OPENS_IN_MS + laterMs;
    const closesMs = index === 0 && scenario.closesAfter !== null ? scenario.closesAfter * 1000 : OPEN_FOR_MS;
    await order(cluster, `/rounds/${round}/move`, { opensAtMs, closesAtMs: opensAtMs + closesMs });
    ordered.set(round, { opensAtMs, closesAtMs: opensAtMs + closesMs });
  }
  return openedMs;
}

async function order(cluster: ChaosCluster, path: string, body: object): Promise<void> {
  await until(
    async () => {
      await cluster.controller(path, { ...body, by: "chaos", why: "a scenario" });
      return true;
    },
    `the order ${path}`,
    ORDER_MS_MAX,
  );
}

/** Who comes for the first round comes for the later ones too. */
function comeAll(
  crowd: Crowd,
  cluster: ChaosCluster,
  scenario: Scenario,
  rounds: readonly number[],
  openedMs: number,
): Press[] {
  const users = crowd.choose(cluster.users, scenario.load);
  return rounds.flatMap((round, index) => {
    const { perUser } = scenario.rounds[index]!;
    const presses = users.map((user) => ({ user, round, perUser }));
    const laterMs = index === 0 ? 0 : (scenario.secondOpensAfter ?? 0) * 1000;
    crowd.come(presses, scenario.load, openedMs + laterMs - EARLY_MS);
    return presses;
  });
}

async function closeAll(
  cluster: ChaosCluster,
  scenario: Scenario,
  rounds: readonly number[],
  ordered: Map<number, OrderedTimes>,
): Promise<void> {
  for (const [index, round] of rounds.entries()) {
    if (index === 0 && scenario.closesAfter !== null) continue;
    await order(cluster, `/rounds/${round}/close`, {});
    // The order counts from when a bucket has it; before that its own record says when it closed.
    ordered.set(round, { ...ordered.get(round)!, closesAtMs: Date.now() + 1_000 });
  }
}

interface BucketState {
  fenced: string | null;
  redis: string;
  mysql: string;
  journal: { waiting: number };
  rounds: { round: number; state: string; left: number }[];
}

async function states(cluster: ChaosCluster): Promise<BucketState[]> {
  const processes = cluster.parts.filter(({ kind }) => kind === "service" || kind === "persist");
  return Promise.all(processes.map(({ admin }) => cluster.admin<BucketState>(admin!, "/state")));
}

/** Every process of every bucket trusts its Redis and reaches its MySQL. */
async function untilTrusted(cluster: ChaosCluster): Promise<void> {
  let last = "";
  const isTrusted = async (): Promise<boolean> => {
    const seen = await states(cluster);
    const odd = seen.find(({ fenced, redis, mysql }) => fenced !== null || redis !== "ok" || mysql !== "ok");
    last = odd === undefined ? "" : `fenced ${odd.fenced}, Redis ${odd.redis}, MySQL ${odd.mysql}`;
    return odd === undefined;
  };
  await until(isTrusted, () => `trust in all stores (${last})`, READY_MS_MAX);
}

/** Rounds closed, journals empty, transfers done, rests rolled over, everything paid. */
async function untilQuiet(
  cluster: ChaosCluster,
  scenario: Scenario,
  rounds: readonly number[],
): Promise<void> {
  let last = "";
  const isQuiet = async (): Promise<boolean> => {
    last = (await stillGoingOn(cluster, scenario, rounds)) ?? "";
    return last === "";
  };
  await until(isQuiet, () => `a quiet cluster (${last})`, QUIET_MS_MAX);
}

/** What is not at its end yet; null when nothing is under way. */
async function stillGoingOn(
  cluster: ChaosCluster,
  scenario: Scenario,
  rounds: readonly number[],
): Promise<string | null> {
  const seen = await states(cluster);
  const own = seen.flatMap((state) => state.rounds).filter(({ round }) => rounds.includes(round));
  const open = own.find(({ state }) => state !== "closed");
  if (open !== undefined) return `round ${open.round} is ${open.state}`;
  const waiting = Math.max(...seen.map(({ journal }) => journal.waiting));
  if (waiting > 0) return `${waiting} claims wait for MySQL`;
  const { transfers } = await cluster.controller<{ transfers: { state: string; n: number }[] }>("/state");
  const moving = transfers.find(({ state }) => state !== "done");
  if (moving !== undefined) return `transfer ${moving.n} is ${moving.state}`;
  // The last round has nowhere to go to.
  const rolling = rounds.slice(0, -1).filter((_round, index) => scenario.rounds[index]!.leftovers === "next");
  const rest = own.find(({ round, left }) => rolling.includes(round) && left > 0);
  if (rest !== undefined) return `${rest.left} prizes of round ${rest.round} have not rolled over`;
  const unpaid = await unpaidClaims(cluster);
  return unpaid === 0 ? null : `${unpaid} claims are not paid`;
}

async function unpaidClaims(cluster: ChaosCluster): Promise<number> {
  let unpaid = 0;
  for (const { id } of cluster.topology.buckets) {
    const [rows] = await cluster
      .mysql(id)
      .query<RowDataPacket[]>(
        "SELECT COUNT(*) AS n FROM claims c LEFT JOIN payouts p ON p.prize_id = c.prize_id AND p.state = 'paid' WHERE p.prize_id IS NULL",
      );
    unpaid += Number(rows[0]!["n"]);
  }
  return unpaid;
}

/** Everybody who heard something else than a clean first answer, and some of the others. */
function lastQuestions(history: History, presses: readonly Press[]): Press[] {
  const troubled = new Set(
    history.entries
      .filter(({ word, call }) => call === "grab" && word !== "won")
      .map(({ user, round }) => `${user} ${round}`),
  );
  const isTroubled = ({ user, round }: Press): boolean => troubled.has(`${user.id} ${round}`);
  const calm = presses.filter((press) => !isTroubled(press));
  return [...presses.filter(isTroubled), ...calm].slice(0, Math.max(LAST_QUESTIONS_MAX, troubled.size));
}

/** Buckets whose grabs no step touches. */
function soundBuckets(cluster: ChaosCluster, { steps, soldOut, rounds, load }: Scenario): string[] {
  // Grabs live without controllers, payout and wallet.
  const touched = steps.flatMap((step) => {
    const at = "target" in step ? step.target : "link" in step ? step.link : "controller";
    return /^(controller|payout)\b/.test(at) ? [] : [bucketOfTarget(at)];
  });
  const buckets = cluster.topology.buckets.length;
  const mostUsers = load.users * Math.max(load.firstBucketShare, 1 - load.firstBucketShare);
  const mayRunDry = rounds.some(({ count, perUser }) => mostUsers * perUser > (count / buckets) * SHARE_SURE);
  // Where a bucket runs dry, or everybody's way in is broken, `busy` is nobody's fault.
  if (soldOut || mayRunDry || touched.includes(null)) return [];
  return cluster.topology.buckets.map(({ id }) => id).filter((id) => !touched.includes(id));
}

/** The way in itself, or the clients' own line. */
function hitsTheWayIn(step: Scenario["steps"][number]): boolean {
  if (step.do === "link") return step.link === "clients";
  return "target" in step && /^(balancer|all)/.test(step.target);
}

/** Those who answer: services, their Redis, HAProxy, and we who ask. */
function watched(cluster: ChaosCluster): () => number[] {
  const names = cluster.parts.filter(({ kind }) => kind === "service" || kind === "redis");
  let balancer: { pid: number; tree: number[] } | null = null;
  return () => {
    const pid = cluster.pid("balancer");
    if (pid === null) balancer = null;
    else if (balancer?.pid !== pid) balancer = { pid, tree: treeOf(pid) };
    const pids = names.flatMap(({ name }) => cluster.pid(name) ?? []);
    return [process.pid, ...pids, ...(balancer?.tree ?? [])];
  };
}

function killsWhoAnswers(step: Scenario["steps"][number]): boolean {
  const kills = step.do === "kill" || step.do === "strike" || step.do === "terminate";
  return kills && /^(service|controller|bucket|all)/.test(step.target);
}

/** Asks until it is true; errors count as "not yet". */
async function until(
  work: () => Promise<boolean>,
  what: string | (() => string),
  timeoutMsMax: number,
): Promise<void> {
  const end = performance.now() + timeoutMsMax;
  for (;;) {
    let why = "";
    try {
      if (await work()) return;
    } catch (error) {
      why = `: ${(error as Error).message}`;
    }
    const name = typeof what === "string" ? what : what();
    if (performance.now() > end)
      throw new Error(`${name} did not come about within ${timeoutMsMax / 1000} s${why}`);
    await sleep(LOOK_MS);
  }
}
