/** What is played with: a small pack, what its prizes are worth, rounds as a load makes them. */
import { unpackEntry } from "../../../bucket-service/src/persist/journal.ts";
import { manifestOf } from "../conductor/model.ts";
import type { ModelPack } from "./mysql-model.ts";
import type { RoundModel } from "./redis-model.ts";

export const START_MS = 1_000_000;

export function freshRound(lo: number, count: number): RoundModel {
  const round = { v: 1, opensAtMs: null, closesAtMs: null, key: null, stock: 1, lo, left: count, ranges: [] };
  return { ...round, issued: 0, final: null, dryAtMs: null, claims: new Map() };
}

/** One prize is worth 100 and something that tells it from its neighbours. */
export const worth = (id: number): number => 100 + (id % 7);

const packs = new Map<string, ModelPack>();

export function packOf(rounds: readonly number[], buckets: number, prizes: number): ModelPack {
  const key = `${rounds.join()} ${buckets} ${prizes}`;
  const known = packs.get(key);
  if (known !== undefined) return known;
  const manifest = manifestOf([...rounds], "next");
  let lo = 1_000_001;
  manifest.ranges = [];
  for (const round of rounds) {
    for (let index = 0; index < buckets; index += 1) {
      const amountMinor = Array.from({ length: prizes }, (_, at) => worth(lo + at)).reduce(
        (a, b) => a + b,
        0,
      );
      manifest.ranges.push({ round, bucket: `b${index}`, lo, count: prizes, amountMinor });
      lo += prizes;
    }
  }
  manifest.firstId = 1_000_001;
  manifest.prizeCount = lo - manifest.firstId;
  manifest.event.budgetMinor = manifest.ranges.reduce((sum, { amountMinor }) => sum + amountMinor, 0);
  const end = lo;
  const pack: ModelPack = { manifest, amountOf: worth, holds: (id) => id >= manifest.firstId && id < end };
  packs.set(key, pack);
  return pack;
}

/** The claims of a journal entry, priced. */
export function claimsOfEntry(packed: string): ReturnType<typeof priced>[] {
  return unpackEntry(packed).map(priced);
}

function priced({ prizeId, round, user, n, claimedAtMs }: ReturnType<typeof unpackEntry>[number]) {
  return { prizeId, round, user, n, amountMinor: worth(prizeId), atMs: claimedAtMs };
}
