/** The event file: what is given away, to whom, in which rounds. Everything is checked here, once. */
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { BadInput } from "./errors.ts";
import { checkEvent } from "./event-checks.ts";
import type { EventPlan, RoundPlan, Split, Titles } from "./event-plan.ts";
import { AMOUNT_MINOR_MAX, PRIZES_MAX } from "./event-plan.ts";
import { parseMoney } from "./money.ts";
import type { TimeExpression } from "./times.ts";
import { readTimeExpression } from "./times.ts";
import type { FieldPath, YamlFile } from "./yaml-file.ts";
import { listField, mapField, readYaml, textField, wholeField, wordField } from "./yaml-file.ts";

export const JOURNAL_MAX_DEFAULT = 200_000;
const ROUNDS_MAX = 99;

const money = z
  .union([z.string(), z.number()], { error: "an amount such as 12.50" })
  .transform((value, context) => {
    try {
      return parseMoney(value, "");
    } catch {
      context.addIssue({ code: "custom", message: "an amount such as 12.50 with at most 2 decimals" });
      return z.NEVER;
    }
  });

/** An envelope of nothing is none: amounts of prizes start at 0.01. */
const prizeMoney = money.refine((minor) => minor >= 1 && minor <= AMOUNT_MINOR_MAX, {
  error: "an amount from 0.01 to 42949672.95",
});

const title = z
  .union(
    [
      z.string().min(1).max(200),
      z.strictObject({ zh: z.string().min(1).max(200), en: z.string().min(1).max(200) }),
    ],
    { error: "{ zh: …, en: … } or one text for both, of 1 to 200 characters" },
  )
  .transform((value): Titles => (typeof value === "string" ? { zh: value, en: value } : value));

function timeField(kinds: TimeExpression["kind"][], what: string) {
  const error = `${what} (a time without a timezone means another moment elsewhere)`;
  return z.string({ error }).transform((text, context) => {
    const time = readTimeExpression(text);
    if (time && kinds.includes(time.kind)) return time;
    context.addIssue({ code: "custom", message: error });
    return z.NEVER;
  });
}

const split = z.discriminatedUnion(
  "method",
  [
    mapField({ method: z.literal("equal") }, "{ method: equal }"),
    mapField(
      { method: z.literal("lucky"), min: prizeMoney.optional(), max: prizeMoney.optional() },
      "{ method: lucky, min: …, max: … }",
    ),
    mapField(
      { method: z.literal("normal"), min: prizeMoney, max: prizeMoney, deviation: prizeMoney.optional() },
      "{ method: normal, min: …, max: … }",
    ),
    mapField(
      {
        method: z.literal("tiers"),
        tiers: listField(
          mapField({ amount: prizeMoney, count: wholeField(1, PRIZES_MAX) }, "{ amount: …, count: … }"),
          1,
          1000,
          "tiers { amount: …, count: … }",
        ),
      },
      "{ method: tiers, tiers: [{ amount: …, count: … }] }",
    ),
  ],
  { error: "{ method: lucky | equal | tiers | normal, … }" },
);

const everyRound = {
  id: wholeField(1, ROUNDS_MAX),
  title: title.optional(),
  opensAt: timeField(
    ["at", "after", "manual"],
    "a time with its timezone such as 2027-02-05T20:00:00+08:00, now+30s or manual",
  ).default({ kind: "manual" }),
  closesAt: timeField(
    ["at", "after", "afterOpening", "manual"],
    "a time with its timezone such as 2027-02-05T20:10:00+08:00, now+10m, or +10m after the opening",
  ).default({ kind: "manual" }),
  count: wholeField(1, PRIZES_MAX),
  perUser: wholeField(1, 1000).default(1),
  groups: listField(
    z.string({ error: "a group's name" }).min(1, { error: "a group's name" }),
    1,
    1000,
    "groups",
  ).optional(),
  leftovers: wordField(["next", "hold"]).default("next"),
  spreadMs: wholeField(0, 60_000).default(0),
};

const round = z.discriminatedUnion(
  "kind",
  [
    mapField({ ...everyRound, kind: z.literal("envelope"), budget: money, split }, "a round"),
    mapField(
      {
        ...everyRound,
        kind: z.literal("item"),
        item: mapField(
          { sku: textField(/^[\x21-\x7e]{1,64}$/, "1 to 64 printable characters"), title, price: money },
          "{ sku: …, title: …, price: … }",
        ),
        gate: wholeField(1, 100_000).optional(),
      },
      "a round",
    ),
  ],
  { error: "a round with kind: envelope or kind: item" },
);

const eventSchema = mapField(
  {
    event: textField(/^[a-z0-9-]{1,32}$/, "an id of 1 to 32 of a-z 0-9 -"),
    title,
    currency: textField(/^[A-Z]{3}$/, "three letters such as CNY"),
    timezone: z.string({ error: "a timezone such as Asia/Shanghai" }).refine(isTimezone, {
      error: "a timezone such as Asia/Shanghai",
    }),
    budget: money,
    users: z.string({ error: "the path of a CSV file" }).min(1, { error: "the path of a CSV file" }),
    greetings: z
      .string({ error: "the path of a text file" })
      .min(1, { error: "the path of a text file" })
      .optional(),
    ack: wordField(["journal", "database"]).default("journal"),
    journalMax: wholeField(1, 100_000_000).default(JOURNAL_MAX_DEFAULT),
    rounds: listField(round, 1, ROUNDS_MAX, "rounds"),
  },
  "an event: event, title, currency, timezone, budget, users, rounds",
);

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** Where the fields of an event that was read from a file stand in it, for checks that come later. */
const locators = new WeakMap<EventPlan, YamlFile<unknown>["where"]>();

/** `event.yaml:12: rounds[0].groups`, for the start of a message; without line for an event not read from a file. */
export function whereInEvent(event: EventPlan, field: FieldPath): string {
  return locators.get(event)?.(field) ?? `${event.path}: ${field.map(String).join(".")}`;
}

/**
 * Reads and checks an event file. Paths in it are relative to it. Does not open the user list.
 * Throws BadInput (file, line, field, found, expected) and Unreachable when the file is not there.
 */
export function readEvent(path: string): EventPlan {
  const { data, where } = readYaml(path, eventSchema, "an event file");
  const base = dirname(resolve(path));
  const event: EventPlan = {
    path,
    id: data.event,
    title: data.title,
    currency: data.currency,
    timezone: data.timezone,
    budgetMinor: data.budget,
    usersPath: resolve(base, data.users),
    greetingsPath: data.greetings === undefined ? null : resolve(base, data.greetings),
    ack: data.ack,
    journalMax: data.journalMax,
    rounds: data.rounds.map(toRound),
  };
  locators.set(event, where);
  checkEvent(event, (field, problem) => {
    throw new BadInput(`${where(field)}: ${problem}`);
  });
  return event;
}

type RawRound = z.output<typeof round>;

function toRound(raw: RawRound): RoundPlan {
  return {
    id: raw.id,
    kind: raw.kind,
    ...(raw.title ? { title: raw.title } : {}),
    opensAt: raw.opensAt,
    closesAt: raw.closesAt,
    count: raw.count,
    budgetMinor: raw.kind === "envelope" ? raw.budget : 0,
    split: raw.kind === "envelope" ? toSplit(raw.split, raw.budget) : { method: "none" },
    perUser: raw.perUser,
    groups: raw.groups ?? null,
    leftovers: raw.leftovers,
    ...(raw.kind === "item"
      ? { item: { sku: raw.item.sku, title: raw.item.title, priceMinor: raw.item.price } }
      : {}),
    ...(raw.kind === "item" && raw.gate !== undefined ? { gate: raw.gate } : {}),
    spreadMs: raw.spreadMs,
  };
}

function toSplit(raw: z.output<typeof split>, budgetMinor: number): Split {
  switch (raw.method) {
    case "equal":
      return { method: "equal" };
    case "lucky": {
      const maxMinor = raw.max ?? Math.min(budgetMinor, AMOUNT_MINOR_MAX);
      return { method: "lucky", minMinor: raw.min ?? 1, maxMinor };
    }
    case "normal": {
      // Six deviations from end to end put 99.7 % of a centred curve inside the bounds.
      const usual = Math.max(1, Math.round((raw.max - raw.min) / 6));
      return {
        method: "normal",
        minMinor: raw.min,
        maxMinor: raw.max,
        deviationMinor: raw.deviation ?? usual,
      };
    }
    case "tiers":
      return {
        method: "tiers",
        tiers: raw.tiers.map(({ amount, count }) => ({ amountMinor: amount, count })),
      };
  }
}
