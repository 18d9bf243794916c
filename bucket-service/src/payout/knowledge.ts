import type { Connection } from "mysql2/promise";
import type { Pack } from "@hongbao/preprocess";
import type { OpenClaim } from "../mysql/payouts.ts";
import { movedRuns } from "../mysql/range-moves.ts";
import { readRules, rulesVersion } from "../mysql/user-rules.ts";
import { UserRules } from "../users/rules.ts";
import { Guard } from "./guard.ts";

/** What is known of moves is not older than this. A claim that is not understood makes it be read again at once. */
const GUARD_AGE_MS_MAX = 1_000;

/** What a puller decides by besides the claims: who is denied, and which prizes are the bucket's. Shared by its loops. */
export class Knowledge {
  readonly rules = new UserRules();
  readonly #pack: Pick<Pack, "amountOf" | "holds" | "manifest">;
  readonly #bucket: string;
  #guard: Guard | null = null;
  #guardAtMs = 0;

  constructor(pack: Pick<Pack, "amountOf" | "holds" | "manifest">, bucket: string) {
    this.#pack = pack;
    this.#bucket = bucket;
  }

  /**
   * First thing in a transaction that decides: the rules stay as they are until it ends. Before any payout is locked, because
   * whoever changes the rules goes the same way.
   */
  async learnRules(connection: Connection): Promise<void> {
    if ((await rulesVersion(connection, { lock: true })) === this.rules.v) return;
    this.rules.take(await readRules(connection));
  }

  /** The guard, up to date as far as these claims need it. */
  async guardFor(connection: Connection, claims: readonly OpenClaim[]): Promise<Guard> {
    const guard = this.#guard;
    const isOld = performance.now() - this.#guardAtMs > GUARD_AGE_MS_MAX;
    if (guard !== null && !isOld && claims.every((claim) => guard.objection(claim) === null)) return guard;
    const fresh = new Guard(this.#pack, this.#bucket, await movedRuns(connection));
    this.#guard = fresh;
    this.#guardAtMs = performance.now();
    return fresh;
  }

  /** Makes the next guardFor() read again. */
  forgetGuard(): void {
    this.#guard = null;
  }
}
