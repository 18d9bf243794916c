/** The check of a fair draw: anybody who has the pack and a round's revealed seed can make its amounts again. */
import type { Pack } from "./pack.ts";
import { drawRound } from "./pack-writer.ts";
import { commitmentOf } from "./random.ts";

export type FairVerdict =
  | { fair: true; prizes: number; amountMinor: number }
  /** What differs first. */
  | { fair: false; why: string; prizeId?: number };

/**
 * Holds a round of a pack against its seed. `committed`: what was published before the event (default: the pack's own
 * word). Memory does not grow with the prizes. Throws RangeError for a round that the pack does not have.
 */
export function checkFair(
  pack: Pack,
  roundId: number,
  seed: Buffer,
  committed?: string,
  onProgress?: (done: number) => void,
): FairVerdict {
  const { manifest } = pack;
  const round = manifest.rounds.find(({ id }) => id === roundId);
  if (round === undefined) throw new RangeError(`the pack has no round ${roundId}`);
  const commitment = commitmentOf(seed);
  if (round.commitment !== commitment)
    return { fair: false, why: `the seed's commitment is ${commitment}, the pack has ${round.commitment}` };
  if (committed !== undefined && committed !== commitment)
    return { fair: false, why: `the seed's commitment is ${commitment}, published was ${committed}` };
  const planned = manifest.ranges.filter((range) => range.round === roundId);
  const ids = planned.flatMap(({ lo, count }) => (count > 0 ? [{ lo, count }] : []));
  let range = 0;
  let offset = 0;
  let prizes = 0;
  let amountMinor = 0;
  for (const { amounts } of drawRound(
    round,
    planned,
    { buckets: manifest.buckets },
    seed,
    manifest.greetings,
  )) {
    for (const amount of amounts) {
      const prizeId = ids[range]!.lo + offset;
      const found = pack.amountOf(prizeId);
      if (found !== amount) {
        return { fair: false, why: `prize ${prizeId} is worth ${found}, the seed draws ${amount}`, prizeId };
      }
      prizes += 1;
      amountMinor += amount;
      offset += 1;
      if (offset === ids[range]!.count) [range, offset] = [range + 1, 0];
    }
    onProgress?.(prizes);
  }
  if (prizes !== round.count)
    return { fair: false, why: `the pack has ${prizes} prizes, the round ${round.count}` };
  return { fair: true, prizes, amountMinor };
}
