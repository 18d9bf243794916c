/** Keeps a process's user rules current: pushed by the conductor, and read from MySQL while nobody pushes. */
import type { Router } from "@koa/router";
import type { Pool } from "mysql2/promise";
import { isUserId } from "@hongbao/preprocess";
import { AdminError, readJson } from "../admin/server.ts";
import { readRules, rulesVersion, writeRules } from "../mysql/user-rules.ts";
import { USER_RULES_MAX, type UserRule, type UserRules, type UserRuleSet } from "./rules.ts";

/** A restarted process, and one that the conductor cannot reach, learns within this time. */
const READ_EVERY_MS = 500;

export class RulesKeeper {
  readonly #rules: UserRules;
  readonly #pool: Pool;
  #timer: NodeJS.Timeout | null = null;
  #busy = false;

  constructor(rules: UserRules, pool: Pool) {
    this.#rules = rules;
    this.#pool = pool;
  }

  /** Reads once, then every READ_EVERY_MS. Never rejects: with MySQL away the process goes on with what it knows. */
  async start(): Promise<void> {
    await this.#read();
    this.#timer = setInterval(() => void this.#read(), READ_EVERY_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const v = await rulesVersion(this.#pool, { lock: false });
      if (v > this.#rules.v) this.#rules.take(await readRules(this.#pool));
      // A set that came while MySQL was away is written now.
      else if (v < this.#rules.v) await writeRules(this.#pool, this.#rules.set);
    } catch {
      // Asked again soon.
    } finally {
      this.#busy = false;
    }
  }

  /** Takes a pushed set: memory first, MySQL after, because grabs must stop also while MySQL is away. */
  async push(set: UserRuleSet): Promise<{ applied: boolean; written: boolean }> {
    const applied = this.#rules.take(set);
    try {
      await writeRules(this.#pool, set);
      return { applied, written: true };
    } catch {
      return { applied, written: false };
    }
  }

  /** GET and PUT /admin/users. */
  routes(): (router: Router) => void {
    return (router) => {
      router.get("/users", (context) => {
        context.body = this.#rules.set;
      });
      router.put("/users", async (context) => {
        const set = checkSet(await readJson(context));
        const { written } = await this.push(set);
        context.status = set.v < this.#rules.v ? 409 : 200;
        context.body = { v: this.#rules.v, written };
      });
    };
  }
}

function checkSet(body: Record<string, unknown>): UserRuleSet {
  const { v, rules } = body;
  if (typeof v !== "number" || !Number.isSafeInteger(v) || v < 1)
    throw new AdminError(400, `v: found ${JSON.stringify(v)}, expected a whole number from 1`);
  if (!Array.isArray(rules) || rules.length > USER_RULES_MAX)
    throw new AdminError(400, `rules: expected a list of at most ${USER_RULES_MAX}`);
  return { v, rules: rules.map(checkRule) };
}

function checkRule(value: unknown): UserRule {
  const { user, round, rule } = value as Partial<UserRule>;
  const isRule =
    typeof user === "string" &&
    isUserId(user) &&
    typeof round === "number" &&
    Number.isInteger(round) &&
    round >= 0 &&
    round <= 99 &&
    (rule === "allow" || rule === "deny");
  if (isRule) return { user, round, rule };
  throw new AdminError(
    400,
    `rules: found ${JSON.stringify(value)}, expected { user, round: 0 to 99, rule: allow or deny }`,
  );
}
