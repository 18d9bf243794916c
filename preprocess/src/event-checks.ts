/** What a schema cannot say of an event: sums that must agree, orders in time, names used twice. Pure. */
import type { EventPlan, RoundPlan } from "./event-plan.ts";
import { AMOUNT_MINOR_MAX, PRIZES_MAX } from "./event-plan.ts";
import { formatMoney } from "./money.ts";
import type { FieldPath } from "./yaml-file.ts";

/** Called with the field and `found …, expected …`; does not return. */
export type Refuse = (field: FieldPath, problem: string) => never;

/** Calls `refuse` for the first thing that does not hold. */
export function checkEvent(event: EventPlan, refuse: Refuse): void {
  const seenAt = new Map<number, number>();
  let budgetMinor = 0;
  let prizes = 0;
  event.rounds.forEach((round, index) => {
    const first = seenAt.get(round.id);
    if (first !== undefined) {
      refuse(["rounds", index, "id"], `found ${round.id} again (also rounds[${first}]), expected a new id`);
    }
    seenAt.set(round.id, index);
    checkRound(round, (field, problem) => refuse(["rounds", index, ...field], problem));
    budgetMinor += round.budgetMinor;
    prizes += round.count;
  });
  if (budgetMinor > event.budgetMinor) {
    const sum = formatMoney(budgetMinor);
    const budget = formatMoney(event.budgetMinor);
    refuse(["budget"], `found ${budget}, expected at least ${sum}, the sum of the rounds' budgets`);
  }
  if (prizes > PRIZES_MAX)
    refuse(["rounds"], `found ${prizes} prizes in all, expected at most ${PRIZES_MAX}`);
}

function checkRound(round: RoundPlan, refuse: Refuse): void {
  const { opensAt, closesAt } = round;
  // Times of different kinds can only be compared when the event is loaded (resolveTimes).
  if (opensAt.kind === "at" && closesAt.kind === "at" && closesAt.ms <= opensAt.ms) {
    const [opening, closing] = [opensAt, closesAt].map(({ ms }) => new Date(ms).toISOString());
    refuse(["closesAt"], `found ${closing}, expected a time after opensAt, ${opening}`);
  }
  if (opensAt.kind === "after" && closesAt.kind === "after" && closesAt.ms <= opensAt.ms) {
    refuse(
      ["closesAt"],
      `found now+${closesAt.ms / 1000}s, expected a time after opensAt, now+${opensAt.ms / 1000}s`,
    );
  }
  // A round that opens by itself must not stay open because nobody thought of its end.
  if (closesAt.kind === "manual" && opensAt.kind !== "manual") {
    refuse(
      ["closesAt"],
      "is missing, expected a time such as 2027-02-05T20:10:00+08:00, now+10m, or +10m after the opening " +
        "(only a round that is opened by command may be closed by command)",
    );
  }
  if (closesAt.kind === "afterOpening" && closesAt.ms === 0) {
    refuse(["closesAt"], "found +0, expected a time after the opening");
  }
  if (round.groups && new Set(round.groups).size < round.groups.length) {
    refuse(["groups"], `found ${round.groups.join(", ")}, expected each group once`);
  }
  if (round.kind === "envelope") checkSplit(round, refuse);
}

function checkSplit({ split, count, budgetMinor }: RoundPlan, refuse: Refuse): void {
  const budget = formatMoney(budgetMinor);
  switch (split.method) {
    case "none":
      return;
    case "equal":
      if (budgetMinor < count)
        refuse(["budget"], `found ${budget}, expected at least 0.01 for each of ${count}`);
      if (budgetMinor > count * AMOUNT_MINOR_MAX)
        refuse(["budget"], `found ${budget}, expected at most ${formatMoney(AMOUNT_MINOR_MAX)} each`);
      return;
    case "tiers": {
      const tiers = split.tiers.reduce((sum, tier) => sum + tier.count, 0);
      const minor = split.tiers.reduce((sum, tier) => sum + tier.count * tier.amountMinor, 0);
      if (tiers !== count) {
        refuse(
          ["split", "tiers"],
          `found ${tiers} prizes in all tiers, expected ${count}, the round's count`,
        );
      }
      if (minor !== budgetMinor) {
        refuse(
          ["split", "tiers"],
          `found ${formatMoney(minor)} in all tiers, expected ${budget}, the round's budget`,
        );
      }
      return;
    }
    case "lucky":
    case "normal": {
      const [min, max] = [split.minMinor, split.maxMinor].map(formatMoney);
      if (split.minMinor > split.maxMinor) {
        refuse(["split", "min"], `found ${min}, expected at most max, ${max}`);
      }
      const [least, most] = [count * split.minMinor, count * split.maxMinor];
      if (budgetMinor < least || budgetMinor > most) {
        const bounds = `${formatMoney(least)} to ${formatMoney(most)}`;
        refuse(["budget"], `found ${budget}, expected ${bounds} (${count} prizes of ${min} to ${max})`);
      }
      return;
    }
  }
}
