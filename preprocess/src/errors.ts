/**
 * The three ways in which a command can fail, and the one place that turns an error into an exit code.
 *
 *   exit 1  CheckFailed   the check that the command makes did not hold
 *   exit 2  BadInput      a file, line, field or option is wrong; the message says found and expected
 *   exit 3  Unreachable   something that the command needs is not there; the message says what and where
 */

/** An error that an operator can act on: its message is shown without a stack trace. */
export class HongbaoError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.exitCode = exitCode;
  }
}

/** The check a command makes failed: exit code 1. */
export class CheckFailed extends HongbaoError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 1, options);
  }
}

/** Wrong input: exit code 2. Name the file, line or field, what was found and what is expected. */
export class BadInput extends HongbaoError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 2, options);
  }
}

/** Something needed is not reachable: exit code 3. Name what and where. */
export class Unreachable extends HongbaoError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 3, options);
  }
}

/** Joins the lines of a text, so that "the last line is the error" holds whatever a library put in there. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim();
}

/**
 * Writes one line `hongbao: message` to stderr and returns the exit code.
 * An unknown error is a fault of ours: its stack is shown only with HONGBAO_DEBUG=1.
 */
export function reportFailure(error: unknown): number {
  const known = error instanceof HongbaoError;
  if (process.env.HONGBAO_DEBUG === "1" && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  const message = error instanceof Error ? error.message || errorCode(error) || error.name : String(error);
  process.stderr.write(`hongbao: ${oneLine(message)}\n`);
  return known ? error.exitCode : 1;
}

/** The `code` of a system error (ENOENT, EPIPE, …), or an empty text. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
