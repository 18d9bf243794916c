import type { Pack, Secrets, Topology } from "@hongbao/preprocess";
import { withBucket } from "../stores.ts";
import { burnedNow } from "../rebuild/release.ts";
import { countOf } from "../moves/runs.ts";
import { leftOf } from "../redis/scripts.ts";
import { packFigures, sameFigures, tableFigures } from "./figures.ts";

export interface VerifyReport {
  ok: boolean;
  pack: string;
  checked: { bucket: string; round: number; prizes: number; amountMinor: number; left: number }[];
  /** One sentence each: where, what was found, what was expected. */
  problems: string[];
}

/**
 * Holds pack, MySQL and Redis of every bucket against each other: prizes by count, sum and checksum, ranges, loads.
 * Changes nothing. Errors: Unreachable; BadInput when a file of the pack is damaged.
 */
export async function verifyPack(pack: Pack, topology: Topology, secrets: Secrets): Promise<VerifyReport> {
  pack.verifyFiles();
  const report: VerifyReport = { ok: true, pack: pack.digest, checked: [], problems: [] };
  for (const bucket of topology.buckets) {
    await withBucket({ pack, bucket, secrets, name: "verify" }, async ({ mysql, store, record }) => {
      const problem = (text: string): void => void report.problems.push(`bucket ${bucket.id}: ${text}`);
      if (record.pack !== pack.digest) {
        return problem(`MySQL was loaded from pack ${record.pack || "none"}, expected ${pack.digest}`);
      }
      const { state, moves } = await store.cut();
      if (state.epoch === "") return problem("Redis is empty, expected the load that MySQL has");
      if (state.pack !== pack.digest || state.epoch !== record.epoch) {
        return problem(
          `Redis is of pack ${state.pack}, load ${state.epoch}; expected pack ${pack.digest}, load ${record.epoch}`,
        );
      }
      const burned = await burnedNow(mysql);
      for (const range of pack.manifest.ranges.filter((candidate) => candidate.bucket === bucket.id)) {
        const kind = pack.manifest.rounds.find(({ id }) => id === range.round)!.kind;
        const expected = packFigures(pack, { ...range, kind });
        const found = await tableFigures(mysql, { ...range, kind });
        if (!sameFigures(found, expected)) {
          problem(
            `round ${range.round}: MySQL holds ${found.count} prizes worth ${found.amountMinor} (checksum ${found.checksum}), ` +
              `expected ${expected.count} worth ${expected.amountMinor} (checksum ${expected.checksum})`,
          );
        }
        const round = state.rounds.find((candidate) => candidate.round === range.round);
        if (round === undefined) {
          problem(`round ${range.round}: missing in Redis`);
          continue;
        }
        const left = leftOf(round);
        const ofRound = moves.filter((note) => note.round === range.round && note.kind !== "release");
        const moved = ofRound.reduce(
          (sum, { direction, runs }) => sum + (direction === "in" ? 1 : -1) * countOf(runs),
          0,
        );
        const out = burned.find((each) => each.round === range.round)?.count ?? 0;
        if (left + round.issued + out !== range.count + moved) {
          problem(
            `round ${range.round}: Redis has ${left} left and ${round.issued} issued, MySQL ${out} burned; expected ${range.count + moved} in all`,
          );
        }
        const isFresh = ofRound.length === 0 && round.issued + out === 0;
        if (isFresh && range.count > 0 && round.lo !== range.lo) {
          problem(`round ${range.round}: Redis issues from ${round.lo}, expected ${range.lo}`);
        }
        report.checked.push({
          bucket: bucket.id,
          round: range.round,
          prizes: found.count,
          amountMinor: found.amountMinor,
          left,
        });
      }
    });
  }
  report.ok = report.problems.length === 0;
  return report;
}
