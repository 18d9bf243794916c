/** Late joiners and cheaters: the set `users`, pushed to services and payout of every bucket, which keep it in their MySQL. */
import { changeRules, NO_RULES, type UserRule, type UserRuleSet } from "@hongbao/bucket-service";
import { BadInput } from "@hongbao/preprocess";
import { z } from "zod";
import { PushedSet, type ObedientProcess, type PushedSetParts } from "./pushed-set.ts";

const kind = {
  record: "users",
  schema: z.object({
    v: z.int().min(0),
    rules: z.array(
      z.object({ user: z.string(), round: z.int().min(0).max(99), rule: z.enum(["allow", "deny"]) }),
    ),
  }),
  none: NO_RULES,
  noun: "user rules",
  list: "user list",
};

export class UserRulesDesk {
  readonly #rules: PushedSet<UserRuleSet>;

  constructor(parts: PushedSetParts<UserRuleSet>) {
    this.#rules = new PushedSet<UserRuleSet>(kind, parts);
  }

  start(): void {
    this.#rules.start();
  }
  stop(): Promise<void> {
    return this.#rules.stop();
  }
  setProcesses(processes: readonly ObedientProcess<UserRuleSet>[]): void {
    this.#rules.setProcesses(processes);
  }

  /** The rules as they shall be, and what each process obeys; null for one that does not answer. */
  state(): UserRuleSet & { processes: { bucket: string; id: string; v: number | null }[] } {
    return { ...this.#rules.set, processes: this.#rules.processes };
  }

  /** An operator's word. Throws BadInput (too many rules) and Unreachable (the control store is away). */
  change(said: UserRule, who: { by: string; why: string }): Promise<UserRuleSet> {
    const what = `${said.rule === "deny" ? "denied" : "allowed"} user ${said.user}`;
    const round = said.round === 0 ? {} : { round: said.round };
    return this.#rules.change((set) => {
      try {
        return { set: changeRules(set, said), what, ...round };
      } catch (error) {
        if (error instanceof RangeError) throw new BadInput(error.message);
        throw error;
      }
    }, who);
  }
}
