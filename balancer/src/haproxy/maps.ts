/**
 * The map files beside the configuration. HAProxy reads them when it starts; later changes go through its runtime
 * socket. Paths are relative to the directory that HAProxy runs in.
 *
 *   slots.map    slot                      → bucket          fixed by the topology
 *   rounds.map   path of a round's call    → live | over | switched   pushed; a round that is not here does not exist
 *   switches.map bucket                    → bucket | :busy | :ended   pushed; looked up for `switched` rounds (switched.ts)
 *   stocks.map   round/bucket              → stock number    pushed; only grows
 *   ended.map    round/bucket/stock/key    → ms since 1970   learned from answers; ended until then
 *
 * The stock number in ended.map's key is what makes old news harmless: stock that arrives has a new number, and no
 * `ended` of the old one is looked up any more. The key of the round stands there too, so that whoever asks with a
 * wrong one is still told `not_open` by the bucket.
 */
import type { Topology } from "@hongbao/preprocess";
import { bucketOfSlot, SLOTS } from "@hongbao/preprocess";

export const MAPS = Object.freeze({
  slots: "maps/slots.map",
  rounds: "maps/rounds.map",
  stocks: "maps/stocks.map",
  ended: "maps/ended.map",
  switches: "maps/switches.map",
});

export type RoundWord = "live" | "over" | "switched";

/** By path and not by number: whoever comes when all is over costs one look-up, and nothing is cut out of the path. */
export const grabPath = (round: number): string => `/v1/rounds/${round}/grab`;

/** What HAProxy has to know of the rounds. Stocks are keyed `round/bucket`. */
export interface RoundsView {
  rounds: Map<number, RoundWord>;
  stocks: Map<string, number>;
}

export function slotsMap(topology: Pick<Topology, "buckets">): string {
  const owners = bucketOfSlot(topology);
  return Array.from({ length: SLOTS }, (_, slot) => `${slot} ${topology.buckets[owners[slot]!]!.id}\n`).join(
    "",
  );
}

/** The two pushed maps as HAProxy's `show map` would list them. */
export function pushedMaps(view: RoundsView): Record<"rounds" | "stocks", Map<string, string>> {
  return {
    rounds: new Map(
      Array.from(view.rounds, ([round, word]): [string, RoundWord][] => [
        [grabPath(round), word],
        // What was won can be asked for after the end, too.
        [`/v1/rounds/${round}/result`, "live"],
      ]).flat(),
    ),
    stocks: new Map(Array.from(view.stocks, ([place, stock]) => [place, String(stock)])),
  };
}

export function mapText(entries: Map<string, string>): string {
  return Array.from(entries, ([key, value]) => `${key} ${value}\n`).join("");
}
