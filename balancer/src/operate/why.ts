/** `hongbao why USER`: what is known of one user, in words that can be read to them. */
import { askWhy, type Attempt, type UserFacts, type UserWin } from "@hongbao/bucket-service";
import {
  BadInput,
  bucketOf,
  findTopology,
  formatMoney,
  isUserId,
  openPack,
  print,
  printJson,
  readSecrets,
  readTopology,
  Unreachable,
  type BucketPlace,
  type Pack,
} from "@hongbao/preprocess";
import type { Where } from "./controllers.ts";
import { readRound } from "./round.ts";

export interface WhyOptions extends Where {
  round?: string;
  json?: boolean;
}

const ASK_MS_MAX = 3_000;
/** Attempts that are shown. */
const ATTEMPTS_MAX = 50;

export interface WhyReport {
  user: string;
  bucket: string;
  round: number | null;
  /** The user's group by the event's list; null: not in the list, or nobody who has the list answers (then `listed` is null). */
  group: string | null;
  listed: boolean | null;
  /** By round: whether the user may take part, and the operator's word if there is one. */
  rounds: { round: number; mayTakePart: boolean | null; rule: "allow" | "deny" | null }[];
  /** Newest first; `process` is the service process that answered. */
  attempts: (Attempt & { process: string })[];
  /** Which service processes told their attempts, and since when they remember every answer. */
  remembered: { process: string; sinceMs: number }[];
  /** Requests a second that a user may make for long; 0: any number. */
  limits: { perSecond: number };
  wins: UserWin[];
  complete: boolean;
  silent: string[];
}

type PackFacts = Pick<Pack["manifest"], "rounds">;

export async function runWhy(user: string, options: WhyOptions): Promise<void> {
  if (!isUserId(user)) throw new BadInput(`user: found "${user}", expected 1 to 64 of A-Z a-z 0-9 . _ -`);
  const round = options.round === undefined ? undefined : readRound(options.round);
  const topology = readTopology(findTopology(options.topology, options.state));
  const { operator } = readSecrets(topology, ["operator"]);
  const pack = openPack(topology.pack, { verify: false, memoryBytesMax: 0 });
  const { manifest } = pack;
  pack.close();
  if (round !== undefined && !manifest.rounds.some(({ id }) => id === round)) {
    const known = manifest.rounds.map(({ id }) => id).join(", ");
    throw new BadInput(`--round: found ${round}, expected one of ${known}`);
  }
  const bucket = topology.buckets[bucketOf(topology, user)]!;
  const places = processesOf(bucket);
  const told = await Promise.all(
    places.map(({ id, admin }) =>
      askWhy({ admin, operatorSecret: operator, timeoutMs: ASK_MS_MAX }, user, round).catch(
        (error: Error) => ({ silent: `${id} (${error.message})` }),
      ),
    ),
  );
  const facts = told.filter((each): each is UserFacts => !("silent" in each));
  const silent = told.flatMap((each) => ("silent" in each ? each.silent : []));
  if (facts.length === 0)
    throw new Unreachable(`bucket ${bucket.id}: no process answers: ${silent.join("; ")}`);
  const report = whyReport({ user, bucket: bucket.id, round, facts, silent, manifest });
  if (options.json) return printJson(report);
  for (const line of whyLines(report, manifest.event.currency, Date.now())) print(line);
}

function processesOf({ services, persist, payout }: BucketPlace): { id: string; admin: string }[] {
  return [...(Array.isArray(services) ? services : []), ...payout, ...persist];
}

/** Puts together what a bucket's processes know. Pure. */
export function whyReport(parts: {
  user: string;
  bucket: string;
  round: number | undefined;
  facts: readonly UserFacts[];
  silent: readonly string[];
  manifest: PackFacts;
}): WhyReport {
  const { user, bucket, round, facts, silent, manifest } = parts;
  const list = facts.find(({ group }) => group !== undefined);
  const group = list?.group ?? null;
  const rules = facts.find((each) => each.rules !== null)?.rules ?? null;
  const rounds = manifest.rounds
    .filter(({ id }) => round === undefined || id === round)
    .map(({ id, groups }) => {
      const ruleOf = (of: number): "allow" | "deny" | undefined =>
        rules?.find((each) => each.round === of)?.rule;
      const rule = ruleOf(id) ?? ruleOf(0) ?? null;
      const byList = group !== null && (groups === null || groups.includes(group));
      const mayTakePart = rule !== null ? rule === "allow" : list === undefined ? null : byList;
      return { round: id, mayTakePart, rule };
    });
  const attempts = facts
    .flatMap((each) => each.attempts?.map((attempt) => ({ ...attempt, process: each.id })) ?? [])
    .sort((a, b) => b.atMs - a.atMs)
    .slice(0, ATTEMPTS_MAX);
  // A win that one process has not heard of yet stands in another's answer; MySQL's word about it counts.
  const wins = new Map<string, UserWin>();
  for (const win of facts.flatMap((each) => each.wins)) {
    const key = `${win.round}:${win.n}`;
    if (wins.get(key)?.claimedAt == null) wins.set(key, win);
  }
  return {
    user,
    bucket,
    round: round ?? null,
    group,
    listed: list === undefined ? null : group !== null,
    rounds,
    attempts,
    remembered: facts.flatMap(({ id, sinceMs }) => (sinceMs === null ? [] : { process: id, sinceMs })),
    limits: { perSecond: Math.max(0, ...facts.map(({ limitUser }) => limitUser)) },
    wins: [...wins.values()].sort((a, b) => a.round - b.round || a.n - b.n),
    complete: facts.some(({ complete }) => complete),
    silent: [...silent],
  };
}

const ANSWER_WORDS: Record<Attempt["result"], string> = {
  won: "won (the first time, or asked again for the same prize)",
  ended: "was told that the round has ended: nothing was left, or the time was over",
  no_such_round: "asked for a round that does not exist",
  not_found: "asked for an address that does not exist",
  unauthorized: "came without a valid token",
  bad_request: "asked for a prize number that is not allowed, or not allowed yet",
  limited: "asked too often",
  not_eligible: "may not take part in this round",
  not_open: "came before the opening, or with a wrong key",
  busy: "was told to try again: the system was busy, or the stock was being filled up",
};

/** The report as an operator reads it. Pure. */
export function whyLines(report: WhyReport, currency: string, nowMs: number): string[] {
  const { user, bucket, group, listed } = report;
  const lines = [
    `User ${user}, bucket ${bucket}: ${
      listed === null
        ? "whether they are in the event's user list is not known, no service process answers"
        : listed
          ? `in the event's user list, group ${group}`
          : "not in the event's user list"
    }.`,
  ];
  for (const { round, mayTakePart, rule } of report.rounds) {
    const may = mayTakePart === null ? "not known" : mayTakePart ? "may take part" : "may NOT take part";
    const why = rule === null ? "" : `, because an operator said "${rule}"`;
    lines.push(`  Round ${round}: ${may}${why}.`);
  }
  lines.push(report.wins.length === 0 ? "Wins: none." : `Wins: ${report.wins.length}.`);
  for (const win of report.wins) lines.push(`  ${winLine(win, currency)}`);
  if (!report.complete) lines.push("  A store did not answer, so there may be more wins than these.");
  const { perSecond } = report.limits;
  lines.push(
    perSecond === 0
      ? "Limits: none is set for users."
      : `Limits: ${perSecond} requests a second, ${2 * perSecond} at once (switch limit.user).`,
  );
  lines.push(...attemptLines(report, nowMs));
  if (report.silent.length > 0) lines.push(`Did not answer: ${report.silent.join("; ")}.`);
  return lines;
}

function winLine(win: UserWin, currency: string): string {
  const what =
    win.kind === "item"
      ? `item, prize ${win.prize}`
      : `${formatMoney(win.amount)} ${currency}, prize ${win.prize}`;
  const when =
    win.claimedAt === null ? "a moment ago (on its way to MySQL)" : clock(Date.parse(win.claimedAt));
  return `Round ${win.round}, number ${win.n}: ${what}, won ${when}; ${payoutWords(win)}.`;
}

function payoutWords({ kind, payout, paidAt, attempts, reason }: UserWin): string {
  const because = reason === null || reason === "" ? "" : `: ${reason}`;
  const tried = attempts > 0 ? ` after ${attempts} attempts` : "";
  switch (payout) {
    case "paid":
      return `${kind === "item" ? "ordered" : "paid"}${paidAt === null ? "" : ` ${clock(Date.parse(paidAt))}`}`;
    case "held":
      return `payment is held, because an operator denied the user${because}`;
    case "dead":
      return `payment has failed${tried}${because}; "hongbao payout retry" tries again`;
    case "pending":
      return `payment is under way${tried}${because}`;
  }
}

function attemptLines({ attempts, remembered }: WhyReport, nowMs: number): string[] {
  const since = remembered.map(({ process, sinceMs }) => `${process} since ${clock(sinceMs)}`).join(", ");
  const limit =
    remembered.length === 0
      ? "no service process answers"
      : `every answer is remembered by ${since}; what the balancer answers by itself (no valid token, too many requests, ended everywhere) is not among them`;
  if (attempts.length === 0) return [`Attempts: none is remembered (${limit}).`];
  const lines = [`Attempts, newest first (${limit}):`];
  for (const { atMs, round, n, result, process } of attempts) {
    const ago = Math.max(0, Math.round((nowMs - atMs) / 1000));
    lines.push(
      `  ${clock(atMs)} (${ago} s ago), round ${round}, number ${n}, ${process}: ${ANSWER_WORDS[result]}.`,
    );
  }
  return lines;
}

function clock(ms: number): string {
  return new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
}
