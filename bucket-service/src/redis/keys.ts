/** Where everything of one bucket stands in its Redis. One hash tag for all keys, so that a cluster-mode server runs our scripts. */
export interface BucketKeys {
  /** Hash: event, pack, epoch, seq, acked; generation and fence after a rebuild or a doubt. */
  readonly meta: string;
  /** Stream: packed entries of claims that wait for MySQL. */
  readonly journal: string;
  /** Channel: an entry ID of the journal, everything before which is in MySQL. */
  readonly committed: string;
  /** Hash: what left and entered by moves, see moves/note.ts. */
  readonly moves: string;
  /** Hash: "restore:prize" → round and claim field of a win that is being brought back, `done` when it is. */
  readonly restores: string;
  /** Hash of one round: v, opensAt, closesAt, key, stock, lo, issued, perUser; final and dryAt once it was empty. */
  round(round: number): string;
  /** Counter: IDs left in the round's current range. */
  left(round: number): string;
  /** List: ranges ("lo:count") that are used after the current one. */
  ranges(round: number): string;
  /** Hash: claim field (see claimField) → prize ID. */
  claims(round: number): string;
}

/** The consumer group that persist processes share on the journal. */
export const JOURNAL_GROUP = "persist";

export function bucketKeys(event: string, bucket: string): BucketKeys {
  const tag = `{hongbao:${event}:${bucket}}`;
  return {
    meta: `${tag}:meta`,
    journal: `${tag}:journal`,
    committed: `${tag}:committed`,
    moves: `${tag}:moves`,
    restores: `${tag}:restores`,
    round: (round) => `${tag}:round:${round}`,
    left: (round) => `${tag}:left:${round}`,
    ranges: (round) => `${tag}:ranges:${round}`,
    claims: (round) => `${tag}:claims:${round}`,
  };
}

/**
 * The name of a user's n-th claim in a round: the user ID alone for the first, `user#n` for later ones.
 * `#` and the space that separates fields in the journal are not in the alphabet of user IDs.
 */
export function claimField(user: string, n: number): string {
  return n === 1 ? user : `${user}#${n}`;
}

/** The inverse of claimField. */
export function parseClaimField(field: string): { user: string; n: number } {
  const hash = field.indexOf("#");
  return hash < 0 ? { user: field, n: 1 } : { user: field.slice(0, hash), n: Number(field.slice(hash + 1)) };
}
