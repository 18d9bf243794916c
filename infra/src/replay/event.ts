/**
 * The event of the article: 150,000 staff, three rounds, two of 100,000 envelopes and one of 100 units of an item.
 * The times are stand-ins: each round is moved to a few seconds ahead when its turn has come.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runHongbao } from "../cluster/hongbao.ts";
import type { Places } from "../cluster/places.ts";

export const REPLAY_USERS = 150_000;
export const REPLAY_ROUNDS = [1, 2, 3] as const;
/** Longer than any load takes; each round is closed by command when its load is over. */
export const ROUND_OPEN_MS = 30 * 60_000;

const ENVELOPES = `kind: envelope
    count: 100000
    budget: 500000.00
    split: { method: lucky, min: 0.01, max: 200.00 }
    leftovers: hold`;

export const REPLAY_EVENT = `# The article's event, replayed by "npm start -- --replay".
event: replay
title: { zh: 新春红包（重演）, en: Spring Festival red envelopes (replay) }
currency: CNY
timezone: Asia/Shanghai
budget: 1000000.00
users: users.csv
greetings: greetings.txt
rounds:
  - id: 1
    title: { zh: 第一轮, en: First round }
    opensAt: now+1h
    closesAt: +30m
    ${ENVELOPES}
  - id: 2
    title: { zh: 第二轮, en: Second round }
    opensAt: now+2h
    closesAt: +30m
    ${ENVELOPES}
  - id: 3
    title: { zh: 手机, en: Phones }
    opensAt: now+3h
    closesAt: +30m
    kind: item
    item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
    count: 100
    gate: 10
    leftovers: hold
`;

/** Writes the user list and the event file; returns the event's path. */
export async function writeReplayEvent(places: Places, signal: AbortSignal): Promise<string> {
  const users = String(REPLAY_USERS);
  await runHongbao(["preprocess", "sample", "--users", users, "--out", places.sample, "--force"], signal);
  const path = join(places.sample, "event.yaml");
  writeFileSync(path, REPLAY_EVENT);
  return path;
}
