/** Honest evidence of a small round, to be doctored by tests: what users were told, and what stands in the stores. */
import type { Circumstances } from "../../chaos/checker/check.ts";
import type { Facts } from "../../chaos/checker/facts.ts";
import type { Entry } from "../../chaos/crowd/history.ts";

export interface Evidence {
  history: Entry[];
  facts: Facts;
  circumstances: Circumstances;
}

const OPENS_AT_MS = 1_800_000_000_000;
const FIRST_ID = 1_000_001;
const PRIZES = 10;
const WINNERS = 6;

export const worth = (prize: number): number => 100 + (prize % 9);
export const prizeOf = (who: number): number => FIRST_ID + PRIZES - 1 - who;

/** Users 0, 2, 4 are of bucket b0 and have its IDs; 1, 3, 5 of b1. Everybody won one prize and was paid. */
export function evidence(): Evidence {
  const history: Entry[] = [];
  const facts: Facts = {
    firstId: FIRST_ID,
    amounts: Array.from({ length: PRIZES }, (_, index) => worth(FIRST_ID + index)),
    budget: 10_000,
    rounds: [
      {
        ...{ round: 1, kind: "envelope", perUser: 1, count: PRIZES, budget: 5_000, leftovers: "hold" },
        ...{ orderedOpensAtMs: OPENS_AT_MS, orderedClosesAtMs: OPENS_AT_MS + 60_000 },
      },
    ],
    stocks: ["b0", "b1"].map((bucket) => ({
      ...{ bucket, round: 1, opensAtMs: OPENS_AT_MS, closesAtMs: OPENS_AT_MS + 60_000, left: [], claims: [] },
    })),
    ...{ claims: [], payouts: [], ledger: [], accounts: [], orders: [], wallet: null, burned: [] },
    ...{ underWay: 0, conflicts: 0, audit: { ok: true, violations: [] } },
  };
  facts.stocks[0]!.left = [{ lo: FIRST_ID, count: PRIZES - WINNERS }];
  for (let who = 0; who < WINNERS; who += 1) {
    const [user, bucket, prize] = [`u${who}`, `b${who % 2}`, prizeOf(who)];
    const amount = worth(prize);
    const told = { n: 1, prize, amount, round: 1, receipt: `${bucket}:${user}` };
    const asked = { user, bucket, round: 1, n: 1, status: 200 };
    const at = (ms: number) => ({
      ...{ sentMs: ms, doneMs: ms + 5, sentAtMs: OPENS_AT_MS + ms, doneAtMs: OPENS_AT_MS + ms + 5 },
    });
    history.push({ ...asked, ...at(1_000 + who), call: "grab", word: "won", prizes: [told] });
    history.push({ ...asked, ...at(9_000 + who), call: "result", word: "ok", prizes: [told] });
    facts.claims.push({ bucket, prize, round: 1, user, n: 1, amount, atMs: OPENS_AT_MS + 1_002 + who });
    facts.payouts.push({ bucket, prize, state: "paid", amount });
    facts.ledger.push({ bucket, prize, side: "credit", account: `user:${user}`, amount });
    facts.ledger.push({ bucket, prize, side: "debit", account: "company", amount: -amount });
    facts.accounts.push({ bucket, account: `user:${user}`, balance: amount });
    facts.accounts.push({ bucket, account: "company", balance: -amount });
    facts.stocks[who % 2]!.claims.push([user, prize]);
  }
  const circumstances: Circumstances = {
    ...{ rounds: [1], sound: [], broken: { fromMs: 0, toMs: 20_000 } },
    ...{
      noneAllowed: false,
      killed: false,
      bothDoorsKilled: false,
      starved: [],
      outages: [],
      dataLost: false,
      soldOut: false,
    },
  };
  return { history, facts, circumstances };
}
