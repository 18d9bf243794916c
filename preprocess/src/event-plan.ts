/** What an event is, once its file was read and checked. */
import type { TimeExpression } from "./times.ts";

/** A text that people read, in both languages. */
export interface Titles {
  zh: string;
  en: string;
}

/** How a round's budget is cut into amounts; all of them in minor units. Items have no amounts. */
export type Split =
  | { method: "none" }
  | { method: "equal" }
  | { method: "lucky"; minMinor: number; maxMinor: number }
  | { method: "normal"; minMinor: number; maxMinor: number; deviationMinor: number }
  | { method: "tiers"; tiers: { amountMinor: number; count: number }[] };

export interface RoundPlan {
  /** 1 to 99. */
  id: number;
  kind: "envelope" | "item";
  title?: Titles;
  opensAt: TimeExpression;
  closesAt: TimeExpression;
  count: number;
  /** 0 for items: their price is apart. */
  budgetMinor: number;
  split: Split;
  perUser: number;
  /** Who may take part; null for everyone. */
  groups: string[] | null;
  leftovers: "next" | "hold";
  item?: { sku: string; title: Titles; priceMinor: number };
  /** Order gate of an item round: how many requests of a process may be on their way to Redis. */
  gate?: number;
  /** Over how long clients spread their first grab after the opening. */
  spreadMs: number;
}

export interface EventPlan {
  /** The file it was read from. */
  path: string;
  id: string;
  title: Titles;
  currency: string;
  timezone: string;
  budgetMinor: number;
  usersPath: string;
  /** Null when the event has no greetings. */
  greetingsPath: string | null;
  ack: "journal" | "database";
  /** At most so many claims of a bucket wait for MySQL. */
  journalMax: number;
  rounds: RoundPlan[];
}

/** One prize is at most this much, because a pack holds amounts in 32 bits. */
export const AMOUNT_MINOR_MAX = 0xffff_ffff;
/** Prizes of one event: far below 2^53, and a file of amounts below 8 GB. */
export const PRIZES_MAX = 2_000_000_000;
