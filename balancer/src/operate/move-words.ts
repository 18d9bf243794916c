/** What every look shows of prizes that move. Pure. */
import type { ControllerTransfer } from "./controllers.ts";

export const prizes = (count: number): string => (count === 1 ? "1 prize" : `${count} prizes`);

/** One transfer in words. */
export function transferLine(transfer: ControllerTransfer): string {
  const { n, kind, from, to, round, toRound, count, moved, state, trouble } = transfer;
  const isKnown = state !== "leaving";
  const what = isKnown ? prizes(moved) : count === null ? "what is left" : `up to ${prizes(count)}`;
  const way = kind === "lend" ? `round ${round}: ${from} -> ${to}` : `${from}: round ${round} -> ${toRound}`;
  const words = { leaving: `asking ${from}`, arriving: `arriving in ${to}`, done: "done" };
  return `transfer ${n}: ${what}, ${way}, ${words[state]}${trouble ? ` (waits: ${trouble})` : ""}`;
}

export function underWay(transfers: readonly ControllerTransfer[], round?: number): ControllerTransfer[] {
  return transfers.filter(
    (each) =>
      each.state !== "done" && (round === undefined || each.round === round || each.toRound === round),
  );
}

/** Prizes that nobody has at the moment, on their way to this round. */
export function movingTo(transfers: readonly ControllerTransfer[], round: number): number {
  return transfers
    .filter(({ state, toRound }) => state === "arriving" && toRound === round)
    .reduce((sum, { moved }) => sum + moved, 0);
}
