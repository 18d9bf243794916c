/**
 * What HAProxy is told of the rounds, out of what the controllers say: a pure function.
 *
 * Stock numbers only grow. `over` is believed only of a controller that knows the newest stock of every bucket, so a
 * controller that was frozen, or answers late, cannot end a round again to which stock has come since. While no
 * controller answers, the last word stands.
 */
import { SHADOW_EVENT, switchSetSchema } from "@hongbao/preprocess";
import { z } from "zod";
import type { RoundsView, RoundWord } from "./maps.ts";

const fields = {
  event: z.string(),
  /** Names one control store: another one means that the event was loaded anew, and nothing known before counts. */
  epoch: z.string(),
  rounds: z.array(
    z.object({
      id: z.int().min(1).max(99),
      known: z.boolean(),
      over: z.boolean(),
      stocks: z.record(z.string(), z.int().min(0)),
    }),
  ),
};

const newsSchema = z.object({
  ...fields,
  /** A set that this balancer does not understand must not keep it from the rest. */
  switches: switchSetSchema.optional().catch(undefined),
  /** Of a rehearsal, while there is one: the same news of its own event. */
  shadow: z.object(fields).optional().catch(undefined),
});

/** The answer of a controller's `GET /admin/balancer`. */
export type BalancerNews = z.infer<typeof newsSchema>;

/** What was learned so far; also the form of the copy on disk. */
export interface KnownRounds {
  event: string;
  epoch: string;
  rounds: { id: number; over: boolean; stocks: Record<string, number> }[];
}

/** Null when it is not such an answer. */
export function readNews(value: unknown): BalancerNews | null {
  return newsSchema.safeParse(value).data ?? null;
}

/** The copy on disk, or null when it is damaged or of another event. */
export function readKnown(text: string, event: string | null): KnownRounds | null {
  try {
    const value = JSON.parse(text) as Partial<KnownRounds>;
    const rounds = value.rounds?.map((round) => ({ ...round, known: true }));
    const news = readNews({ ...value, rounds });
    if (news === null || (event !== null && news.event !== event)) return null;
    return { event: news.event, epoch: news.epoch, rounds: news.rounds.map(withoutKnown) };
  } catch {
    return null;
  }
}

/**
 * The rehearsal's round, as those controllers tell it that were heard just now; null when none does. It is never kept on disk: a
 * HAProxy that starts is told again.
 */
export function mergeShadow(known: KnownRounds | null, answers: BalancerNews[]): KnownRounds | null {
  const told = answers.flatMap(({ shadow }) => shadow ?? []);
  return told.length === 0 ? null : mergeNews(known, told, SHADOW_EVENT);
}

/** A view with the rehearsal's rounds beside the event's, which they never replace. */
export function withShadow(view: RoundsView, shadow: KnownRounds | null, live: RoundWord): RoundsView {
  for (const { id, over, stocks } of shadow?.rounds ?? []) {
    if (view.rounds.has(id)) continue;
    view.rounds.set(id, over ? "over" : live);
    for (const [bucket, stock] of Object.entries(stocks)) view.stocks.set(`${id}/${bucket}`, stock);
  }
  return view;
}

function withoutKnown({ id, over, stocks }: BalancerNews["rounds"][number]): KnownRounds["rounds"][number] {
  return { id, over, stocks };
}

/** `event` is the pack's, when there is a pack to ask. */
export function mergeNews(
  known: KnownRounds | null,
  answers: BalancerNews[],
  event: string | null,
): KnownRounds | null {
  const ours = answers.filter((answer) => event === null || answer.event === event);
  const epoch = ours.some((answer) => answer.epoch === known?.epoch) ? known!.epoch : ours[0]?.epoch;
  if (epoch === undefined) return known;
  const news = ours.filter((answer) => answer.epoch === epoch);
  const before = known?.epoch === epoch ? known.rounds : [];
  const told = news.flatMap(({ rounds }) => rounds.filter(({ known }) => known));
  const ids = [...new Set([...before, ...told].map(({ id }) => id))].sort((a, b) => a - b);
  const rounds = ids.map((id) => {
    const said = told.filter((round) => round.id === id);
    const stocks = newest(
      [...before.filter((round) => round.id === id), ...said].map(({ stocks }) => stocks),
    );
    const over = said.some((round) => round.over && sameStocks(round.stocks, stocks));
    return { id, over, stocks };
  });
  return { event: news[0]!.event, epoch, rounds };
}

function newest(all: Record<string, number>[]): Record<string, number> {
  const stocks: Record<string, number> = {};
  for (const [bucket, stock] of all.flatMap((each) => Object.entries(each))) {
    stocks[bucket] = Math.max(stocks[bucket] ?? 0, stock);
  }
  return Object.fromEntries(Object.entries(stocks).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sameStocks(a: Record<string, number>, b: Record<string, number>): boolean {
  const buckets = Object.keys(b);
  return Object.keys(a).length === buckets.length && buckets.every((bucket) => a[bucket] === b[bucket]);
}

/**
 * The maps' content. `rounds` are the pack's: a round exists as soon as the pack says so. A HAProxy that knows neither
 * pack nor controllers lets every possible round through; the services know better.
 * @param live what a round that is not over is; another word while a switch is set.
 */
export function roundsView(
  known: KnownRounds | null,
  rounds: number[] | null,
  live: RoundWord = "live",
): RoundsView {
  const all = Array.from({ length: 99 }, (_, index) => index + 1);
  const view: RoundsView = { rounds: new Map(), stocks: new Map() };
  for (const id of rounds ?? (known === null ? all : [])) view.rounds.set(id, live);
  for (const { id, over, stocks } of known?.rounds ?? []) {
    if (rounds !== null && !rounds.includes(id)) continue;
    view.rounds.set(id, over ? "over" : live);
    for (const [bucket, stock] of Object.entries(stocks)) view.stocks.set(`${id}/${bucket}`, stock);
  }
  return view;
}
