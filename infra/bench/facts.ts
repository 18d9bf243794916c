/** What a bench has measured; everything that was not asked for is missing. */
import type { Series } from "./measure/sample.ts";
import { median } from "./measure/medians.ts";
import type { HandshakeFacts } from "./phases/handshakes.ts";
import type { PackFacts } from "./phases/pack.ts";
import type { PayoutFacts } from "./phases/payout.ts";
import type { PersistFacts } from "./phases/persist.ts";
import type { SellOutFacts } from "./phases/sell-out.ts";

export interface Facts {
  series: Map<string, Series>;
  sellOut?: SellOutFacts;
  persist?: PersistFacts;
  payout?: PayoutFacts;
  handshakes?: HandshakeFacts;
  pack?: PackFacts;
  /** What is wrong with the whole, such as an audit that found something. */
  faults: string[];
}

/** The unit of this machine: what nginx needs for a constant answer where the targets were set. */
const FLOOR_US = 10;

/** How much slower than that this machine is in this run; 1 when the floor was not measured. */
export function slowness(facts: Facts): number {
  const samples = facts.series.get("floor-nginx")?.samples ?? [];
  return samples.length === 0 ? 1 : median(samples.map(({ cpuUs }) => cpuUs["nginx"]!)) / FLOOR_US;
}
