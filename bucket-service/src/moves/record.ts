/**
 * Moves in MySQL: one transaction a step, under the lock of the epoch row (so they come one after the other, and none falls into
 * a rebuild), and safe to repeat by the move's ID.
 */
import type { Connection, Pool, PoolConnection, RowDataPacket } from "mysql2/promise";
import { lockEpoch } from "../mysql/bucket-record.ts";
import { mysqlPolicy } from "../mysql/connect.ts";
import { inTransaction } from "../mysql/transaction.ts";
import type { Direction, MoveKind, MoveNote } from "./note.ts";
import type { Run } from "./runs.ts";

/** The bucket was loaded or rebuilt since the caller looked; what was planned on the old epoch is void. */
export class EpochChanged extends Error {
  constructor(found: string, expected: string) {
    super(`this bucket is of epoch ${found || "none"}, the move was planned in epoch ${expected}`);
  }
}

/** What a move does to one bucket and round, priced. */
export interface PricedNote extends MoveNote {
  /** Minor units, one for each run. */
  amountsMinor: number[];
}

/** How the origin of ranges that came by a move is named in `ranges`. */
const ORIGINS: Record<MoveKind, string> = { lend: "lent", roll: "rolled", release: "released" };

type Queryable = Pool | PoolConnection | Connection;

/** What stands in the ledger of a move, or null. Errors: those of MySQL. */
export async function recordedMove(
  on: Queryable,
  id: string,
  direction: Direction,
): Promise<MoveNote | null> {
  const [rows] = await on.query<RowDataPacket[]>({
    sql:
      "SELECT move_id, direction, kind, round_id, peer_bucket, peer_round_id, lo, id_count FROM range_moves " +
      "WHERE move_id = ? AND direction = ? ORDER BY part",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [id, direction],
  });
  return notesOf(rows)[0] ?? null;
}

/** Every move of the ledger, oldest rows of a move first. Errors: those of MySQL. */
export async function recordedMoves(on: Queryable): Promise<(MoveNote & { amountMinor: number })[]> {
  const [rows] = await on.query<RowDataPacket[]>({
    sql:
      "SELECT move_id, direction, kind, round_id, peer_bucket, peer_round_id, lo, id_count, amount_minor FROM range_moves " +
      "ORDER BY move_id, direction, part",
  });
  const worth = new Map<string, number>();
  const key = (id: string, direction: string): string => `${id}/${direction}`;
  for (const row of rows) {
    const at = key(row["move_id"] as string, row["direction"] as string);
    worth.set(at, (worth.get(at) ?? 0) + Number(row["amount_minor"]));
  }
  return notesOf(rows).map((note) => ({ ...note, amountMinor: worth.get(key(note.id, note.direction))! }));
}

/** The moves by which prizes left this bucket and round. */
export async function recordedOutIds(pool: Pool): Promise<string[]> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql: "SELECT DISTINCT move_id FROM range_moves WHERE direction = 'out'",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  return rows.map((row) => row["move_id"] as string);
}

function notesOf(rows: RowDataPacket[]): MoveNote[] {
  const notes: MoveNote[] = [];
  for (const row of rows) {
    const id = row["move_id"] as string;
    const direction = row["direction"] as Direction;
    const run = { lo: Number(row["lo"]), count: Number(row["id_count"]) };
    const last = notes.at(-1);
    if (last?.id === id && last.direction === direction) last.runs.push(run);
    else {
      notes.push({
        id,
        direction,
        kind: row["kind"] as MoveKind,
        round: row["round_id"] as number,
        peerBucket: row["peer_bucket"] as string,
        peerRound: row["peer_round_id"] as number,
        runs: [run],
      });
    }
  }
  return notes;
}

/**
 * Writes that IDs left, and cuts them out of `ranges`; for a rollover also, in the same transaction, that they came to the
 * later round.
 * @returns what the ledger holds: what was recorded before, if anything was.
 * Errors: EpochChanged; a plain Error when the IDs are not among the bucket's ranges; those of MySQL.
 */
export async function recordOut(
  pool: Pool,
  epoch: string,
  out: PricedNote,
  alsoIn: PricedNote | null,
): Promise<MoveNote> {
  return inTransaction(pool, async (connection) => {
    const found = await lockEpoch(connection, "update");
    const recorded = await recordedMove(connection, out.id, "out");
    if (recorded !== null) return recorded;
    if (found !== epoch) throw new EpochChanged(found, epoch);
    for (const each of out.runs) await cut(connection, out.round, each);
    await addRows(connection, out);
    if (alsoIn !== null) await addIn(connection, alsoIn);
    return out;
  });
}

/** Writes that IDs came, as new ranges behind the round's others. @returns the epoch that they belong to now. */
export async function recordIn(pool: Pool, note: PricedNote): Promise<string> {
  return inTransaction(pool, async (connection) => {
    const epoch = await lockEpoch(connection, "update");
    if ((await recordedMove(connection, note.id, "in")) === null) await addIn(connection, note);
    return epoch;
  });
}

/**
 * Moves that came to a round and whose ranges stand as they came, in the order in which Redis must have them: the order of
 * issue is what a rebuild reckons by. Those that entered long ago are among them; enter.lua knows.
 */
export async function recordedIns(on: Queryable, round: number): Promise<MoveNote[]> {
  const [rows] = await on.query<RowDataPacket[]>({
    sql:
      "SELECT m.move_id, m.direction, m.kind, m.round_id, m.peer_bucket, m.peer_round_id, m.lo, m.id_count " +
      "FROM range_moves m JOIN ranges r ON r.round_id = m.round_id AND r.lo = m.lo " +
      "WHERE m.round_id = ? AND m.direction = 'in' ORDER BY r.ordinal",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [round],
  });
  return notesOf(rows);
}

/** What came to this bucket from others less what went to others, in minor units. */
export async function borrowedWorth(pool: Pool): Promise<number> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql:
      "SELECT COALESCE(SUM(CASE direction WHEN 'in' THEN CAST(amount_minor AS SIGNED) ELSE -CAST(amount_minor AS SIGNED) END), 0) AS worth " +
      "FROM range_moves WHERE kind = 'lend'",
    timeout: mysqlPolicy.queryTimeoutMs,
  });
  return Number(rows[0]!["worth"]);
}

/** What the prizes table holds of a run: fewer rows than IDs when some were generated elsewhere. */
export async function prizesOf(
  pool: Pool,
  { lo, count }: Run,
): Promise<{ count: number; amountMinor: number }> {
  const [rows] = await pool.query<RowDataPacket[]>({
    sql: "SELECT COUNT(*) AS n, COALESCE(SUM(amount_minor), 0) AS amount FROM prizes WHERE prize_id >= ? AND prize_id < ?",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [lo, lo + count],
  });
  return { count: Number(rows[0]!["n"]), amountMinor: Number(rows[0]!["amount"]) };
}

async function run(
  connection: Connection | PoolConnection,
  sql: string,
  values: unknown[] = [],
): Promise<void> {
  await connection.query({ sql, timeout: mysqlPolicy.queryTimeoutMs, values });
}

/**
 * Takes a run out of the range that holds it. Moves that left Redis one after the other may be recorded in another order,
 * so it may lie in the middle; what is below it is on its way out as well, and its place among the others no longer counts.
 */
async function cut(connection: PoolConnection, round: number, { lo, count }: Run): Promise<void> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: "SELECT ordinal, lo, id_count, origin FROM ranges WHERE round_id = ? AND lo <= ? ORDER BY lo DESC LIMIT 1",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [round, lo],
  });
  const row = rows[0];
  const from = Number(row?.["lo"]);
  const to = from + Number(row?.["id_count"]);
  if (row === undefined || lo + count > to) {
    throw new Error(
      `round ${round}: prizes ${lo} to ${lo + count - 1} are to leave, but stand in no range of this bucket`,
    );
  }
  const at = [round, row["ordinal"] as number];
  const below = lo - from;
  const above = to - (lo + count);
  if (below === 0 && above === 0) {
    return run(connection, "DELETE FROM ranges WHERE round_id = ? AND ordinal = ?", at);
  }
  const keep = above > 0 ? { lo: lo + count, count: above } : { lo: from, count: below };
  await run(connection, "UPDATE ranges SET lo = ?, id_count = ? WHERE round_id = ? AND ordinal = ?", [
    keep.lo,
    keep.count,
    ...at,
  ]);
  if (above > 0 && below > 0)
    await addRange(connection, round, { lo: from, count: below }, row["origin"] as string);
}

async function addRange(
  connection: Connection | PoolConnection,
  round: number,
  { lo, count }: Run,
  origin: string,
): Promise<void> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: "SELECT COALESCE(MAX(ordinal), 0) + 1 AS next FROM ranges WHERE round_id = ?",
    timeout: mysqlPolicy.queryTimeoutMs,
    values: [round],
  });
  await run(
    connection,
    "INSERT INTO ranges (round_id, ordinal, lo, id_count, origin) VALUES (?, ?, ?, ?, ?)",
    [round, Number(rows[0]!["next"]), lo, count, origin],
  );
}

/** Writes that IDs came, behind the round's others. The caller holds the epoch's lock. */
export async function addIn(connection: Connection | PoolConnection, note: PricedNote): Promise<void> {
  await addRows(connection, note);
  for (const each of note.runs) await addRange(connection, note.round, each, ORIGINS[note.kind]);
}

async function addRows(connection: Connection | PoolConnection, note: PricedNote): Promise<void> {
  const at = new Date().toISOString().slice(0, 23).replace("T", " ");
  for (const [part, { lo, count }] of note.runs.entries()) {
    await run(
      connection,
      "INSERT INTO range_moves (move_id, direction, part, kind, round_id, peer_bucket, peer_round_id, lo, id_count, amount_minor, moved_at) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      [
        note.id,
        note.direction,
        part,
        note.kind,
        note.round,
        note.peerBucket,
        note.peerRound,
        lo,
        count,
        note.amountsMinor[part],
        at,
      ],
    );
  }
}
