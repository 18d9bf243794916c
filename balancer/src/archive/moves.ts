/** Which prizes a bucket might give in a round, by the moves and burned IDs of an archive. */
import type { PackManifest, PackRound } from "@hongbao/preprocess";
import {
  ARCHIVE_TABLES,
  balanceOf,
  countOf,
  IdSet,
  runWith,
  worthOf,
  type AuditMove,
  type Run,
  type Sum,
} from "@hongbao/bucket-service";
import { tableRows } from "./files.ts";
import type { Findings } from "./findings.ts";
import type { ArchiveManifest } from "./format.ts";
import type { Prizes } from "./prizes.ts";

const table = (name: string) => ARCHIVE_TABLES.find((each) => each.name === name)!;

/** The moves of one bucket between buckets and rounds, as the audit has them. Their worth is held against the prizes. */
export async function readMoves(
  dir: string,
  manifest: ArchiveManifest,
  bucket: string,
  prizes: Prizes,
  findings: Findings,
): Promise<AuditMove[]> {
  const moves: (AuditMove & { runs: Run[] })[] = [];
  for await (const row of tableRows(dir, manifest, bucket, table("range_moves"))) {
    const [id, direction, , kind, round, peerBucket, peerRound, lo, count, amount] = row;
    const run = { lo: Number(lo), count: Number(count) };
    const worth = worthIn(prizes, [run]);
    if (worth !== Number(amount))
      findings.add(`bucket ${bucket}: move ${id} is written down as worth ${amount}, generated was ${worth}`);
    if (kind === "release") continue;
    const last = moves.at(-1);
    if (last !== undefined && last.id === id && last.direction === direction) {
      last.runs.push(run);
      last.count += run.count;
      last.amount += worth;
      continue;
    }
    moves.push({
      id,
      bucket,
      kind: kind as AuditMove["kind"],
      direction: direction as AuditMove["direction"],
      round: Number(round),
      peerBucket,
      peerRound: Number(peerRound),
      runs: [run],
      count: run.count,
      amount: worth,
    });
  }
  return moves;
}

/** The IDs that are burned now, by round. */
export async function readBurned(
  dir: string,
  manifest: ArchiveManifest,
  bucket: string,
): Promise<Map<number, Run[]>> {
  const rounds = new Map<number, Run[]>();
  for await (const [id, roundText, , , state] of tableRows(dir, manifest, bucket, table("burned"))) {
    if (state !== "burned") continue;
    const round = Number(roundText);
    const runs = rounds.get(round) ?? [];
    rounds.set(round, runs);
    runs.push({ lo: Number(id), count: 1 });
  }
  return rounds;
}

/** What one bucket owned of one round in the end, and what of it was won. */
export class OwnedPrizes {
  readonly generated: Run;
  readonly claimed: IdSet;
  readonly #prizes: Prizes;
  readonly #moves: readonly AuditMove[];
  readonly #burned: Run[];
  /** Neither gone nor burned. */
  readonly #available: Run[];

  constructor(parts: {
    pack: PackManifest;
    bucket: string;
    round: PackRound;
    moves: readonly AuditMove[];
    burned: readonly Run[];
    prizes: Prizes;
    findings: Findings;
  }) {
    const { pack, bucket, round, burned, prizes, findings } = parts;
    const range = pack.ranges.find((each) => each.bucket === bucket && each.round === round.id);
    this.#prizes = prizes;
    this.#moves = parts.moves.filter((move) => move.round === round.id);
    this.generated = { lo: range?.lo ?? 0, count: range?.count ?? 0 };
    const ones = (levels: (Run & { level: number })[], fault: string): Run[] => {
      for (const { lo, count, level } of levels) {
        if (level !== 1)
          findings.add(`round ${round.id}, bucket ${bucket}: prizes ${lo} to ${lo + count - 1} ${fault}`);
      }
      return levels.filter(({ level }) => level === 1);
    };
    const came = [this.generated, ...this.#runs("in")].filter(({ count }) => count > 0);
    const owned = ones(
      balanceOf(came, this.#runs("out")),
      "came more than once, or left without having been there",
    );
    this.#burned = balanceOf(burned, []);
    this.#available = ones(balanceOf(owned, this.#burned), "are burned without having been there");
    this.claimed = new IdSet(this.#available);
  }

  /** Whether it might be given here. */
  covers(id: number): boolean {
    return runWith(this.#available, id) >= 0;
  }

  figures(): Record<
    "generated" | "borrowed" | "rolledIn" | "lentOut" | "rolledOut" | "burned" | "claimed" | "left",
    Sum
  > {
    const claimed = { count: 0, amount: 0 };
    for (const id of this.claimed) {
      claimed.count += 1;
      claimed.amount += this.#prizes.amountOf(id);
    }
    const available = this.#worth(this.#available);
    return {
      generated: this.#worth([this.generated]),
      borrowed: this.#worth(this.#runs("in", "lend")),
      rolledIn: this.#worth(this.#runs("in", "roll")),
      lentOut: this.#worth(this.#runs("out", "lend")),
      rolledOut: this.#worth(this.#runs("out", "roll")),
      burned: this.#worth(this.#burned),
      claimed,
      left: { count: available.count - claimed.count, amount: available.amount - claimed.amount },
    };
  }

  #runs(direction: AuditMove["direction"], kind?: AuditMove["kind"]): Run[] {
    return this.#moves
      .filter((move) => move.direction === direction && (kind === undefined || move.kind === kind))
      .flatMap(({ runs }) => [...runs]);
  }

  #worth(runs: readonly Run[]): Sum {
    return { count: countOf(runs), amount: worthIn(this.#prizes, runs) };
  }
}

function worthIn(prizes: Prizes, runs: readonly Run[]): number {
  return worthOf(runs, (id) => (prizes.holds(id) ? prizes.amountOf(id) : 0));
}
