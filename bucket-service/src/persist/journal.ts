import { parseClaimField } from "../redis/keys.ts";

/** "Prize P went to user U in round R as their n-th", at a time of the bucket's Redis (ms since 1970). */
export interface JournalClaim {
  prizeId: number;
  round: number;
  user: string;
  n: number;
  claimedAtMs: number;
}

/**
 * Unpacks a journal entry as lua/grab.lua writes it: `round atMs highestId count field field …`; the fields' prize IDs run
 * down from highestId. Errors: a plain Error that shows the start of an entry that is not of this form.
 */
export function unpackEntry(packed: string): JournalClaim[] {
  const [round, claimedAtMs, high, count, ...fields] = packed.split(" ");
  const numbers = [round, claimedAtMs, high, count].map(Number);
  if (!numbers.every(isPositive) || fields.length !== numbers[3]) throw damaged(packed);
  return fields.map((field, index) => {
    const { user, n } = parseClaimField(field);
    const prizeId = numbers[2]! - index;
    if (!isPositive(n) || !isPositive(prizeId)) throw damaged(packed);
    return { prizeId, round: numbers[0]!, user, n, claimedAtMs: numbers[1]! };
  });
}

function isPositive(number: number): boolean {
  return Number.isSafeInteger(number) && number > 0;
}

function damaged(packed: string): Error {
  return new Error(
    `journal entry is damaged: found "${packed.slice(0, 60)}", expected "round ms id count field …"`,
  );
}

/** Stream IDs are `ms-sequence`; negative when a is before b. */
export function compareEntryIds(a: string, b: string): number {
  const [aMs, aSeq] = a.split("-").map(Number);
  const [bMs, bSeq] = b.split("-").map(Number);
  return aMs! - bMs! || aSeq! - bSeq!;
}
