/** Who takes turns in the simulator. Each is a generator that yields between any two calls: there it may be killed or frozen. */
import { judge } from "../../../bucket-service/src/grab/fence.ts";
import { parseClaimField } from "../../../bucket-service/src/redis/keys.ts";
import type { BucketState } from "../../../bucket-service/src/redis/scripts.ts";
import {
  claimField,
  ScriptError,
  type JournalEntry,
  type RedisModel,
  type RoundModel,
} from "./redis-model.ts";
import { claimsOfEntry, worth } from "./scene.ts";
import type { Bucket, Service, Simulator, Win } from "./simulator.ts";

export type Actor = Generator<void, void, void>;

const IDLE_MS_MAX = 300;
const PER_USER = 2;

/** Presses, asks again until it knows, and, having won, asks for the same again or for one more. */
export function* user(sim: Simulator, at: number, name: string): Actor {
  const bucket = sim.buckets[at]!;
  for (;;) {
    yield;
    const round = sim.rounds[Math.floor(sim.random() * sim.rounds.length)]!;
    const shown = sim.control.decided.get(round);
    if (shown?.published !== true) continue;
    const won =
      sim.rounds.length === 1 ? sim.winsOf(name) : sim.winsOf(name).filter((win) => win.round === round);
    // A winner of lost data shows the receipt; asked again it would be a new win.
    if (won.length > 0 && bucket.wasLost) continue;
    const n = Math.min(PER_USER, Math.max(1, won.length + (sim.random() < 0.5 ? 1 : 0)));
    const prize = grab(sim, bucket, name, { round, n, key: shown.key });
    // The answer may get lost on its way; nobody was told then.
    if (prize === null || sim.unlucky()) continue;
    if (!won.some((win) => win.n === n && win.prize === prize))
      sim.tell({ user: name, bucket: at, round, n, prize });
  }
}

/** One call of a service; also of a batch in which the same user stands twice. */
function grab(
  sim: Simulator,
  bucket: Bucket,
  name: string,
  ask: { round: number; n: number; key: string },
): number | null {
  const service = bucket.services[Math.floor(sim.random() * 2)]!;
  const { redis } = bucket;
  if (service.trust !== "ok") return null;
  if (!redis.up || sim.unlucky()) {
    service.trust = "away";
    return null;
  }
  if (ask.n > 1 && !redis.rounds.get(ask.round)?.claims.has(claimField(name, ask.n - 1))) return null;
  const field = claimField(name, ask.n);
  const fields = sim.random() < 0.2 ? [field, field] : [field];
  try {
    const { epoch, seq } = service;
    const reply = redis.grab(
      ask.round,
      { key: ask.key, journalMax: sim.journalMax, epoch, seq, fields },
      sim.nowMs,
    );
    service.seq = Math.max(service.seq, reply.seq);
    if (fields.length === 2 && reply.answers[0] !== reply.answers[1])
      sim.violate(`3: one batch gave ${reply.answers.join()} to ${field}`);
    return reply.answers[0]! > 0 ? reply.answers[0]! : null;
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
    if (error.message === "FENCED-SEQ") service.lost = service.epoch;
    service.trust = "fenced";
    return null;
  }
}

function stateOf(redis: RedisModel): BucketState {
  return { epoch: redis.epoch, seq: redis.seq, rounds: [...redis.rounds.keys()] } as unknown as BucketState;
}

/** What a service process believes of its Redis: grab/bucket-view.ts. */
export function* watcher(sim: Simulator, bucket: Bucket, at: number): Actor {
  const { redis, mysql } = bucket;
  for (;;) {
    yield;
    const service = bucket.services[at]!;
    if (!redis.up) {
      if (service.trust === "ok") service.trust = "away";
      continue;
    }
    const { epoch, seq } = redis;
    const isSame = epoch === service.epoch;
    if (isSame && seq < service.seq) service.lost = epoch;
    if (service.lost !== null && service.lost === epoch) {
      yield* markLost(sim, bucket, service, epoch, epoch);
      continue;
    }
    if (service.trust === "ok" && isSame) {
      service.seq = Math.max(service.seq, seq);
      yield;
      if (mysql.up) mysql.saw(epoch, service.seq);
      continue;
    }
    yield* prove(sim, bucket, service);
  }
}

/** fence.ts: MySQL is read first and Redis afterwards. */
function* prove(sim: Simulator, bucket: Bucket, service: Service): Actor {
  const { redis, mysql } = bucket;
  if (!mysql.up) return;
  const meta = { ...mysql.meta };
  if (meta.rebuilding !== null) return void (service.trust = "fenced");
  const claims = mysql.claims.size;
  const { life } = redis;
  yield;
  // The connection that the proof began on is gone.
  if (!redis.up || redis.life !== life) return;
  const shown = redis.epoch;
  const verdict =
    meta.fence === null
      ? judge(meta, stateOf(redis), { pack: "p", rounds: sim.rounds.length, claims })
      : { verdict: "doubt" as const, epoch: meta.epoch };
  if (verdict.verdict === "doubt") {
    service.trust = "fenced";
    if (verdict.epoch !== null) yield* markLost(sim, bucket, service, shown, verdict.epoch);
    return;
  }
  service.seq = redis.epoch === service.epoch ? Math.max(service.seq, redis.seq) : redis.seq;
  Object.assign(service, { trust: "ok", epoch: redis.epoch, lost: null });
}

function* markLost(
  _sim: Simulator,
  { redis, mysql }: Bucket,
  service: Service,
  shown: string,
  epoch: string,
): Actor {
  service.trust = "fenced";
  if (redis.up) redis.fence(shown);
  yield;
  if (mysql.up) mysql.fence(epoch, "went back");
}

/** persist/persist.ts: own pending entries, then new ones, then those of the dead. */
export function* persist(sim: Simulator, bucket: Bucket, consumer: string): Actor {
  const { redis, mysql } = bucket;
  let own = true;
  for (;;) {
    yield;
    if (!redis.up || redis.epoch === "") continue;
    const entries = own ? redis.pendingOf(consumer) : redis.read(consumer, sim.nowMs, IDLE_MS_MAX);
    if (own && entries.length === 0) own = false;
    for (const [epoch, group] of Map.groupBy(entries, (entry) => entry.epoch))
      yield* commit(sim, bucket, epoch, group);
    if (!mysql.up) own = true;
  }
}

function* commit(sim: Simulator, bucket: Bucket, epoch: string, entries: readonly JournalEntry[]): Actor {
  const { redis, mysql } = bucket;
  const rows = entries.flatMap(({ packed }) => claimsOfEntry(packed));
  const counts = entries.map(({ id, packed }) => ({ id, count: claimsOfEntry(packed).length }));
  if (sim.bugs.has("entries are acknowledged before the commit") && redis.up) redis.ack(epoch, counts);
  yield;
  // What was read stays in hand until it is done with.
  while (!mysql.up) yield;
  if (mysql.insertClaims(rows, epoch) === "otherEpoch") {
    for (const row of rows) {
      const { user, n } = row;
      const result = yield* restore(sim, bucket, { ...row, user, n });
      if (result === "refused") mysql.conflicts += 0;
    }
    return;
  }
  yield;
  while (!redis.up) yield;
  redis.ack(epoch, counts);
}

/** receipts/restore.ts for one win: reserve, claim what is burned, settle. */
function* restore(
  sim: Simulator,
  { redis, mysql }: Bucket,
  win: { prizeId: number; round: number; user: string; n: number; amountMinor: number; atMs: number },
): Generator<void, "restored" | "known" | "refused" | "again", void> {
  if (!mysql.up || !redis.up) return "again";
  const { epoch } = mysql.meta;
  const verdict = mysql.judge(win);
  const field = claimField(win.user, win.n);
  try {
    if (verdict.verdict === "known") redis.settle(epoch, win.prizeId, true);
    if (verdict.verdict === "known" || verdict.verdict === "refused") return verdict.verdict;
    if (verdict.verdict === "unburned") {
      if (redis.rounds.get(win.round)?.claims.get(field) === win.prizeId) return "known";
      return redis.epoch === epoch && redis.seq >= mysql.meta.seen ? "refused" : "again";
    }
    const reserved = redis.reserve(epoch, win.prizeId, { round: win.round, field });
    if (reserved !== "reserved") return reserved === "stands" ? "known" : "refused";
    yield;
    if (!mysql.up) return "again";
    const claimed = mysql.claimBurned(epoch, win);
    yield;
    if (claimed === null || !redis.up || sim.unlucky()) return "again";
    redis.settle(epoch, win.prizeId, claimed.verdict !== "refused");
    return claimed.verdict === "free" ? "restored" : claimed.verdict;
  } catch (error) {
    if (error instanceof ScriptError) return "again";
    throw error;
  }
}

/** Those who were told a win of lost data send its receipt until it is taken; and what a crash left half done is finished. */
export function* receipts(sim: Simulator, at: number): Actor {
  const bucket = sim.buckets[at]!;
  const { redis, mysql } = bucket;
  for (;;) {
    yield;
    if (!bucket.wasLost || bucket.services.every(({ trust }) => trust !== "ok")) continue;
    const missing = sim.told.find((win) => win.bucket === at && !mysql.claims.has(win.prize));
    if (missing !== undefined) {
      const result = yield* restore(sim, bucket, asClaim(missing, sim.nowMs));
      if (result === "refused") {
        const verdict = mysql.judge(asClaim(missing, sim.nowMs));
        // A loss that nobody has found out yet; who is refused now is asked again below.
        if (verdict.verdict === "unburned") continue;
        const why = verdict.verdict === "refused" ? verdict.why : verdict.verdict;
        sim.violate(`2: the receipt of ${missing.user} for prize ${missing.prize} is refused: ${why}`);
      }
    }
    for (const [prize, { round, field, done }] of redis.restores) {
      if (done) continue;
      const win = { ...parseClaimField(field), round, prize, bucket: at };
      const result = yield* restore(sim, bucket, asClaim(win, sim.nowMs));
      if (result === "refused" && redis.up && redis.epoch === mysql.meta.epoch)
        redis.settle(redis.epoch, prize, false);
    }
  }
}

function asClaim({ prize, round, user, n }: Win, atMs: number) {
  return { prizeId: prize, round, user, n, amountMinor: worth(prize), atMs };
}

/** payout/payout.ts and sender.ts. */
export function* payout(sim: Simulator, { mysql }: Bucket): Actor {
  let sends = 0;
  for (;;) {
    yield;
    if (!mysql.up) continue;
    mysql.payFeed();
    if (sim.focus !== "wallet") continue;
    yield;
    if (!mysql.up) continue;
    const lease = `${sim.nowMs}-${(sends += 1)}-${sim.random()}`;
    for (const { key, prizeId, user, amountMinor } of mysql.takeUp(lease, sim.nowMs)) {
      yield;
      const isTaken = !sim.unlucky();
      const asked = sim.bugs.has("a wallet is asked with a new key each time") ? `${key}/${lease}` : key;
      if (isTaken) sim.wallet.set(asked, { prize: prizeId, user, amount: amountMinor });
      const isAnswered = isTaken && !sim.unlucky();
      yield;
      while (!mysql.up) yield;
      mysql.writeDown(lease, prizeId, isAnswered, sim.nowMs);
    }
  }
}

/** rebuild/rebuild.ts, ordered by an operator who sees the fence; broken off anywhere it is ordered again. */
export function* rebuilder(sim: Simulator, bucket: Bucket): Actor {
  const { redis, mysql, services } = bucket;
  for (;;) {
    yield;
    const isAsked = mysql.meta.rebuilding !== null || services.every(({ trust }) => trust === "fenced");
    if (!isAsked || !redis.up || !mysql.up) continue;
    try {
      if (mysql.meta.rebuilding === null) {
        const { epoch } = mysql.meta;
        redis.fence(redis.epoch);
        mysql.fence(epoch, "a rebuild has begun");
        yield;
        for (const entry of [...redis.journal]) {
          if (mysql.up) mysql.insertClaims(claimsOfEntry(entry.packed), entry.epoch);
          yield;
        }
        if (!mysql.up) continue;
        mysql.decideBurn(epoch, sim.journalMax, [], sim.nowMs);
      }
      yield;
      const { epoch, generation, rebuilding } = mysql.meta;
      if (rebuilding === null || !redis.up) continue;
      const token = String(sim.random());
      redis.rebuildBegin(token, epoch, generation);
      yield;
      if (!redis.up || !mysql.up) continue;
      redis.rebuildFinish(token, wholeOf(sim, bucket));
      reinstall(sim, bucket);
      yield;
      if (mysql.up && mysql.meta.epoch === epoch) mysql.meta.rebuilding = null;
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error;
    }
  }
}

function wholeOf(sim: Simulator, { mysql }: Bucket): Parameters<RedisModel["rebuildFinish"]>[1] {
  const rounds = new Map<number, RoundModel>();
  for (const round of sim.rounds) {
    const claims = [...mysql.claims.values()].filter((claim) => claim.round === round);
    const [first = { lo: 0, count: 0 }, ...rest] = (mysql.ranges.get(round) ?? []).map((run) => ({ ...run }));
    const { v, opensAtMs, closesAtMs } = mysql.versions.get(round)!;
    rounds.set(round, {
      ...{
        v,
        opensAtMs,
        closesAtMs,
        key: null,
        stock: sim.nowMs,
        lo: first.lo,
        left: first.count,
        ranges: rest,
      },
      ...{ issued: claims.length, final: null, dryAtMs: null },
      claims: new Map(claims.map(({ user, n, prizeId }) => [claimField(user, n), prizeId])),
    });
  }
  return { epoch: mysql.meta.epoch, rounds, moves: new Map(mysql.moves), claims: mysql.claims.size };
}

/** Where no conductor plays, the key comes back by itself. */
function reinstall(sim: Simulator, { redis }: Bucket): void {
  for (const [round, it] of redis.rounds) it.key = sim.control.decided.get(round)?.key ?? null;
}
