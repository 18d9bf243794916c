/**
 * The books of one bucket out of the files of an archive: the audit again, without the cluster. All tables are in the order of
 * prize IDs, so that one walk over the claims meets each prize's payout, ledger entries and order.
 */
import { bucketOfSlot, slotOf, type PackManifest, type PackRound } from "@hongbao/preprocess";
import { ARCHIVE_TABLES, type BucketAudit, type RoundAudit, type Sum } from "@hongbao/bucket-service";
import { tableRows, type Row } from "./files.ts";
import type { Findings } from "./findings.ts";
import type { ArchiveManifest } from "./format.ts";
import { OwnedPrizes, readBurned, readMoves } from "./moves.ts";
import type { Prizes } from "./prizes.ts";

const table = (name: string) => ARCHIVE_TABLES.find((each) => each.name === name)!;
const COMPANY = "company";
const STATES = ["pending", "paid", "dead", "held"] as const;
type State = (typeof STATES)[number];

/** One claim, as its row says. */
interface Claim {
  id: number;
  round: number;
  user: string;
  n: number;
  minor: number;
}

interface RoundBooks {
  round: PackRound;
  owned: OwnedPrizes;
  payouts: Record<State, Sum>;
  /** `user n` of every claim: nobody has one twice. */
  seen: Set<string>;
}

interface BookParts {
  dir: string;
  manifest: ArchiveManifest;
  pack: PackManifest;
  prizes: Prizes;
  findings: Findings;
}

/** Memory: the users of one bucket and a bit a prize. Throws BadInput for a damaged file. */
export async function bucketBooks(parts: BookParts, bucket: string): Promise<BucketAudit> {
  const { dir, manifest, pack, prizes, findings } = parts;
  const moves = await readMoves(dir, manifest, bucket, prizes, findings);
  const burned = await readBurned(dir, manifest, bucket);
  const rounds = new Map(
    pack.rounds.map((round): [number, RoundBooks] => [
      round.id,
      {
        round,
        owned: new OwnedPrizes({
          pack,
          bucket,
          round,
          moves,
          burned: burned.get(round.id) ?? [],
          prizes,
          findings,
        }),
        payouts: { pending: none(), paid: none(), dead: none(), held: none() },
        seen: new Set(),
      },
    ]),
  );
  await new Walk(parts, bucket, rounds).run();
  await checkConflicts(parts, bucket, burned);
  return {
    bucket,
    rounds: [...rounds.values()].map((books) => figuresOf(bucket, books)),
    moves,
    violations: [],
  };
}

function figuresOf(bucket: string, { round, owned, payouts }: RoundBooks): RoundAudit {
  const figures = owned.figures();
  const { paid, dead, held, pending } = payouts;
  return {
    bucket,
    round: round.id,
    ...figures,
    issued: { ...figures.claimed },
    waiting: none(),
    paid,
    dead,
    held,
    pending: { count: pending.count + held.count, amount: pending.amount + held.amount },
  };
}

class Walk {
  readonly #parts: BookParts;
  readonly #bucket: string;
  readonly #rounds: ReadonlyMap<number, RoundBooks>;
  readonly #slots: Int16Array;
  readonly #own: number;
  readonly #payouts: Cursor;
  readonly #entries: Cursor;
  readonly #orders: Cursor;
  /** What the ledger's entries add up to, by account. */
  readonly #balances = new Map<string, number>();

  constructor(parts: BookParts, bucket: string, rounds: ReadonlyMap<number, RoundBooks>) {
    this.#parts = parts;
    this.#bucket = bucket;
    this.#rounds = rounds;
    this.#slots = bucketOfSlot(parts.pack);
    this.#own = parts.pack.buckets.findIndex(({ id }) => id === bucket);
    this.#payouts = new Cursor(this.#rows("payouts"));
    this.#entries = new Cursor(this.#rows("ledger_entries"));
    this.#orders = new Cursor(this.#rows("orders"));
  }

  async run(): Promise<void> {
    for await (const [id, round, user, n, minor] of this.#rows("claims")) {
      const claim = {
        id: Number(id),
        round: Number(round),
        user,
        n: Number(n),
        minor: Number(minor),
      };
      await this.#orphansBefore(claim.id);
      const books = this.#judge(claim);
      const state = this.#payout(claim, await this.#payouts.take(claim.id));
      const entries = await this.#entries.take(claim.id);
      const orders = await this.#orders.take(claim.id);
      const kind = books?.round.kind;
      this.#ledger(claim, state, kind, entries);
      this.#order(claim, state, kind, orders);
      if (books === undefined) continue;
      books.payouts[state].count += 1;
      books.payouts[state].amount += claim.minor;
    }
    await this.#orphansBefore(Infinity);
    await this.#checkBalances();
  }

  #rows(name: string): AsyncGenerator<Row> {
    return tableRows(this.#parts.dir, this.#parts.manifest, this.#bucket, table(name));
  }

  #find(id: number | string, what: string): void {
    this.#parts.findings.add(`bucket ${this.#bucket}, prize ${id}: ${what}`);
  }

  /** Is it a prize that this bucket might give in this round, of that worth, and the user's only one of that number? */
  #judge({ id, round, user, n, minor }: Claim): RoundBooks | undefined {
    const { prizes } = this.#parts;
    const books = this.#rounds.get(round);
    if (books === undefined || !prizes.holds(id)) {
      this.#find(id, `a claim (round ${round}, user ${user}) on an ID that was not generated`);
      return undefined;
    }
    const worth = prizes.amountOf(id);
    if (minor !== worth)
      this.#find(id, `the claim of user ${user} is worth ${minor}, generated was ${worth}`);
    if (books.owned.covers(id)) books.owned.claimed.add(id);
    else this.#find(id, `user ${user} won it in round ${round}, where this bucket did not have it to give`);
    const { perUser } = books.round;
    if (n < 1 || n > perUser)
      this.#find(id, `the claim is number ${n} of user ${user}, allowed are ${perUser}`);
    if (this.#slots[slotOf(user)] !== this.#own) this.#find(id, `user ${user} belongs to another bucket`);
    const name = `${user} ${n}`;
    if (books.seen.has(name))
      this.#find(id, `user ${user} has another prize as number ${n} of round ${round}`);
    books.seen.add(name);
    return books;
  }

  #payout(claim: Claim, rows: readonly Row[]): State {
    const row = rows[0];
    if (row === undefined) return "pending";
    const [, round, state, , minor] = row;
    if (!STATES.includes(state as State)) {
      this.#find(claim.id, `found the payout state ${state}, expected one of ${STATES.join(", ")}`);
      return "pending";
    }
    if (state !== "dead" && (Number(minor) !== claim.minor || Number(round) !== claim.round)) {
      const what = `the payout is of ${minor} in round ${round}, the claim of ${claim.minor} in round ${claim.round}`;
      this.#find(claim.id, what);
    }
    return state as State;
  }

  #ledger(claim: Claim, state: State, kind: PackRound["kind"] | undefined, rows: readonly Row[]): void {
    for (const row of rows) this.#book(row);
    const isExpected =
      state === "paid" && kind === "envelope" && this.#parts.manifest.paidBy.envelope === "ledger";
    const found = rows.map(([, side, account, minor]) => `${side} ${account} ${minor}`).join(", ");
    if (found === "" && !isExpected) return;
    const expected = `credit user:${claim.user} ${claim.minor}, debit ${COMPANY} ${-claim.minor}`;
    if (found !== expected)
      this.#find(claim.id, `the ledger has ${found || "nothing"}, expected ${expected}`);
    else if (state !== "paid") this.#find(claim.id, `the ledger has credited it, its payout is ${state}`);
  }

  #book([, , account, minor]: Row): void {
    this.#balances.set(account, (this.#balances.get(account) ?? 0) + Number(minor));
  }

  #order(claim: Claim, state: State, kind: PackRound["kind"] | undefined, rows: readonly Row[]): void {
    const isExpected = state === "paid" && kind === "item" && this.#parts.manifest.paidBy.item === "orders";
    if (rows.length === 0) {
      if (isExpected) this.#find(claim.id, "the payout says paid, but there is no order");
      return;
    }
    const [, round, user] = rows[0]!;
    if (Number(round) !== claim.round || user !== claim.user)
      this.#find(claim.id, `the order is of user ${user}, round ${round}; the claim is not`);
  }

  /** What stands before that ID and was not taken with a claim. */
  async #orphansBefore(id: number): Promise<void> {
    for await (const [prize, , state] of this.#payouts.skip(id))
      this.#find(prize, `the payout (${state}) has no claim`);
    for await (const row of this.#entries.skip(id)) {
      this.#book(row);
      this.#find(row[0], `the ledger has a ${row[1]} of ${row[3]} to ${row[2]} without a claim`);
    }
    for await (const [prize, , user] of this.#orders.skip(id))
      this.#find(prize, `the order of user ${user} has no claim`);
  }

  async #checkBalances(): Promise<void> {
    let [sum, company, credits] = [0, 0, 0];
    for (const [account, minor] of this.#balances) if (account !== COMPANY) credits += minor;
    for await (const [account, text] of this.#rows("ledger_accounts")) {
      const minor = Number(text);
      sum += minor;
      if (account === COMPANY) company = minor;
      const entries = this.#balances.get(account) ?? 0;
      this.#balances.delete(account);
      if (entries === minor) continue;
      this.#parts.findings.add(
        `bucket ${this.#bucket}: the balance of ${account} is ${minor}, its entries add up to ${entries}`,
      );
    }
    for (const [account, minor] of this.#balances) {
      if (minor !== 0)
        this.#parts.findings.add(
          `bucket ${this.#bucket}: entries of ${minor} to ${account}, which has no balance`,
        );
    }
    if (sum === 0 && company === -credits) return;
    this.#parts.findings.add(
      `bucket ${this.#bucket}: the ledger is not balanced: balances add up to ${sum}, ${credits} was credited, the company's account is ${company}`,
    );
  }
}

/** Rows in the order of prize IDs, taken as far as somebody has come. */
class Cursor {
  readonly #rows: AsyncGenerator<Row>;
  #head: Row | null | undefined;

  constructor(rows: AsyncGenerator<Row>) {
    this.#rows = rows;
  }

  /** The rows of this prize. */
  async take(id: number): Promise<Row[]> {
    const found: Row[] = [];
    for (let head = await this.#peek(); head !== null && Number(head[0]) === id; head = await this.#peek()) {
      found.push(head);
      this.#head = undefined;
    }
    return found;
  }

  /** The rows of prizes before this one. */
  async *skip(id: number): AsyncGenerator<Row> {
    for (let head = await this.#peek(); head !== null && Number(head[0]) < id; head = await this.#peek()) {
      this.#head = undefined;
      yield head;
    }
  }

  async #peek(): Promise<Row | null> {
    if (this.#head !== undefined) return this.#head;
    const next = await this.#rows.next();
    return (this.#head = next.done === true ? null : next.value);
  }
}

/** A late entry whose prize is still burned contradicts nobody: its user had won anew by then. */
async function checkConflicts(
  { dir, manifest, findings }: BookParts,
  bucket: string,
  burned: ReadonlyMap<number, readonly { lo: number }[]>,
): Promise<void> {
  const ids = new Set([...burned.values()].flat().map(({ lo }) => lo));
  for await (const [, prize, round, user] of tableRows(dir, manifest, bucket, table("claim_conflicts"))) {
    if (ids.has(Number(prize))) continue;
    findings.add(
      `bucket ${bucket}, prize ${prize}: an entry (round ${round}, user ${user}) contradicted a claim`,
    );
  }
}

function none(): Sum {
  return { count: 0, amount: 0 };
}
