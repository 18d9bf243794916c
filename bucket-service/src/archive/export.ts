/** One bucket for the archive: what keeps it from being archived, and its tables as rows of text cells. */
import type { Connection, RowDataPacket } from "mysql2/promise";
import type { BucketPlace, Pack, Secrets } from "@hongbao/preprocess";
import { inSnapshot } from "../mysql/snapshot.ts";
import { phaseOf } from "../redis/scripts.ts";
import { withBucket } from "../stores.ts";
import { ARCHIVE_TABLES, type ArchiveTable } from "./tables.ts";

interface Parts {
  pack: Pack;
  bucket: BucketPlace;
  secrets: Pick<Secrets, "redis" | "mysql">;
}

/** How far a bucket has come to rest, by its own Redis. */
export interface BucketRest {
  /** Rounds in which it gives prizes at this moment. */
  open: number[];
  /** Claims that are on their way to MySQL. */
  waiting: number;
}

/** Errors: Unreachable. */
export async function bucketRest(parts: Parts): Promise<BucketRest> {
  return withBucket({ ...parts, name: "archive" }, async ({ store }) => {
    const { rounds, timeMs, seq, acked } = await store.state();
    const open = rounds.filter((round) => phaseOf(round, timeMs) === "open").map(({ round }) => round);
    return { open, waiting: Math.max(0, seq - acked) };
  });
}

/** A cell as the archive has it; null is NULL. */
export type Cell = string | number | null;

/** Takes a table's rows, page by page, in the order of its key; the next page is read when this one is done with. */
export type TakeRows = (table: ArchiveTable, pages: AsyncGenerator<Cell[][]>) => Promise<void>;

/**
 * All tables of a bucket's MySQL as they were at one moment. Memory: a page. Answers the server's version.
 * Errors: Unreachable; those of MySQL and of `take`.
 */
export async function exportBucket(parts: Parts, take: TakeRows): Promise<{ mysql: string }> {
  return withBucket({ ...parts, name: "archive" }, async ({ mysql }) => {
    const [versions] = await mysql.query<RowDataPacket[]>("SELECT VERSION() AS version");
    await inSnapshot(mysql, async () => {
      for (const table of ARCHIVE_TABLES) await take(table, tablePages(mysql, table));
    });
    return { mysql: String(versions[0]!["version"]) };
  });
}

const PAGE_ROWS_MAX = 20_000;

async function* tablePages(mysql: Connection, table: ArchiveTable): AsyncGenerator<Cell[][]> {
  const { name, columns, key } = table;
  const names = columns.map((column) => column.name);
  const keyAt = key.map((part) => names.indexOf(part));
  const select = `SELECT ${names.join(", ")} FROM ${name}`;
  const order = `ORDER BY ${key.join(", ")} LIMIT ${PAGE_ROWS_MAX}`;
  let where = "";
  for (;;) {
    const [rows] = await mysql.query<RowDataPacket[]>({
      sql: `${select} ${where} ${order}`,
      rowsAsArray: true,
    });
    const page = rows as unknown as (Cell | Date)[][];
    if (page.length > 0) yield page.map((row) => row.map(cellOf));
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS_MAX) return;
    const values = keyAt.map((at) => mysql.escape(last[at]));
    where = `WHERE ${key[0]} >= ${values[0]} AND ${afterKey(key, values)}`;
  }
}

function cellOf(value: Cell | Date): Cell {
  return value instanceof Date ? value.toISOString() : value;
}

/** Rows after that key. Servers find their way by the first column alone; `(a, b) > (x, y)` would make them read the table. */
function afterKey([first, ...more]: readonly string[], [value, ...values]: readonly string[]): string {
  const beyond = `${first} > ${value}`;
  return more.length === 0 ? beyond : `(${beyond} OR (${first} = ${value} AND ${afterKey(more, values)}))`;
}
