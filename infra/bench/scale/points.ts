/** What grows under `bench --scale`, and how: one thing at a time, everything else as in the main bench. */
import type { RoundSpec } from "../systems/hongbao/topology.ts";

export type Dimension = "prizes" | "users" | "buckets" | "services";

export interface Point {
  dimension: Dimension;
  /** The value of the thing that grows. */
  size: number;
  buckets: number;
  services: number;
  users: number;
  rounds: RoundSpec[];
  /** Rounds that are asked in one go, each by every asker; the first ones only warm up. */
  warm: number[][];
  measured: number[][];
  /** How many users ask, spread over the list. */
  askers: number;
  connections: number;
  /** Between two goes, so that no user asks more often than one may. */
  restMs: number;
}

/** Wins of a point: enough that its CPU time is well above the clock's steps. */
const WINS = 60_000;
/** A compiler that has not seen the path often makes the first wins dear. */
const WARM_WINS = 60_000;
const USERS = 80_000;
/**
 * What a win costs depends on how many come in the same moment, so every bucket is asked at the same pace in every point, one that
 * four buckets on two cores can hold: so many people, who think for a moment before they press again.
 */
const CONNECTIONS_PER_BUCKET = 128;
export const THINK_MS = 30;
/** A user may ask 10 times at once, then 5 times a second. */
const ROUNDS_AT_ONCE = 8;
const REST_MS = 2_000;

/** Sizes for the real thing; a quick run takes only the ends that a small machine can hold for a moment. */
export function scalePoints(quick: boolean): Point[] {
  const sizes: Record<Dimension, number[]> = quick
    ? { prizes: [10_000, 100_000], users: [1_000, 10_000], buckets: [1, 2], services: [1, 2] }
    : {
        prizes: [10_000, 100_000, 1_000_000, 10_000_000],
        users: [1_000, 10_000, 100_000, 1_000_000],
        buckets: [1, 2, 4],
        services: [1, 2, 4, 8],
      };
  return [
    ...sizes.prizes.map((size) => point("prizes", size, { prizes: size })),
    ...sizes.users.map((size) => point("users", size, { users: size })),
    ...sizes.buckets.map((size) => point("buckets", size, { buckets: size, services: 2 })),
    ...sizes.services.map((size) => point("services", size, { buckets: 1, services: size })),
  ];
}

function point(
  dimension: Dimension,
  size: number,
  { prizes = 0, users = USERS, buckets = 2, services = 2 },
): Point {
  const connections = CONNECTIONS_PER_BUCKET * buckets;
  const common = { dimension, size, buckets, services, users, connections };
  return users < WINS ? fewUsers(common) : manyUsers(common, prizes);
}

type Common = Pick<Point, "dimension" | "size" | "buckets" | "services" | "users" | "connections">;

/** One round for everybody; prizes beyond it lie in a round of their own. The warm-up's come on top in every point. */
function manyUsers(common: Common, prizes: number): Point {
  const wins = prizes === 0 ? WINS : Math.min(prizes, WINS);
  const rounds: RoundSpec[] = [
    { id: 1, count: WARM_WINS },
    { id: 2, count: wins },
  ];
  if (prizes > wins) rounds.push({ id: 3, count: prizes - wins });
  return { ...common, rounds, warm: [[1]], measured: [[2]], askers: wins, restMs: 0 };
}

/** Few users have to win in many rounds, and not too many of them at once. */
function fewUsers(common: Common): Point {
  const { users } = common;
  const goes = (wins: number): number => Math.max(1, Math.ceil(wins / (users * ROUNDS_AT_ONCE)));
  const perGo = Math.min(ROUNDS_AT_ONCE, Math.ceil(WINS / users));
  // With very few users the wins are fewer too: an event has at most 99 rounds.
  const [warmGoes, measuredGoes] = [Math.min(5, goes(WARM_WINS)), Math.min(5, goes(WINS))];
  const ids = Array.from({ length: (warmGoes + measuredGoes) * perGo }, (_, index) => index + 1);
  const groups = Array.from({ length: warmGoes + measuredGoes }, (_, go) =>
    ids.slice(go * perGo, (go + 1) * perGo),
  );
  return {
    ...common,
    rounds: ids.map((id) => ({ id, count: users })),
    warm: groups.slice(0, warmGoes),
    measured: groups.slice(warmGoes),
    askers: users,
    restMs: REST_MS,
  };
}
