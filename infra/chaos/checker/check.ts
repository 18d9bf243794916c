/**
 * Holds what clients were told against what stands in the stores. A pure function of both; it knows nothing of how the
 * cluster works, only what it promises (README, "Promises"; the numbers are the same).
 */
import { TIMED_OUT, type Entry, type ToldPrize } from "../crowd/history.ts";
import { shareIn, type Span } from "../stage/strain.ts";
import { leftIn, type ClaimFact, type Facts } from "./facts.ts";

export interface Violation {
  promise: number;
  what: string;
  user?: string;
  prize?: number;
}

/** What is known of a scenario beside its history and the facts. */
export interface Circumstances {
  /** The rounds of this scenario, in their order. */
  rounds: number[];
  /** Buckets that nothing was done to; their users must notice nothing. */
  sound: string[];
  /** When something was broken, ms since the history began: from the first step to when all was well again. */
  broken: { fromMs: number; toMs: number };
  /** The way in itself was hit, or the clients' own line: then a connection may end without an answer. */
  noneAllowed: boolean;
  /** A process was killed that may have had a request in hand: calls with one door may end in silence. */
  killed: boolean;
  /** All services of a bucket were killed at once: then a grab has no other door either. */
  bothDoorsKilled: boolean;
  /** When the machine had no time for those who answer: who waits then tells nothing of the cluster. */
  starved: Span[];
  /** When no prize could move, because no controller reached all that it takes. */
  outages: Span[];
  /** Data was deleted, and receipts have brought back what was lost: until then users may have seen less than they had. */
  dataLost: boolean;
  /** All prizes of the last round must be gone: there was demand for more. */
  soldOut: boolean;
}

/** Of each kind so many are told; the rest is counted. */
const TOLD_MAX = 5;
/** The part of a sound bucket's requests that may fail while another one is broken, and how many always may. */
const SOUND_FAILURES = { share: 0.02, countMin: 5 };
/** An answer for which the machine had no time during more than this part of the wait is not judged by its lateness. */
const STARVED_SHARE_MAX = 0.25;
/** Two seconds until a dry bucket ends by itself, and as long as a controller takes to see that a bucket is away. */
const DECIDES_MS_MAX = 4_000;

export function check(history: readonly Entry[], facts: Facts, at: Circumstances): Violation[] {
  const found = new Findings();
  const told = winsTold(history);
  checkIssue(found, history, facts, told, at);
  checkTold(found, facts, told);
  checkPerUser(found, history, facts, at);
  checkMoney(found, facts);
  checkSoundBuckets(found, history, at);
  checkPlaces(found, facts, at);
  checkTimes(found, history, facts, at);
  checkStranded(found, history, facts, at);
  checkAnswers(found, history, at);
  for (const { promise, what, prize, user } of facts.audit?.violations ?? []) {
    found.add(promise, `audit: ${what}`, { ...(prize ? { prize } : {}), ...(user ? { user } : {}) });
  }
  if (facts.audit !== null && !facts.audit.ok && facts.audit.violations.length === 0)
    found.add(6, "the audit says that the books are not clean");
  return found.all();
}

class Findings {
  readonly #byKind = new Map<string, Violation[]>();

  /** @param what the same text for the same kind; particulars stand apart. */
  add(promise: number, what: string, which: { user?: string; prize?: number } = {}): void {
    const key = `${promise} ${what.replaceAll(/\d+/g, "#")}`;
    const list = this.#byKind.get(key) ?? [];
    this.#byKind.set(key, list);
    list.push({ promise, what, ...which });
  }

  all(): Violation[] {
    return [...this.#byKind.values()].flatMap((list) => {
      const more = list.length - TOLD_MAX;
      if (more <= 0) return list;
      return [
        ...list.slice(0, TOLD_MAX),
        { promise: list[0]!.promise, what: `${list[0]!.what}: ${more} more` },
      ];
    });
  }
}

interface Told extends ToldPrize {
  user: string;
  bucket: string;
  /** The first answer that told it. */
  entry: Entry;
}

function winsTold(history: readonly Entry[]): Told[] {
  const seen = new Map<string, Told>();
  for (const entry of history) {
    for (const prize of entry.prizes) {
      const key = `${entry.user} ${prize.round} ${prize.n} ${prize.prize}`;
      if (!seen.has(key)) seen.set(key, { ...prize, user: entry.user, bucket: entry.bucket, entry });
    }
  }
  return [...seen.values()];
}

const placeOf = ({ user, round, n }: { user: string; round: number; n: number }): string =>
  `${user} ${round} ${n}`;

/** 1: no prize goes to two people, and none that was not generated. */
function checkIssue(
  found: Findings,
  history: readonly Entry[],
  facts: Facts,
  told: Told[],
  at: Circumstances,
): void {
  const owners = new Map<number, string>();
  const give = (prize: number, user: string, where: string): void => {
    if (facts.amounts[prize - facts.firstId] === undefined)
      found.add(1, `${where} speaks of a prize that was not generated`, { user, prize });
    const owner = owners.get(prize) ?? user;
    owners.set(prize, owner);
    if (owner !== user) found.add(1, `${where} gives a prize to a second user`, { user, prize });
  };
  for (const { prize, user } of facts.claims) give(prize, user, "MySQL");
  for (const { prize, user } of told) give(prize, user, "an answer");
  for (const { claims } of facts.stocks)
    for (const [field, prize] of claims) give(prize, field.split("#")[0]!, "Redis");
  const rows = new Set<number>();
  for (const { prize, user } of facts.claims) {
    if (rows.has(prize)) found.add(1, "a prize is claimed in two buckets", { user, prize });
    rows.add(prize);
  }
  const asked = new Set(
    history.filter(({ call }) => call === "grab").map(({ user, round }) => `${user} ${round}`),
  );
  for (const { round, user, prize } of facts.claims) {
    if (at.rounds.includes(round) && !asked.has(`${user} ${round}`))
      found.add(1, "a prize went to somebody who never asked", { user, prize });
  }
  if (facts.conflicts > 0) found.add(1, `${facts.conflicts} journal entries contradict MySQL`);
}

/** 2: what was told is in MySQL, once, with that amount, for that user. */
function checkTold(found: Findings, facts: Facts, told: Told[]): void {
  const claims = new Map(facts.claims.map((claim) => [claim.prize, claim]));
  const inRedis = new Set(
    facts.stocks.flatMap(({ round, claims }) => claims.map(([field, prize]) => `${round} ${field} ${prize}`)),
  );
  for (const { user, round, n, prize, amount } of told) {
    const claim = claims.get(prize);
    if (claim === undefined) {
      found.add(2, "a win that was told is not in MySQL", { user, prize });
      continue;
    }
    if (claim.user !== user || claim.round !== round || claim.n !== n)
      found.add(2, "a win that was told stands in MySQL as another claim", { user, prize });
    if (amount !== null && claim.amount !== amount)
      found.add(2, `told was an amount of ${amount}, MySQL holds ${claim.amount}`, { user, prize });
    const field = n === 1 ? user : `${user}#${n}`;
    if (!inRedis.has(`${round} ${field} ${prize}`))
      found.add(2, "a win that was told is not remembered in Redis", { user, prize });
  }
}

/** 3: at most perUser a round, the same n is the same prize, and what was won stays won. */
function checkPerUser(found: Findings, history: readonly Entry[], facts: Facts, at: Circumstances): void {
  const perUser = new Map(facts.rounds.map(({ round, perUser }) => [round, perUser]));
  const held = new Map<string, ClaimFact>();
  const counts = new Map<string, number>();
  for (const claim of facts.claims) {
    const { user, prize, round } = claim;
    const place = placeOf(claim);
    if (held.has(place))
      found.add(3, "two claims of one user have the same number in a round", { user, prize });
    held.set(place, claim);
    const count = (counts.get(`${user} ${round}`) ?? 0) + 1;
    counts.set(`${user} ${round}`, count);
    if (count > perUser.get(round)!) found.add(3, `a user holds ${count} prizes of a round`, { user, prize });
  }
  const answered = new Map<string, number>();
  for (const entry of history) {
    for (const told of entry.prizes) {
      const place = placeOf({ ...told, user: entry.user });
      const before = answered.get(place);
      answered.set(place, told.prize);
      if (before !== undefined && before !== told.prize)
        found.add(3, "asked again with the same n, a user was told another prize", {
          user: entry.user,
          prize: told.prize,
        });
    }
  }
  if (at.dataLost) return;
  const known = new Map<string, { prize: number; doneMs: number }[]>();
  for (const entry of history) {
    const { user, round, call, word, sentMs } = entry;
    const key = `${user} ${round}`;
    if (call === "result" && word === "ok") {
      for (const { prize, doneMs } of known.get(key) ?? []) {
        if (doneMs < sentMs && !entry.prizes.some((each) => each.prize === prize))
          found.add(3, "/result does not know of a win that was told before", { user, prize });
      }
    }
    for (const { prize, round: of } of entry.prizes)
      if (of === round) known.set(key, [...(known.get(key) ?? []), { prize, doneMs: entry.doneMs }]);
  }
}

/** 4: paid is claimed, to the cent and exactly once, and never more than the budget. */
function checkMoney(found: Findings, facts: Facts): void {
  const kinds = new Map(facts.rounds.map(({ round, kind }) => [round, kind]));
  const paid = new Map(facts.payouts.map((payout) => [payout.prize, payout]));
  const credits = sumOf(facts.ledger.filter(({ side }) => side === "credit"));
  const debits = sumOf(facts.ledger.filter(({ side }) => side === "debit"));
  const wallet = new Map(
    (facts.wallet ?? []).map((payment) => [Number(payment.key.split(":").at(-1)), payment]),
  );
  for (const [prize, keys] of Map.groupBy(facts.wallet ?? [], ({ key }) => Number(key.split(":").at(-1))))
    if (keys.length > 1) found.add(4, `the wallet paid it under ${keys.length} keys`, { prize });
  const orders = new Map(facts.orders.map((order) => [order.prize, order]));
  const claimed = new Set<number>();
  for (const { prize, user, amount, round } of facts.claims) {
    claimed.add(prize);
    const which = { prize, user };
    const worth = facts.amounts[prize - facts.firstId];
    if (worth !== undefined && worth !== amount)
      found.add(4, `a claim of ${amount} on a prize worth ${worth}`, which);
    if (paid.get(prize)?.state !== "paid") {
      found.add(4, `a claim is not paid: its payout is ${paid.get(prize)?.state ?? "missing"}`, which);
      continue;
    }
    if (kinds.get(round) === "item") {
      if (facts.wallet === null && orders.get(prize)?.user !== user)
        found.add(4, "an item has no order of its winner", which);
    } else if (facts.wallet !== null) {
      const payment = wallet.get(prize);
      if (payment === undefined) found.add(4, "a payout counts as paid, and the wallet never paid it", which);
      else if (payment.amount !== amount || payment.user !== user || payment.contradictions > 0)
        found.add(4, "the wallet was asked to pay another amount or user", which);
    } else {
      const credit = credits.get(prize);
      if (credit?.times !== 1 || credit.amount !== amount || credit.account !== `user:${user}`)
        found.add(
          4,
          `the ledger credits ${credit?.amount ?? 0} in ${credit?.times ?? 0} entries for a claim of ${amount}`,
          which,
        );
      if (Math.abs(debits.get(prize)?.amount ?? 0) !== amount)
        found.add(4, "the ledger's debit is not its credit", which);
    }
  }
  for (const prize of [...credits.keys(), ...wallet.keys(), ...orders.keys()])
    if (!claimed.has(prize)) found.add(4, "something was paid that nobody has claimed", { prize });
  for (const { prize, state } of facts.payouts)
    if (state === "paid" && !claimed.has(prize)) found.add(4, "a payout without a claim", { prize });
  checkBalances(found, facts);
  const total = facts.claims.reduce((sum, { amount }) => sum + amount, 0);
  if (total > facts.budget) found.add(4, `claims are worth ${total}, the budget is ${facts.budget}`);
}

function checkBalances(found: Findings, facts: Facts): void {
  const total = facts.accounts.reduce((sum, { balance }) => sum + balance, 0);
  if (total !== 0) found.add(4, `the ledger's balances add up to ${total}`);
  const credited = new Map<string, number>();
  for (const { bucket, side, account, amount } of facts.ledger) {
    if (side !== "credit") continue;
    const key = `${bucket} ${account}`;
    credited.set(key, (credited.get(key) ?? 0) + Math.abs(amount));
  }
  for (const { bucket, account, balance } of facts.accounts) {
    if (account.startsWith("user:") && (credited.get(`${bucket} ${account}`) ?? 0) !== balance)
      found.add(4, "an account's balance is not the sum of its entries", {
        user: account.slice("user:".length),
      });
  }
}

function sumOf(
  entries: readonly { prize: number; amount: number; account: string }[],
): Map<number, { amount: number; times: number; account: string }> {
  const sums = new Map<number, { amount: number; times: number; account: string }>();
  for (const { prize, amount, account } of entries) {
    const sum = sums.get(prize) ?? { amount: 0, times: 0, account };
    sums.set(prize, { amount: sum.amount + Math.abs(amount), times: sum.times + 1, account });
  }
  return sums;
}

/** Grabs in sound buckets while something was broken; those that the machine had no time for are only counted. */
export function soundGrabs(
  history: readonly Entry[],
  { sound, broken, rounds, starved }: Circumstances,
): { judged: Entry[]; starved: number } {
  const asked = history.filter(
    (entry) =>
      sound.includes(entry.bucket) &&
      entry.call === "grab" &&
      rounds.includes(entry.round) &&
      entry.sentMs >= broken.fromMs &&
      entry.sentMs <= broken.toMs,
  );
  const judged = asked.filter(({ sentMs, doneMs }) => shareIn(starved, sentMs, doneMs) <= STARVED_SHARE_MAX);
  return { judged, starved: asked.length - judged.length };
}

/** 5: a broken bucket touches its own users only. */
function checkSoundBuckets(found: Findings, history: readonly Entry[], at: Circumstances): void {
  const grabs = soundGrabs(history, at).judged;
  for (const bucket of at.sound) {
    const asked = grabs.filter((entry) => entry.bucket === bucket);
    const failed = asked.filter(({ word }) => ["busy", "none", "strange"].includes(word));
    if (failed.length > Math.max(SOUND_FAILURES.countMin, asked.length * SOUND_FAILURES.share))
      found.add(
        5,
        `${failed.length} of ${asked.length} grabs in bucket ${bucket} failed while only another bucket was broken`,
      );
  }
}

/** 6: every prize is in exactly one place. */
function checkPlaces(found: Findings, facts: Facts, { rounds }: Circumstances): void {
  const places = new Map<number, string[]>();
  const put = (prize: number, place: string): void =>
    void places.set(prize, [...(places.get(prize) ?? []), place]);
  for (const { prize } of facts.claims) put(prize, "claimed");
  for (const { prize, state } of facts.burned) if (state === "burned") put(prize, "burned");
  for (const { bucket, round, left } of facts.stocks) {
    for (const { lo, count } of left)
      for (let prize = lo; prize < lo + count; prize += 1) put(prize, `left in ${bucket}, round ${round}`);
  }
  if (facts.underWay > 0)
    found.add(6, `${facts.underWay} prizes have left one place and not come to another`);
  let lost = 0;
  for (const [index] of facts.amounts.entries()) {
    const prize = facts.firstId + index;
    const found_ = places.get(prize) ?? [];
    if (found_.length === 0) lost += 1;
    else if (found_.length > 1) found.add(6, `a prize is ${found_.join(" and ")}`, { prize });
    places.delete(prize);
  }
  if (lost > facts.underWay)
    found.add(6, `${lost} prizes are nowhere (rounds ${rounds.join(", ")} were played last)`);
  for (const prize of places.keys())
    found.add(6, "something stands in the stores that was not generated", { prize });
}

/** 7: nothing before the opening, nothing after the closing, by the bucket's clock and by the order that was given. */
function checkTimes(found: Findings, history: readonly Entry[], facts: Facts, at: Circumstances): void {
  const clocks = new Map(facts.stocks.map((stock) => [`${stock.bucket} ${stock.round}`, stock]));
  const ordered = new Map(facts.rounds.map((round) => [round.round, round]));
  for (const { bucket, round, prize, user, atMs } of facts.claims) {
    if (!at.rounds.includes(round)) continue;
    const { orderedOpensAtMs, orderedClosesAtMs } = ordered.get(round)!;
    const { opensAtMs = null, closesAtMs = null } = clocks.get(`${bucket} ${round}`) ?? {};
    const opens = Math.max(opensAtMs ?? Infinity, orderedOpensAtMs ?? Infinity);
    // Brought back by a receipt: the time of the restoration stands there.
    const closes = at.dataLost ? Infinity : Math.min(closesAtMs ?? Infinity, orderedClosesAtMs ?? Infinity);
    if (atMs < opens) found.add(7, "a prize was issued before its round opened", { user, prize });
    if (atMs >= closes) found.add(7, "a prize was issued after its round closed", { user, prize });
  }
  for (const { call, word, round, user, doneAtMs, prizes } of history) {
    const opens = ordered.get(round)?.orderedOpensAtMs ?? null;
    if (call === "grab" && word === "won" && (opens === null || doneAtMs < opens))
      found.add(7, "a win was told before the round opened", {
        user,
        ...(prizes[0] ? { prize: prizes[0].prize } : {}),
      });
  }
}

/**
 * Grabs of the last round that heard the end although prizes could have moved all the while before: a bucket that is dry says
 * `busy` for two seconds, and a conductor that reaches everything decides within them.
 */
export function unexcusedEnds(history: readonly Entry[], { rounds, outages }: Circumstances): Entry[] {
  return history.filter(
    ({ round, word, call, doneMs }) =>
      round === rounds.at(-1) &&
      call === "grab" &&
      word === "ended" &&
      !outages.some(({ fromMs, toMs }) => fromMs <= doneMs && toMs >= doneMs - DECIDES_MS_MAX),
  );
}

/** 8: where demand was, nothing is stranded. */
function checkStranded(found: Findings, history: readonly Entry[], facts: Facts, at: Circumstances): void {
  const leftOf = (round: number): number => leftIn(facts, round);
  const last = at.rounds.at(-1)!;
  if (at.soldOut && leftOf(last) > 0) {
    const ends = unexcusedEnds(history, at).length;
    if (ends > 0)
      found.add(8, `${leftOf(last)} prizes of round ${last} are left, and ${ends} grabs heard "ended"`);
  }
  for (const round of at.rounds.slice(0, -1)) {
    const leftovers = facts.rounds.find((each) => each.round === round)!.leftovers;
    if (leftovers === "next" && leftOf(round) > 0)
      found.add(8, `${leftOf(round)} prizes of the closed round ${round} did not go on`);
  }
}

/** 9: a fault is `busy`, and nothing else; and whoever asks gets an answer in the end. */
function checkAnswers(
  found: Findings,
  history: readonly Entry[],
  { noneAllowed, starved, killed, bothDoorsKilled }: Circumstances,
): void {
  for (const { word, user, call, sentMs, doneMs, what = "" } of history) {
    if (word === "strange") found.add(9, `${call} was answered ${what}`, { user });
    const hadNoTime = shareIn(starved, sentMs, doneMs) > STARVED_SHARE_MAX;
    const isExcused = what === TIMED_OUT ? hadNoTime : call === "grab" ? bothDoorsKilled : killed;
    const isSilence = word === "none" && !noneAllowed && !isExcused;
    if (isSilence) found.add(9, `${call} got no answer (${what})`, { user });
    if (call === "grab" && ["unauthorized", "not_eligible", "no_such_round", "bad_request"].includes(word))
      found.add(9, `a proper grab was answered ${word}`, { user });
  }
  for (const { refused = [], user } of history)
    for (const { why } of refused) found.add(2, `a receipt was refused: ${why}`, { user });
}
