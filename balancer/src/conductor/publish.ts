/** The two files that the world reads: the schedule and the start files. Pure. */
import type { PackManifest, PackRound } from "@hongbao/preprocess";
import type { RoundRecord } from "./records.ts";

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** Null as long as one round has no record: half a schedule would be taken for a whole one. */
export function roundsJson(
  manifest: PackManifest,
  records: Map<number, RoundRecord>,
  nowMs: number,
): string | null {
  if (manifest.rounds.some(({ id }) => !records.has(id))) return null;
  const { id, title, currency } = manifest.event;
  return JSON.stringify({
    event: id,
    title,
    currency,
    serverTime: iso(nowMs),
    rounds: manifest.rounds.map((round) => publicRound(round, records.get(round.id)!, title)),
  });
}

function publicRound(round: PackRound, record: RoundRecord, eventTitle: unknown): Record<string, unknown> {
  const { id, kind, title, item, count, perUser, spreadMs, commitment } = round;
  return {
    id,
    kind,
    title: title ?? item?.title ?? eventTitle,
    opensAt: iso(record.opensAtMs),
    closesAt: iso(record.closesAtMs),
    state: record.state,
    count,
    perUser,
    spreadMs,
    commitment,
    ...(record.seed === undefined ? {} : { seed: record.seed }),
    ...(item === undefined ? {} : { item: { sku: item.sku, title: item.title, price: item.priceMinor } }),
  };
}

/** `hongbaoStart({...});`: a script, so that any edge can hold it and no browser asks for permission. */
export function startFile(record: RoundRecord, key: string | null, nowMs: number): string {
  const { round, opensAtMs, closesAtMs, published } = record;
  const fields = {
    round,
    key: published ? key : null,
    opensAt: iso(opensAtMs),
    closesAt: iso(closesAtMs),
    serverTime: iso(nowMs),
  };
  return `hongbaoStart(${JSON.stringify(fields)});`;
}
