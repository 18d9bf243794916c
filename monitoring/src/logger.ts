/** JSON lines on stdout, one form for all processes. */
import { pino } from "pino";
import type { Logger } from "pino";

export type { Logger } from "pino";

export interface LoggerIdentity {
  /** service, persist, controller, balancer, … */
  role: string;
  id: string;
  bucket?: string;
}

/** What must never be read in a log, wherever it stands in the logged object. */
const SECRET_FIELDS = ["authorization", "cookie", "token", "secret", "password"];

/**
 * A logger for one process; the level comes from HONGBAO_LOG (default info; an unknown level means info).
 * Writes to stdout synchronously, so that the last words before an exit are not lost; `destination` is for tests.
 */
export function createLogger(identity: LoggerIdentity, destination?: { write(line: string): void }): Logger {
  const wanted = process.env.HONGBAO_LOG ?? "info";
  const level = wanted === "silent" || wanted in pino.levels.values ? wanted : "info";
  const { role, id, bucket } = identity;
  return pino(
    {
      level,
      base: { role, id, ...(bucket === undefined ? {} : { bucket }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: "[hidden]",
      },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}
