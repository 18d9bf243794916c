/** Reads the secrets that a topology only points to. Their values never go into a message. */
import { readFileSync } from "node:fs";
import { BadInput, errorCode, Unreachable } from "./errors.ts";
import type { SecretName, SecretSource, Topology } from "./topology.ts";
import { SECRET_NAMES, type PAYOUT_TARGETS } from "./topology.ts";

/** token, receipt and spop: the current key, then (while keys are being changed) the previous one. */
export interface Secrets {
  token: string[];
  receipt: string[];
  operator: string;
  spop: string[];
  redis: string;
  mysql: string;
}

const MAY_HAVE_PREVIOUS: readonly SecretName[] = ["token", "receipt", "spop"];
const SECRET = /^[\x21-\x7e]{16,512}$/;

/**
 * The secrets named (default: all six), read now. One line is the current one, a second line the previous one.
 * Throws Unreachable (not there: names where) and BadInput (too short, blanks inside, too many lines, the same twice).
 */
export function readSecrets<N extends SecretName = SecretName>(
  topology: Pick<Topology, "secrets">,
  names: readonly N[] = SECRET_NAMES as readonly SecretName[] as readonly N[],
): Pick<Secrets, N> {
  const secrets: Partial<Record<SecretName, string | string[]>> = {};
  const seenAt = new Map<string, SecretName>();
  for (const name of names) {
    const lines = readLines(
      `secrets.${name}`,
      topology.secrets[name],
      MAY_HAVE_PREVIOUS.includes(name) ? 2 : 1,
    );
    for (const line of lines) {
      const other = seenAt.get(line);
      if (other && other !== name) {
        throw new BadInput(
          `secrets.${name}: found the same value as secrets.${other}, expected different ones`,
        );
      }
      seenAt.set(line, name);
    }
    secrets[name] = MAY_HAVE_PREVIOUS.includes(name) ? lines : lines[0]!;
  }
  return secrets as Pick<Secrets, N>;
}

/** What requests to a payout target are signed with. Throws like readSecrets. */
export function readTargetSecret(
  topology: Pick<Topology, "wallet" | "orders">,
  name: (typeof PAYOUT_TARGETS)[number],
): string {
  return readLines(`${name}.secret`, topology[name]!.secret, 1)[0]!;
}

function readLines(field: string, source: SecretSource, linesMax: number): string[] {
  const place = "env" in source ? `the environment variable ${source.env}` : source.file;
  const lines = readSource(field, source, place)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (lines.length === 0) throw new Unreachable(`${field}: ${place} is empty`);
  if (lines.length > linesMax) {
    throw new BadInput(`${field}: found ${lines.length} lines in ${place}, expected at most ${linesMax}`);
  }
  if (!lines.every((line) => SECRET.test(line))) {
    const expected = "at least 16 printable characters without blanks (32 random bytes in hex)";
    throw new BadInput(`${field}: found another form in ${place}, expected ${expected}`);
  }
  return lines;
}

function readSource(field: string, source: SecretSource, place: string): string {
  if ("env" in source) {
    const value = process.env[source.env];
    if (value === undefined) throw new Unreachable(`${field}: ${place} is not set`);
    return value;
  }
  try {
    return readFileSync(source.file, "utf8");
  } catch (error) {
    const why = errorCode(error) === "ENOENT" ? "is not there" : `cannot be read (${errorCode(error)})`;
    throw new Unreachable(`${field}: ${place} ${why}`);
  }
}
