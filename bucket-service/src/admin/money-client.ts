/** The admin routes about payouts and users, for commands and the conductor. */
import { BadInput, type SwitchSet } from "@hongbao/preprocess";
import type { ExportRow } from "../payout/admin.ts";
import type { LedgerFigures, PayoutFigures } from "../payout/figures.ts";
import type { UserRuleSet } from "../users/rules.ts";
import type { UserFacts } from "../users/why.ts";
import { adminCall, refused, type AdminParts } from "./client.ts";

export interface BucketPayouts {
  bucket: string;
  rounds: PayoutFigures[];
  ledger: LedgerFigures;
  /** Why payouts are dead, held or not through yet; the most frequent first. */
  reasons: { state: string; reason: string; count: number }[];
}

export interface PayoutClient {
  /** Errors of all: Unreachable; BadInput with the process's words. */
  status(): Promise<BucketPayouts>;
  /** Dead payouts become pending; answers how many. */
  retry(which: { prizes?: number[]; round?: number }): Promise<number>;
  /** Claims with their payouts in the order of prize IDs, those after an ID; fewer than asked for at the end. */
  page(after: number, limit: number): Promise<ExportRow[]>;
}

export function payoutClient(parts: AdminParts): PayoutClient {
  const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await adminCall(parts, method, path, body);
    if (response.status === 400) throw new BadInput(((await response.json()) as { error: string }).error);
    if (response.status !== 200) throw await refused(parts.admin, response);
    return response.json();
  };
  return {
    status: async () => (await ask("GET", "/admin/payouts")) as BucketPayouts,
    retry: async (which) =>
      ((await ask("POST", "/admin/payouts/retry", which)) as { retried: number }).retried,
    page: async (after, limit) =>
      ((await ask("GET", `/admin/payouts/export?after=${after}&limit=${limit}`)) as { rows: ExportRow[] })
        .rows,
  };
}

/** A small set under a version, such as the user rules, in one process. */
export interface SetClient<S> {
  /** What the process obeys. Errors: Unreachable. */
  get(): Promise<S>;
  /** The version that the process obeys afterwards, which is a newer one when it had that. Errors: Unreachable. */
  put(set: S): Promise<{ v: number; written: boolean }>;
}
export type UsersClient = SetClient<UserRuleSet>;
export type SwitchesClient = SetClient<SwitchSet>;

export const usersClient = (parts: AdminParts): UsersClient => setClient(parts, "/admin/users");
export const switchesClient = (parts: AdminParts): SwitchesClient => setClient(parts, "/admin/switches");

function setClient<S>(parts: AdminParts, path: string): SetClient<S> {
  return {
    async get() {
      const response = await adminCall(parts, "GET", path);
      if (response.status !== 200) throw await refused(parts.admin, response);
      return (await response.json()) as S;
    },
    async put(set) {
      const response = await adminCall(parts, "PUT", path, set);
      if (response.status !== 200 && response.status !== 409) throw await refused(parts.admin, response);
      return (await response.json()) as { v: number; written: boolean };
    },
  };
}

/** What one process knows of a user. Errors: Unreachable. */
export async function askWhy(parts: AdminParts, user: string, round?: number): Promise<UserFacts> {
  const query = round === undefined ? "" : `?round=${round}`;
  const response = await adminCall(parts, "GET", `/admin/why/${user}${query}`);
  if (response.status !== 200) throw await refused(parts.admin, response);
  return (await response.json()) as UserFacts;
}
