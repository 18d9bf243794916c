import { randomBytes } from "node:crypto";
import type { Connection, Pool, RowDataPacket } from "mysql2/promise";
import { BadInput, type Pack } from "@hongbao/preprocess";
import { proveRedis } from "../grab/fence.ts";
import { readMeta, writeFence } from "../mysql/bucket-record.ts";
import { allClaims, insertClaims, type PersistableClaim } from "../mysql/claims.ts";
import { recordedMoves } from "../moves/record.ts";
import { inSnapshot } from "../mysql/snapshot.ts";
import { unpackEntry } from "../persist/journal.ts";
import { claimField } from "../redis/keys.ts";
import { decideBurn } from "./burn.ts";
import type { Filling, RebuildScripts, RebuiltRound } from "./rebuild-scripts.ts";
import { planRounds, readRounds, type RoundBurn } from "./stock.ts";

export const rebuildPolicy = {
  /** Journal entries read at once. */
  entriesMax: 200,
  /** Claims in one call that fills Redis; the Lua stack would bear 3,900. */
  fillMax: 2000,
} as const;

/**
 * - whole: this bucket's Redis is what MySQL expects; nothing was done.
 * - rebuilt: decided and filled now.
 * - resumed: it had been decided before; only Redis was filled.
 */
export type RebuildOutcome = "whole" | "rebuilt" | "resumed";

export interface RebuildReport {
  outcome: RebuildOutcome;
  epoch: string;
  /** Claims that came back from MySQL. */
  claims: number;
  /** Of these, claims that were found only in the journal of the old Redis. */
  salvaged: number;
  rounds: RoundBurn[];
}

/** How far a rebuild has come; done and total in claims, while Redis is filled. */
export interface RebuildStep {
  step:
    | "fencing"
    | "salvaging"
    | "deciding"
    | "writing"
    | "committing"
    | "emptying"
    | "filling"
    | "finishing"
    | "clearing";
  done?: number;
  total?: number;
}

export interface RebuildParts {
  pack: Pack;
  pool: Pool;
  /** A connection of its own, without time-outs. */
  mysql: Connection;
  scripts: RebuildScripts;
  /** Rounds of which the conductor says that they may have been opened. */
  maybeOpened: readonly number[];
  /** Also when Redis is whole: then everything that is not persisted and journalMax more is burned for nothing. */
  force?: boolean;
  onStep?: (step: RebuildStep) => void;
}

/**
 * Makes a bucket's Redis anew from its MySQL after its data was lost. What may have been issued and is not persisted is
 * burned (burn-plan.ts). Safe to repeat, and to break off at any step:
 *
 *   fencing     every process refuses this copy of Redis
 *   salvaging   what its journal still holds goes to MySQL
 *   deciding …  one transaction: new epoch, burned, left (burn.ts). After it, a repeat only fills
 *   emptying …  Redis: all keys away, claims back, and in one last step what makes it usable
 *   clearing    the mark that a rebuild is under way
 *
 * Errors: BadInput when the bucket was not loaded from this pack; those of MySQL and Redis; STALE when another rebuild has
 * taken over.
 */
export async function rebuildBucket(parts: RebuildParts): Promise<RebuildReport> {
  const { pack, mysql } = parts;
  const onStep = parts.onStep ?? ((): void => undefined);
  const before = await readMeta(mysql);
  if (before.pack !== pack.digest || !before.complete) {
    throw new BadInput(
      `MySQL holds ${before.pack === "" ? "no pack" : `pack ${before.pack}`}${before.complete ? "" : ", not whole"}; ` +
        `expected ${pack.digest}: "preprocess load" fills a bucket that nothing was given from`,
    );
  }
  let salvaged = 0;
  let outcome: RebuildOutcome = "resumed";
  if (before.rebuilding === null) {
    onStep({ step: "fencing" });
    if (await isWhole(parts))
      return { outcome: "whole", epoch: before.epoch, claims: 0, salvaged: 0, rounds: [] };
    await fenceAll(parts, before.epoch);
    onStep({ step: "salvaging" });
    salvaged = await salvage(parts);
    const decided = await decideBurn(mysql, {
      pack,
      epoch: before.epoch,
      maybeOpened: parts.maybeOpened,
      onStep: (step) => onStep({ step }),
    });
    if (decided) outcome = "rebuilt";
  }
  const meta = await readMeta(mysql);
  const claims = await fill(parts, onStep);
  onStep({ step: "clearing" });
  await mysql.query("DELETE FROM meta WHERE name = 'rebuilding' AND value = ?", [meta.epoch]);
  return { outcome, epoch: meta.epoch, claims, salvaged, rounds: await burnedBy(mysql, meta.epoch) };
}

/** What a rebuild would do now; nothing is changed. */
export async function previewRebuild(
  parts: Pick<RebuildParts, "pack" | "mysql" | "pool" | "scripts" | "maybeOpened">,
): Promise<{ state: "whole" | "lost" | "rebuilding" | "unloaded"; why: string; rounds: RoundBurn[] }> {
  const { mysql, pack } = parts;
  const meta = await readMeta(mysql);
  if (meta.pack !== pack.digest || !meta.complete) {
    return { state: "unloaded", why: `MySQL holds pack ${meta.pack || "none"}`, rounds: [] };
  }
  if (meta.rebuilding !== null) {
    return {
      state: "rebuilding",
      why: "a rebuild was decided and has not come to its end",
      rounds: await burnedBy(mysql, meta.epoch),
    };
  }
  const proof = await proveRedis(parts.pool, parts.scripts.store, pack.digest, pack.manifest.rounds.length);
  const rounds = await planRounds(mysql, pack, parts.maybeOpened, Date.now());
  return {
    state: proof.verdict === "trusted" ? "whole" : "lost",
    why: proof.verdict === "doubt" ? proof.why : "",
    rounds: rounds.map(({ round, holes, beyond, left }) => ({ round, holes, beyond, left })),
  };
}

async function isWhole({ pool, scripts, pack, force }: RebuildParts): Promise<boolean> {
  if (force) return false;
  const proof = await proveRedis(pool, scripts.store, pack.digest, pack.manifest.rounds.length);
  return proof.verdict === "trusted";
}

/** From here on this copy of Redis gives nothing any more, whoever asks. */
async function fenceAll({ pool, scripts }: RebuildParts, epoch: string): Promise<void> {
  const { epoch: shown } = await scripts.store.state();
  await scripts.store.fence(shown, "a rebuild has begun");
  await writeFence(pool, epoch, "a rebuild has begun");
}

/** Claims in the old Redis's journal are true wins: they go to MySQL first, so that they need not be burned. */
async function salvage({ pool, scripts, pack }: RebuildParts): Promise<number> {
  const { client, keys } = scripts.store;
  let after = "-";
  let salvaged = 0;
  for (;;) {
    const entries = await client.xrange(keys.journal, after, "+", "COUNT", rebuildPolicy.entriesMax);
    const byEpoch = new Map<string, PersistableClaim[]>();
    for (const [id, [, packed = "", , epoch = ""]] of entries) {
      after = `(${id}`;
      const rows = byEpoch.get(epoch) ?? [];
      byEpoch.set(epoch, rows);
      for (const claim of unpackEntry(packed))
        rows.push({ ...claim, amountMinor: pack.amountOf(claim.prizeId), entryId: id });
    }
    for (const [epoch, rows] of byEpoch) {
      const outcome = await insertClaims(pool, rows, epoch);
      if (!outcome.otherEpoch) salvaged += outcome.inserted;
    }
    if (entries.length < rebuildPolicy.entriesMax) return salvaged;
  }
}

async function fill(parts: RebuildParts, onStep: (step: RebuildStep) => void): Promise<number> {
  const { mysql, pack, scripts } = parts;
  const { epoch, generation } = await readMeta(mysql);
  const filling: Filling = { token: randomBytes(8).toString("hex"), epoch, generation };
  onStep({ step: "emptying" });
  const [count] = await mysql.query<RowDataPacket[]>("SELECT COUNT(*) AS claims FROM claims");
  const total = Number(count[0]!["claims"]);
  if (!(await scripts.begin(filling))) return total;
  const issued = new Map<number, number>();
  let done = 0;
  let pairs = new Map<number, (string | number)[]>();
  let waiting = 0;
  const flush = async (): Promise<void> => {
    for (const [round, list] of pairs) await scripts.fillClaims(filling.token, round, list);
    pairs = new Map();
    waiting = 0;
    onStep({ step: "filling", done, total });
  };
  for await (const { round, user, n, prizeId } of allClaims(mysql)) {
    const list = pairs.get(round) ?? [];
    pairs.set(round, list);
    list.push(claimField(user, n), prizeId);
    issued.set(round, (issued.get(round) ?? 0) + 1);
    done += 1;
    waiting += 1;
    if (waiting >= rebuildPolicy.fillMax) await flush();
  }
  await flush();
  onStep({ step: "finishing" });
  await scripts.finish(filling, {
    event: pack.manifest.event.id,
    pack: pack.digest,
    claims: done,
    ...(await inSnapshot(mysql, async () => ({
      // Redis must know which moves left or entered, or they would do so again: of the same moment as the ranges. One that is
      // recorded meanwhile enters by itself, behind what was read.
      moves: await recordedMoves(mysql),
      rounds: await stockOf(mysql, pack, issued),
    }))),
  });
  return done;
}

async function stockOf(
  mysql: Connection,
  pack: Pack,
  issued: ReadonlyMap<number, number>,
): Promise<RebuiltRound[]> {
  const records = new Map((await readRounds(mysql)).map((record) => [record.round, record]));
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, lo, id_count FROM ranges ORDER BY round_id, ordinal",
  );
  // Later than any stock number that this bucket has told, so that every memory of "ended" is an older one.
  const stock = Date.now();
  return pack.manifest.rounds.map(({ id }): RebuiltRound => {
    const record = records.get(id);
    if (record === undefined) throw new Error(`round ${id} is missing in MySQL`);
    return {
      ...record,
      stock,
      issued: issued.get(id) ?? 0,
      ranges: rows
        .filter((row) => row["round_id"] === id)
        .map((row) => ({ lo: row["lo"] as number, count: row["id_count"] as number })),
    };
  });
}

async function burnedBy(mysql: Connection, epoch: string): Promise<RoundBurn[]> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, holes, holes_minor, beyond, beyond_minor, left_count, left_minor FROM rebuilds WHERE epoch = ? ORDER BY round_id",
    [epoch],
  );
  return rows.map((row) => ({
    round: row["round_id"] as number,
    holes: { count: Number(row["holes"]), amount: Number(row["holes_minor"]) },
    beyond: { count: Number(row["beyond"]), amount: Number(row["beyond_minor"]) },
    left: { count: Number(row["left_count"]), amount: Number(row["left_minor"]) },
  }));
}
