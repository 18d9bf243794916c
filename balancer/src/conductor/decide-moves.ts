/**
 * Which prizes move, and when an empty bucket has truly ended: pure, a part of decide(). Who lends how much to whom is
 * preprocess/src/lending.ts. Why so, and not otherwise, stands in docs/decisions/0011-moves.md. A transfer is three steps, each of which any controller takes when it finds it next:
 *
 *   leaving   the lender is asked for the IDs: they leave its Redis, then its MySQL says so
 *   arriving  the IDs are known, nobody has them; the borrower's MySQL says so, then its Redis has them
 *   done      arrived; or nothing was left to move
 */
import { mayLendMore, planLoans, type Holder, type PackRound } from "@hongbao/preprocess";
import type { SeenBucket, World } from "./decide.ts";
import type { Transfer } from "./records.ts";

export type MoveAction =
  /** Create the transfer (its first change), or replace it if it still is as it was seen. */
  | { kind: "transfer"; round: number; next: Transfer }
  | { kind: "out" | "in"; round: number; transfer: Transfer }
  /** Nothing can come to this empty stock. */
  | { kind: "final"; round: number; bucket: string; stock: number };

/** What of a round decides where its rest may go. */
export type RoundPlan = Pick<PackRound, "id" | "kind" | "item" | "groups" | "leftovers">;

export function decideMoves(world: World): MoveAction[] {
  const { nowMs } = world;
  if (nowMs === null) return [];
  const planned = [...rollovers(world), ...loans(world)];
  const first = Math.max(0, ...world.transfers.map(({ n }) => n)) + 1;
  const creations = planned.map((plan, index): MoveAction => {
    const next = newTransfer({ ...plan, n: first + index }, { atMs: nowMs, by: world.self, why: "" });
    return { kind: "transfer", round: plan.round, next };
  });
  return [...steps(world), ...creations, ...finals(world)];
}

export type TransferPlan = Pick<Transfer, "kind" | "from" | "to" | "round" | "toRound" | "count" | "epoch">;

export function newTransfer(
  plan: TransferPlan & { n: number },
  { atMs, by, why, ordered = false }: { atMs: number; by: string; why: string; ordered?: boolean },
): Transfer {
  return {
    ...plan,
    step: 1,
    state: "leaving",
    ordered,
    runs: [],
    moved: 0,
    left: null,
    arrived: null,
    change: { atMs: Math.max(1, Math.round(atMs)), by, what: describe(plan, "moves", plan.count), why },
  };
}

/** In words for the log. */
export function describe(
  plan: Omit<TransferPlan, "epoch" | "count">,
  verb: string,
  count: number | null,
): string {
  const what = count === null ? "what is left" : `${count} prizes`;
  return plan.kind === "lend"
    ? `${verb} ${what} from ${plan.from} to ${plan.to}`
    : `${verb} ${what} in ${plan.from} over to round ${plan.toRound}`;
}

/** Its stores answer, and it is trusted: only then may it lend or borrow. */
function canMove(bucket: SeenBucket): boolean {
  return bucket.reachable && !bucket.fenced && bucket.mysql;
}

/** By world, which is made anew for every decision: how many moves each bucket must have noted, by `bucket epoch`. */
const notedIn = new WeakMap<World, Map<string, number>>();

function notedMoves(world: World): Map<string, number> {
  const noted = new Map<string, number>();
  for (const { from, to, left, arrived } of world.transfers) {
    for (const [id, mark] of [
      [from, left],
      [to, arrived],
    ] as const) {
      if (mark === null) continue;
      const key = `${id} ${mark.epoch}`;
      noted.set(key, Math.max(noted.get(key) ?? 0, mark.moves));
    }
  }
  notedIn.set(world, noted);
  return noted;
}

/** Whether a bucket was looked at since each transfer that touched it: older figures would move the same prizes twice. */
function isFresh(world: World, bucket: SeenBucket): boolean {
  const noted = notedIn.get(world) ?? notedMoves(world);
  return bucket.moves >= (noted.get(`${bucket.id} ${bucket.epoch}`) ?? 0);
}

const isUnderWay = ({ state }: Transfer): boolean => state !== "done";

/** What is next for each transfer that is under way. */
function steps(world: World): MoveAction[] {
  const bucketOf = (id: string): SeenBucket | undefined => {
    const bucket = world.buckets.find((each) => each.id === id);
    return bucket !== undefined && canMove(bucket) ? bucket : undefined;
  };
  return world.transfers.filter(isUnderWay).flatMap((transfer): MoveAction[] => {
    const { round } = transfer;
    if (transfer.state === "arriving") {
      return bucketOf(transfer.to) === undefined ? [] : [{ kind: "in", round, transfer }];
    }
    const from = bucketOf(transfer.from);
    if (from === undefined) return [];
    if (from.epoch === transfer.epoch) return [{ kind: "out", round, transfer }];
    // Rebuilt since: what it cut without writing it down is in its stock again, and is cut anew.
    return [{ kind: "transfer", round, next: { ...transfer, step: transfer.step + 1, epoch: from.epoch } }];
  });
}

/** Where the rest of a closed round goes: the next unclosed round of the same kind, item and groups; null: it is held. */
export function targetOf(world: Pick<World, "plans" | "records">, round: number): number | null {
  const at = world.plans.findIndex(({ id }) => id === round);
  const plan = world.plans[at];
  if (plan === undefined) return null;
  const sort = ({ kind, item, groups }: RoundPlan): string =>
    JSON.stringify([kind, item?.sku ?? null, groups === null ? null : [...groups].sort()]);
  const later = world.plans.slice(at + 1).find((candidate) => {
    const record = world.records.get(candidate.id);
    return sort(candidate) === sort(plan) && record !== undefined && record.state !== "closed";
  });
  return later?.id ?? null;
}

/** Rounds whose rest goes on, and where to. */
function rolling(world: World): { round: number; target: number; v: number }[] {
  return world.plans.flatMap(({ id, leftovers }) => {
    const record = world.records.get(id);
    const isRolling = record?.state === "closed" && (leftovers === "next" || record.rollover === true);
    const target = isRolling ? targetOf(world, id) : null;
    return target === null ? [] : [{ round: id, target, v: record!.v }];
  });
}

/** Whether a bucket has something of a closed round that goes into a later one. */
function hasRest(
  bucket: SeenBucket,
  { round, target, v }: { round: number; target: number; v: number },
): boolean {
  const seen = bucket.rounds.get(round);
  if (seen === undefined || !bucket.rounds.has(target)) return false;
  return canMove(bucket) && seen.state === "closed" && seen.v === v && seen.left > 0;
}

function rollovers(world: World): TransferPlan[] {
  return rolling(world).flatMap((roll) =>
    world.buckets
      .filter((bucket) => hasRest(bucket, roll) && isFresh(world, bucket))
      .filter(({ id }) => {
        const same = ({ kind, from, round }: Transfer): boolean =>
          kind === "roll" && from === id && round === roll.round;
        return !world.transfers.some((transfer) => isUnderWay(transfer) && same(transfer));
      })
      .map(({ id, epoch }): TransferPlan => {
        return {
          kind: "roll",
          from: id,
          to: id,
          round: roll.round,
          toRound: roll.target,
          count: null,
          epoch,
        };
      }),
  );
}

/** Buckets that give this round now and may lend or borrow by themselves. */
function holders(world: World, round: number): (Holder & { bucket: SeenBucket })[] {
  const record = world.records.get(round);
  if (record?.state !== "open") return [];
  const moving = world.transfers.filter(isUnderWay);
  return world.buckets.flatMap((bucket) => {
    const seen = bucket.rounds.get(round);
    const { id } = bucket;
    if (!world.lends(id)) return [];
    if (seen === undefined || seen.v !== record.v || seen.state !== "open" || !canMove(bucket)) return [];
    const leaving = moving.filter(
      (each) => each.state === "leaving" && each.from === id && each.round === round,
    );
    const out = leaving.reduce((sum, { count }) => sum + (count ?? seen.left), 0);
    const awaits = moving.some((each) => each.to === id && each.toRound === round);
    const { left, issued, dry } = seen;
    return [{ id, bucket, left, issued, dry, free: Math.max(0, left - out), awaits }];
  });
}

function mayLend(world: World, round: number): boolean {
  const made = world.transfers.filter(
    (each) => each.kind === "lend" && each.round === round && !each.ordered,
  );
  const lending = world.buckets.filter(({ id }) => world.lends(id)).length;
  return mayLendMore(made.length, { all: world.buckets.length, lending });
}

function loans(world: World): TransferPlan[] {
  return world.rounds.flatMap((round) => {
    if (!mayLend(world, round)) return [];
    const fresh = holders(world, round).filter(({ bucket }) => isFresh(world, bucket));
    const epochOf = new Map(fresh.map(({ id, bucket }) => [id, bucket.epoch]));
    return planLoans(fresh).map(({ from, to, count }): TransferPlan => {
      return { kind: "lend", from, to, round, toRound: round, count, epoch: epochOf.get(from)! };
    });
  });
}

/**
 * Whether prizes are on their way to a round in one bucket (or in any), or will be at the next step. Where buckets lend,
 * what comes to another one may go on to this one.
 */
export function mayCome(world: World, round: number, id?: string): boolean {
  const lends = mayLend(world, round) && (id === undefined || world.lends(id));
  const isHere = (bucket: string): boolean => lends || id === undefined || bucket === id;
  if (world.transfers.some((each) => isUnderWay(each) && each.toRound === round && isHere(each.to)))
    return true;
  // What a bucket had before the last transfer says nothing of what it has now.
  if (world.buckets.some((bucket) => canMove(bucket) && !isFresh(world, bucket))) return true;
  const rolls = rolling(world).filter(({ target }) => target === round);
  if (rolls.some((roll) => world.buckets.some((bucket) => isHere(bucket.id) && hasRest(bucket, roll))))
    return true;
  if (!lends) return false;
  const all = holders(world, round);
  const borrowers = all.filter(({ bucket }) => id === undefined || bucket.id === id);
  return borrowers.some((borrower) => all.some((each) => each !== borrower && each.left > 0));
}

/** Empty buckets to which nothing can come: they say `ended` from now on, and not `busy`. */
function finals(world: World): MoveAction[] {
  return world.rounds.flatMap((round) => {
    const record = world.records.get(round);
    if (record?.state !== "open") return [];
    return world.buckets.flatMap((bucket): MoveAction[] => {
      const seen = bucket.rounds.get(round);
      const isEmpty = seen?.state === "open" && seen.v === record.v && seen.left === 0 && !seen.final;
      if (!isEmpty || !bucket.reachable || bucket.fenced || mayCome(world, round, bucket.id)) return [];
      return [{ kind: "final", round, bucket: bucket.id, stock: seen.stock }];
    });
  });
}
