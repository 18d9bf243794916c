/** A cluster's books: what its processes say on their admin ports, and what stands in MySQL. */
import mysql, { type Pool, type RowDataPacket } from "mysql2/promise";
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable } from "@hongbao/preprocess";

interface AdminState {
  journal: { waiting: number };
  rounds: { round: number; left: number; issued: number; state: string }[];
}

export interface BookPlaces {
  buckets: { id: string; adminPort: number; mysqlUrl: string }[];
  operatorSecret: string;
  event: string;
}

/** Sums over all buckets. */
export interface RoundBooks {
  left: number;
  issued: number;
  /** Claims that MySQL has. */
  claims: number;
  /** Claims of the whole event that wait for MySQL. */
  waiting: number;
  conflicts: number;
}

const ASK_MS_MAX = 5_000;
/** The admin port's figures may be so old; nothing younger than this after the load has ended is believed. */
const STALE_MS = 400;
const POLL_MS = 100;
const DRAIN_MS_MAX = 60_000;

export class Books {
  readonly #places: BookPlaces;
  readonly #pools: Pool[];

  constructor(places: BookPlaces) {
    this.#places = places;
    const database = `hongbao_${places.event.replaceAll("-", "_")}`;
    this.#pools = places.buckets.map(({ mysqlUrl }) =>
      mysql.createPool({ uri: `${mysqlUrl}/${database}`, connectionLimit: 1 }),
    );
  }

  async states(): Promise<AdminState[]> {
    const { buckets, operatorSecret } = this.#places;
    return Promise.all(
      buckets.map(async ({ adminPort }) => {
        const response = await fetch(`http://127.0.0.1:${adminPort}/admin/state`, {
          headers: { authorization: `Bearer ${operatorSecret}` },
          signal: AbortSignal.timeout(ASK_MS_MAX),
        });
        if (!response.ok) throw new Unreachable(`admin port ${adminPort}: status ${response.status}`);
        return (await response.json()) as AdminState;
      }),
    );
  }

  /** The money side of one bucket: claims, paid ones, and what the built-in ledger says. */
  async payouts(bucket: string): Promise<{
    claims: number;
    claimMinor: number;
    paid: number;
    creditMinor: number;
    companyMinor: number;
  }> {
    const pool = this.#pools[this.#places.buckets.findIndex(({ id }) => id === bucket)]!;
    const [rows] = await pool.query<RowDataPacket[]>(
      "SELECT (SELECT COUNT(*) FROM claims) AS claims, (SELECT COALESCE(SUM(amount_minor), 0) FROM claims) AS claimMinor, " +
        "(SELECT COUNT(*) FROM payouts WHERE state = 'paid') AS paid, " +
        "(SELECT COALESCE(SUM(amount_minor), 0) FROM ledger_entries WHERE side = 'credit') AS creditMinor, " +
        "(SELECT COALESCE(-SUM(balance_minor), 0) FROM ledger_accounts WHERE account = 'company') AS companyMinor",
    );
    const row = rows[0]!;
    const figure = (name: string): number => Number(row[name]);
    return {
      claims: figure("claims"),
      claimMinor: figure("claimMinor"),
      paid: figure("paid"),
      creditMinor: figure("creditMinor"),
      companyMinor: figure("companyMinor"),
    };
  }

  /** Claims that wait for MySQL, over all buckets. */
  async waiting(): Promise<number> {
    return (await this.states()).reduce((sum, { journal }) => sum + journal.waiting, 0);
  }

  /** After the load has ended: waits until the journals are empty, bounded, and adds up. */
  async settled(round: number): Promise<RoundBooks> {
    const end = performance.now() + DRAIN_MS_MAX;
    await sleep(STALE_MS);
    while ((await this.waiting()) > 0 && performance.now() < end) await sleep(POLL_MS);
    return this.read(round);
  }

  async read(round: number): Promise<RoundBooks> {
    const states = await this.states();
    const rounds = states.map((state) => state.rounds.find((each) => each.round === round));
    const sum = (numbers: (number | undefined)[]): number =>
      numbers.reduce<number>((total, number) => total + (number ?? Number.NaN), 0);
    return {
      left: sum(rounds.map((each) => each?.left)),
      issued: sum(rounds.map((each) => each?.issued)),
      waiting: sum(states.map(({ journal }) => journal.waiting)),
      claims: await this.#count("SELECT COUNT(*) AS found FROM claims WHERE round_id = ?", [round]),
      conflicts: await this.#count("SELECT COUNT(*) AS found FROM claim_conflicts", []),
    };
  }

  async #count(sql: string, values: number[]): Promise<number> {
    const counts = await Promise.all(
      this.#pools.map(async (pool) => {
        const [rows] = await pool.query<RowDataPacket[]>(sql, values);
        return Number(rows[0]!["found"]);
      }),
    );
    return counts.reduce((total, count) => total + count, 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()));
  }
}

/** What does not add up in a round of `generated` prizes, of which none were lent or burned. */
export function bookFaults(generated: number, books: RoundBooks): string[] {
  const faults: string[] = [];
  const taken = generated - books.left;
  if (taken !== books.issued) faults.push(`the counters went down by ${taken}, ${books.issued} were issued`);
  if (books.claims !== books.issued) {
    faults.push(
      `MySQL has ${books.claims} claims of ${books.issued} issued (${books.waiting} wait in the journal)`,
    );
  }
  if (books.conflicts !== 0) faults.push(`${books.conflicts} journal entries contradict MySQL`);
  return faults;
}
