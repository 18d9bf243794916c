/** The greetings that go with envelopes: a text file in UTF-8, one a line. */
import { readFileSync, statSync } from "node:fs";
import { BadInput, errorCode, Unreachable } from "./errors.ts";
import { shown } from "./yaml-file.ts";

/** A pack refers to a greeting by 16 bits. */
const GREETINGS_MAX = 65_535;
const LENGTH_MAX = 200;
const BYTES_MAX = 64 * 1024 * 1024;
const CONTROL = /[\u0000-\u001f\u007f]/;

/**
 * Reads the greetings; blank lines are left out. No path: no greetings, which is one empty text.
 * Throws BadInput (file, line, found, expected) and Unreachable when the file is not there.
 */
export function readGreetings(path: string | null): string[] {
  if (path === null) return [""];
  const greetings: string[] = [];
  readText(path)
    .split(/\r?\n/)
    .forEach((line, index) => {
      const greeting = line.trim();
      if (greeting === "") return;
      if (greeting.length > LENGTH_MAX || CONTROL.test(greeting)) {
        const expected = `at most ${LENGTH_MAX} characters without control characters`;
        throw new BadInput(`${path}:${index + 1}: found ${shown(greeting)}, expected ${expected}`);
      }
      greetings.push(greeting);
    });
  if (greetings.length === 0 || greetings.length > GREETINGS_MAX) {
    throw new BadInput(
      `${path}: found ${greetings.length} greetings, expected 1 to ${GREETINGS_MAX}, one a line`,
    );
  }
  return greetings;
}

function readText(path: string): string {
  try {
    if (statSync(path).size > BYTES_MAX)
      throw new BadInput(`${path}: is too large, expected greetings of at most 64 MB`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof BadInput) throw error;
    const code = errorCode(error);
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw new BadInput(`${path}: found bytes that are not UTF-8, expected greetings in UTF-8`);
    }
    throw new Unreachable(
      `${path}: ${code === "ENOENT" ? "no such file" : `cannot be read (${code})`}; expected greetings`,
    );
  }
}
