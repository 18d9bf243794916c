import type { Connection, RowDataPacket } from "mysql2/promise";
import type { BucketStore } from "../redis/scripts.ts";

/** Where a round's burned IDs stand at one moment. */
export interface BurnedBooks {
  /** Out of use: not issued, not left. */
  burned: Set<number>;
  /** On their way back to a user: MySQL may hold the claim, Redis does not count it yet. Part of `burned`. */
  restoring: Set<number>;
}

/** What changes with every restoration and every release, in both stores. */
export async function burnedVersion(mysql: Connection, store: BucketStore): Promise<string> {
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, state, COUNT(*) AS ids FROM burned GROUP BY round_id, state ORDER BY round_id, state",
  );
  const notes = await store.client.hgetall(store.keys.restores);
  return JSON.stringify([rows, Object.entries(notes).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** Reads the burned IDs by the round that they were burned in. */
export async function readBurned(mysql: Connection, store: BucketStore): Promise<Map<number, BurnedBooks>> {
  const notes = new Map(Object.entries(await store.client.hgetall(store.keys.restores)));
  const books = new Map<number, BurnedBooks>();
  const of = (round: number): BurnedBooks => {
    const found = books.get(round) ?? { burned: new Set(), restoring: new Set() };
    books.set(round, found);
    return found;
  };
  const [rows] = await mysql.query<RowDataPacket[]>(
    "SELECT prize_id, round_id, state FROM burned WHERE state <> 'released'",
  );
  for (const row of rows) {
    const [prizeId, round] = [row["prize_id"] as number, row["round_id"] as number];
    const isRestoring = notes.has(`restore:${prizeId}`);
    if (isRestoring) of(round).restoring.add(prizeId);
    if (isRestoring || row["state"] === "burned") of(round).burned.add(prizeId);
  }
  // Released in MySQL, and not yet stock in Redis: neither left nor issued.
  const [ranges] = await mysql.query<RowDataPacket[]>(
    "SELECT round_id, ordinal, lo, id_count FROM ranges WHERE origin = 'released'",
  );
  for (const row of ranges) {
    const round = row["round_id"] as number;
    if ((row["ordinal"] as number) <= Number(notes.get(`release:${round}`) ?? 0)) continue;
    for (let id = row["lo"] as number; id < (row["lo"] as number) + (row["id_count"] as number); id += 1)
      of(round).burned.add(id);
  }
  return books;
}
