/** When what was seen of an opening, relative to the opening time: the answer to "did it open?" in the night. */
import { installationOf, holds, type World } from "./decide.ts";

export interface Marks {
  /** By bucket: times and key are in it. */
  openInMs: Record<string, number>;
  publishedMs: number | null;
  firstWinMs: number | null;
}

export class RoundMarks {
  readonly #marks = new Map<number, Marks>();

  of(round: number): Marks {
    return this.#marks.get(round) ?? { openInMs: {}, publishedMs: null, firstWinMs: null };
  }

  look(world: World): void {
    if (world.nowMs === null) return;
    for (const [round, record] of world.records) {
      if (record.state !== "open" || record.opensAtMs === null) continue;
      const sinceMs = Math.max(0, Math.round(world.nowMs - record.opensAtMs));
      const marks = this.of(round);
      this.#marks.set(round, marks);
      const installation = installationOf(record, world.keys.get(round) ?? null);
      for (const bucket of world.buckets) {
        const seen = bucket.rounds.get(round);
        if (seen === undefined || installation === null || !bucket.reachable) continue;
        if (holds(seen, installation)) marks.openInMs[bucket.id] ??= sinceMs;
        if (seen.issued > 0) marks.firstWinMs ??= sinceMs;
      }
      if (record.published) marks.publishedMs ??= sinceMs;
    }
  }
}
