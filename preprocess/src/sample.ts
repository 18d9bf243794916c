/** `preprocess sample`: an event that works as it is and explains itself to whoever edits it. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { BadInput } from "./errors.ts";
import { formatMoney } from "./money.ts";

export const SAMPLE_USERS_MAX = 10_000_000;

/** What the prizes of the sample are worth on average. */
const AVERAGE_MINOR = 500;

const FAMILY_NAMES = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "欧阳", "司马"];
const GIVEN_NAMES = ["伟", "芳", "娜", "秀英", "敏", "静", "强", "磊", "洋", "晓明", "志远"];
/** Names as they are in real lists: commas, quotes, accents, emoji. */
const OTHER_NAMES = [
  "Li, Wei",
  "Smith, Anna",
  "O'Brien, Pat",
  'Wang "Amy" Min',
  "José Müller",
  "Zhang 🐉 Long",
  "阿依古丽·买买提",
  "Nguyễn Văn An",
];
const GROUPS = ["staff", "staff", "staff", "family", "partners"];

const GREETINGS = [
  "恭喜发财，大吉大利",
  "新春快乐，万事如意",
  "身体健康，阖家幸福",
  "步步高升，心想事成",
  "年年有余，岁岁平安",
  "龙马精神，前程似锦",
  "Happy New Year, and a lucky one!",
  "Health, joy and good fortune",
];

/** The event file of the sample: one round of envelopes in which every user can have one. */
export function sampleEvent(users: number): string {
  const budget = formatMoney(users * AVERAGE_MINOR);
  const noted = (field: string, note: string): string => `${field.padEnd(32)} # ${note}`;
  return `# A sample event. Check it with: hongbao preprocess plan event.yaml
# Money is a decimal with at most 2 places. Paths are relative to this file.
event: sample                    # the id: a-z 0-9 - ; it names the database too
title: { zh: 新春红包, en: Spring Festival red envelopes }
currency: CNY
timezone: Asia/Shanghai
${noted(`budget: ${budget}`, "the rounds' budgets may not exceed it")}
users: users.csv                 # header id,name,group ; UTF-8 ; ids 1-64 of A-Z a-z 0-9 . _ -
greetings: greetings.txt         # one a line; each envelope gets one of them
# ack: journal                   # journal: a win is told when Redis has it; database: when MySQL has it
# journalMax: 200000             # at most so many wins of a bucket wait for MySQL

rounds:
  - id: 1                        # 1 to 99
    kind: envelope               # envelope (money) or item (see below)
    opensAt: now+30s             # or 2027-02-05T20:00:00+08:00, or manual (opened by "round open")
    closesAt: +10m               # after the opening; or a time with its timezone
${noted(`    count: ${users}`, "how many prizes")}
${noted(`    budget: ${budget}`, "their amounts sum to it, to the cent")}
    # lucky: random shares; also { method: equal }, { method: normal, min: 1.00, max: 9.00 }
    # and { method: tiers, tiers: [{ amount: 88.00, count: 1 }, { amount: 1.00, count: 99 }] }
    split: { method: lucky, min: 0.01, max: 200.00 }
    perUser: 1                   # how many one user may have
    # groups: [staff]            # who may take part; everyone when left out
    leftovers: next              # next: what is left goes to the next round like this one; hold: it stays

  # A round of items: they have a price instead of a budget.
  # - id: 2
  #   kind: item
  #   item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
  #   opensAt: now+15m
  #   closesAt: +10m
  #   count: 100
  #   gate: 10                   # so many requests of a process may be on their way to Redis
`;
}

/** The line of a user in the list, numbered from 1. */
export function sampleUserLine(number: number): string {
  const other = number % 5 === 0 ? OTHER_NAMES[(number / 5) % OTHER_NAMES.length] : undefined;
  const family = FAMILY_NAMES[number % FAMILY_NAMES.length]!;
  const given = GIVEN_NAMES[number % GIVEN_NAMES.length]!;
  return `u${number},${csvField(other ?? family + given)},${GROUPS[number % GROUPS.length]}\n`;
}

function csvField(text: string): string {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function* userLines(users: number): Generator<string> {
  yield "id,name,group\n";
  for (let number = 1; number <= users; number++) yield sampleUserLine(number);
}

/** Writes a text that comes in pieces to a new file, by way of a draft. */
function writePieces(path: string, pieces: Iterable<string>): void {
  const draft = `${path}.draft-${process.pid}`;
  const file = openSync(draft, "w");
  try {
    let waiting = "";
    for (const piece of pieces) {
      waiting += piece;
      if (waiting.length < 65_536) continue;
      writeSync(file, waiting);
      waiting = "";
    }
    writeSync(file, waiting);
    renameSync(draft, path);
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
}

/**
 * Writes event.yaml, users.csv and greetings.txt. Throws BadInput when an event file of other content is there and
 * `force` is not given: someone may have edited it.
 */
export function writeSample(dir: string, users: number, force: boolean): { event: string } {
  const event = join(dir, "event.yaml");
  const text = sampleEvent(users);
  if (!force && existsSync(event) && readFileSync(event, "utf8") !== text) {
    throw new BadInput(
      `${event}: found another event file, expected none: give another --out, or --force to replace it`,
    );
  }
  mkdirSync(dir, { recursive: true });
  writePieces(join(dir, "users.csv"), userLines(users));
  writePieces(join(dir, "greetings.txt"), [`${GREETINGS.join("\n")}\n`]);
  writePieces(event, [text]);
  return { event };
}
