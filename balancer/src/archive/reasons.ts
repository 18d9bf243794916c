/** What speaks against archiving an event now. Pure. */
import { formatMoney } from "@hongbao/preprocess";
import type { BucketRest } from "@hongbao/bucket-service";
import type { AuditReport } from "../operate/audit.ts";

export interface Reason {
  what: string;
  /** Which command helps. */
  mend: string;
  /** Whether an operator may overrule it: nothing that is still being given or is on its way can be archived. */
  canForce: boolean;
}

export interface RestFacts {
  /** What the control store says of each round; "scheduled" where it has no record yet. */
  rounds: readonly { round: number; state: "scheduled" | "open" | "closed" }[];
  buckets: readonly ({ id: string } & BucketRest)[];
  audit: AuditReport;
  currency: string;
}

export function reasonsAgainst({ rounds, buckets, audit, currency }: RestFacts): Reason[] {
  const reasons: Reason[] = [];
  const add = (what: string, mend: string, canForce: boolean): void =>
    void reasons.push({ what, mend, canForce });
  for (const { round, state } of rounds) {
    const inBuckets = buckets.filter(({ open }) => open.includes(round)).map(({ id }) => id);
    if (state === "open" || inBuckets.length > 0) {
      const where = inBuckets.length > 0 ? ` in ${inBuckets.join(", ")}` : "";
      add(`round ${round} is open${where}`, `wait for its end, or "hongbao round close ${round}"`, false);
    } else if (state === "scheduled") {
      add(`round ${round} has not been yet`, `wait for it, or "hongbao round close ${round}" for good`, true);
    }
  }
  for (const { id, waiting } of buckets) {
    if (waiting > 0)
      add(
        `${waiting} claims of bucket ${id} are in the journal, not in MySQL`,
        'see "hongbao status": is persist at work?',
        false,
      );
  }
  for (const { kind, move, count } of audit.underWay)
    add(
      `${count} prizes are on their way (${kind} ${move})`,
      'the conductor finishes it; see "hongbao round list"',
      true,
    );
  const total = (name: "pending" | "held" | "dead", sign = 1) => ({
    count: audit.rounds.reduce((sum, round) => sum + sign * round[name].count, 0),
    amount: audit.rounds.reduce((sum, round) => sum + sign * round[name].amount, 0),
  });
  const [pending, held, dead] = [total("pending"), total("held"), total("dead")];
  const unpaid = { count: pending.count - held.count, amount: pending.amount - held.amount };
  const worth = (minor: number): string => `${formatMoney(minor)} ${currency}`;
  if (unpaid.count > 0)
    add(
      `${unpaid.count} payouts are pending (${worth(unpaid.amount)})`,
      'wait; "hongbao payout status" says why',
      true,
    );
  if (dead.count > 0)
    add(
      `${dead.count} payouts are dead (${worth(dead.amount)})`,
      '"hongbao payout status" says why, "hongbao payout retry" tries again',
      true,
    );
  if (!audit.ok)
    add(`the audit found ${audit.violations.length} violations`, '"hongbao audit" names them', true);
  return reasons;
}
