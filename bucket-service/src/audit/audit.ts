import type { RowDataPacket } from "mysql2/promise";
import {
  bucketOfSlot,
  openPack,
  readSecrets,
  slotOf,
  type BucketPlace,
  type Pack,
  type PackRound,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { readMeta } from "../mysql/bucket-record.ts";
import { inSnapshot } from "../mysql/snapshot.ts";
import { unpackEntry, type JournalClaim } from "../persist/journal.ts";
import { packFigures, sameFigures, tableFigures } from "../provision/figures.ts";
import type { BucketCut } from "../redis/scripts.ts";
import { withBucket, type OpenBucket } from "../stores.ts";
import { RoundBooks } from "./books.ts";
import { burnedAtCut, readBurned, type BurnedRecord } from "./burned.ts";
import { claimPages, redisMemory, type AuditClaim } from "./claims.ts";
import { moneyFaults } from "./money.ts";
import { moveFaults, movesOf, type AuditMove } from "./moves.ts";

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
  /** In MySQL: paid, pending or dead. */
  claimed: Sum;
  paid: Sum;
  pending: Sum;
  dead: Sum;
  /** Of what is pending: held, because an operator denied the user. */
  held: Sum;
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
  /** What left and came by moves, by this bucket's Redis. */
  moves: AuditMove[];
  violations: Violation[];
}

/** More violations of one bucket than this are counted, not listed. */
const VIOLATIONS_MAX = 1000;
/** A rebuild in the middle of an audit makes it begin again, so many times. */
const ATTEMPTS_MAX = 3;

/**
 * The conservation proof of one bucket, right under load too. Three looks, one after the other:
 *
 *   before   MySQL: which IDs are burned
 *   cut      Redis: stock, counters, journal, moves and restored wins of one moment, which fixes what was issued until then
 *   after    MySQL, one snapshot: it holds at least what had left the journal by the cut. A claim that it got later is known by
 *            its ID, which was not issued yet; a last look at Redis tells whether it is issued by now
 *
 * Memory: some bits a prize. Errors: Unreachable; BadInput when the pack is damaged.
 */
export async function auditBucket(parts: {
  topology: Topology;
  bucket: string;
  secrets?: Pick<Secrets, "redis" | "mysql">;
  pack?: Pack;
}): Promise<BucketAudit> {
  const { topology } = parts;
  const secrets = parts.secrets ?? readSecrets(topology, ["redis", "mysql"]);
  const pack = parts.pack ?? openPack(topology.pack, { verify: true });
  const bucket = topology.buckets.find(({ id }) => id === parts.bucket)!;
  try {
    return await withBucket({ pack, bucket, secrets, name: "audit" }, async (open) => {
      for (let attempt = 1; ; attempt += 1) {
        const found = await new Audit(topology, pack, bucket, open).run(attempt === ATTEMPTS_MAX);
        if (found !== null) return found;
      }
    });
  } finally {
    if (parts.pack === undefined) pack.close();
  }
}

class Audit {
  readonly #topology: Topology;
  readonly #pack: Pack;
  readonly #bucket: BucketPlace;
  readonly #open: OpenBucket;
  readonly #violations: Violation[] = [];
  #unlisted = 0;

  constructor(topology: Topology, pack: Pack, bucket: BucketPlace, open: OpenBucket) {
    this.#topology = topology;
    this.#pack = pack;
    this.#bucket = bucket;
    this.#open = open;
  }

  /** @returns null when the bucket was rebuilt meanwhile; `last`: then that is told as a violation. */
  async run(last: boolean): Promise<BucketAudit | null> {
    const { store, mysql, record } = this.#open;
    const nothing: BucketAudit = {
      bucket: this.#bucket.id,
      rounds: [],
      moves: [],
      violations: this.#violations,
    };
    if (record.epoch === "") {
      this.#report({ promise: 6, round: 0, what: "MySQL holds no load of this event" });
      return nothing;
    }
    const before = await inSnapshot(mysql, async () => ({
      meta: await readMeta(mysql),
      burned: await readBurned(mysql),
    }));
    const cut = await store.cut();
    const { state } = cut;
    const { epoch, pack } = before.meta;
    if (state.epoch === "" || state.epoch !== epoch || pack !== this.#pack.digest) {
      this.#report({
        promise: 6,
        round: 0,
        what: `Redis is of load ${state.epoch || "none"}, MySQL of load ${epoch || "none"} and pack ${pack || "none"}; expected pack ${this.#pack.digest} in both`,
      });
      return nothing;
    }
    const rounds = this.#booksAt(before.burned, cut);
    const isSame = await inSnapshot(mysql, async () => {
      if ((await readMeta(mysql)).epoch !== epoch) return false;
      await this.#readMysql(rounds, cut);
      return true;
    });
    if (!isSame || (await store.state()).epoch !== epoch) {
      if (!last) return null;
      this.#report({
        promise: 6,
        round: 0,
        what: "the bucket was rebuilt in the middle of each of the audits",
      });
      return nothing;
    }
    await this.#judgeLater(rounds);
    if (this.#unlisted > 0)
      this.#report(
        { promise: 1, round: 0, what: `${this.#unlisted} further violations are not listed` },
        true,
      );
    return {
      bucket: this.#bucket.id,
      rounds: rounds.map((books) => books.figures()),
      moves: movesOf(this.#pack, this.#bucket.id, cut.moves),
      violations: this.#violations,
    };
  }

  #booksAt(burned: BurnedRecord, cut: BucketCut): RoundBooks[] {
    const bookOf = (round: PackRound): RoundBooks =>
      new RoundBooks(
        this.#pack,
        this.#bucket.id,
        round,
        cut.state.rounds.find((each) => each.round === round.id),
        cut.moves,
        burnedAtCut(burned, cut, round.id),
      );
    return this.#pack.manifest.rounds.map(bookOf);
  }

  async #readMysql(rounds: RoundBooks[], cut: BucketCut): Promise<void> {
    const { mysql, store } = this.#open;
    const report = (violation: Omit<Violation, "bucket">): void => this.#report(violation);
    const waiting = cut.journal.flatMap(({ packed }) => unpackEntry(packed));
    await this.#readClaims(rounds);
    for (const claim of waiting) this.#bookWaiting(rounds, claim);
    for (const books of rounds) {
      await this.#checkPrizes(books);
      this.#balance(books);
    }
    const { seq, acked } = cut.state;
    if (seq - acked !== waiting.length) {
      const what = `the journal holds ${waiting.length} claims, its counters say ${seq - acked}`;
      this.#report({ promise: 2, round: 0, what });
    }
    await this.#checkForeignPrizes(rounds);
    await moveFaults({ mysql, store, pack: this.#pack, noted: cut.moves, report });
    await moneyFaults({ mysql, topology: this.#topology, report });
    await this.#checkConflicts();
  }

  #report(violation: Omit<Violation, "bucket">, always = false): void {
    if (this.#violations.length < VIOLATIONS_MAX || always)
      this.#violations.push({ ...violation, bucket: this.#bucket.id });
    else this.#unlisted += 1;
  }

  /** Every claim in MySQL, in ID order: is it one of ours, worth what was generated, one per user and n, and is Redis of one mind? */
  async #readClaims(rounds: RoundBooks[]): Promise<void> {
    const { mysql, store } = this.#open;
    const byId = new Map(rounds.map((books) => [books.id, books]));
    const slots = bucketOfSlot(this.#topology);
    const own = this.#topology.buckets.indexOf(this.#bucket);
    for await (const page of claimPages(mysql)) {
      const booked: AuditClaim[] = [];
      for (const claim of page) {
        const books = byId.get(claim.round);
        const at = { round: claim.round, prize: String(claim.prizeId), user: claim.user };
        if (books === undefined || !this.#pack.holds(claim.prizeId)) {
          this.#report({ ...at, promise: 1, what: "a claim on an ID that was not generated" });
          continue;
        }
        const worth = this.#pack.amountOf(claim.prizeId);
        if (claim.amountMinor !== worth) {
          const what = `the claim is worth ${claim.amountMinor}, generated was ${worth}`;
          this.#report({ ...at, promise: 4, what });
        }
        if (claim.n < 1 || claim.n > books.perUser) {
          const what = `the claim is the user's number ${claim.n}, allowed are ${books.perUser}`;
          this.#report({ ...at, promise: 3, what });
        }
        if (slots[slotOf(claim.user)] !== own)
          this.#report({ ...at, promise: 3, what: "the claim is of a user of another bucket" });
        // After the cut, this is a win of the last moments; in a bucket at rest it would be an ID from nowhere.
        if (books.claim(claim.prizeId, claim.payout)) booked.push(claim);
      }
      for (const { claim, held } of await redisMemory(store, booked)) {
        const { round, prizeId, user, n } = claim;
        const what =
          held === null
            ? `Redis does not remember the claim as the user's number ${n}`
            : `Redis remembers prize ${held} as the user's number ${n}`;
        this.#report({ promise: 3, round, prize: String(prizeId), user, what });
      }
    }
  }

  /** An ID that was not issued at the cut must be issued by now; it may have come by a move since. */
  async #judgeLater(rounds: RoundBooks[]): Promise<void> {
    if (rounds.every((books) => books.later === null)) return;
    const burned = await inSnapshot(this.#open.mysql, () => readBurned(this.#open.mysql));
    const now = this.#booksAt(burned, await this.#open.store.cut());
    for (const [index, books] of rounds.entries()) {
      for (const prizeId of books.later ?? []) {
        const later = now[index]!;
        if (later.wasIssued(prizeId) || later.restoring.has(prizeId)) continue;
        this.#report({
          promise: 1,
          round: books.id,
          prize: String(prizeId),
          ...(await this.#userOf(prizeId)),
          what: later.owns(prizeId)
            ? "a claim on an ID that Redis never issued"
            : "a claim on an ID that was not generated for this bucket and round and did not come to it",
        });
      }
    }
  }

  async #userOf(prizeId: number): Promise<{ user?: string }> {
    if (this.#violations.length >= VIOLATIONS_MAX) return {};
    const [rows] = await this.#open.mysql.query<RowDataPacket[]>(
      "SELECT user_id FROM claims WHERE prize_id = ?",
      [prizeId],
    );
    return rows[0] === undefined ? {} : { user: rows[0]["user_id"] as string };
  }

  #bookWaiting(rounds: RoundBooks[], claim: JournalClaim): void {
    const books = rounds.find((candidate) => candidate.id === claim.round);
    const at = { promise: 1, round: claim.round, prize: String(claim.prizeId), user: claim.user };
    if (books === undefined || !books.owns(claim.prizeId)) {
      const what =
        "the journal holds a claim on an ID that was not generated for this bucket and round and did not come to it";
      return this.#report({ ...at, what });
    }
    if (!books.wasIssued(claim.prizeId))
      return this.#report({ ...at, what: "the journal holds a claim on an ID that Redis never issued" });
    if (!books.claimed.has(claim.prizeId)) books.waiting.add(claim.prizeId);
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

  /** Rows of the prizes table that were not generated for this bucket. */
  async #checkForeignPrizes(rounds: readonly RoundBooks[]): Promise<void> {
    const own = rounds
      .filter(({ generated }) => generated.count > 0)
      .map(({ generated: { lo, count } }) => `prize_id BETWEEN ${lo} AND ${lo + count - 1}`);
    const [rows] = await this.#open.mysql.query<RowDataPacket[]>(
      `SELECT prize_id, round_id, amount_minor FROM prizes WHERE NOT (${own.join(" OR ") || "1 = 0"}) ` +
        `ORDER BY prize_id LIMIT ${VIOLATIONS_MAX}`,
    );
    for (const row of rows) {
      this.#report({
        promise: 1,
        round: row["round_id"] as number,
        prize: String(row["prize_id"]),
        what: `MySQL holds a prize worth ${row["amount_minor"]} that was not generated for this bucket`,
      });
    }
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
      const what = `Redis counts ${books.state.issued} issued, its ranges say ${issued.count}`;
      this.#report({ promise: 6, round: books.id, what });
    }
    const remembered = books.state.claims - books.restoring.size;
    if (remembered !== issued.count) {
      const what = `Redis remembers ${remembered} claims of users, issued were ${issued.count}`;
      this.#report({ promise: 3, round: books.id, what });
    }
    if (claimed.count + waiting.count === issued.count) return;
    for (const prizeId of books.missing()) {
      const what = "issued, but its claim is neither in MySQL nor in the journal";
      this.#report({ promise: 2, round: books.id, prize: String(prizeId), what });
    }
  }

  async #checkConflicts(): Promise<void> {
    const [rows] = await this.#open.mysql.query<RowDataPacket[]>(
      // A late entry whose prize is still burned contradicts nobody: its user had won anew by then.
      "SELECT prize_id, round_id, user_id FROM claim_conflicts WHERE prize_id NOT IN " +
        `(SELECT prize_id FROM burned WHERE state = 'burned') ORDER BY conflict_id LIMIT ${VIOLATIONS_MAX}`,
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
