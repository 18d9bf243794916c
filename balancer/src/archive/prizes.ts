/** The prizes of an archive: what was generated, and whether the revealed seeds draw just that. */
import { commitmentOf, drawRound, type PackManifest, type PackRange } from "@hongbao/preprocess";
import { ARCHIVE_TABLES, IdSet } from "@hongbao/bucket-service";
import { tableRows } from "./files.ts";
import type { Findings } from "./findings.ts";
import type { ArchiveManifest } from "./format.ts";

/** The amounts of all prizes, by ID. */
export interface Prizes {
  holds(id: number): boolean;
  /** Minor units; only of an ID that it holds. */
  amountOf(id: number): number;
}

const TABLE = ARCHIVE_TABLES.find(({ name }) => name === "prizes")!;

/** Reads the prizes of all buckets and holds them against the pack's ranges and budgets. Memory: 4 bytes a prize. */
export async function readPrizes(
  dir: string,
  manifest: ArchiveManifest,
  pack: PackManifest,
  findings: Findings,
): Promise<Prizes> {
  const { firstId, prizeCount } = pack;
  const amounts = new Uint32Array(prizeCount);
  const seen = new IdSet([{ lo: firstId, count: prizeCount }]);
  const kinds = new Map(pack.rounds.map(({ id, kind }) => [id, kind]));
  for (const { id: bucket } of manifest.buckets) {
    const ranges = pack.ranges.filter((range) => range.bucket === bucket && range.count > 0);
    let at = 0;
    for await (const [idText, roundText, kind, amountText] of tableRows(dir, manifest, bucket, TABLE)) {
      const id = Number(idText);
      while (at < ranges.length && id >= ranges[at]!.lo + ranges[at]!.count) at += 1;
      const range = ranges[at];
      if (
        range === undefined ||
        id < range.lo ||
        Number(roundText) !== range.round ||
        kind !== kinds.get(range.round)
      ) {
        findings.add(
          `bucket ${bucket}: prize ${idText} (round ${roundText}, ${kind}) was not generated for this bucket and round`,
        );
        continue;
      }
      amounts[id - firstId] = Number(amountText);
      seen.add(id);
    }
  }
  checkRanges(pack, amounts, seen, findings);
  return {
    holds: (id) => seen.has(id),
    amountOf: (id) => amounts[id - firstId]!,
  };
}

function checkRanges(pack: PackManifest, amounts: Uint32Array, seen: IdSet, findings: Findings): void {
  for (const { round, bucket, lo, count, amountMinor } of pack.ranges) {
    let [found, minor] = [0, 0];
    for (let id = lo; id < lo + count; id += 1) {
      if (!seen.has(id)) continue;
      found += 1;
      minor += amounts[id - pack.firstId]!;
    }
    if (found === count && minor === amountMinor) continue;
    findings.add(
      `round ${round}, bucket ${bucket}: found ${found} prizes worth ${minor}, generated were ${count} worth ${amountMinor}`,
    );
  }
}

export interface Seed {
  round: number;
  commitment: string;
  /** Hex, once it was revealed. */
  seed: string | null;
}

/** Draws each round whose seed was revealed again. Answers which rounds that were. */
export function checkDraws(
  pack: PackManifest,
  prizes: Prizes,
  seeds: readonly Seed[],
  findings: Findings,
): number[] {
  const drawn: number[] = [];
  for (const { round: id, commitment, seed } of seeds) {
    const round = pack.rounds.find((each) => each.id === id);
    if (round === undefined || round.commitment !== commitment) {
      findings.add(`seeds.json: round ${id} has another commitment than the pack`);
      continue;
    }
    if (seed === null) continue;
    const bytes = Buffer.from(seed, "hex");
    if (commitmentOf(bytes) !== commitment) {
      findings.add(`round ${id}: the seed in seeds.json is not the one that was committed to`);
      continue;
    }
    const ranges = pack.ranges.filter((range) => range.round === id);
    const wrong = firstOtherAmount(pack, id, ranges, bytes, prizes);
    if (wrong !== null) findings.add(`round ${id}: ${wrong}`);
    drawn.push(id);
  }
  return drawn;
}

function firstOtherAmount(
  pack: PackManifest,
  roundId: number,
  ranges: PackRange[],
  seed: Buffer,
  prizes: Prizes,
): string | null {
  const round = pack.rounds.find(({ id }) => id === roundId)!;
  const ids = idsOf(ranges);
  for (const { amounts } of drawRound(round, ranges, { buckets: pack.buckets }, seed, pack.greetings)) {
    for (const amount of amounts) {
      const id = ids.next().value as number;
      if (prizes.holds(id) && prizes.amountOf(id) !== amount)
        return `prize ${id} is worth ${prizes.amountOf(id)}, the revealed seed draws ${amount}`;
    }
  }
  return null;
}

function* idsOf(ranges: readonly PackRange[]): Generator<number> {
  for (const { lo, count } of ranges) for (let id = lo; id < lo + count; id += 1) yield id;
}
