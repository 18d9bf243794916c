import type { Pool } from "mysql2/promise";
import { claimsOfUser } from "../mysql/claims.ts";
import { claimField } from "../redis/keys.ts";
import type { BucketStore } from "../redis/scripts.ts";

/** One win of a user. */
export interface Win {
  round: number;
  n: number;
  prizeId: number;
}

/** `complete` false: a store was away, so what is missing here may still have been won. */
export interface WinsFound {
  wins: Win[];
  complete: boolean;
}

/**
 * What a user has won. Redis knows it first and MySQL for good, so both are asked; a win stands in either or both.
 * With `ack: database` only what MySQL has committed is told.
 */
export class WinsReader {
  readonly #store: BucketStore;
  readonly #pool: Pool;
  readonly #rounds: readonly { id: number; perUser: number }[];
  readonly #databaseOnly: boolean;
  readonly #redisTrusted: () => boolean;

  constructor(parts: {
    store: BucketStore;
    pool: Pool;
    rounds: readonly { id: number; perUser: number }[];
    databaseOnly: boolean;
    /** A Redis that is away or went back in time is not asked. */
    redisTrusted: () => boolean;
  }) {
    this.#store = parts.store;
    this.#pool = parts.pool;
    this.#rounds = parts.rounds;
    this.#databaseOnly = parts.databaseOnly;
    this.#redisTrusted = parts.redisTrusted;
  }

  /** Of one round, or of all when round is undefined; in order of round and n. Never rejects. */
  async of(user: string, round?: number): Promise<WinsFound> {
    const [fromRedis, fromMysql] = await Promise.all([
      this.#fromRedis(user, round),
      this.#fromMysql(user, round),
    ]);
    const wins = new Map<string, Win>();
    for (const win of [...(fromRedis ?? []), ...(fromMysql ?? [])]) wins.set(`${win.round}:${win.n}`, win);
    return {
      wins: [...wins.values()].sort((a, b) => a.round - b.round || a.n - b.n),
      complete: fromMysql !== null && (this.#databaseOnly || fromRedis !== null),
    };
  }

  async #fromRedis(user: string, wanted: number | undefined): Promise<Win[] | null> {
    if (this.#databaseOnly) return [];
    if (!this.#redisTrusted()) return null;
    try {
      const rounds = this.#rounds.filter((round) => wanted === undefined || round.id === wanted);
      const found = await Promise.all(
        rounds.map(async ({ id, perUser }) => {
          const fields = Array.from({ length: perUser }, (_, index) => claimField(user, index + 1));
          const prizes = await this.#store.client.hmget(this.#store.keys.claims(id), ...fields);
          return prizes.flatMap((prize, index) =>
            prize === null ? [] : [{ round: id, n: index + 1, prizeId: Number(prize) }],
          );
        }),
      );
      return found.flat();
    } catch {
      return null;
    }
  }

  async #fromMysql(user: string, round: number | undefined): Promise<Win[] | null> {
    try {
      return await claimsOfUser(this.#pool, user, round);
    } catch {
      return null;
    }
  }
}
