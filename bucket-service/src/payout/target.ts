/** Where payouts go. One small interface; the way in which a target keeps "exactly once" differs, and so do its two kinds. */
import type { Connection } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import { bookCredits, bookedAlready, bookOrders } from "../mysql/ledger.ts";

/** One payout as a target hears of it. */
export interface PayoutOrder {
  /** Event and prize ID: the same at every attempt, and of nothing else. */
  key: string;
  event: string;
  round: number;
  prizeId: number;
  user: string;
  currency: string;
  amountMinor: number;
  /** Set in item rounds; the amount is 0 then. */
  item?: { sku: string; priceMinor: number };
}

/**
 * paid: it is done, now or at an earlier attempt. accepted: it was taken; ask later whether it is done. retry: not known, or not
 * now. refused: never. unknown: of confirm() only, the target has never heard of it.
 */
export type Outcome =
  | { kind: "paid" }
  | { kind: "accepted" }
  | { kind: "retry"; reason: string }
  | { kind: "refused"; reason: string }
  | { kind: "unknown" };

/** In the bucket's own MySQL: part of the transaction that says "paid", so there is nothing to confirm. */
export interface InsideTarget {
  kind: "inside";
  name: "ledger";
  /** Errors: those of MySQL; the caller's transaction is over then. */
  pay(connection: Connection, orders: readonly PayoutOrder[]): Promise<void>;
  /** Which of these prizes it has paid already: asked after pay() found one. */
  paidAlready(connection: Connection, prizeIds: readonly number[]): Promise<Set<number>>;
}

/** Behind a network: asked with an idempotency key until it is known what became of it. */
export interface OutsideTarget {
  kind: "outside";
  name: "wallet" | "orders";
  /** Neither rejects. */
  send(order: PayoutOrder): Promise<Outcome>;
  confirm(order: PayoutOrder): Promise<Outcome>;
}

export type PayoutTarget = InsideTarget | OutsideTarget;

/** The default: a ledger for money, an order book for items. */
export const builtInLedger: InsideTarget = {
  kind: "inside",
  name: "ledger",
  paidAlready: bookedAlready,
  async pay(connection, orders) {
    await bookCredits(
      connection,
      orders.filter(({ item }) => item === undefined),
    );
    await bookOrders(
      connection,
      orders.flatMap(({ item, ...order }) => (item === undefined ? [] : [{ ...order, ...item }])),
    );
  },
};

/** The idempotency key of a prize: the alphabets of event IDs and numbers have no colon. */
export function payoutKey(event: string, prizeId: number): string {
  return `${event}:${prizeId}`;
}

/** Makes orders of an event's claims. */
export function orderMaker(
  pack: Pick<Pack, "manifest">,
): (claim: { prizeId: number; round: number; user: string; amountMinor: number }) => PayoutOrder {
  const { event, rounds } = pack.manifest;
  const items = new Map(rounds.flatMap(({ id, item }) => (item === undefined ? [] : [[id, item] as const])));
  return ({ prizeId, round, user, amountMinor }) => {
    const item = items.get(round);
    return {
      key: payoutKey(event.id, prizeId),
      event: event.id,
      round,
      prizeId,
      user,
      currency: event.currency,
      amountMinor,
      ...(item === undefined ? {} : { item: { sku: item.sku, priceMinor: item.priceMinor } }),
    };
  };
}
