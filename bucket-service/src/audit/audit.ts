import type { RowDataPacket } from "mysql2/promise";
import {
  openPack,
  readSecrets,
  type BucketPlace,
  type Pack,
  type PackRound,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { allClaims } from "../mysql/claims.ts";
import { unpackEntry, type JournalClaim } from "../persist/journal.ts";
import { packFigures, sameFigures, tableFigures } from "../provision/figures.ts";
import type { RoundState } from "../redis/scripts.ts";
import { withBucket, type OpenBucket } from "../stores.ts";
import { burnedVersion, readBurned, type BurnedBooks } from "./burned.ts";
import { IdSet } from "./id-set.ts";

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
/** A restoration or release in the middle of an audit makes it begin again, so many times. */
const ATTEMPTS_MAX = 20;

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
      untilUndisturbed(open, () => new Audit(pack, bucket, open).run()),
    );
  } finally {
    if (parts.pack === undefined) pack.close();
  }
}

/** What comes back from being burned changes both stores, one after the other: the books must not be read in between. */
async function untilUndisturbed(
  { mysql, store, record }: OpenBucket,
  audit: () => Promise<BucketAudit>,
): Promise<BucketAudit> {
  if (record.epoch === "") return audit();
  for (let attempt = 1; ; attempt += 1) {
    const before = await burnedVersion(mysql, store);
    const found = await audit();
    if (attempt >= ATTEMPTS_MAX || (await burnedVersion(mysql, store)) === before) return found;
  }
}

class Audit {
  readonly #pack: Pack;
  readonly #bucket: BucketPlace;
  readonly #open: OpenBucket;
  readonly #violations: Violation[] = [];
  #unlisted = 0;
  #burned = new Map<number, BurnedBooks>();

  constructor(pack: Pack, bucket: BucketPlace, open: OpenBucket) {
    this.#pack = pack;
    this.#bucket = bucket;
    this.#open = open;
  }

  async run(): Promise<BucketAudit> {
    const { store, record } = this.#open;
    const { state, journal } = await store.cut();
    if (state.epoch === "" || state.epoch !== record.epoch || record.pack !== this.#pack.digest) {
      this.#report({
        promise: 6,
        round: 0,
        what: `Redis is of load ${state.epoch || "none"}, MySQL of load ${record.epoch || "none"} and pack ${record.pack || "none"}; expected pack ${this.#pack.digest} in both`,
      });
      return { bucket: this.#bucket.id, rounds: [], violations: this.#violations };
    }
    this.#burned = await readBurned(this.#open.mysql, store);
    const rounds = this.#pack.manifest.rounds.map((round) =>
      this.#booksOf(
        round,
        state.rounds.find((r) => r.round === round.id),
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

  #booksOf(round: PackRound, state: RoundState | undefined): RoundBooks {
    return new RoundBooks(this.#pack, this.#bucket.id, round, state, this.#burned.get(round.id));
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
      if (books === undefined || !books.owns(claim.prizeId)) {
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
      if (books.restoring.has(claim.prizeId)) continue;
      if (!books.wasIssued(claim.prizeId)) {
        // After the cut, this is a win of the last moments; in a bucket at rest it would be an ID from nowhere.
        books.later.push(claim.prizeId);
        continue;
      }
      books.claimed.add(claim.prizeId);
    }
    await this.#judgeLater(rounds);
  }

  /** An ID that was not issued at the cut must be issued by now. */
  async #judgeLater(rounds: RoundBooks[]): Promise<void> {
    if (rounds.every((books) => books.later.length === 0)) return;
    const now = await this.#open.store.state();
    for (const books of rounds) {
      const later = this.#booksOf(
        books.round,
        now.rounds.find((r) => r.round === books.id),
      );
      for (const prizeId of books.later) {
        if (later.wasIssued(prizeId)) continue;
        this.#report({
          promise: 1,
          round: books.id,
          prize: String(prizeId),
          what: "a claim on an ID that Redis never issued",
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
      what: "the journal holds a claim on an ID that was not generated for this bucket and round",
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
    await search(books.lo, books.count);
  }

  #balance(books: RoundBooks): void {
    if (books.state === undefined) {
      return this.#report({ promise: 6, round: books.id, what: "the round is missing in Redis" });
    }
    const { issued, left, burned, generated, waiting, claimed } = books.figures();
    if (
      issued.count + left.count + burned.count !== generated.count ||
      issued.amount + left.amount + burned.amount !== generated.amount
    ) {
      this.#report({
        promise: 6,
        round: books.id,
        what: `issued ${text(issued)} + left ${text(left)} + burned ${text(burned)} is not generated ${text(generated)}`,
      });
    }
    if (books.state.issued !== issued.count) {
      this.#report({
        promise: 6,
        round: books.id,
        what: `Redis counts ${books.state.issued} issued, its ranges say ${issued.count}`,
      });
    }
    const remembered = books.state.claims - books.restoring.size;
    if (remembered !== issued.count) {
      this.#report({
        promise: 3,
        round: books.id,
        what: `Redis remembers ${remembered} claims of users, issued were ${issued.count}`,
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

function text({ count, amount }: Sum): string {
  return `${count} (${amount})`;
}

/** One round of one bucket: which IDs are its own, which were issued at the cut, where they were found. */
class RoundBooks {
  readonly round: PackRound;
  readonly state: RoundState | undefined;
  readonly lo: number;
  readonly count: number;
  readonly claimed: IdSet;
  readonly waiting: IdSet;
  readonly burned: ReadonlySet<number>;
  readonly restoring: ReadonlySet<number>;
  /** IDs of claims that were issued after the cut. */
  readonly later: number[] = [];
  readonly #pack: Pack;
  readonly #bucket: string;

  constructor(
    pack: Pack,
    bucket: string,
    round: PackRound,
    state: RoundState | undefined,
    burned: BurnedBooks | undefined,
  ) {
    this.burned = burned?.burned ?? new Set();
    this.restoring = burned?.restoring ?? new Set();
    const range = pack.manifest.ranges.find(
      (candidate) => candidate.round === round.id && candidate.bucket === bucket,
    );
    this.#pack = pack;
    this.#bucket = bucket;
    this.round = round;
    this.state = state;
    this.lo = range?.lo ?? 0;
    this.count = range?.count ?? 0;
    this.claimed = new IdSet(this.lo, this.count);
    this.waiting = new IdSet(this.lo, this.count);
  }

  get id(): number {
    return this.round.id;
  }
  get perUser(): number {
    return this.round.perUser;
  }

  owns(prizeId: number): boolean {
    return prizeId >= this.lo && prizeId < this.lo + this.count;
  }

  /** What is neither left nor burned was issued. */
  wasIssued(prizeId: number): boolean {
    if (this.state === undefined || !this.owns(prizeId) || this.burned.has(prizeId)) return false;
    const { lo, left, waitingRanges } = this.state;
    if (prizeId >= lo && prizeId < lo + left) return false;
    return !waitingRanges.some((range) => prizeId >= range.lo && prizeId < range.lo + range.count);
  }

  *missing(): Generator<number> {
    for (let id = this.lo; id < this.lo + this.count; id += 1) {
      if (this.wasIssued(id) && !this.claimed.has(id) && !this.waiting.has(id)) yield id;
    }
  }

  figures(): RoundAudit {
    const none = (): Sum => ({ count: 0, amount: 0 });
    const generated = none();
    const issued = none();
    const left = none();
    const burned = none();
    const waiting = none();
    const claimed = none();
    const add = (sum: Sum, amount: number): void => {
      sum.count += 1;
      sum.amount += amount;
    };
    for (let id = this.lo; id < this.lo + this.count; id += 1) {
      const amount = this.#pack.amountOf(id);
      add(generated, amount);
      if (this.wasIssued(id)) add(issued, amount);
      if (this.burned.has(id)) add(burned, amount);
      if (this.claimed.has(id)) add(claimed, amount);
      if (this.waiting.has(id)) add(waiting, amount);
    }
    const counted =
      this.state === undefined
        ? []
        : [{ lo: this.state.lo, count: this.state.left }, ...this.state.waitingRanges];
    for (const range of counted) {
      for (let id = range.lo; id < range.lo + range.count; id += 1)
        add(left, this.#pack.holds(id) ? this.#pack.amountOf(id) : 0);
    }
    return {
      bucket: this.#bucket,
      round: this.id,
      generated,
      borrowed: none(),
      rolledIn: none(),
      issued,
      left,
      burned,
      lentOut: none(),
      rolledOut: none(),
      waiting,
      claimed,
      paid: none(),
      pending: { ...claimed },
      dead: none(),
    };
  }
}
