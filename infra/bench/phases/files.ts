/** Small helpers around the identity files. */
import { readFileSync, writeFileSync } from "node:fs";

/** Writes the first `count` lines of a file beside it and returns that path. */
export function firstLines(path: string, count: number): string {
  const lines = readFileSync(path, "utf8").split("\n", count);
  const part = `${path}.${count}`;
  writeFileSync(part, `${lines.join("\n")}\n`, { mode: 0o600 });
  return part;
}

/** The first line of a file. */
export function firstLine(path: string): string {
  return readFileSync(path, "utf8").split("\n", 1)[0]!;
}
