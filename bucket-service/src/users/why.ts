/** What a bucket's process knows of one user, for an operator who is asked why. */
import type { Router } from "@koa/router";
import type { Pool, RowDataPacket } from "mysql2/promise";
import { isUserId, type LiveSwitches, type Pack, type UserTable } from "@hongbao/preprocess";
import { AdminError } from "../admin/server.ts";
import type { Attempt, RecentAttempts } from "../grab/recent.ts";
import type { WinsReader } from "../grab/wins.ts";
import { mysqlPolicy } from "../mysql/connect.ts";
import type { PayoutState } from "../mysql/payouts.ts";
import { readRules } from "../mysql/user-rules.ts";
import type { UserRules } from "./rules.ts";

/** Attempts that one process shows. */
const ATTEMPTS_MAX = 50;

export interface UserWin {
  round: number;
  n: number;
  prize: number;
  kind: "envelope" | "item";
  /** Minor units. */
  amount: number;
  /** ISO 8601; null while the claim is on its way to MySQL. */
  claimedAt: string | null;
  payout: PayoutState;
  attempts: number;
  paidAt: string | null;
  reason: string | null;
}

export interface UserFacts {
  bucket: string;
  /** The process that says so. */
  id: string;
  /** Answers to the user's grabs, newest first; null: this process answers no grabs. */
  attempts: Attempt[] | null;
  /** All answers after this moment are remembered, unless the user had more than are shown. */
  sinceMs: number | null;
  /** The user's group by the event's user list; null: not in it. Undefined: this process does not have the list. */
  group?: string | null;
  rules: { round: number; rule: "allow" | "deny" }[] | null;
  /** The switch limit.user: requests a second; 0: any number. */
  limitUser: number;
  wins: UserWin[];
  /** False: a store was away, so wins may be missing. */
  complete: boolean;
}

export function whyRoutes(parts: {
  bucket: string;
  id: string;
  pack: Pack;
  pool: Pool;
  switches: LiveSwitches;
  users?: UserTable;
  rules?: UserRules;
  recent?: RecentAttempts;
  /** Knows wins that are not in MySQL yet. */
  wins?: WinsReader;
}): (router: Router) => void {
  const { bucket, id, pack, pool, users, recent } = parts;
  return (router) => {
    router.get("/why/:user", async (context) => {
      const user = context.params["user"] ?? "";
      if (!isUserId(user)) throw new AdminError(400, `user: found "${user}", expected a user's ID`);
      const round = context.query["round"] === undefined ? undefined : Number(context.query["round"]);
      const [stored, rules] = await Promise.all([storedWins(pool, pack, user, round), rulesOf(parts, user)]);
      const told = (await parts.wins?.of(user, round)) ?? { wins: [], complete: true };
      const inMysql = new Set(stored?.map(({ prize }) => prize));
      const waiting = told.wins.filter(({ prizeId }) => !inMysql.has(prizeId));
      const group = users?.groupOf(user);
      const facts: UserFacts = {
        bucket,
        id,
        attempts: recent?.of(user, ATTEMPTS_MAX, round) ?? null,
        sinceMs: recent?.sinceMs ?? null,
        ...(group === undefined ? {} : { group: group < 0 ? null : (pack.manifest.groups[group] ?? null) }),
        rules,
        limitUser: parts.switches.current.limitUser,
        wins: [...(stored ?? []), ...waiting.map((win) => waitingWin(pack, win))],
        complete: stored !== null && told.complete,
      };
      context.body = facts;
    });
  };
}

async function rulesOf(
  { rules, pool }: Pick<Parameters<typeof whyRoutes>[0], "rules" | "pool">,
  user: string,
): Promise<UserFacts["rules"]> {
  const set = rules === undefined ? await readRules(pool).catch(() => null) : rules.set;
  return (
    set?.rules.flatMap((each) => (each.user === user ? { round: each.round, rule: each.rule } : [])) ?? null
  );
}

function waitingWin(pack: Pack, win: { round: number; n: number; prizeId: number }): UserWin {
  const { round, n, prizeId } = win;
  return {
    round,
    n,
    prize: prizeId,
    kind: kindOf(pack, round),
    amount: pack.holds(prizeId) ? pack.amountOf(prizeId) : 0,
    claimedAt: null,
    payout: "pending",
    attempts: 0,
    paidAt: null,
    reason: null,
  };
}

function kindOf(pack: Pack, round: number): "envelope" | "item" {
  return pack.manifest.rounds.find(({ id }) => id === round)?.kind ?? "envelope";
}

/** By round and n; null while MySQL is away. */
async function storedWins(
  pool: Pool,
  pack: Pack,
  user: string,
  round: number | undefined,
): Promise<UserWin[] | null> {
  try {
    const [rows] = await pool.query<RowDataPacket[]>({
      sql:
        "SELECT c.prize_id, c.round_id, c.n, c.amount_minor, c.claimed_at, p.state, p.attempts, p.paid_at, p.reason FROM claims c " +
        `LEFT JOIN payouts p ON p.prize_id = c.prize_id WHERE c.user_id = ? ${round === undefined ? "" : "AND c.round_id = ? "}` +
        "ORDER BY c.round_id, c.n",
      timeout: mysqlPolicy.queryTimeoutMs,
      values: round === undefined ? [user] : [user, round],
    });
    return rows.map((row) => ({
      round: row["round_id"] as number,
      n: row["n"] as number,
      prize: row["prize_id"] as number,
      kind: kindOf(pack, row["round_id"] as number),
      amount: row["amount_minor"] as number,
      claimedAt: (row["claimed_at"] as Date).toISOString(),
      payout: (row["state"] as PayoutState | null) ?? "pending",
      attempts: (row["attempts"] as number | null) ?? 0,
      paidAt: (row["paid_at"] as Date | null)?.toISOString() ?? null,
      reason: row["reason"] as string | null,
    }));
  } catch {
    return null;
  }
}
