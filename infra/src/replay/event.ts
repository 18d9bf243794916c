/**
 * The event of the article: 150,000 staff, three rounds, two of 100,000 envelopes and one of 100 units of an item.
 * The times are stand-ins: each round is moved to a few seconds ahead when its turn has come.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runHongbao } from "../cluster/hongbao.ts";
import type { Places } from "../cluster/places.ts";

export interface ReplayScale {
  users: number;
  /** Of each of the two envelope rounds. */
  envelopes: number;
  items: number;
  /** From one round's turn to its opening. */
  opensInSeconds: number;
}

export const ARTICLE: ReplayScale = { users: 150_000, envelopes: 100_000, items: 100, opensInSeconds: 15 };
export const REPLAY_ROUNDS = [1, 2, 3] as const;
/** Longer than any load takes; each round is closed by command when its load is over. */
export const ROUND_OPEN_MS = 30 * 60_000;
const AVERAGE_AMOUNT = 5;

export function replayEvent({ envelopes, items }: ReplayScale): string {
  const budget = envelopes * AVERAGE_AMOUNT;
  const rules = `kind: envelope
    count: ${envelopes}
    budget: ${budget}.00
    split: { method: lucky, min: 0.01, max: 200.00 }
    leftovers: hold`;
  return `# The article's event, replayed by "npm start -- --replay".
event: replay
title: { zh: 新春红包（重演）, en: Spring Festival red envelopes (replay) }
currency: CNY
timezone: Asia/Shanghai
budget: ${2 * budget}.00
users: users.csv
greetings: greetings.txt
rounds:
  - id: 1
    title: { zh: 第一轮, en: First round }
    opensAt: now+1h
    closesAt: +30m
    ${rules}
  - id: 2
    title: { zh: 第二轮, en: Second round }
    opensAt: now+2h
    closesAt: +30m
    ${rules}
  - id: 3
    title: { zh: 手机, en: Phones }
    opensAt: now+3h
    closesAt: +30m
    kind: item
    item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
    count: ${items}
    gate: 10
    leftovers: hold
`;
}

/** Writes the user list and the event file; returns the event's path. */
export async function writeReplayEvent(
  places: Places,
  scale: ReplayScale,
  signal: AbortSignal,
): Promise<string> {
  const users = ["--users", String(scale.users)];
  await runHongbao(["preprocess", "sample", ...users, "--out", places.sample, "--force"], signal);
  const path = join(places.sample, "event.yaml");
  writeFileSync(path, replayEvent(scale));
  return path;
}
