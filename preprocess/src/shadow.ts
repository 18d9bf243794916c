/**
 * The shadow of an event: one round that goes the whole way of a real one and is worth nothing. It has an event of its own, with
 * its own database, Redis keys and control records, so that wiping it touches nothing else. Every process derives it from the
 * pack that it has; no file is sent. Pure.
 *
 * What keeps its wins from ever being paid: its prizes are worth 0.00, its IDs lie beyond the pack's, its database is one that
 * no payout process opens, and payout refuses a pack of its name (bucket-service/src/payout/payout.ts).
 */
import { z } from "zod";
import { BadInput } from "./errors.ts";
import {
  canonicalJson,
  sha256Hex,
  type PackManifest,
  type PackRange,
  type PackRound,
} from "./pack-format.ts";
import type { Pack } from "./pack.ts";
import { shareOut } from "./ranges.ts";

/** Longer than any event's ID may be (32), so that no event can ever have it. */
export const SHADOW_EVENT = "shadow-of-a-rehearsal-it-never-pays";

const PRIZES_MAX = 10_000_000;

export const shadowSpecSchema = z.strictObject({
  /** Names one rehearsal: another one has other keys, receipts and records. */
  run: z.string().regex(/^[0-9a-f]{16}$/),
  /** The round whose rules it has. */
  like: z.int().min(1).max(99),
  /** Prizes. */
  count: z.int().min(1).max(PRIZES_MAX),
});
export type ShadowSpec = z.infer<typeof shadowSpecSchema>;

/** The number under which the shadow round is asked for: the highest that the event has not. Throws BadInput. */
export function shadowRoundId({ rounds }: Pick<PackManifest, "rounds">): number {
  for (let id = 99; id >= 1; id -= 1) if (!rounds.some((round) => round.id === id)) return id;
  throw new BadInput("shadow: the event has 99 rounds, expected a number that is free for the rehearsal");
}

/** Throws BadInput when the event has no round `like`. */
export function shadowPack(pack: Pack, spec: ShadowSpec): Pack {
  const { manifest } = pack;
  const like = manifest.rounds.find(({ id }) => id === spec.like);
  if (like === undefined) {
    const known = manifest.rounds.map(({ id }) => id).join(", ");
    throw new BadInput(`shadow: found round ${spec.like}, expected one of ${known}`);
  }
  const id = shadowRoundId(manifest);
  const firstId = pack.firstId + pack.prizeCount;
  const shadow = shadowManifest(manifest, shadowRound(like, id, spec.count), firstId);
  const { ranges } = shadow;
  const rangeOf = (prize: number): PackRange => {
    const found = ranges.find(({ lo, count }) => prize >= lo && prize < lo + count);
    if (found) return found;
    throw new RangeError(
      `prize ${prize} is not one of the shadow's (${firstId} to ${firstId + spec.count - 1})`,
    );
  };
  return {
    dir: pack.dir,
    digest: sha256Hex(canonicalJson({ of: pack.digest, ...spec })),
    manifest: shadow,
    firstId,
    prizeCount: spec.count,
    holds: (prize) => Number.isInteger(prize) && prize >= firstId && prize < firstId + spec.count,
    amountOf: (prize) => (rangeOf(prize), 0),
    greetingOf: (prize) => (rangeOf(prize), ""),
    roundOf: (prize) => rangeOf(prize).round,
    originOf: (prize) => ({ round: id, bucket: rangeOf(prize).bucket }),
    verifyFiles: () => pack.verifyFiles(),
    // The pack that it is the shadow of is somebody else's to close.
    close: () => undefined,
  };
}

function shadowRound(like: PackRound, id: number, count: number): PackRound {
  return {
    ...like,
    id,
    count,
    budgetMinor: 0,
    split: { method: "none" },
    // Nothing of it may go anywhere, and nothing of anybody's comes to it.
    leftovers: "hold",
    title: { zh: "彩排", en: "Rehearsal" },
    commitment: "",
  };
}

function shadowManifest(manifest: PackManifest, round: PackRound, firstId: number): PackManifest {
  const shares = shareOut(
    round.count,
    manifest.buckets.map(({ users }) => users),
  );
  let lo = firstId;
  const ranges = manifest.buckets.map(({ id }, index): PackRange => {
    const count = shares[index]!;
    lo += count;
    return { round: round.id, bucket: id, lo: lo - count, count, amountMinor: 0 };
  });
  return {
    ...manifest,
    event: { ...manifest.event, id: SHADOW_EVENT, budgetMinor: 0 },
    rounds: [round],
    ranges,
    firstId,
    prizeCount: round.count,
  };
}
