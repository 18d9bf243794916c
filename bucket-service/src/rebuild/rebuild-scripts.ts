import { readFileSync } from "node:fs";
import { JOURNAL_GROUP, type BucketKeys } from "../redis/keys.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { noteField, noteText, type MoveNote } from "../moves/note.ts";
import type { Run } from "../moves/runs.ts";

type Arguments = (string | number)[];

/** Each is one file in redis/lua/, which documents keys, arguments and reply. */
interface Commands {
  hbRebuildBegin(keyCount: number, ...args: Arguments): Promise<number>;
  hbRebuildClaims(keyCount: number, ...args: Arguments): Promise<number>;
  hbRebuildFinish(keyCount: number, ...args: Arguments): Promise<number>;
  hbRestoreReserve(keyCount: number, ...args: Arguments): Promise<number>;
  hbRestoreSettle(keyCount: number, ...args: Arguments): Promise<number>;
}

const scripts = {
  hbRebuildBegin: "rebuild-begin",
  hbRebuildClaims: "rebuild-claims",
  hbRebuildFinish: "rebuild-finish",
  hbRestoreReserve: "restore-reserve",
  hbRestoreSettle: "restore-settle",
} as const;

/** A round as a rebuild writes it into Redis. */
export interface RebuiltRound {
  round: number;
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  perUser: number;
  stock: number;
  issued: number;
  ranges: readonly Run[];
}

/** Which filling of Redis a call belongs to: two rebuilds never mix. */
export interface Filling {
  token: string;
  epoch: string;
  generation: number;
}

/** The scripts of rebuild and restoration on a bucket's Redis. Errors: the connection's, STALE, MISSING, FENCED. */
export class RebuildScripts {
  readonly #store: BucketStore;
  readonly #keys: BucketKeys;
  readonly #rounds: readonly number[];
  readonly #commands: Commands;

  constructor(store: BucketStore, rounds: readonly number[]) {
    this.#store = store;
    this.#keys = store.keys;
    this.#rounds = rounds;
    for (const [name, file] of Object.entries(scripts)) {
      const lua = readFileSync(new URL(`../redis/lua/${file}.lua`, import.meta.url), "utf8");
      store.client.defineCommand(name, { lua });
    }
    this.#commands = store.client as unknown as Commands;
  }

  get store(): BucketStore {
    return this.#store;
  }

  /** @returns false when this epoch stands in Redis already, whole. */
  async begin({ token, epoch, generation }: Filling): Promise<boolean> {
    const keys = this.#allKeys();
    return (await this.#commands.hbRebuildBegin(keys.length, ...keys, token, epoch, generation)) === 1;
  }

  async fillClaims(token: string, round: number, pairs: readonly (string | number)[]): Promise<void> {
    const keys = this.#keys;
    await this.#commands.hbRebuildClaims(2, keys.meta, keys.claims(round), token, ...pairs);
  }

  /** @param rounds of all rounds, in the order of the event. */
  async finish(
    { token, epoch, generation }: Filling,
    plan: {
      event: string;
      pack: string;
      claims: number;
      moves: readonly MoveNote[];
      rounds: readonly RebuiltRound[];
    },
  ): Promise<void> {
    const keys = this.#allKeys();
    const rounds = plan.rounds.flatMap((round) => [
      round.v,
      round.opensAtMs ?? "",
      round.closesAtMs ?? "",
      round.perUser,
      round.stock,
      round.issued,
      round.ranges.length,
      ...round.ranges.flatMap(({ lo, count }) => [lo, count]),
    ]);
    await this.#commands.hbRebuildFinish(
      keys.length,
      ...keys,
      token,
      plan.event,
      plan.pack,
      epoch,
      generation,
      JOURNAL_GROUP,
      plan.claims,
      plan.moves.length,
      ...plan.moves.flatMap((note) => [noteField(note), noteText(note)]),
      ...rounds,
    );
  }

  async reserve(
    epoch: string,
    { round, field, prizeId }: { round: number; field: string; prizeId: number },
  ): Promise<"reserved" | "stands" | "other"> {
    const keys = this.#keys;
    const note = `${round} ${field}`;
    const code = await this.#commands.hbRestoreReserve(
      3,
      keys.meta,
      keys.claims(round),
      keys.restores,
      epoch,
      field,
      prizeId,
      note,
    );
    return code === 1 ? "reserved" : code === 2 ? "stands" : "other";
  }

  async settle(
    epoch: string,
    { round, field, prizeId }: { round: number; field: string; prizeId: number },
    inMysql: boolean,
  ): Promise<void> {
    const keys = this.#keys;
    await this.#commands.hbRestoreSettle(
      4,
      keys.meta,
      keys.round(round),
      keys.claims(round),
      keys.restores,
      epoch,
      field,
      prizeId,
      inMysql ? "1" : "0",
    );
  }

  /** Restorations that were reserved and not settled. */
  async reserved(): Promise<{ round: number; field: string; prizeId: number }[]> {
    const notes = await this.#store.client.hgetall(this.#keys.restores);
    return Object.entries(notes).flatMap(([name, note]) => {
      const prize = /^restore:(\d+)$/.exec(name)?.[1];
      const [round, field] = note.split(" ");
      return prize === undefined || field === undefined
        ? []
        : [{ round: Number(round), field, prizeId: Number(prize) }];
    });
  }

  #allKeys(): string[] {
    const keys = this.#keys;
    return [
      keys.meta,
      keys.journal,
      keys.moves,
      keys.restores,
      ...this.#rounds.flatMap((id) => [keys.round(id), keys.left(id), keys.ranges(id), keys.claims(id)]),
    ];
  }
}
