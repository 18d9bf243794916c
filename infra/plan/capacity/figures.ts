/**
 * Where the model's numbers come from: the JSON of `hongbao bench`, that of `hongbao capacity measure`, and assumptions. Each is a
 * Figure that says its source, so that a report can name it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput } from "@hongbao/preprocess";
import { batchOf } from "./coalescing.ts";

export interface Figure {
  value: number;
  unit: string;
  /** The measurement, or why it is assumed. */
  from: string;
}

/** What one thing costs, in microseconds of one core, or how large it is. */
export interface Figures {
  /** HAProxy, for a grab on a kept-alive TLS connection. */
  grabHaproxyUs: Figure;
  handshakeHaproxyUs: Figure;
  /** HAProxy, for `ended`, over everywhere; and with the token check, which a session needs as well. */
  endedHaproxyUs: Figure;
  tokenHaproxyUs: Figure;
  /** A service process: for each claim, and for each turn in which a batch of them is served. */
  serviceClaimUs: Figure;
  serviceTurnUs: Figure;
  /** Redis: for each claim, and for each call that brings a batch of them. */
  redisClaimUs: Figure;
  redisCallUs: Figure;
  persistPerSecond: Figure;
  /** MySQL, for a claim that persist brings. */
  mysqlClaimUs: Figure;
  payoutPerSecond: Figure;
  resultHaproxyUs: Figure;
  resultServiceUs: Figure;
  resultRedisUs: Figure;
  resultMysqlUs: Figure;
  winsHaproxyUs: Figure;
  winsServiceUs: Figure;
  winsRedisUs: Figure;
  winsMysqlUs: Figure;
  checkUs: Figure;
  redisClaimBytes: Figure;
  idleConnectionBytes: Figure;
  haproxyBytes: Figure;
  handshakeOutBytes: Figure;
  wonBytes: Figure;
  endedBytes: Figure;
  resultBytes: Figure;
  winsBytes: Figure;
  /** A service with a pack of packPrizes. */
  serviceBytes: Figure;
  packPrizes: Figure;
  packUsers: Figure;
  prizeBytes: Figure;
}

const ASIDE_NAMES = [
  "resultHaproxyUs",
  "resultServiceUs",
  "resultRedisUs",
  "resultMysqlUs",
  "winsHaproxyUs",
  "winsServiceUs",
  "winsRedisUs",
  "winsMysqlUs",
  "checkUs",
  "redisClaimBytes",
  "idleConnectionBytes",
  "haproxyBytes",
  "handshakeOutBytes",
  "wonBytes",
  "endedBytes",
  "resultBytes",
  "winsBytes",
] as const satisfies readonly (keyof Figures)[];

/** What `hongbao capacity measure` writes. */
export interface AsideFile {
  what: "aside";
  measuredAt: string;
  seconds: number;
  machine: { processors: number; model: string; kernel: string; node: string };
  figures: Record<(typeof ASIDE_NAMES)[number], number>;
}

/** The parts of the bench's JSON that are used here. */
interface BenchFile {
  quick?: unknown;
  startedAt?: unknown;
  rows?: unknown;
  systems?: unknown;
}

export interface Measured {
  figures: Figures;
  /** One line for each file: what was measured, when, on what. */
  sources: string[];
  warnings: string[];
}

const MIB = 1024 * 1024;
const ROOT = join(import.meta.dirname, "..", "..", "..", "/");

/** Throws BadInput that names the option, the file and the field. */
export function readMeasured(files: { bench: string; aside: string }): Measured {
  const bench = benchReader("--measured", files.bench);
  const aside = asideReader("--aside", files.aside);
  const figures = { ...benchFigures(bench), ...asideFigures(aside) };
  const warnings = bench.isQuick
    ? [`--measured ${files.bench}: a quick bench shows that everything works, not how fast it is`]
    : [];
  return { figures, sources: [bench.source, aside.source], warnings };
}

type BenchNames = Exclude<keyof Figures, (typeof ASIDE_NAMES)[number]>;

function benchFigures(bench: BenchReader): Pick<Figures, BenchNames> {
  const service = perBatch(bench, "service");
  const redis = perBatch(bench, "redis");
  const row = (id: string, what: string, unit: string, field: string): Figure => ({
    value: bench.row(id, field),
    unit,
    from: `${bench.name}, row ${id}: ${what}`,
  });
  const rate = (id: string, what: string): Figure => row(id, what, "1/s", "raw");
  return {
    grabHaproxyUs: bench.cpu("hongbao-tls", "haproxy"),
    handshakeHaproxyUs: row(
      "tls-handshakes",
      "HAProxy for a handshake and one small answer",
      "us",
      "haproxyUs",
    ),
    endedHaproxyUs: bench.cpu("ended-over", "haproxy"),
    tokenHaproxyUs: bench.cpu("ended-token", "haproxy"),
    serviceClaimUs: service.claim,
    serviceTurnUs: service.call,
    redisClaimUs: redis.claim,
    redisCallUs: redis.call,
    persistPerSecond: rate("persist-rate", "claims/s of one bucket, as measured"),
    mysqlClaimUs: bench.cpu("hongbao", "mysql"),
    payoutPerSecond: rate("payout-rate", "payments/s of one bucket into the built-in ledger, as measured"),
    serviceBytes: scaled(
      row("start-memory", "resident memory of a service with a pack", "bytes", "figure"),
      MIB,
    ),
    packPrizes: row("generate-time", "prizes of that pack", "prizes", "prizes"),
    packUsers: row("generate-time", "users of that pack", "users", "users"),
    prizeBytes: row("start-bytes", "a prize in a service's memory", "bytes", "figure"),
  };
}

function scaled(figure: Figure, factor: number): Figure {
  return { ...figure, value: figure.value * factor };
}

/**
 * The costs of a claim and of a call, out of two systems with the same work in batches of different sizes: us = claim + call / batch.
 * Where the two do not tell them apart the dearer one's whole cost counts as that of calls.
 */
function perBatch(bench: BenchReader, role: string): { claim: Figure; call: Figure } {
  const [wide, one] = BATCHED.map(({ id, processes }) => ({
    us: bench.cpu(id, role).value,
    batch: batchOf(bench.perSecond(id) / processes),
  }));
  const slope = (wide!.us - one!.us) / (1 / wide!.batch - 1 / one!.batch);
  const call = Number.isFinite(slope) && slope > 0 ? Math.min(slope, wide!.us * wide!.batch) : 0;
  const claim = Math.max(0, Math.max(wide!.us - call / wide!.batch, one!.us - call / one!.batch));
  const points = `${wide!.us.toFixed(1)} us in batches of ${wide!.batch.toFixed(0)}, ${one!.us.toFixed(1)} us of ${one!.batch.toFixed(0)}`;
  const from = `${bench.name}, systems hongbao and hongbao-one, cpuUs.${role}: ${points}`;
  return { claim: { value: claim, unit: "us", from }, call: { value: call, unit: "us", from } };
}

/** Systems of the bench and how many service processes share their load. */
const BATCHED = [
  { id: "hongbao", processes: 4 },
  { id: "hongbao-one", processes: 1 },
];

interface BenchReader {
  name: string;
  source: string;
  isQuick: boolean;
  row(id: string, field: string): number;
  cpu(system: string, role: string): Figure;
  perSecond(system: string): number;
}

function benchReader(option: string, path: string): BenchReader {
  const file = readJson(option, path) as BenchFile;
  const date = dayOf(option, path, "startedAt", file.startedAt);
  const whole = "expected the JSON of a whole `hongbao bench --json`";
  const find = (list: unknown, kind: string, id: string): Record<string, unknown> => {
    const found = Array.isArray(list)
      ? (list as Record<string, unknown>[]).find((each) => each?.["id"] === id)
      : undefined;
    if (found === undefined) throw new BadInput(`${option} ${path}: ${kind}: found no "${id}", ${whole}`);
    return found;
  };
  const positive = (value: unknown, place: string): number => {
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
    throw new BadInput(`${option} ${path}: ${place}: found ${JSON.stringify(value)}, ${whole}`);
  };
  const system = (id: string): Record<string, unknown> => {
    const found = find(file.systems, "systems", id);
    const faults = found["faults"] as unknown[] | undefined;
    if (faults !== undefined && faults.length > 0) {
      throw new BadInput(
        `${option} ${path}: systems.${id}: its result was wrong (${String(faults[0])}); measure again`,
      );
    }
    return found;
  };
  const name = `bench of ${date}`;
  return {
    name,
    source: `${name}: ${path.replace(ROOT, "")}${machineOf(file)}`,
    isQuick: file.quick === true,
    row: (id, field) => {
      const row = find(file.rows, "rows", id);
      const aside = row["aside"] as Record<string, unknown> | undefined;
      // A figure that is not scaled has no raw one.
      const value = aside?.[field] ?? row[field] ?? (field === "raw" ? row["figure"] : undefined);
      return positive(value, `rows.${id}.${field}`);
    },
    cpu: (id, role) => {
      const cpuUs = system(id)["cpuUs"] as Record<string, unknown> | undefined;
      const value = positive(cpuUs?.[role], `systems.${id}.cpuUs.${role}`);
      return { value, unit: "us", from: `${name}, system ${id}, cpuUs.${role}` };
    },
    perSecond: (id) => positive(system(id)["perSecond"], `systems.${id}.perSecond`),
  };
}

function asideReader(option: string, path: string): { source: string; figure: (name: string) => Figure } {
  const file = readJson(option, path) as Partial<AsideFile>;
  const date = dayOf(option, path, "measuredAt", file.measuredAt);
  const name = `capacity measure of ${date}`;
  return {
    source: `${name}: ${path.replace(ROOT, "")}${machineOf(file)}`,
    figure: (field) => {
      const value = (file.figures as Record<string, unknown> | undefined)?.[field];
      if (typeof value === "number" && Number.isFinite(value) && value >= 0) {
        return { value, unit: field.endsWith("Us") ? "us" : "bytes", from: `${name}, ${field}` };
      }
      const expected = "expected a number; `hongbao capacity measure` writes such a file";
      throw new BadInput(`${option} ${path}: figures.${field}: found ${JSON.stringify(value)}, ${expected}`);
    },
  };
}

function asideFigures(aside: {
  figure: (name: string) => Figure;
}): Pick<Figures, (typeof ASIDE_NAMES)[number]> {
  const entries = ASIDE_NAMES.map((name) => [name, aside.figure(name)]);
  return Object.fromEntries(entries) as Pick<Figures, (typeof ASIDE_NAMES)[number]>;
}

export function readJson(option: string, path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BadInput(`${option}: cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === "object") return value;
  } catch (error) {
    throw new BadInput(`${option}: ${path}: not JSON: ${(error as Error).message}`, { cause: error });
  }
  throw new BadInput(`${option}: ${path}: found no JSON object`);
}

function dayOf(option: string, path: string, field: string, value: unknown): string {
  if (typeof value === "string" && /^\d{4}-\d{2}-\d{2}/.test(value)) return value.slice(0, 10);
  throw new BadInput(`${option} ${path}: ${field}: found ${JSON.stringify(value)}, expected a date`);
}

function machineOf(file: object): string {
  const machine = (file as { machine?: { processors?: number; model?: string } }).machine;
  return machine?.model === undefined ? "" : ` (${machine.processors} x ${machine.model})`;
}
