import { Unreachable } from "@hongbao/preprocess";

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
}

export interface AdminState {
  event: string;
  bucket: string;
  id: string;
  roles: string[];
  packDigest: string;
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

export interface AdminClient {
  /** Errors: Unreachable. */
  state(): Promise<AdminState>;
  /** ok false: the bucket holds another, newer version. Errors: Unreachable. */
  putRound(round: number, record: RoundRecord): Promise<PutRoundResult>;
  /** Never rejects. */
  ready(): Promise<boolean>;
}

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
): Promise<Response> {
  try {
    return await fetch(`http://${parts.admin}${path}`, {
      method,
      headers: { authorization: `Bearer ${parts.operatorSecret}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(parts.timeoutMs),
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
