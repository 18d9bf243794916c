/** JSON lines on stdout, one form for all processes. */
import { pino } from "pino";
import type { Logger } from "pino";
import type { Registry } from "./registry.ts";

export type { Logger } from "pino";

export interface LoggerIdentity {
  /** service, persist, controller, balancer, … */
  role: string;
  id: string;
  bucket?: string;
}

export interface LoggerParts {
  /** Counts what is wrong enough to be looked at (`log_lines_total`). */
  registry?: Registry;
  /** For tests. */
  destination?: { write(line: string): void };
}

/** What must never be read in a log, wherever it stands in the logged object: secrets, and who a user is. */
const HIDDEN_FIELDS = ["authorization", "cookie", "token", "secret", "password", "user", "userId", "receipt"];
/** The same inside texts, as an error's message: tokens, and keys of rounds in addresses. */
const HIDDEN_WORDS: [RegExp, string][] = [
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, "[hidden]"],
  [/\b(Bearer|Basic) [^"\s\\]+/g, "$1 [hidden]"],
  [/([?&]k=)[^&"\s\\]+/g, "$1[hidden]"],
  [/(\w+:\/\/[^:@/"\s]*:)[^@/"\s]+@/g, "$1[hidden]@"],
];

/**
 * A logger for one process; the level comes from HONGBAO_LOG (default info; an unknown level means info).
 * Writes to stdout synchronously, so that the last words before an exit are not lost.
 *
 * What a line is about stands in fields of these names, so that one search finds it in all processes: `round`, `bucket`,
 * `request` (method and path), `prize`. Users stand in none: `hongbao why USER` is the way from a user to what happened.
 */
export function createLogger(identity: LoggerIdentity, parts: LoggerParts = {}): Logger {
  const wanted = process.env.HONGBAO_LOG ?? "info";
  const level = wanted === "silent" || wanted in pino.levels.values ? wanted : "info";
  const { role, id, bucket } = identity;
  const counted = lineCounters(parts.registry);
  return pino(
    {
      level,
      base: { role, id, ...(bucket === undefined ? {} : { bucket }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: HIDDEN_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]),
        censor: "[hidden]",
      },
      hooks: {
        logMethod(words, method, severity) {
          counted[severity]?.inc();
          method.apply(this, words);
        },
        streamWrite: (line) => HIDDEN_WORDS.reduce((text, [word, shown]) => text.replace(word, shown), line),
      },
    },
    parts.destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

function lineCounters(registry: Registry | undefined): Record<number, { inc(): void }> {
  if (registry === undefined) return {};
  const lines = registry.counter("log_lines_total");
  const { warn, error, fatal } = pino.levels.values;
  return {
    [warn!]: lines.with({ level: "warn" }),
    [error!]: lines.with({ level: "error" }),
    [fatal!]: lines.with({ level: "fatal" }),
  };
}
