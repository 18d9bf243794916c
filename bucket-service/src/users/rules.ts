/** What operators said of single users: late joiners are let in, cheaters kept out. A small set, whole in every process. */

/** Round 0 is every round. */
export interface UserRule {
  user: string;
  round: number;
  rule: "allow" | "deny";
}

/** The whole set under its version, which only grows. */
export interface UserRuleSet {
  v: number;
  rules: UserRule[];
}

/** A set must stay small: it is sent whole, and it is one record of the control store. */
export const USER_RULES_MAX = 500;
/** The version of the set before anybody said anything. */
export const NO_RULES: UserRuleSet = Object.freeze({ v: 0, rules: [] });

/** The rules of one process, for questions in a hot path. */
export class UserRules {
  #v = 0;
  #list: UserRule[] = [];
  /** By user, then round; empty in nearly every event, so that a grab costs one comparison. */
  #byUser = new Map<string, Map<number, "allow" | "deny">>();

  get v(): number {
    return this.#v;
  }
  get set(): UserRuleSet {
    return { v: this.#v, rules: this.#list };
  }

  /** Takes over a newer set; false for one that is older or the same. */
  take({ v, rules }: UserRuleSet): boolean {
    if (v <= this.#v) return false;
    this.#byUser = new Map();
    for (const { user, round, rule } of rules) {
      const rounds = this.#byUser.get(user) ?? new Map<number, "allow" | "deny">();
      this.#byUser.set(user, rounds);
      rounds.set(round, rule);
    }
    this.#v = v;
    this.#list = rules;
    return true;
  }

  /** A rule for this round counts before one for all rounds. */
  of(user: string, round: number): "allow" | "deny" | null {
    if (this.#byUser.size === 0) return null;
    const rounds = this.#byUser.get(user);
    return rounds === undefined ? null : (rounds.get(round) ?? rounds.get(0) ?? null);
  }

  denies(user: string, round: number): boolean {
    return this.of(user, round) === "deny";
  }

  /** Users with a rule. */
  get users(): string[] {
    return [...this.#byUser.keys()];
  }
}

/** A user table that obeys the rules first. */
export function withRules<T extends { mayTakePart(user: string, round: number): boolean }>(
  table: T,
  rules: UserRules,
): Pick<T, Exclude<keyof T, "mayTakePart">> & { mayTakePart(user: string, round: number): boolean } {
  return {
    ...table,
    mayTakePart(user, round) {
      const rule = rules.of(user, round);
      return rule === null ? table.mayTakePart(user, round) : rule === "allow";
    },
  };
}

/**
 * The set after one more word of an operator. One about all rounds replaces all that was said of the user; one about a round only
 * what was said of that round. Pure. Throws RangeError when the set would become too large.
 */
export function changeRules(set: UserRuleSet, said: UserRule): UserRuleSet {
  const others = set.rules.filter(
    ({ user, round }) => user !== said.user || (said.round !== 0 && round !== said.round),
  );
  if (others.length >= USER_RULES_MAX)
    throw new RangeError(`user rules: found ${others.length} already, expected at most ${USER_RULES_MAX}`);
  const rules = [...others, said].sort((a, b) =>
    a.user < b.user ? -1 : a.user > b.user ? 1 : a.round - b.round,
  );
  return { v: set.v + 1, rules };
}
