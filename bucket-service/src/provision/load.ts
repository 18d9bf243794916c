import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { Connection, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import {
  BadInput,
  readSchedule,
  resolveTimes,
  shiftTimes,
  type Pack,
  type Secrets,
  type Topology,
  type BucketPlace,
} from "@hongbao/preprocess";
import type { BucketStore } from "../redis/scripts.ts";
import { mysqlConnection } from "../mysql/connect.ts";
import { migrate } from "../mysql/migrate.ts";
import { openStore } from "../stores.ts";
import { requireNoLiveEvent } from "./other-events.ts";
import { tableFigures, packFigures, sameFigures } from "./figures.ts";

export interface LoadReport {
  event: string;
  pack: string;
  /** Whether every bucket held this pack already, so that nothing was written. */
  unchanged: boolean;
  times: { round: number; opensAt: string | null; closesAt: string | null }[];
  buckets: { bucket: string; prizes: number; resumed: boolean }[];
  /** Things an operator should know; not errors. */
  notices: string[];
}

/** Rows in one LOAD DATA; a load that was cut off goes on at the next of these. */
const LOAD_ROWS_MAX = 250_000;

/**
 * Fills every bucket's MySQL and Redis from a pack and fixes the rounds' times. Safe to repeat and to resume: what stands
 * already and is right is left alone. Nothing is written anywhere before every bucket has been looked at.
 *
 * Errors: Unreachable, naming bucket and store; BadInput when a round of this or another pack was handed out here, when another
 * event is live, or when the pack was made for other buckets than the topology has.
 */
export async function loadPack(parts: {
  pack: Pack;
  topology: Topology;
  secrets: Secrets;
  /** Shifts all rounds so that the first opens this long after now. */
  opensInSeconds?: number;
  onProgress?: (rowsDone: number) => void;
}): Promise<LoadReport> {
  const { pack, topology, secrets } = parts;
  checkShape(pack, topology);
  const targets: Target[] = [];
  try {
    for (const bucket of topology.buckets) targets.push(await openTarget(pack, bucket, secrets));
    const fixed = targets.find((target) => target.times !== null)?.times ?? null;
    const wanted = wantedTimes(pack, parts.opensInSeconds);
    const times = fixed ?? wanted;
    const unchanged = targets.every((target) => target.complete);
    let rowsDone = 0;
    for (const target of targets) {
      if (target.complete) continue;
      await fillMysql(pack, target, times, (rows) => parts.onProgress?.((rowsDone += rows)));
      await fillRedis(pack, target, times);
      await target.mysql.query("REPLACE INTO meta (name, value) VALUES ('complete', '1')");
    }
    return {
      event: pack.manifest.event.id,
      pack: pack.digest,
      unchanged,
      times: [...times].map(([round, { opensAtMs, closesAtMs }]) => ({
        round,
        opensAt: opensAtMs === null ? null : new Date(opensAtMs).toISOString(),
        closesAt: closesAtMs === null ? null : new Date(closesAtMs).toISOString(),
      })),
      buckets: targets.map((target) => ({
        bucket: target.bucket.id,
        prizes: pack.manifest.ranges
          .filter((range) => range.bucket === target.bucket.id)
          .reduce((sum, r) => sum + r.count, 0),
        resumed: target.resumed,
      })),
      notices:
        fixed === null || !unchanged
          ? []
          : [
              "this pack stands in every bucket already: nothing was written, and the rounds keep their times (`hongbao round move` changes them)",
            ],
    };
  } finally {
    for (const target of targets) await closeTarget(target);
  }
}

/** When each round opens and closes, by its ID. */
type FixedTimes = ReturnType<typeof resolveTimes>;

/** One bucket's stores, and what was found in them before anything is written. */
interface Target {
  bucket: BucketPlace;
  mysql: Connection;
  store: BucketStore;
  complete: boolean;
  resumed: boolean;
  epoch: string | null;
  times: FixedTimes | null;
}

function checkShape(pack: Pack, topology: Topology): void {
  const ofPack = JSON.stringify(pack.manifest.buckets.map(({ id, slots }) => ({ id, slots })));
  const ofTopology = JSON.stringify(topology.buckets.map(({ id, slots }) => ({ id, slots })));
  if (ofPack === ofTopology) return;
  throw new BadInput(
    `${topology.path}: buckets: the pack ${pack.dir} was generated for ${ofPack}, found ${ofTopology}; ` +
      "generate the pack again with this topology",
  );
}

async function openTarget(pack: Pack, bucket: BucketPlace, secrets: Secrets): Promise<Target> {
  const event = pack.manifest.event.id;
  const rounds = pack.manifest.rounds.map((round) => round.id);
  const store = await openStore({ bucket, secrets, name: "load" }, event, rounds);
  let mysql: Connection;
  try {
    mysql = await mysqlConnection(bucket, secrets.mysql);
  } catch (error) {
    store.client.disconnect();
    throw error;
  }
  const target: Target = { bucket, mysql, store, complete: false, resumed: false, epoch: null, times: null };
  try {
    await requireNoLiveEvent(event, bucket.id, { mysql, client: store.client });
    await migrate(mysql, event);
    await inspect(pack, target);
    return target;
  } catch (error) {
    await closeTarget(target);
    throw error;
  }
}

async function closeTarget(target: Target): Promise<void> {
  await target.mysql.end().catch(() => undefined);
  target.store.client.disconnect();
}

/** Finds out what stands in a bucket, and refuses what may not be overwritten. */
async function inspect(pack: Pack, target: Target): Promise<void> {
  const { bucket, mysql, store } = target;
  const meta = await readMeta(mysql);
  const samePack = meta.get("pack") === pack.digest;
  const redis = await store.state();
  const [given] = await mysql.query<RowDataPacket[]>(
    "SELECT (SELECT COUNT(*) FROM rounds WHERE opened = 1) + (SELECT COUNT(*) FROM (SELECT 1 FROM claims LIMIT 1) c) + " +
      "(SELECT COUNT(*) FROM (SELECT 1 FROM range_moves LIMIT 1) m) AS found",
  );
  // What only a service process remembered counts as well: its Redis may be empty by now.
  const handedOut =
    Number(given[0]?.["found"]) > 0 || redis.seq > 0 || (samePack && Number(meta.get("seen") ?? 0) > 0);
  const redisHolds =
    redis.epoch !== "" && redis.pack === pack.digest && redis.rounds.length === pack.manifest.rounds.length;
  target.complete =
    samePack && meta.get("complete") === "1" && redisHolds && redis.epoch === meta.get("epoch");
  if (target.complete || !handedOut) {
    target.resumed = samePack;
    // A load that had come to its end is loaded anew: processes may have fenced the epoch that was lost.
    target.epoch = samePack && meta.get("complete") !== "1" ? (meta.get("epoch") ?? null) : null;
    if (samePack) target.times = await readTimes(mysql, pack.manifest.rounds.length);
    return;
  }
  throw new BadInput(
    samePack
      ? `bucket ${bucket.id}: a round of event ${pack.manifest.event.id} was handed out already and its Redis is not as it was left; ` +
          "load would give prizes twice: only rebuild may fill it"
      : `bucket ${bucket.id}: another pack of event ${pack.manifest.event.id} was handed out from already; ` +
          "expected a fresh event ID, or a pack whose rounds were never opened",
  );
}

async function readMeta(mysql: Connection): Promise<Map<string, string>> {
  const [rows] = await mysql.query<RowDataPacket[]>("SELECT name, value FROM meta");
  return new Map(rows.map((row) => [row["name"] as string, row["value"] as string]));
}

async function readTimes(mysql: Connection, rounds: number): Promise<FixedTimes | null> {
  const [rows] = await mysql.query<RowDataPacket[]>("SELECT round_id, opens_at_ms, closes_at_ms FROM rounds");
  if (rows.length !== rounds) return null;
  return new Map(
    rows.map((row) => [
      row["round_id"] as number,
      { opensAtMs: row["opens_at_ms"] as number | null, closesAtMs: row["closes_at_ms"] as number | null },
    ]),
  );
}

/** The schedule's times reckoned from now, and shifted when the first opening is wished for at a given distance. */
function wantedTimes(pack: Pack, opensInSeconds: number | undefined): FixedTimes {
  const now = Date.now();
  const schedule = readSchedule(pack.dir);
  const times: FixedTimes = resolveTimes(
    [...schedule].map(([id, { opensAt, closesAt }]) => ({ id, opensAt, closesAt })),
    now,
  );
  return opensInSeconds === undefined ? times : shiftTimes(times, now + opensInSeconds * 1000);
}

async function fillMysql(
  pack: Pack,
  target: Target,
  times: FixedTimes,
  onRows: (rows: number) => void,
): Promise<void> {
  const { mysql, bucket } = target;
  const { manifest } = pack;
  if (!target.resumed) {
    for (const table of ["meta", "rounds", "ranges", "prizes", "range_moves", "burned", "rebuilds"])
      await mysql.query(`TRUNCATE TABLE ${table}`);
  }
  await mysql.query("DELETE FROM meta WHERE name IN ('complete', 'fence', 'rebuilding', 'seen')");
  target.epoch ??= randomBytes(8).toString("hex");
  await mysql.query("REPLACE INTO meta (name, value) VALUES ('pack', ?), ('epoch', ?), ('event', ?)", [
    pack.digest,
    target.epoch,
    manifest.event.id,
  ]);
  for (const round of manifest.rounds) {
    const { opensAtMs = null, closesAtMs = null } = times.get(round.id) ?? {};
    await mysql.query(
      "REPLACE INTO rounds (round_id, kind, per_user, v, opens_at_ms, closes_at_ms, opened) VALUES (?, ?, ?, 1, ?, ?, 0)",
      [round.id, round.kind, round.perUser, opensAtMs, closesAtMs],
    );
  }
  for (const range of manifest.ranges) {
    if (range.bucket !== bucket.id || range.count === 0) continue;
    const kind = manifest.rounds.find((round) => round.id === range.round)!.kind;
    for (let lo = range.lo; lo < range.lo + range.count; lo += LOAD_ROWS_MAX) {
      const part = {
        round: range.round,
        kind,
        lo,
        count: Math.min(LOAD_ROWS_MAX, range.lo + range.count - lo),
      };
      await fillPrizes(pack, mysql, part);
      onRows(part.count);
    }
    await mysql.query(
      "REPLACE INTO ranges (round_id, ordinal, lo, id_count, origin) VALUES (?, 1, ?, ?, 'generated')",
      [range.round, range.lo, range.count],
    );
  }
}

/** LOAD DATA LOCAL drops and bends what does not fit and says nothing, so what stands there is checked afterwards. */
async function fillPrizes(
  pack: Pack,
  mysql: Connection,
  part: { round: number; kind: string; lo: number; count: number },
): Promise<void> {
  const expected = packFigures(pack, part);
  if (sameFigures(await tableFigures(mysql, part), expected)) return;
  await mysql.query("DELETE FROM prizes WHERE prize_id >= ? AND prize_id < ?", [
    part.lo,
    part.lo + part.count,
  ]);
  await mysql.query<ResultSetHeader>({
    sql:
      "LOAD DATA LOCAL INFILE 'prizes' INTO TABLE prizes CHARACTER SET ascii FIELDS TERMINATED BY '\\t' " +
      "LINES TERMINATED BY '\\n' (prize_id, round_id, kind, amount_minor)",
    infileStreamFactory: () =>
      Readable.from(prizeLines(pack, part), { objectMode: false, highWaterMark: 1 << 20 }),
  });
  const found = await tableFigures(mysql, part);
  if (sameFigures(found, expected)) return;
  throw new Error(
    `MySQL holds other prizes than were sent for IDs ${part.lo} to ${part.lo + part.count - 1}: ` +
      `found ${found.count} rows worth ${found.amountMinor}, expected ${expected.count} worth ${expected.amountMinor}`,
  );
}

function* prizeLines(
  pack: Pack,
  part: { round: number; kind: string; lo: number; count: number },
): Generator<Buffer> {
  const middle = `\t${part.round}\t${part.kind}\t`;
  for (let lo = part.lo; lo < part.lo + part.count; lo += 8192) {
    let text = "";
    for (let id = lo; id < Math.min(lo + 8192, part.lo + part.count); id += 1)
      text += `${id}${middle}${pack.amountOf(id)}\n`;
    yield Buffer.from(text, "latin1");
  }
}

async function fillRedis(pack: Pack, target: Target, times: FixedTimes): Promise<void> {
  const { manifest } = pack;
  const result = await target.store.load({
    event: manifest.event.id,
    pack: pack.digest,
    epoch: target.epoch!,
    rounds: manifest.rounds.map((round) => ({
      opensAtMs: times.get(round.id)?.opensAtMs ?? null,
      closesAtMs: times.get(round.id)?.closesAtMs ?? null,
      perUser: round.perUser,
      ranges: manifest.ranges.filter(
        (r) => r.round === round.id && r.bucket === target.bucket.id && r.count > 0,
      ),
    })),
  });
  if (result === "refused") {
    throw new BadInput(
      `bucket ${target.bucket.id}: prizes were given from its Redis while it was being loaded`,
    );
  }
}
