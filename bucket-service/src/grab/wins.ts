import type { Pool } from "mysql2/promise";
import { claimsOfUsers } from "../mysql/claims.ts";
import type { PayoutState } from "../mysql/payouts.ts";
import { claimField } from "../redis/keys.ts";
import type { BucketStore } from "../redis/scripts.ts";
import type { AckState } from "../switches/ack-mode.ts";

/** One win of a user. */
export interface Win {
  round: number;
  n: number;
  prizeId: number;
  /** How far its payout is, as MySQL knows it; told when all rounds were asked for. */
  payout?: PayoutState;
}

/**
 * `complete` false: a store was away, so what is missing here may still have been won. Whoever has all that one user may win in the
 * round that was asked for misses nothing.
 */
export interface WinsFound {
  wins: Win[];
  complete: boolean;
}

/** Bounds of looking wins up. */
export const winsPolicy = {
  /** Users in one question to each store. */
  batchMax: 256,
  /** Questions of one round under way; more users wait for the next. */
  questionsMax: 2,
  /** Users that may wait; later ones are told that the answer is not complete. */
  waitingMax: 4_000,
  /** MySQL has this long for a question; without it the answer is what Redis knows. */
  mysqlMsMax: 1_000,
} as const;

interface Waiter {
  user: string;
  done: (found: WinsFound) => void;
}

interface Queue {
  waiters: Waiter[];
  underWay: number;
  scheduled: boolean;
}

/**
 * What users have won. Redis knows it first and MySQL for good, so both are asked; a win stands in either or both. After a
 * round everybody asks within seconds, so those who wait share one question, like grabs.
 * With `ack: database` only what MySQL has committed is told. While that begins (`settling`) whoever has a win in Redis alone
 * is told neither that it is there nor that it is not.
 */
export class WinsReader {
  readonly #store: BucketStore;
  readonly #pool: Pool;
  readonly #rounds: readonly { id: number; perUser: number }[];
  readonly #ack: () => AckState;
  readonly #redisTrusted: () => boolean;
  readonly #mysqlUp: () => boolean;
  /** By round; those who ask for all rounds wait under undefined. */
  readonly #queues = new Map<number | undefined, Queue>();

  constructor(parts: {
    store: BucketStore;
    pool: Pool;
    rounds: readonly { id: number; perUser: number }[];
    ack: () => AckState;
    /** A Redis that is away or went back in time is not asked. */
    redisTrusted: () => boolean;
    /** Nor is a MySQL that is known to be away. */
    mysqlUp?: () => boolean;
  }) {
    this.#store = parts.store;
    this.#pool = parts.pool;
    this.#rounds = parts.rounds;
    this.#ack = parts.ack;
    this.#redisTrusted = parts.redisTrusted;
    this.#mysqlUp = parts.mysqlUp ?? (() => true);
  }

  /** Of one round, or of all when round is undefined; in order of round and n. Never rejects. */
  of(user: string, round?: number): Promise<WinsFound> {
    const queue = this.#queues.get(round) ?? { waiters: [], underWay: 0, scheduled: false };
    this.#queues.set(round, queue);
    if (queue.waiters.length >= winsPolicy.waitingMax) return Promise.resolve({ wins: [], complete: false });
    return new Promise((done) => {
      queue.waiters.push({ user, done });
      if (queue.scheduled) return;
      queue.scheduled = true;
      setImmediate(() => {
        queue.scheduled = false;
        this.#ask(queue, round);
      });
    });
  }

  #ask(queue: Queue, round: number | undefined): void {
    while (queue.waiters.length > 0 && queue.underWay < winsPolicy.questionsMax) {
      const batch = queue.waiters.splice(0, winsPolicy.batchMax);
      queue.underWay += 1;
      void this.#answer(batch, round).finally(() => {
        queue.underWay -= 1;
        this.#ask(queue, round);
      });
    }
  }

  async #answer(batch: Waiter[], round: number | undefined): Promise<void> {
    const users = [...new Set(batch.map(({ user }) => user))];
    const ack = this.#ack();
    const [fromRedis, fromMysql] = await Promise.all([
      ack === "database" ? new Map<string, Win[]>() : this.#fromRedis(users, round),
      this.#fromMysql(users, round),
    ]);
    const complete = fromMysql !== null && fromRedis !== null;
    // Redis has the wins of everybody; with none of a user there, MySQL's word is wanted all the same.
    const redisKnows = fromRedis !== null && ack === "journal";
    const most = this.#rounds.find(({ id }) => id === round)?.perUser ?? Infinity;
    for (const { user, done } of batch) {
      const stored = fromMysql?.get(user) ?? [];
      const wins = merged(fromRedis?.get(user) ?? [], stored);
      if (ack === "settling" && wins.length > stored.length) done({ wins: [], complete: false });
      else done({ wins, complete: complete || wins.length >= most || (redisKnows && wins.length > 0) });
    }
  }

  async #fromRedis(users: readonly string[], wanted: number | undefined): Promise<Map<string, Win[]> | null> {
    if (!this.#redisTrusted()) return null;
    const found = new Map<string, Win[]>();
    try {
      const rounds = this.#rounds.filter((round) => wanted === undefined || round.id === wanted);
      await Promise.all(rounds.map((round) => this.#readRound(users, round, found)));
      return found;
    } catch {
      return null;
    }
  }

  /** The n-th prize needs the one before it, so each n is asked only of those who have the n before. */
  async #readRound(
    users: readonly string[],
    { id, perUser }: { id: number; perUser: number },
    found: Map<string, Win[]>,
  ): Promise<void> {
    let candidates = users;
    for (let n = 1; n <= perUser && candidates.length > 0; n += 1) {
      const fields = candidates.map((user) => claimField(user, n));
      const prizes = await this.#store.client.hmget(this.#store.keys.claims(id), ...fields);
      const winners: string[] = [];
      for (const [index, prize] of prizes.entries()) {
        if (prize === null) continue;
        const user = candidates[index]!;
        winners.push(user);
        const wins = found.get(user) ?? [];
        found.set(user, wins);
        wins.push({ round: id, n, prizeId: Number(prize) });
      }
      candidates = winners;
    }
  }

  async #fromMysql(users: readonly string[], round: number | undefined): Promise<Map<string, Win[]> | null> {
    if (!this.#mysqlUp()) return null;
    try {
      return await claimsOfUsers(this.#pool, users, round, winsPolicy.mysqlMsMax);
    } catch {
      return null;
    }
  }
}

function merged(a: readonly Win[], b: readonly Win[]): Win[] {
  const wins = new Map<string, Win>();
  for (const win of [...a, ...b]) wins.set(`${win.round}:${win.n}`, win);
  return [...wins.values()].sort((one, other) => one.round - other.round || one.n - other.n);
}
