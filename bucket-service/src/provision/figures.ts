import { crc32 } from "node:zlib";
import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";

/** Count, sum and a checksum of some prizes: equal figures mean equal rows. */
export interface Figures {
  count: number;
  amountMinor: number;
  /** Sum of the CRC-32 of each row's text: independent of order, and MySQL can make it too. */
  checksum: number;
}

/** A run of prize IDs of one round. */
export interface PrizeRun {
  round: number;
  kind: string;
  lo: number;
  count: number;
}

export function sameFigures(a: Figures, b: Figures): boolean {
  return a.count === b.count && a.amountMinor === b.amountMinor && a.checksum === b.checksum;
}

export function packFigures(pack: Pack, { round, kind, lo, count }: PrizeRun): Figures {
  let amountMinor = 0;
  let checksum = 0;
  const middle = `:${round}:${kind}:`;
  for (let id = lo; id < lo + count; id += 1) {
    const amount = pack.amountOf(id);
    amountMinor += amount;
    checksum += crc32(`${id}${middle}${amount}`);
  }
  return { count, amountMinor, checksum };
}

export async function tableFigures(mysql: Connection, { lo, count }: PrizeRun): Promise<Figures> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT COUNT(*) AS n, COALESCE(SUM(amount_minor), 0) AS amount, " +
      "COALESCE(SUM(CRC32(CONCAT(prize_id, ':', round_id, ':', kind, ':', amount_minor))), 0) AS checksum " +
      "FROM prizes WHERE prize_id >= ? AND prize_id < ?",
    [lo, lo + count],
  );
  const row = rows[0]!;
  return { count: Number(row["n"]), amountMinor: Number(row["amount"]), checksum: Number(row["checksum"]) };
}
