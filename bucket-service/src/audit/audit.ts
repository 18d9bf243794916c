import type { RowDataPacket } from "mysql2/promise";
import {
  openPack,
  readSecrets,
  type BucketPlace,
  type Pack,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { allClaims } from "../mysql/claims.ts";
import { unpackEntry, type JournalClaim } from "../persist/journal.ts";
import { packFigures, sameFigures, tableFigures } from "../provision/figures.ts";
import type { MoveNote } from "../moves/note.ts";
import { recordedMoves } from "../moves/record.ts";
import { worthOf } from "../moves/runs.ts";
import { withBucket, type OpenBucket } from "../stores.ts";
import { RoundBooks } from "./books.ts";

/** A number of prizes and what they are worth, in minor units. */
export interface Sum {
  count: number;
  amount: number;
}

/** The figures of one round in one bucket, as DESIGN's `audit` report names them. */
export interface RoundAudit {
  bucket: string;
  round: number;
  generated: Sum;
  borrowed: Sum;
  rolledIn: Sum;
  issued: Sum;
  left: Sum;
  burned: Sum;
  lentOut: Sum;
  rolledOut: Sum;
  /** Told, but still in the journal on its way to MySQL. */
  waiting: Sum;
  claimed: Sum;
  paid: Sum;
  pending: Sum;
  dead: Sum;
}

export interface Violation {
  /** The number of the promise in DESIGN 3. */
  promise: number;
  round: number;
  bucket: string;
  what: string;
  prize?: string;
  user?: string;
}

export interface BucketAudit {
  bucket: string;
  rounds: RoundAudit[];
  violations: Violation[];
}

/** More violations of one bucket than this are counted, not listed. */
const VIOLATIONS_MAX = 1000;

/**
 * The conservation proof of one bucket, right under load too: Redis shows counters and journal of one moment, which fixes
 * what was issued until then; MySQL is read afterwards and holds at least what had left the journal by then. A claim that
 * MySQL got later is known by its ID, which was not issued yet. Memory: one bit a prize.
 *
 * Errors: Unreachable; BadInput when the pack is damaged.
 */
export async function auditBucket(parts: {
  topology: Topology;
  bucket: string;
  secrets?: Pick<Secrets, "redis" | "mysql">;
  pack?: Pack;
}): Promise<BucketAudit> {
  const secrets = parts.secrets ?? readSecrets(parts.topology, ["redis", "mysql"]);
  const pack = parts.pack ?? openPack(parts.topology.pack, { verify: true });
  const bucket = parts.topology.buckets.find(({ id }) => id === parts.bucket)!;
  try {
    return await withBucket({ pack, bucket, secrets, name: "audit" }, (open) =>
      new Audit(pack, bucket, open).run(),
    );
  } finally {
    if (parts.pack === undefined) pack.close();
  }
}

class Audit {
  readonly #pack: Pack;
  readonly #bucket: BucketPlace;
  readonly #open: OpenBucket;
  readonly #violations: Violation[] = [];
  #unlisted = 0;

  constructor(pack: Pack, bucket: BucketPlace, open: OpenBucket) {
    this.#pack = pack;
    this.#bucket = bucket;
    this.#open = open;
  }

  async run(): Promise<BucketAudit> {
    const { store, record } = this.#open;
    const { state, journal, moves } = await store.cut();
    if (state.epoch === "" || state.epoch !== record.epoch || record.pack !== this.#pack.digest) {
      this.#report({
        promise: 6,
        round: 0,
        what: `Redis is of load ${state.epoch || "none"}, MySQL of load ${record.epoch || "none"} and pack ${record.pack || "none"}; expected pack ${this.#pack.digest} in both`,
      });
      return { bucket: this.#bucket.id, rounds: [], violations: this.#violations };
    }
    const rounds = this.#pack.manifest.rounds.map(
      (round) =>
        new RoundBooks(
          this.#pack,
          this.#bucket.id,
          round,
          state.rounds.find((r) => r.round === round.id),
          moves,
        ),
    );
    const waiting = journal.flatMap(({ packed }) => unpackEntry(packed));
    await this.#readClaims(rounds);
    for (const claim of waiting) this.#bookWaiting(rounds, claim);
    for (const books of rounds) {
      await this.#checkPrizes(books);
      this.#balance(books);
    }
    if (state.seq - state.acked !== waiting.length) {
      this.#report({
        promise: 2,
        round: 0,
        what: `the journal holds ${waiting.length} claims, its counters say ${state.seq - state.acked}`,
      });
    }
    await this.#checkMoves(moves);
    await this.#checkConflicts();
    if (this.#unlisted > 0)
      this.#report(
        { promise: 1, round: 0, what: `${this.#unlisted} further violations are not listed` },
        true,
      );
    return {
      bucket: this.#bucket.id,
      rounds: rounds.map((books) => books.figures()),
      violations: this.#violations,
    };
  }

  #report(violation: Omit<Violation, "bucket">, always = false): void {
    if (this.#violations.length < VIOLATIONS_MAX || always)
      this.#violations.push({ ...violation, bucket: this.#bucket.id });
    else this.#unlisted += 1;
  }

  /** Every claim in MySQL, in ID order: is it one of ours, worth what was generated, one per user and n? */
  async #readClaims(rounds: RoundBooks[]): Promise<void> {
    for await (const claim of allClaims(this.#open.mysql)) {
      const books = rounds.find((candidate) => candidate.id === claim.round);
      const where = { round: claim.round, prize: String(claim.prizeId), user: claim.user };
      if (books === undefined || !this.#pack.holds(claim.prizeId)) {
        this.#report({
          ...where,
          promise: 1,
          what: "a claim on an ID that was not generated for this bucket and round",
        });
        continue;
      }
      const worth = this.#pack.amountOf(claim.prizeId);
      if (claim.amountMinor !== worth) {
        this.#report({
          ...where,
          promise: 4,
          what: `the claim is worth ${claim.amountMinor}, generated was ${worth}`,
        });
      }
      if (claim.n < 1 || claim.n > books.perUser) {
        this.#report({
          ...where,
          promise: 3,
          what: `the claim is the user's number ${claim.n}, allowed are ${books.perUser}`,
        });
      }
      if (!books.wasIssued(claim.prizeId)) {
        // After the cut, this is a win of the last moments; in a bucket at rest it would be an ID from nowhere.
        books.later.push({ prizeId: claim.prizeId, user: claim.user });
        continue;
      }
      books.claimed.add(claim.prizeId);
    }
    await this.#judgeLater(rounds);
  }

  /** An ID that was not issued at the cut must be issued by now; it may have come by a move since. */
  async #judgeLater(rounds: RoundBooks[]): Promise<void> {
    if (rounds.every((books) => books.later.length === 0)) return;
    const now = await this.#open.store.state();
    const moves = await this.#open.store.moves();
    for (const books of rounds) {
      const later = new RoundBooks(
        this.#pack,
        this.#bucket.id,
        books.round,
        now.rounds.find((r) => r.round === books.id),
        moves,
      );
      for (const { prizeId, user } of books.later) {
        if (later.wasIssued(prizeId)) continue;
        this.#report({
          promise: 1,
          round: books.id,
          prize: String(prizeId),
          user,
          what: later.owns(prizeId)
            ? "a claim on an ID that Redis never issued"
            : "a claim on an ID that was not generated for this bucket and round and did not come to it",
        });
      }
    }
  }

  #bookWaiting(rounds: RoundBooks[], claim: JournalClaim): void {
    const books = rounds.find((candidate) => candidate.id === claim.round);
    if (books !== undefined && books.owns(claim.prizeId)) {
      if (!books.claimed.has(claim.prizeId)) books.waiting.add(claim.prizeId);
      return;
    }
    this.#report({
      promise: 1,
      round: claim.round,
      prize: String(claim.prizeId),
      user: claim.user,
      what: "the journal holds a claim on an ID that was not generated for this bucket and round and did not come to it",
    });
  }

  /** The prizes table against the pack; a wrong block is halved until the rows are found. */
  async #checkPrizes(books: RoundBooks): Promise<void> {
    const search = async (lo: number, count: number): Promise<void> => {
      const run = { round: books.id, kind: books.round.kind, lo, count };
      const found = await tableFigures(this.#open.mysql, run);
      if (count === 0 || sameFigures(found, packFigures(this.#pack, run))) return;
      if (count > 1) {
        const half = count >> 1;
        await search(lo, half);
        return search(lo + half, count - half);
      }
      this.#report({
        promise: 4,
        round: books.id,
        prize: String(lo),
        what: `MySQL's prize is ${found.count === 0 ? "missing" : `worth ${found.amountMinor}`}, generated was ${this.#pack.amountOf(lo)}`,
      });
    };
    await search(books.generated.lo, books.generated.count);
  }

  #balance(books: RoundBooks): void {
    if (books.state === undefined) {
      return this.#report({ promise: 6, round: books.id, what: "the round is missing in Redis" });
    }
    for (const what of books.faults) this.#report({ promise: 1, round: books.id, what });
    const figures = books.figures();
    const { issued, waiting, claimed } = figures;
    const went = [issued, figures.left, figures.burned, figures.lentOut, figures.rolledOut];
    const came = [figures.generated, figures.borrowed, figures.rolledIn];
    if (text(total(went)) !== text(total(came))) {
      this.#report({
        promise: 6,
        round: books.id,
        what:
          `issued, left, burned, lent out and rolled out (${went.map(text).join(" + ")}) are not ` +
          `generated, borrowed and rolled in (${came.map(text).join(" + ")})`,
      });
    }
    if (books.state.issued !== issued.count) {
      this.#report({
        promise: 6,
        round: books.id,
        what: `Redis counts ${books.state.issued} issued, its ranges say ${issued.count}`,
      });
    }
    if (books.state.claims !== issued.count) {
      this.#report({
        promise: 3,
        round: books.id,
        what: `Redis remembers ${books.state.claims} claims of users, issued were ${issued.count}`,
      });
    }
    if (claimed.count + waiting.count === issued.count) return;
    for (const prizeId of books.missing()) {
      this.#report({
        promise: 2,
        round: books.id,
        prize: String(prizeId),
        what: "issued, but neither in MySQL nor in the journal",
      });
    }
  }

  /** Redis and the ledger of moves against each other: what came stands in MySQL before, what went left Redis before. */
  async #checkMoves(noted: readonly MoveNote[]): Promise<void> {
    const recorded = await recordedMoves(this.#open.mysql);
    const named = (note: MoveNote): string => `${note.id}/${note.direction} ${JSON.stringify(note.runs)}`;
    const inMysql = new Set(recorded.map(named));
    for (const note of noted) {
      if (note.kind === "release" || note.direction === "out" || inMysql.has(named(note))) continue;
      this.#report({
        promise: 6,
        round: note.round,
        what: `move ${note.id} came into Redis, but does not stand so in MySQL's range_moves`,
      });
    }
    const inRedis = new Set([...noted, ...(await this.#open.store.moves())].map(named));
    for (const note of recorded) {
      const at = { round: note.round };
      if (note.direction === "out" && !inRedis.has(named(note))) {
        this.#report({
          ...at,
          promise: 1,
          what: `move ${note.id} left by MySQL's word, but not so in Redis`,
        });
      }
      const worth = worthOf(note.runs, (id) => (this.#pack.holds(id) ? this.#pack.amountOf(id) : 0));
      if (note.amountMinor === worth) continue;
      const what = `move ${note.id} (${note.direction}) is written down as worth ${note.amountMinor}, generated was ${worth}`;
      this.#report({ ...at, promise: 4, what });
    }
  }

  async #checkConflicts(): Promise<void> {
    const [rows] = await this.#open.mysql.query<RowDataPacket[]>(
      `SELECT prize_id, round_id, user_id FROM claim_conflicts ORDER BY conflict_id LIMIT ${VIOLATIONS_MAX}`,
    );
    for (const row of rows) {
      this.#report({
        promise: 1,
        round: row["round_id"] as number,
        prize: String(row["prize_id"]),
        user: row["user_id"] as string,
        what: "a journal entry contradicted a claim; it stands in claim_conflicts",
      });
    }
  }
}

function total(sums: readonly Sum[]): Sum {
  return {
    count: sums.reduce((all, { count }) => all + count, 0),
    amount: sums.reduce((all, { amount }) => all + amount, 0),
  };
}

function text({ count, amount }: Sum): string {
  return `${count} (${amount})`;
}
