import { Unreachable } from "@hongbao/preprocess";
import type { InOrder, OutOrder } from "../moves/mover.ts";
import type { Run } from "../moves/runs.ts";

/** One round of one bucket, as its admin port tells it. Times are ms since 1970. */
export interface AdminRound {
  round: number;
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  hasKey: boolean;
  /** SHA-256 of the key in hex, so that keys can be compared without being shown. */
  keyHash: string | null;
  stock: number;
  left: number;
  issued: number;
  state: "scheduled" | "open" | "closed";
  /** Somebody asked for a prize since the stock was empty. */
  dry: boolean;
  /** The stock is empty, and the conductor said that nothing follows. */
  final: boolean;
}

export interface AdminState {
  event: string;
  bucket: string;
  id: string;
  roles: string[];
  packDigest: string;
  /** Changes with each load or rebuild; "" while nothing is loaded. */
  epoch: string;
  /** Notes of moves in Redis: the state is of after so many. */
  moves: number;
  /** The bucket's Redis clock. */
  timeMs: number;
  fenced: string | null;
  journal: { waiting: number };
  redis: "ok" | "down";
  mysql: "ok" | "down";
  rounds: AdminRound[];
}

export interface RoundRecord {
  v: number;
  opensAtMs: number | null;
  closesAtMs: number | null;
  key: string | null;
}

export type PutRoundResult = { ok: true; v: number; applied: boolean } | { ok: false; v: number };

/** outdated: the bucket is of another epoch; refused: not as it was asked for, or not now, and why. */
export type MoveAnswer<T> = ({ ok: true } & T) | { ok: false; outdated: boolean; why: string };

export interface AdminClient {
  /** Errors: Unreachable. */
  state(): Promise<AdminState>;
  /** ok false: the bucket holds another, newer version. Errors: Unreachable. */
  putRound(round: number, record: RoundRecord): Promise<PutRoundResult>;
  /** Says that nothing follows a round's empty stock; answers whether it is empty and still that one. Errors: Unreachable. */
  setFinal(round: number, stock: number): Promise<boolean>;
  /** IDs leave this bucket and round; asked again it answers the same. Errors: Unreachable (outcome unknown). */
  moveOut(order: OutOrder): Promise<MoveAnswer<{ runs: Run[]; moves: number }>>;
  /** The IDs that `moveOut` answered come to this bucket and round. Errors: Unreachable (outcome unknown). */
  moveIn(order: InOrder): Promise<MoveAnswer<{ stock: number; moves: number }>>;
  /** Never rejects. */
  ready(): Promise<boolean>;
}

/** So long a move may take, a rollover of a million prizes too; a call that was given up may be made again. */
const MOVE_MS_MAX = { lend: 2_000, roll: 10_000, release: 10_000 } as const;

/** Where an admin port is, and how it is asked. */
export interface AdminParts {
  /** `host:port`. */
  admin: string;
  operatorSecret: string;
  timeoutMs: number;
}

/** Asks an admin port, whatever it answers. Errors: Unreachable. */
export async function adminCall(
  parts: AdminParts,
  method: string,
  path: string,
  body?: unknown,
  timeoutMs = parts.timeoutMs,
): Promise<Response> {
  try {
    return await fetch(`http://${parts.admin}${path}`, {
      method,
      headers: { authorization: `Bearer ${parts.operatorSecret}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name;
    throw new Unreachable(`admin port ${parts.admin}: ${cause}`);
  }
}

/** Talks to a bucket process's admin port with the operator secret; every call ends within timeoutMs. */
export function adminClient(parts: AdminParts): AdminClient {
  const call = (method: string, path: string, body?: unknown): Promise<Response> =>
    adminCall(parts, method, path, body);
  const move = async <T>(path: string, body: Pick<InOrder, "kind">): Promise<MoveAnswer<T>> => {
    const timeoutMs = Math.max(parts.timeoutMs, MOVE_MS_MAX[body.kind]);
    const response = await adminCall(parts, "POST", path, body, timeoutMs);
    if (response.status === 200) return { ok: true, ...((await response.json()) as T) };
    if (response.status !== 409 && response.status !== 412) throw await refused(parts.admin, response);
    const { error } = (await response.json()) as { error: string };
    return { ok: false, outdated: response.status === 412, why: error };
  };
  return {
    async state() {
      const response = await call("GET", "/admin/state");
      if (response.status !== 200) throw await refused(parts.admin, response);
      return (await response.json()) as AdminState;
    },
    async putRound(round, record) {
      const response = await call("PUT", `/admin/rounds/${round}`, record);
      if (response.status !== 200 && response.status !== 409) throw await refused(parts.admin, response);
      const { v, applied } = (await response.json()) as { v: number; applied?: boolean };
      return response.status === 200 ? { ok: true, v, applied: applied === true } : { ok: false, v };
    },
    async setFinal(round, stock) {
      const response = await call("PUT", `/admin/rounds/${round}/final`, { stock });
      if (response.status !== 200) throw await refused(parts.admin, response);
      return ((await response.json()) as { final: boolean }).final;
    },
    moveOut: ({ id, ...order }) => move(`/admin/moves/${id}/out`, order),
    moveIn: ({ id, ...order }) => move(`/admin/moves/${id}/in`, order),
    async ready() {
      try {
        const response = await call("GET", "/readyz");
        await response.body?.cancel();
        return response.status === 200;
      } catch {
        return false;
      }
    },
  };
}

/** The error of an answer that nobody expects. */
export async function refused(admin: string, response: Response): Promise<Unreachable> {
  const text = await response.text().catch(() => "");
  return new Unreachable(`admin port ${admin}: answered ${response.status} ${text.slice(0, 200)}`);
}
