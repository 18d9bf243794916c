/** Writes and reads the files of an archive: digests on the way, memory of one page. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { BadInput } from "@hongbao/preprocess";
import type { ArchiveTable, Cell } from "@hongbao/bucket-service";
import { csvCells, csvLine, csvLines } from "./csv.ts";
import { PART_ROWS_MAX, partName, partsOf, type ArchiveFile, type ArchiveManifest } from "./format.ts";

type Digested = Pick<ArchiveFile, "bytes" | "sha256">;

/** Counts and digests what passes. */
function digesting(): { pass: (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>; end(): Digested } {
  const hash = createHash("sha256");
  let bytes = 0;
  return {
    async *pass(source) {
      for await (const piece of source) {
        hash.update(piece);
        bytes += piece.length;
        yield piece;
      }
    },
    end: () => ({ bytes, sha256: hash.digest("hex") }),
  };
}

/** A new file, durable when this returns. */
const newFile = (path: string) => createWriteStream(path, { flags: "wx", mode: 0o600, flush: true });

export async function writeText(dir: string, name: string, text: string): Promise<ArchiveFile> {
  const path = join(dir, name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const digest = digesting();
  await pipeline(Readable.from([Buffer.from(text)]), digest.pass, newFile(path));
  return { name, ...digest.end() };
}

/** A table as compressed CSV, each part with the names of the columns in its first line. Errors: those of `pages`. */
export async function writeTable(
  dir: string,
  bucket: string,
  table: ArchiveTable,
  pages: AsyncGenerator<Cell[][]>,
  rowsMax = PART_ROWS_MAX,
): Promise<ArchiveFile[]> {
  mkdirSync(join(dir, bucket), { recursive: true, mode: 0o700 });
  const files: ArchiveFile[] = [];
  let part = new Part(dir, bucket, table, 1);
  try {
    for await (const page of pages) {
      for (let from = 0; from < page.length;) {
        if (part.rows === rowsMax) {
          files.push(await part.end());
          part = new Part(dir, bucket, table, files.length + 1);
        }
        const some = page.slice(from, from + rowsMax - part.rows);
        await part.write(some);
        from += some.length;
      }
    }
    files.push(await part.end());
    return files;
  } catch (error) {
    part.abandon();
    throw error;
  }
}

class Part {
  rows = 0;
  readonly #place: Pick<ArchiveFile, "name" | "bucket" | "table">;
  readonly #zip = createGzip();
  readonly #digest = digesting();
  readonly #done: Promise<void>;

  constructor(dir: string, bucket: string, { name, columns }: ArchiveTable, part: number) {
    this.#place = { name: partName(bucket, name, part), bucket, table: name };
    this.#done = pipeline(this.#zip, this.#digest.pass, newFile(join(dir, this.#place.name)));
    // Met where it is awaited.
    this.#done.catch(() => undefined);
    this.#zip.write(csvLine(columns.map((column) => column.name)));
  }

  async write(rows: readonly Cell[][]): Promise<void> {
    this.rows += rows.length;
    if (this.#zip.write(rows.map(csvLine).join(""))) return;
    // A full disk ends the pipeline, and then nothing drains any more.
    await Promise.race([once(this.#zip, "drain"), this.#done]);
  }

  async end(): Promise<ArchiveFile> {
    this.#zip.end();
    await this.#done;
    return { ...this.#place, ...this.#digest.end(), rows: this.rows };
  }

  abandon(): void {
    this.#zip.destroy();
  }
}

/** Digest and size of a file that is there. Errors: those of the file system. */
export async function digestOf(path: string): Promise<Digested> {
  const digest = digesting();
  for await (const piece of digest.pass(createReadStream(path))) void piece;
  return digest.end();
}

type Twelve<T> = readonly [T, T, T, T, T, T, T, T, T, T, T, T];

/** The cells of a row, as many as its table has columns (at most these); NULL is an empty text. */
export type Row = Twelve<string>;

/**
 * The rows of a bucket's table, part after part. Memory: a piece of a file.
 * Throws BadInput for a file that is no such table, has another number of rows, or rows that are not in order.
 */
export async function* tableRows(
  dir: string,
  manifest: ArchiveManifest,
  bucket: string,
  table: ArchiveTable,
): AsyncGenerator<Row> {
  const names = table.columns.map(({ name }) => name);
  const keyAt = table.key.map((part) => names.indexOf(part));
  const isNumber = keyAt.map((at) => table.columns[at]!.type === "int");
  let before: string[] | null = null;
  for (const file of partsOf(manifest, bucket, table.name)) {
    const damaged = (found: string): BadInput => new BadInput(`${join(dir, file.name)}: ${found}`);
    let line = 0;
    try {
      for await (const lines of partLines(join(dir, file.name))) {
        for (const text of lines) {
          line += 1;
          if (line === 1) {
            if (text !== names.join(","))
              throw damaged(`found the columns ${text.slice(0, 100)}, expected ${names.join(",")}`);
            continue;
          }
          const row = csvCells(text).map((cell) => cell ?? "");
          if (row.length !== names.length)
            throw damaged(`line ${line}: found ${row.length} cells, expected ${names.length}`);
          if (before !== null && !isAfter(row, before, keyAt, isNumber))
            throw damaged(`line ${line}: the rows are not in the order of ${table.key.join(", ")}`);
          before = row;
          yield row as unknown as Row;
        }
      }
    } catch (error) {
      if (error instanceof BadInput) throw error;
      throw damaged(`cannot be read as compressed CSV: ${(error as Error).message}`);
    }
    if (line - 1 !== file.rows) throw damaged(`found ${line - 1} rows, expected ${file.rows}`);
  }
}

function partLines(path: string): AsyncGenerator<string[]> {
  const file = createReadStream(path);
  const text = file.pipe(createGunzip()).setEncoding("utf8");
  file.on("error", (error) => text.destroy(error));
  return csvLines(text as AsyncIterable<string>);
}

function isAfter(
  row: readonly string[],
  before: readonly string[],
  keyAt: readonly number[],
  isNumber: readonly boolean[],
): boolean {
  for (const [index, at] of keyAt.entries()) {
    const [mine, last] = [row[at]!, before[at]!];
    if (mine === last) continue;
    return isNumber[index] ? Number(mine) > Number(last) : mine > last;
  }
  return false;
}
