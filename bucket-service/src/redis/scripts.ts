import { readFileSync } from "node:fs";
import { watchConnections, type RedisClient } from "./connect.ts";
import { JOURNAL_GROUP, type BucketKeys } from "./keys.ts";
import { noteField, noteHead, noteText, readNote, readNotes, type MoveNote } from "../moves/note.ts";

type Reply = (string | number | (string | null)[] | string[][])[];

function lua(name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), "utf8");
}

/** The commands that defineCommand adds to a client; each is one file in lua/, which documents keys, arguments and reply. */
interface Commands {
  hbGrab(keyCount: number, ...args: (string | number)[]): Promise<[number, number, string, string]>;
  hbAck(keyCount: number, ...args: (string | number)[]): Promise<number>;
  hbInstallRound(keyCount: number, ...args: (string | number)[]): Promise<[number, number]>;
  hbState(keyCount: number, ...args: (string | number)[]): Promise<Reply>;
  hbLoad(keyCount: number, ...args: (string | number)[]): Promise<number>;
  hbLeave(keyCount: number, ...args: (string | number)[]): Promise<[number, number, string]>;
  hbEnter(keyCount: number, ...args: (string | number)[]): Promise<[number, number, number]>;
  hbFinal(keyCount: number, ...args: (string | number)[]): Promise<number>;
  hbFence(keyCount: number, ...args: (string | number)[]): Promise<number>;
}

const scripts = {
  hbGrab: "grab",
  hbAck: "ack",
  hbInstallRound: "install-round",
  hbState: "state",
  hbLoad: "load",
  hbLeave: "leave",
  hbEnter: "enter",
  hbFinal: "final",
  hbFence: "fence",
} as const;

/** What the scripts know of one round of one bucket; times are ms since 1970, counts are prizes. */
export interface RoundState {
  round: number;
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  /** Empty until the round is opened. */
  key: string;
  stock: number;
  /** Lowest ID of the range in use. */
  lo: number;
  /** IDs left in the range in use: lo … lo + left - 1. */
  left: number;
  issued: number;
  perUser: number;
  /** Entries in the memory of who won. */
  claims: number;
  /** The stock number of which the conductor said that nothing follows, or null. */
  final: number | null;
  /** When this stock was first found empty, or null. */
  dryAtMs: number | null;
  /** Ranges that come after the one in use. */
  waitingRanges: { lo: number; count: number }[];
}

export interface BucketState {
  timeMs: number;
  /** Changes with each load or rebuild; "" when nothing is loaded. */
  epoch: string;
  /** Claims ever issued here, and of those, claims that MySQL has committed. */
  seq: number;
  acked: number;
  pack: string;
  /** Notes of moves; it only grows within an epoch. */
  moves: number;
  /** Rounds that are missing here do not stand in the list. */
  rounds: RoundState[];
}

export interface BucketCut {
  state: BucketState;
  journal: { id: string; packed: string }[];
  moves: MoveNote[];
  /** Burned prizes that are on their way back to a user, by round; null: it has come back. */
  restores: { prizeId: number; round: number | null }[];
}

export interface GrabReply {
  seq: number;
  stock: number;
  /** Stream ID that MySQL must have passed before this answer may be told, or "". */
  journalEnd: string;
  /** For each field: a prize ID, or a code <= 0 (lua/grab.lua). */
  answers: number[];
}

/** A bucket's Redis as its scripts show it. Every call is idempotent. Errors: those of the connection, LOST and FENCED. */
export class BucketStore {
  readonly client: RedisClient;
  readonly keys: BucketKeys;
  readonly #rounds: readonly number[];
  readonly #commands: Commands;

  constructor(client: RedisClient, keys: BucketKeys, rounds: readonly number[]) {
    this.client = client;
    this.keys = keys;
    this.#rounds = rounds;
    for (const [name, file] of Object.entries(scripts)) client.defineCommand(name, { lua: lua(file) });
    this.#commands = client as unknown as Commands;
  }

  /** Tells of every connection that ends, and of every one that can be used. */
  onConnection(on: { closed: () => void; ready: () => void }): void {
    watchConnections(this.client, on);
  }

  /** @param fields claim fields; at most a few hundred, the Lua stack bounds them at 7,999. */
  async grab(
    round: number,
    call: {
      key: string;
      journalMax: number;
      epoch: string;
      seq: number;
      durable: boolean;
      fields: readonly string[];
    },
  ): Promise<GrabReply> {
    const { keys } = this;
    const [seq, stock, journalEnd, answers] = await this.#commands.hbGrab(
      6,
      keys.meta,
      keys.round(round),
      keys.left(round),
      keys.ranges(round),
      keys.claims(round),
      keys.journal,
      round,
      call.key,
      call.journalMax,
      call.epoch,
      call.seq,
      call.durable ? "1" : "0",
      call.fields.join(" "),
    );
    return { seq, stock, journalEnd, answers: answers.split(" ").map(Number) };
  }

  async state(): Promise<BucketState> {
    return parseState(await this.#state("0"), this.#rounds);
  }

  /** The state and, of the same moment, the notes of moves, the marks of restored wins and, unless it is left out, the journal. */
  async cut({ journal: withJournal = true } = {}): Promise<BucketCut> {
    const reply = await this.#state(withJournal ? "2" : "1");
    const journal = (reply[5] as string[][]).map(([id, packed]) => ({ id: id ?? "", packed: packed ?? "" }));
    return {
      state: parseState(reply, this.#rounds),
      journal,
      moves: readNotes(reply[7] as string[]),
      restores: readRestores(reply[8] as string[]),
    };
  }

  #state(depth: "0" | "1" | "2"): Promise<Reply> {
    const keys = this.#roundKeys();
    const { meta, journal, moves, restores } = this.keys;
    return this.#commands.hbState(keys.length + 4, meta, journal, moves, restores, ...keys, depth);
  }

  async installRound(
    round: number,
    record: { v: number; opensAtMs: number | null; closesAtMs: number | null; key: string | null },
  ): Promise<{ result: "applied" | "same" | "stale"; v: number }> {
    const [code, v] = await this.#commands.hbInstallRound(
      1,
      this.keys.round(round),
      record.v,
      record.opensAtMs ?? "",
      record.closesAtMs ?? "",
      record.key ?? "",
    );
    return { result: code === 1 ? "applied" : code === 0 ? "same" : "stale", v };
  }

  /**
   * Cuts IDs out of a round for a move, or shows what it cut before. The answer's note has no runs when nothing was left.
   * @returns null when the round must have closed and has not. Errors: also EPOCH.
   */
  async leave(
    move: Omit<MoveNote, "runs">,
    call: { epoch: string; seq: number; countMax: number; runsMax: number; closed: boolean },
  ): Promise<{ note: MoveNote; moves: number } | null> {
    const { keys } = this;
    const [code, moves, text] = await this.#commands.hbLeave(
      5,
      keys.meta,
      keys.round(move.round),
      keys.left(move.round),
      keys.ranges(move.round),
      keys.moves,
      call.epoch,
      call.seq,
      noteField(move),
      noteHead(move),
      call.countMax,
      call.runsMax,
      call.closed ? "1" : "0",
    );
    return code === -1 ? null : { note: readNote(noteField(move), text), moves };
  }

  /** Puts moves' IDs behind a round's ranges; `notes` in the order of MySQL's ordinals. Errors: also EPOCH. */
  async enter(
    round: number,
    notes: readonly MoveNote[],
    call: { epoch: string; seq: number },
  ): Promise<{ entered: number; stock: number; moves: number }> {
    const { keys } = this;
    const [entered, stock, moves] = await this.#commands.hbEnter(
      4,
      keys.meta,
      keys.round(round),
      keys.ranges(round),
      keys.moves,
      call.epoch,
      call.seq,
      ...notes.flatMap((note) => [noteField(note), noteText(note)]),
    );
    return { entered, stock, moves };
  }

  /** Says that nothing follows an empty stock. @returns whether it is empty and still that stock. */
  async setFinal(round: number, stock: number): Promise<boolean> {
    const { keys } = this;
    const code = await this.#commands.hbFinal(
      3,
      keys.round(round),
      keys.left(round),
      keys.ranges(round),
      stock,
    );
    return code === 1;
  }

  /** All notes of moves. */
  async moves(): Promise<MoveNote[]> {
    const notes = await this.client.hgetall(this.keys.moves);
    return Object.entries(notes).map(([field, text]) => readNote(field, text));
  }

  /** @returns how many claims left the journal by this call: none when it is another epoch's by now. */
  async ack(epoch: string, entries: readonly { id: string; count: number }[]): Promise<number> {
    const pairs = entries.flatMap(({ id, count }) => [id, count]);
    return this.#commands.hbAck(
      2,
      this.keys.meta,
      this.keys.journal,
      JOURNAL_GROUP,
      epoch,
      this.keys.committed,
      ...pairs,
    );
  }

  /** Marks this Redis as one that went back in time, if its epoch is still the one that was seen. */
  async fence(shownEpoch: string, why: string): Promise<void> {
    await this.#commands.hbFence(1, this.keys.meta, shownEpoch, why);
  }

  async load(plan: {
    event: string;
    pack: string;
    epoch: string;
    rounds: readonly {
      opensAtMs: number | null;
      closesAtMs: number | null;
      perUser: number;
      ranges: readonly { lo: number; count: number }[];
    }[];
  }): Promise<"loaded" | "same" | "refused"> {
    const keys = this.#roundKeys();
    const args = plan.rounds.flatMap(({ opensAtMs, closesAtMs, perUser, ranges }) => [
      1,
      opensAtMs ?? "",
      closesAtMs ?? "",
      perUser,
      ranges.length,
      ...ranges.flatMap(({ lo, count }) => [lo, count]),
    ]);
    const code = await this.#commands.hbLoad(
      keys.length + 3,
      this.keys.meta,
      this.keys.journal,
      this.keys.moves,
      ...keys,
      plan.event,
      plan.pack,
      plan.epoch,
      JOURNAL_GROUP,
      ...args,
    );
    return code === 1 ? "loaded" : code === 0 ? "same" : "refused";
  }

  #roundKeys(): string[] {
    const { keys } = this;
    return this.#rounds.flatMap((round) => [
      keys.round(round),
      keys.left(round),
      keys.ranges(round),
      keys.claims(round),
    ]);
  }
}

function parseState(reply: Reply, rounds: readonly number[]): BucketState {
  const [timeMs, epoch, seq, acked, pack, , moves, , , ...records] = reply;
  return {
    timeMs: Number(timeMs),
    epoch: String(epoch),
    seq: Number(seq),
    acked: Number(acked),
    pack: String(pack),
    moves: Number(moves),
    rounds: records.flatMap((record, index) => {
      const round = rounds[index];
      return Array.isArray(record) && record.length > 0 && round !== undefined
        ? [parseRound(record as string[], round)]
        : [];
    }),
  };
}

function readRestores(flat: readonly string[]): BucketCut["restores"] {
  return Array.from({ length: flat.length >> 1 }, (_, i) => {
    const note = flat[2 * i + 1]!;
    const prizeId = Number(flat[2 * i]!.slice("restore:".length));
    return { prizeId, round: note === "done" ? null : Number(note.split(" ")[0]) };
  });
}

function parseRound(record: string[], round: number): RoundState {
  const [v, opensAt, closesAt, key, stock, lo, left, issued, perUser, claims, final, dryAt, ...waiting] =
    record;
  return {
    round,
    v: Number(v),
    opensAtMs: opensAt ? Number(opensAt) : null,
    closesAtMs: closesAt ? Number(closesAt) : null,
    key: key ?? "",
    stock: Number(stock),
    lo: Number(lo),
    left: Number(left),
    issued: Number(issued),
    perUser: Number(perUser),
    claims: Number(claims),
    final: final ? Number(final) : null,
    dryAtMs: dryAt ? Number(dryAt) : null,
    waitingRanges: waiting.map((range) => {
      const [rangeLo, count] = (range ?? "").split(":");
      return { lo: Number(rangeLo), count: Number(count) };
    }),
  };
}

/** IDs of a round that this bucket can still give. */
export function leftOf(round: RoundState): number {
  return round.waitingRanges.reduce((sum, range) => sum + range.count, round.left);
}

/** After so long without anything new an empty stock has ended, whoever is silent; DRY_MS in lua/grab.lua. */
export const DRY_MS = 2000;

/** Whether the stock is empty and nothing can come any more, so that `ended` may be remembered. */
export function isDryForGood(round: RoundState, timeMs: number): boolean {
  if (leftOf(round) > 0) return false;
  return round.final === round.stock || (round.dryAtMs !== null && timeMs - round.dryAtMs >= DRY_MS);
}

/** Scheduled, open or closed, by the bucket's own clock: what the scripts would decide. */
export function phaseOf(round: RoundState, timeMs: number): "scheduled" | "open" | "closed" {
  if (round.closesAtMs !== null && timeMs >= round.closesAtMs) return "closed";
  return round.key !== "" && round.opensAtMs !== null && timeMs >= round.opensAtMs ? "open" : "scheduled";
}
