import { randomBytes } from "node:crypto";
import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { lockEpoch, readMeta } from "../mysql/bucket-record.ts";
import { timestamp } from "../mysql/claims.ts";
import { mysqlErrorCode } from "../mysql/connect.ts";
import { idsOf } from "./burn-plan.ts";
import { planRounds, type RoundPlan } from "./stock.ts";

export const burnPolicy = {
  /** A transaction that waits longer for another's lock looks who sleeps on it. */
  lockWaitSeconds: 2,
  attemptsMax: 5,
  insertRowsMax: 1000,
} as const;

/**
 * The decision of a rebuild, one transaction: a new epoch, what is burned, what is left. From its commit on, every
 * transaction that writes claims under the old epoch is refused. @returns false when it was decided before, or when the
 * bucket is not of `epoch` any more.
 */
export async function decideBurn(
  mysql: Connection,
  parts: {
    pack: Pack;
    epoch: string;
    maybeOpened: readonly number[];
    onStep: (step: "deciding" | "writing" | "committing") => void;
  },
): Promise<boolean> {
  await mysql.query(`SET SESSION innodb_lock_wait_timeout = ${burnPolicy.lockWaitSeconds}`);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mysql.query("START TRANSACTION");
      const decided = await decide(mysql, parts);
      parts.onStep("committing");
      await mysql.query(decided ? "COMMIT" : "ROLLBACK");
      return decided;
    } catch (error) {
      await mysql.query("ROLLBACK").catch(() => undefined);
      const code = mysqlErrorCode(error);
      if (code !== "ER_LOCK_WAIT_TIMEOUT" && code !== "ER_LOCK_DEADLOCK") throw error;
      if (attempt >= burnPolicy.attemptsMax) throw error;
      await endSleepers(mysql);
    }
  }
}

async function decide(mysql: Connection, parts: Parameters<typeof decideBurn>[1]): Promise<boolean> {
  const { pack, onStep } = parts;
  const epoch = await lockEpoch(mysql, "update");
  onStep("deciding");
  const meta = await readMeta(mysql);
  if (epoch !== parts.epoch || meta.rebuilding !== null) return false;
  const rounds = await planRounds(mysql, pack, parts.maybeOpened, Date.now());
  onStep("writing");
  const next = randomBytes(8).toString("hex");
  for (const round of rounds) await writeRound(mysql, pack, round, next);
  await mysql.query("DELETE FROM meta WHERE name IN ('fence', 'seen')");
  await mysql.query(
    "REPLACE INTO meta (name, value) VALUES ('epoch', ?), ('rebuilding', ?), ('generation', ?)",
    [next, next, String(meta.generation + 1)],
  );
  return true;
}

async function writeRound(mysql: Connection, pack: Pack, round: RoundPlan, epoch: string): Promise<void> {
  const { plan, holes, beyond, left } = round;
  const at = timestamp(Date.now());
  await mysql.query("DELETE FROM ranges WHERE round_id = ?", [round.round]);
  await inserted(
    mysql,
    "INSERT INTO ranges (round_id, ordinal, lo, id_count, origin) VALUES",
    plan.left.map(({ lo, count }, index) => `(${round.round},${index + 1},${lo},${count},'rebuilt')`),
    "",
  );
  await inserted(
    mysql,
    "INSERT INTO burned (prize_id, round_id, amount_minor, epoch, state, burned_at) VALUES",
    rowsOf(plan.holes, plan.beyond),
    // An ID that was released may be lost a second time, perhaps in another round.
    "ON DUPLICATE KEY UPDATE round_id = VALUES(round_id), epoch = VALUES(epoch), state = VALUES(state), burned_at = VALUES(burned_at)",
  );
  await mysql.query(
    "INSERT INTO rebuilds (epoch, round_id, holes, holes_minor, beyond, beyond_minor, left_count, left_minor, rebuilt_at) " +
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [epoch, round.round, holes.count, holes.amount, beyond.count, beyond.amount, left.count, left.amount, at],
  );

  function* rowsOf(...lists: (typeof plan.holes)[]): Generator<string> {
    for (const runs of lists) {
      for (const id of idsOf(runs))
        yield `(${id},${round.round},${pack.amountOf(id)},'${epoch}','burned','${at}')`;
    }
  }
}

/** All values are numbers or texts of ours. */
async function inserted(
  mysql: Connection,
  head: string,
  rows: Iterable<string>,
  tail: string,
): Promise<void> {
  let batch: string[] = [];
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await mysql.query(`${head} ${batch.join(",")} ${tail}`);
    batch = [];
  };
  for (const row of rows) {
    batch.push(row);
    if (batch.length >= burnPolicy.insertRowsMax) await flush();
  }
  await flush();
}

/**
 * A process that was frozen in the middle of a transaction holds its locks for as long as its connection lives. Connections
 * of ours that have said nothing for a while are ended; whose they were finds out, and asks again.
 */
async function endSleepers(mysql: Connection): Promise<void> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND command = 'Sleep' AND time >= ? AND id <> CONNECTION_ID()",
    [burnPolicy.lockWaitSeconds],
  );
  for (const row of rows) await mysql.query(`KILL ${Number(row["id"])}`).catch(() => undefined);
}
