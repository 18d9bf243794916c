/** The user list: a CSV file `id,name,group` in UTF-8, checked strictly, a million users in some 50 MB. */
import { isUtf8 } from "node:buffer";
import { createReadStream, readFileSync } from "node:fs";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CsvError, parse } from "csv-parse";
import { BadInput, errorCode, Unreachable } from "./errors.ts";
import { isUserId } from "./slots.ts";
import { UserRecords } from "./user-records.ts";
import { shown } from "./yaml-file.ts";

export interface User {
  id: string;
  name: string;
  group: string;
}

/** The users of an event in the order of their file; names are checked and left behind. */
export interface UserList {
  path: string;
  /** Names of the groups; a user's group is an index into it. */
  groups: string[];
  records: UserRecords;
}

const HEADER = ["id", "name", "group"];
const RECORD_BYTES_MAX = 4096;
const NAME_LENGTH_MAX = 200;
const GROUPS_MAX = 10_000;
const CONTROL = /[\u0000-\u001f\u007f]/;

/**
 * Reads a user list, calling `onUser` for each user with the line it stands on. Memory does not grow with the file.
 * Throws BadInput (file, line, found, expected) for a wrong header, ID, number of columns, quote or encoding, and
 * for a list without users; Unreachable when the file is not there. Duplicates are found by `readUsers`.
 */
export async function scanUsers(path: string, onUser: (user: User, line: number) => void): Promise<void> {
  let hasHeader = false;
  let users = 0;
  let lineRead = 0;
  const parser = parse({
    bom: true,
    record_delimiter: ["\n", "\r\n"],
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: RECORD_BYTES_MAX,
    on_record: (record: string[], { lines }: { lines: number }) => {
      lineRead = lines;
      if (hasHeader) {
        onUser(checkRecord(record, `${path}:${lines}`), lines);
        users++;
      } else {
        checkHeader(record, `${path}:${lines}`);
        hasHeader = true;
      }
      return null;
    },
  });
  parser.resume();
  try {
    await pipeline(createReadStream(path, { highWaterMark: 256 * 1024 }), wholeLines(path), parser);
  } catch (error) {
    throw explain(path, error, lineRead + 1);
  }
  if (!hasHeader)
    throw new BadInput(`${path}: is empty, expected a first line id,name,group and users below it`);
  if (users === 0) throw new BadInput(`${path}: found a header and no users, expected at least one`);
}

/** Passes on whole lines only, so that a character is never cut in two, and refuses what is not UTF-8. */
function wholeLines(path: string): Transform {
  let rest: Buffer = Buffer.alloc(0);
  const check = (piece: Buffer): Error | null => (isUtf8(piece) ? null : badEncoding(path));
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const end = chunk.lastIndexOf(10) + 1;
      const piece = rest.length > 0 ? Buffer.concat([rest, chunk.subarray(0, end)]) : chunk.subarray(0, end);
      if (end === 0 && rest.length + chunk.length > 1024 * 1024) {
        done(new BadInput(`${path}: found a line of more than 1 MB, expected lines id,name,group`));
        return;
      }
      if (end === 0) {
        rest = Buffer.concat([rest, chunk]);
        done();
        return;
      }
      // A copy: the stream may use the chunk's memory again.
      rest = Buffer.from(chunk.subarray(end));
      done(check(piece), piece);
    },
    flush(done) {
      done(check(rest), rest);
    },
  });
}

function badEncoding(path: string): BadInput {
  const bytes = readFileSync(path);
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const next = bytes.indexOf(10, start);
    const end = next === -1 ? bytes.length : next;
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
  }
  return new BadInput(`${path}:${line}: found bytes that are not UTF-8, expected a CSV file in UTF-8`);
}

function checkHeader(record: string[], where: string): void {
  if (record.length === HEADER.length && record.every((name, column) => name === HEADER[column])) return;
  throw new BadInput(`${where}: found the header ${shown(record.join(","))}, expected id,name,group`);
}

function checkRecord(record: string[], where: string): User {
  if (record.length !== HEADER.length) {
    throw new BadInput(`${where}: found ${record.length} columns, expected 3: id,name,group`);
  }
  const [id, name, group] = record as [string, string, string];
  if (!isUserId(id)) {
    throw new BadInput(`${where}: id: found ${shown(id)}, expected 1 to 64 of A-Z a-z 0-9 . _ -`);
  }
  if (name.length > NAME_LENGTH_MAX || CONTROL.test(name)) {
    const expected = `at most ${NAME_LENGTH_MAX} characters on one line (is a closing quote missing?)`;
    throw new BadInput(`${where}: name: found ${shown(name)}, expected ${expected}`);
  }
  if (group.length > 64 || CONTROL.test(group)) {
    throw new BadInput(`${where}: group: found ${shown(group)}, expected at most 64 characters`);
  }
  return { id, name, group };
}

/** A quote that is not closed swallows lines: then the line to name is the one where the record began. */
const RUNAWAY = ["CSV_QUOTE_NOT_CLOSED", "CSV_MAX_RECORD_SIZE"];

function explain(path: string, error: unknown, recordLine: number): Error {
  if (error instanceof BadInput) return error;
  if (error instanceof CsvError) {
    if (RUNAWAY.includes(error.code)) {
      const expected = `a line id,name,group of at most ${RECORD_BYTES_MAX} bytes`;
      return new BadInput(`${path}:${recordLine}: found a quote that is not closed, expected ${expected}`);
    }
    const line = typeof error.lines === "number" ? error.lines : recordLine;
    return new BadInput(`${path}:${line}: found ${error.message}, expected a CSV line id,name,group`);
  }
  const code = errorCode(error);
  if (code === "ENOENT") return new Unreachable(`${path}: no such file; expected the user list`);
  if (code === "EISDIR" || code === "EACCES") return new Unreachable(`${path}: cannot be read (${code})`);
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * The whole user list in compact form. Throws what `scanUsers` throws, and BadInput for an ID that stands twice,
 * naming both lines.
 */
export async function readUsers(path: string): Promise<UserList> {
  const records = new UserRecords(16_384);
  const groupIndex = new Map<string, number>();
  let lines = new Uint32Array(16_384);
  await scanUsers(path, ({ id, group }, line) => {
    let index = groupIndex.get(group);
    if (index === undefined) {
      index = groupIndex.size;
      if (index >= GROUPS_MAX) {
        throw new BadInput(`${path}:${line}: group: found more than ${GROUPS_MAX} groups, expected fewer`);
      }
      groupIndex.set(group, index);
    }
    if (!records.add(id, index)) {
      const first = lines[records.indexOf(id)]!;
      throw new BadInput(
        `${path}:${line}: id: found "${id}" again (also line ${first}), expected each user once`,
      );
    }
    if (records.size > lines.length) lines = grown(lines);
    lines[records.size - 1] = line;
  });
  return { path, groups: [...groupIndex.keys()], records };
}

function grown(lines: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(lines.length * 2);
  larger.set(lines);
  return larger;
}
