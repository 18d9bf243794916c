/**
 * What commands say: reports on stdout, everything else (what they act on, progress, questions) on stderr.
 */
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { BadInput, errorCode } from "./errors.ts";

let pipeIsWatched = false;

/** A reader that went away (`hongbao log | head`) ends the command quietly; any other fault is a fault. */
function watchPipe(): void {
  if (pipeIsWatched) return;
  pipeIsWatched = true;
  process.stdout.on("error", (error) => {
    if (errorCode(error) === "EPIPE") process.exit(process.exitCode ?? 0);
    throw error;
  });
}

/** One line to stderr. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One line (or a text of several lines) to stdout. */
export function print(text: string): void {
  watchPipe();
  process.stdout.write(`${text}\n`);
}

/** One JSON document to stdout, as `--json` promises. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

export interface Progress {
  /** Says how much of the total is done. */
  update(done: number): void;
  /** Draws the last state and ends the line. */
  done(): void;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/** A progress bar on stderr; silent when stderr is not a terminal. `total` is in any unit, 0 is allowed. */
export function progress(label: string, total: number): Progress {
  if (!process.stderr.isTTY) return { update() {}, done() {} };
  let drawnAtMs = 0;
  const draw = (done: number): void => {
    const part = total > 0 ? Math.min(1, done / total) : 1;
    const bar = "#".repeat(Math.round(part * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
    process.stderr.write(`\r\x1b[K${label} [${bar}] ${Math.floor(part * 100)} %`);
  };
  return {
    update(done) {
      const nowMs = performance.now();
      if (nowMs - drawnAtMs < REDRAW_MS) return;
      drawnAtMs = nowMs;
      draw(done);
    },
    done() {
      draw(total);
      process.stderr.write("\n");
    },
  };
}

export interface Act {
  /** Lines that say what the command acts on: topology, event, buckets, rounds. */
  what: string[];
  /** For acts without return: the word (round or bucket ID) to type again, and whether `--yes` was given. */
  ask?: { word: string; yes: boolean };
}

/**
 * Says on stderr what a command is about to change; with `ask` waits for the word to be typed again.
 * Throws BadInput when there is nobody to ask and no `--yes`, or when another word was typed.
 */
export async function confirmAct({ what, ask }: Act): Promise<void> {
  for (const line of what) say(line);
  if (!ask || ask.yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new BadInput(
      `this cannot be undone and there is no terminal to ask on: give --yes to go on with ${ask.word}`,
    );
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await reader.question(`This cannot be undone. Type ${ask.word} to go on: `);
    if (answer.trim() !== ask.word) {
      throw new BadInput(`nothing was done: found "${answer.trim()}", expected "${ask.word}"`);
    }
  } finally {
    reader.close();
  }
}

/** Finds or creates a command such as `preprocess`, to which two folders add their subcommands. */
export function parentCommand(program: Command, name: string, description: string): Command {
  const found = program.commands.find((command) => command.name() === name);
  return found ?? program.command(name).description(description);
}

/** Columns of text, aligned; numbers (and what looks like them) go to the right. */
export function table(rows: string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, displayWidth(cell))));
  }
  const pad = (cell: string, column: number): string => {
    const blank = " ".repeat(widths[column]! - displayWidth(cell));
    return /^[-~\d][\d.,]*( ?[%A-Za-z]{1,3})?$/.test(cell) ? blank + cell : cell + blank;
  };
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

/** Chinese characters and emoji take two columns of a terminal. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  return width;
}
