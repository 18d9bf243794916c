import { BadInput, Unreachable } from "@hongbao/preprocess";
import type { ReceiptAnswer } from "../receipts/desk.ts";
import type { RebuildJob } from "../rebuild/desk.ts";
import type { previewRebuild } from "../rebuild/rebuild.ts";
import type { ReleaseReport } from "../rebuild/release.ts";
import { adminCall, type AdminParts } from "./client.ts";

export type RebuildPreview = Awaited<ReturnType<typeof previewRebuild>>;

export interface RebuildOrder {
  maybeOpened: number[];
  force?: boolean;
}

/** The orders of admin/rebuild-routes.ts. Errors of all: Unreachable; BadInput in the bucket's words when it refuses. */
export interface RebuildClient {
  job: () => Promise<RebuildJob>;
  preview: (order: RebuildOrder) => Promise<RebuildPreview>;
  start: (order: RebuildOrder) => Promise<RebuildJob>;
  receipts: (receipts: readonly string[]) => Promise<ReceiptAnswer[]>;
  burned: () => Promise<{ round: number; count: number; amount: number }[]>;
  release: (round: number) => Promise<ReleaseReport>;
}

/** Talks to the admin port of one of a bucket's processes; every call ends within timeoutMs. */
export function rebuildClient(parts: AdminParts): RebuildClient {
  const call = async <T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> => {
    const response = await adminCall(parts, method, `/admin${path}`, body);
    const answer = (await response.json().catch(() => null)) as { error?: string } | null;
    if (response.ok) return answer as T;
    const said = answer?.error ?? `answered ${response.status}`;
    if ([400, 404, 409, 413].includes(response.status)) throw new BadInput(said);
    throw new Unreachable(`admin port ${parts.admin}: ${said}`);
  };
  return {
    job: () => call("GET", "/rebuild"),
    preview: (order) => call("POST", "/rebuild/preview", order),
    start: (order) => call("POST", "/rebuild", order),
    receipts: async (receipts) =>
      (await call<{ receipts: ReceiptAnswer[] }>("POST", "/receipts", { receipts })).receipts,
    burned: async () =>
      (await call<{ rounds: { round: number; count: number; amount: number }[] }>("GET", "/burned")).rounds,
    release: (round) => call("POST", `/rounds/${round}/release`, {}),
  };
}
