import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PoolConnection } from "mysql2/promise";
import { BadInput, SHADOW_EVENT, type Pack } from "@hongbao/preprocess";
import { databaseName, mysqlErrorCode } from "../mysql/connect.ts";
import { deleteFeed, sweep, takeFeed } from "../mysql/payout-feed.ts";
import {
  beginTotals,
  claimsById,
  hasWork,
  lockDue,
  openClaims,
  type DueRow,
  type OpenClaim,
} from "../mysql/payouts.ts";
import { inTransaction } from "../mysql/transaction.ts";
import { BudgetExceeded, settle, type Decisions } from "./decide.ts";
import { Knowledge } from "./knowledge.ts";
import type { PayoutObserver } from "./observer.ts";
import { payoutPolicy, type PayoutPolicy } from "./policy.ts";
import { Sender } from "./sender.ts";
import { orderMaker, type InsideTarget, type OutsideTarget, type PayoutTarget } from "./target.ts";

export interface PayoutParts {
  pool: Pool;
  pack: Pick<Pack, "amountOf" | "holds" | "manifest">;
  bucket: string;
  /** Where money and where items go. */
  targets: { envelope: PayoutTarget; item: PayoutTarget };
  /** The payout switch: while it says false nothing is taken up; what is under way ends. */
  runs: () => boolean;
  observer: PayoutObserver;
  policy?: Partial<PayoutPolicy>;
}

/**
 * Pays the claims of one bucket. Any number of processes may run and any may be killed at any moment: what a transaction has not
 * committed is the next one's work, and a payout that was being sent is asked again with the same key when its lease is over.
 *
 *   claim ──(feed)──> paid                     inside MySQL: decided and paid in one transaction
 *                 ├─> pending ──> paid         outside: sent under a lease, confirmed, retried with backoff
 *                 │      └──────> dead ──retry──> pending
 *                 ├─> dead                     the guard objects
 *                 └─> held ──allow──> pending  the user is denied
 */
export class Payout {
  readonly #parts: PayoutParts;
  readonly #policy: PayoutPolicy;
  readonly #senders: Sender[];
  readonly #insideRounds: number[];
  readonly #stop = new AbortController();
  readonly #knowledge: Knowledge;
  readonly #orderOf: ReturnType<typeof orderMaker>;
  #sweepAtMs = 0;
  #begun = false;
  /** There was nothing to do the last time: look before anything is locked. */
  #isIdle = true;

  constructor(parts: PayoutParts) {
    this.#parts = parts;
    // A rehearsal's wins are worth nothing and are nobody's money, whoever starts this with them.
    if (parts.pack.manifest.event.id === SHADOW_EVENT)
      throw new BadInput("payout: found the pack of a rehearsal, which is never paid");
    this.#policy = { ...payoutPolicy, ...parts.policy };
    this.#orderOf = orderMaker(parts.pack);
    this.#knowledge = new Knowledge(parts.pack, parts.bucket);
    const { rounds } = parts.pack.manifest;
    const roundsOf = (target: PayoutTarget): number[] =>
      rounds.filter(({ id }) => this.#targetOf(id) === target).map(({ id }) => id);
    const targets = new Set([parts.targets.envelope, parts.targets.item]);
    this.#insideRounds = [...targets].flatMap((target) => (target.kind === "inside" ? roundsOf(target) : []));
    this.#senders = [...targets].flatMap((target) => {
      if (target.kind === "inside" || roundsOf(target).length === 0) return [];
      return [this.#senderFor(target, roundsOf(target))];
    });
  }

  /** Ends the run after what is in hand. */
  stop(): void {
    this.#stop.abort();
  }

  /** Runs until stop(). Never rejects: whatever fails is told to the observer and tried again, with backoff. */
  async run(): Promise<void> {
    await Promise.all([
      this.#repeat("payout", () => this.#step()),
      ...this.#senders.map((sender) => this.#repeat(`payout to ${sender.name}`, () => sender.step())),
    ]);
  }

  /** Does `step` again and again; it answers how long to rest, in ms. */
  async #repeat(what: string, step: () => Promise<number>): Promise<void> {
    const { signal } = this.#stop;
    const rest = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined);
    let failures = 0;
    while (!signal.aborted) {
      if (!this.#parts.runs()) {
        await rest(this.#policy.idleMs);
        continue;
      }
      try {
        const restMs = await step();
        failures = 0;
        if (restMs > 0) await rest(restMs);
      } catch (error) {
        failures += 1;
        // Pullers that meet on the same rows: one is rolled back and goes on at once.
        if (!isRace(error) || failures > 3) this.#parts.observer.failed(what, error);
        await rest(isRace(error) ? Math.random() * 10 * failures : this.#policy.faultDelayMs(failures));
      }
    }
  }

  async #step(): Promise<number> {
    if (!this.#begun) await this.#begin();
    const mine = { rounds: this.#insideRounds, feed: true };
    if (this.#isIdle && !(await hasWork(this.#parts.pool, mine))) return this.#rest();
    const began = performance.now();
    const decided =
      (await this.#settle((connection) => this.#fromFeed(connection))) + (await this.#settleDue());
    this.#isIdle = decided === 0;
    if (decided > 0) this.#parts.observer.batch(decided, performance.now() - began);
    if (decided === 0) return this.#rest();
    return decided >= this.#policy.feedClaimsMax / 2 ? 0 : this.#policy.gatherMs;
  }

  /** How long to rest when there was nothing to do: not at all when a sweep finds something. */
  async #rest(): Promise<number> {
    return (await this.#sweep()) > 0 ? 0 : this.#policy.idleMs;
  }

  async #begin(): Promise<void> {
    const rounds = this.#parts.pack.manifest.rounds.map(({ id }) => id);
    await inTransaction(this.#parts.pool, (connection) => beginTotals(connection, rounds));
    this.#begun = true;
  }

  async #settleDue(): Promise<number> {
    if (this.#insideRounds.length === 0) return 0;
    return this.#settle(async (connection) => {
      const due = await lockDue(connection, this.#insideRounds, this.#policy.dueMax);
      if (due.length === 0) return null;
      return {
        claims: await claimsById(connection, ids(due)),
        before: byId(due),
        done: async () => undefined,
      };
    });
  }

  async #fromFeed(connection: PoolConnection): Promise<TakenUp | null> {
    const runs = await takeFeed(connection, this.#policy);
    if (runs.length === 0) return null;
    return {
      claims: await openClaims(connection, runs),
      before: new Map(),
      done: () => deleteFeed(connection, runs),
    };
  }

  /**
   * Takes claims up and decides on them in one transaction; answers how many, 0 when there was nothing. An obstacle (the budget, a
   * prize that the ledger has) makes it go again, carefully, so that one odd claim does not keep the others from being paid.
   */
  async #settle(
    takeUp: (connection: PoolConnection) => Promise<TakenUp | null>,
    isCareful = false,
  ): Promise<number> {
    try {
      const result = await inTransaction(this.#parts.pool, async (connection) => {
        await this.#knowledge.learnRules(connection);
        const taken = await takeUp(connection);
        if (taken === null) return null;
        const { claims, before } = taken;
        const guard = await this.#knowledge.guardFor(connection, claims);
        const decisions = await settle(connection, claims, before, isCareful || !guard.withinEvent, {
          guard,
          rules: this.#knowledge.rules,
          targetOf: this.#targetOf,
          orderOf: this.#orderOf,
          inside: this.#inside,
        });
        await taken.done();
        return { decisions, claims };
      });
      if (result === null) return 0;
      this.#tell(result.decisions);
      return Math.max(1, result.claims.length);
    } catch (error) {
      const isObstacle = error instanceof BudgetExceeded || mysqlErrorCode(error) === "ER_DUP_ENTRY";
      if (!isObstacle || isCareful) throw error;
      this.#knowledge.forgetGuard();
      return this.#settle(takeUp, true);
    }
  }

  readonly #targetOf = (round: number): PayoutTarget => {
    const { pack, targets } = this.#parts;
    return targets[pack.manifest.rounds.find(({ id }) => id === round)?.kind ?? "envelope"];
  };

  get #inside(): InsideTarget | null {
    const { envelope, item } = this.#parts.targets;
    return [envelope, item].find((target) => target.kind === "inside") ?? null;
  }

  #tell({ rows, inside, held, guarded }: Decisions): void {
    const { observer } = this.#parts;
    const paid = rows.filter(({ state }) => state === "paid").length;
    if (paid > 0) {
      observer.outcome("paid", paid);
      observer.paidMinor(inside.reduce((sum, { amountMinor }) => sum + amountMinor, 0));
    }
    if (held > 0) observer.outcome("held", held);
    if (guarded.length > 0) observer.outcome("dead", guarded.length);
    for (const claim of guarded) observer.guarded(claim);
  }

  #senderFor(target: OutsideTarget, rounds: number[]): Sender {
    return new Sender({
      pool: this.#parts.pool,
      target,
      rounds,
      policy: this.#policy,
      observer: this.#parts.observer,
      orderOf: this.#orderOf,
      knowledge: this.#knowledge,
    });
  }

  async #sweep(): Promise<number> {
    if (performance.now() < this.#sweepAtMs) return 0;
    this.#sweepAtMs = performance.now() + this.#policy.sweepEveryMs;
    const connection = await this.#parts.pool.getConnection();
    try {
      const found = await sweep(connection, databaseName(this.#parts.pack.manifest.event.id));
      connection.release();
      return found;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }
}

/** Claims that a transaction has taken up; `done` takes them off the list that they came from. */
interface TakenUp {
  claims: OpenClaim[];
  before: Map<number, DueRow>;
  done: () => Promise<void>;
}

const ids = (rows: readonly DueRow[]): number[] => rows.map(({ prizeId }) => prizeId);
const byId = (rows: readonly DueRow[]): Map<number, DueRow> => new Map(rows.map((row) => [row.prizeId, row]));

/** ER_DUP_ENTRY: two had the same claims in hand, by a sweep and by persist; the second finds nothing left to do. */
function isRace(error: unknown): boolean {
  return ["ER_LOCK_DEADLOCK", "ER_DUP_ENTRY", "ER_CHECKREAD"].includes(mysqlErrorCode(error) ?? "");
}
