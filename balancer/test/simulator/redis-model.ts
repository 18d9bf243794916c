/**
 * A bucket's Redis in memory: what lua/*.lua do, each script one step. Kept as close to them as TypeScript allows, so that both
 * can be read side by side; model.test.ts drives the two with the same calls.
 */
import { claimField } from "../../../bucket-service/src/redis/keys.ts";
import type { MoveNote } from "../../../bucket-service/src/moves/note.ts";
import type { Run } from "../../../bucket-service/src/moves/runs.ts";
import type { Bug } from "./bugs.ts";

export interface RoundModel {
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  key: string | null;
  stock: number;
  lo: number;
  left: number;
  /** Used after the current one. */
  ranges: Run[];
  issued: number;
  final: number | null;
  dryAtMs: number | null;
  /** Claim field and prize. */
  claims: Map<string, number>;
}

export interface JournalEntry {
  id: number;
  epoch: string;
  packed: string;
  /** The consumer that has it in hand. */
  owner: string | null;
  sinceMs: number;
}

export interface RestoreMark {
  round: number;
  field: string;
  done: boolean;
}

export class ScriptError extends Error {}

const DRY_MS = 2_000;

export class RedisModel {
  up = true;
  /** Counts its restarts: a connection does not outlive one. */
  life = 0;
  epoch = "e1";
  generation = 1;
  filling: string | null = null;
  seq = 0;
  acked = 0;
  rounds = new Map<number, RoundModel>();
  journal: JournalEntry[] = [];
  lastEntry = 0;
  moves = new Map<string, MoveNote>();
  restores = new Map<number, RestoreMark>();
  readonly #bugs: ReadonlySet<Bug>;

  constructor(bugs: ReadonlySet<Bug>) {
    this.#bugs = bugs;
  }

  /** What a copy of its files would hold. */
  copy(): Omit<RedisModel, "up"> {
    const { epoch, generation, filling, seq, acked, rounds, journal, lastEntry, moves, restores } = this;
    return structuredClone({
      epoch,
      generation,
      filling,
      seq,
      acked,
      rounds,
      journal,
      lastEntry,
      moves,
      restores,
    }) as never;
  }

  goBack(copy: Omit<RedisModel, "up">): void {
    Object.assign(this, structuredClone(copy));
    this.life += 1;
  }

  /** It comes back without data. */
  lose(): void {
    this.wipe();
    this.life += 1;
  }

  wipe(): void {
    Object.assign(this, {
      epoch: "",
      generation: 0,
      filling: null,
      seq: 0,
      acked: 0,
      journal: [],
      lastEntry: 0,
    });
    for (const map of [this.rounds, this.moves, this.restores]) map.clear();
  }

  /** grab.lua. @returns the seq, and an answer for each field: a prize, or a code. Errors: ScriptError. */
  grab(
    round: number,
    asked: { key: string; journalMax: number; epoch: string; seq: number; fields: readonly string[] },
    nowMs: number,
  ): { seq: number; answers: number[] } {
    const it = this.rounds.get(round);
    if (this.epoch === "" || it === undefined) throw new ScriptError("LOST");
    if (this.epoch !== asked.epoch) throw new ScriptError("FENCED");
    if (this.seq < asked.seq && !this.#bugs.has("seq is not compared")) throw new ScriptError("FENCED-SEQ");
    let refusal = 0;
    if (it.opensAtMs === null || nowMs < it.opensAtMs || it.key === null || it.key !== asked.key)
      refusal = -2;
    else if (it.closesAtMs !== null && nowMs >= it.closesAtMs && !this.#bugs.has("closing is not compared"))
      refusal = -3;
    const answers: number[] = [];
    const wanted: number[] = [];
    const position = new Map<string, number>();
    for (const [index, field] of asked.fields.entries()) {
      const known = this.#bugs.has("a known claim pops again") ? undefined : it.claims.get(field);
      if (known !== undefined) answers[index] = known;
      else if (refusal !== 0) answers[index] = refusal;
      else if (position.has(field)) answers[index] = 0;
      else {
        position.set(field, index);
        wanted.push(index);
        answers[index] = 0;
      }
    }
    const room = this.#bugs.has("the journal has no bound")
      ? Infinity
      : asked.journalMax - (this.seq - this.acked);
    const take = Math.max(0, Math.min(wanted.length, room));
    for (const index of wanted.slice(take)) answers[index] = -1;
    const given = this.#give(round, it, wanted.slice(0, take), asked, answers, nowMs);
    if (given < take && it.final !== it.stock) {
      it.dryAtMs ??= nowMs;
      if (nowMs - it.dryAtMs < DRY_MS) for (const index of wanted.slice(given, take)) answers[index] = -5;
    }
    for (const [index, field] of asked.fields.entries()) {
      const first = position.get(field);
      if (first !== undefined && first !== index) answers[index] = answers[first]!;
    }
    return { seq: this.seq, answers };
  }

  #give(
    round: number,
    it: RoundModel,
    wanted: readonly number[],
    asked: { epoch: string; fields: readonly string[] },
    answers: number[],
    nowMs: number,
  ): number {
    let given = 0;
    while (given < wanted.length) {
      if (it.left === 0) {
        const next = it.ranges.shift();
        if (next === undefined) break;
        it.lo = next.lo;
        it.left = next.count;
      }
      const count = Math.min(wanted.length - given, it.left);
      it.left -= count;
      const high = it.lo + it.left + count - 1;
      const winners: string[] = [];
      for (let at = 0; at < count; at += 1) {
        const index = wanted[given + at]!;
        const field = asked.fields[index]!;
        answers[index] = high - at;
        winners.push(field);
        it.claims.set(field, high - at);
      }
      const packed = `${round} ${nowMs} ${high} ${count} ${winners.join(" ")}`;
      this.journal.push({
        id: (this.lastEntry += 1),
        epoch: asked.epoch,
        packed,
        owner: null,
        sinceMs: nowMs,
      });
      given += count;
    }
    this.seq += given;
    it.issued += given;
    return given;
  }

  /** leave.lua. Null: the round has not closed yet. Errors: ScriptError. */
  leave(
    note: Omit<MoveNote, "runs">,
    asked: { epoch: string; countMax: number; closed: boolean },
    nowMs: number,
  ): MoveNote | null {
    const it = this.rounds.get(note.round);
    if (this.epoch === "" || it === undefined) throw new ScriptError("LOST");
    if (this.epoch !== asked.epoch) throw new ScriptError("EPOCH");
    const name = `${note.id}/${note.direction}`;
    const noted = this.moves.get(name);
    if (noted !== undefined && !this.#bugs.has("a move is not noted")) return noted;
    const isClosed = it.closesAtMs !== null && nowMs >= it.closesAtMs;
    if (asked.closed && !isClosed) return null;
    let wanted = !asked.closed && isClosed ? 0 : asked.countMax;
    const runs: Run[] = [];
    while (wanted > 0) {
      const last = it.ranges.pop();
      if (last !== undefined) {
        const take = Math.min(wanted, last.count);
        if (take < last.count) it.ranges.push({ lo: last.lo + take, count: last.count - take });
        runs.push({ lo: last.lo, count: take });
        wanted -= take;
        continue;
      }
      const take = Math.min(wanted, it.left);
      if (take > 0) {
        runs.push({ lo: it.lo, count: take });
        it.lo += take;
        it.left -= take;
      }
      break;
    }
    const left = { ...note, runs };
    this.moves.set(name, left);
    return left;
  }

  /** enter.lua. Errors: ScriptError. */
  enter(round: number, notes: readonly MoveNote[], epoch: string): number {
    const it = this.rounds.get(round);
    if (this.epoch === "" || it === undefined) throw new ScriptError("LOST");
    if (this.epoch !== epoch) throw new ScriptError("EPOCH");
    for (const note of notes) {
      const name = `${note.id}/in`;
      if (this.moves.has(name)) continue;
      this.moves.set(name, note);
      it.ranges.push(...note.runs);
      it.stock += 1;
      it.dryAtMs = null;
    }
    return it.stock;
  }

  setFinal(round: number, stock: number): void {
    const it = this.rounds.get(round);
    if (it !== undefined && it.stock === stock && it.left === 0 && it.ranges.length === 0) it.final = stock;
  }

  /** fence.lua. */
  fence(shownEpoch: string): void {
    if (this.epoch === shownEpoch && !this.epoch.startsWith("fenced:")) this.epoch = `fenced:${this.epoch}`;
  }

  /** New entries for a consumer, or those that another one has held for too long. */
  read(consumer: string, nowMs: number, idleMsMax: number): JournalEntry[] {
    const free = this.journal.filter(
      ({ owner, sinceMs }) => owner === null || (owner !== consumer && nowMs - sinceMs > idleMsMax),
    );
    const taken = free.slice(0, 2);
    for (const entry of taken) Object.assign(entry, { owner: consumer, sinceMs: nowMs });
    return taken.map((entry) => ({ ...entry }));
  }

  pendingOf(consumer: string): JournalEntry[] {
    return this.journal.filter(({ owner }) => owner === consumer).map((entry) => ({ ...entry }));
  }

  /** ack.lua. */
  ack(epoch: string, entries: readonly { id: number; count: number }[]): void {
    if (this.epoch !== epoch && this.epoch !== `fenced:${epoch}`) return;
    for (const { id, count } of entries) {
      const at = this.journal.findIndex((entry) => entry.id === id);
      if (at < 0) continue;
      this.journal.splice(at, 1);
      this.acked += count;
    }
  }

  /** rebuild-begin.lua: whether it was emptied. */
  rebuildBegin(token: string, epoch: string, generation: number): boolean {
    if (this.generation > generation) throw new ScriptError("STALE");
    if (this.epoch === epoch) return false;
    this.wipe();
    this.filling = token;
    this.generation = generation;
    return true;
  }

  /** rebuild-claims.lua and rebuild-finish.lua. */
  rebuildFinish(
    token: string,
    whole: { epoch: string; rounds: Map<number, RoundModel>; moves: Map<string, MoveNote>; claims: number },
  ): void {
    if (this.epoch === whole.epoch) return;
    if (this.filling !== token) throw new ScriptError("STALE");
    this.rounds = whole.rounds;
    this.moves = whole.moves;
    Object.assign(this, { filling: null, epoch: whole.epoch, seq: whole.claims, acked: whole.claims });
  }

  /** restore-reserve.lua. */
  reserve(epoch: string, prize: number, mark: Omit<RestoreMark, "done">): "reserved" | "stands" | "other" {
    const it = this.rounds.get(mark.round);
    if (this.epoch !== epoch || it === undefined) throw new ScriptError("FENCED");
    const held = it.claims.get(mark.field);
    if (held !== undefined && held !== prize) return "other";
    const known = this.restores.get(prize);
    if (held !== undefined) return known !== undefined && !known.done ? "reserved" : "stands";
    it.claims.set(mark.field, prize);
    this.restores.set(prize, { ...mark, done: false });
    this.seq += 1;
    this.acked += 1;
    return "reserved";
  }

  /** restore-settle.lua. */
  settle(epoch: string, prize: number, isClaimed: boolean): void {
    if (this.epoch !== epoch) throw new ScriptError("FENCED");
    const mark = this.restores.get(prize);
    if (mark === undefined || mark.done) return;
    const it = this.rounds.get(mark.round)!;
    if (isClaimed) {
      mark.done = true;
      it.issued += 1;
    } else {
      this.restores.delete(prize);
      if (it.claims.get(mark.field) === prize) it.claims.delete(mark.field);
    }
  }
}

export { claimField };
