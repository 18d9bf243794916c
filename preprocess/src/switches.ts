/**
 * The switches: live settings that change the logic without a restart. Here is what each may say and what holds when
 * nobody has set it; who obeys it reads `current` of a LiveSwitches. The whole set travels in one piece under a version,
 * as the user rules do, because it is small and must never be half known.
 */
import { z } from "zod";

/** What a process obeys at this moment: plain fields, read on the hot path. */
export interface SwitchValues {
  /** False: nobody gets anything, every grab is answered `busy`; what was won can be looked up. */
  readonly grab: boolean;
  /** True: every grab is answered `ended`. */
  readonly ended: boolean;
  /** When a win is told; `event`: as the event file says. */
  readonly ack: "event" | "journal" | "database";
  /** False: nothing new is paid. */
  readonly payout: boolean;
  /** Requests per second that one user may make for long (twice as many at once); 0: any number. */
  readonly limitUser: number;
  /** Requests per second without a valid token from one address (twice as many at once); 0: any number. */
  readonly limitIp: number;
  /** Grabs of an item round that a process lets on their way to Redis; 0: as the event file says. */
  readonly gate: number;
  /** Whether buckets lend by themselves; orders of operators are carried out in any case. */
  readonly lend: boolean;
  /** What a grab past the bounds of load is told. */
  readonly shed: "busy" | "ended";
}

interface Definition {
  field: keyof SwitchValues;
  /** The value's text → what is obeyed; null when it is no such value. */
  read: (text: string) => SwitchValues[keyof SwitchValues] | null;
  /** The default, as text. */
  standard: string;
  expected: string;
  /** One line for people. */
  effect: string;
  /** It cannot be set for one bucket. */
  isForAll?: true;
}

const ON_OFF = { on: true, off: false } as const;
const words =
  <T>(values: Readonly<Record<string, T>>) =>
  (text: string): T | null =>
    Object.hasOwn(values, text) ? values[text]! : null;
const numberOr =
  (word: string, max: number) =>
  (text: string): number | null => {
    if (text === word) return 0;
    return /^[1-9]\d{0,5}$/.test(text) && Number(text) <= max ? Number(text) : null;
  };

/** By the name that operators use. */
export const SWITCHES = {
  grab: {
    field: "grab",
    read: words(ON_OFF),
    standard: "on",
    expected: "on or off",
    effect: "off: every grab is answered busy and takes nothing; what was won can be looked up",
  },
  ended: {
    field: "ended",
    read: words(ON_OFF),
    standard: "off",
    expected: "on or off",
    effect: "on: every grab is answered ended, the page shows its last screen",
  },
  ack: {
    field: "ack",
    read: words({ event: "event", journal: "journal", database: "database" } as const),
    standard: "event",
    expected: "event, journal or database",
    effect: "when a win is told: once Redis has it (journal) or once MySQL has it (database)",
  },
  payout: {
    field: "payout",
    read: words(ON_OFF),
    standard: "on",
    expected: "on or off",
    effect: "off: nothing new is paid; claims wait",
  },
  "limit.user": {
    field: "limitUser",
    read: numberOr("off", 1_000),
    standard: "5",
    expected: "1 to 1000 requests a second, or off",
    effect: "what one user may ask for, a second; twice as much at once",
  },
  "limit.ip": {
    field: "limitIp",
    read: numberOr("off", 100_000),
    standard: "50",
    expected: "1 to 100000 requests a second, or off",
    effect: "what one address may ask for without a valid token, a second; twice as much at once",
    // Who has no token has no bucket.
    isForAll: true,
  },
  gate: {
    field: "gate",
    read: numberOr("event", 100_000),
    standard: "event",
    expected: "1 to 100000, or event",
    effect: "how many grabs of an item round each process lets on their way to Redis",
  },
  lend: {
    field: "lend",
    read: words(ON_OFF),
    standard: "on",
    expected: "on or off",
    effect: "off: buckets lend only when an operator says so",
  },
  shed: {
    field: "shed",
    read: words({ busy: "busy", ended: "ended" } as const),
    standard: "busy",
    expected: "busy or ended",
    effect: "what a grab is told that comes when all is overloaded",
  },
} as const satisfies Record<string, Definition>;

export type SwitchName = keyof typeof SWITCHES;
export const SWITCH_NAMES = Object.keys(SWITCHES) as SwitchName[];

export const isSwitchName = (name: string): name is SwitchName => Object.hasOwn(SWITCHES, name);

const definitionOf = (name: SwitchName): Definition => SWITCHES[name];

/** What is obeyed while nobody has set anything. */
export const STANDARD_SWITCHES = valuesOf([], null, 0);

/** Bounds: the set is sent whole, and nothing that was set is forgotten for ever. */
export const switchPolicy = Object.freeze({
  settingsMax: 200,
  forMsMin: 1_000,
  forMsMax: 7 * 86_400_000,
  forMsStandard: 30 * 60_000,
  byLengthMax: 100,
  whyLengthMax: 300,
  /** Of a set as JSON: it is one record of the control store, with a word about its last change, and one admin request. */
  bytesMax: 60_000,
});

const settingSchema = z
  .object({
    name: z.enum(SWITCH_NAMES),
    /** One bucket, or null: all of them. */
    bucket: z.string().min(1).max(32).nullable(),
    value: z.string().min(1).max(32),
    /** ms since 1970: from then on the default holds again. */
    untilMs: z.int().positive(),
    atMs: z.int().positive(),
    by: z.string().min(1).max(switchPolicy.byLengthMax),
    why: z.string().max(switchPolicy.whyLengthMax),
  })
  .superRefine(({ name, value, bucket }, context) => {
    const trouble = switchTrouble(name, value, bucket);
    if (trouble !== null) context.addIssue(trouble);
  });

/** Why a switch cannot be set so, or null: names the switch, what was found and what is expected. */
export function switchTrouble(name: SwitchName, value: string, bucket: string | null): string | null {
  const { read, expected, isForAll } = definitionOf(name);
  if (read(value) === null) return `${name}: found "${value}", expected ${expected}`;
  if (isForAll && bucket !== null) return `${name}: found bucket ${bucket}, expected none: it counts for all`;
  return null;
}

/** One switch that somebody has set. */
export type SwitchSetting = z.infer<typeof settingSchema>;

/** All settings under one version, which only grows. At most one setting a name and bucket. */
export const switchSetSchema = z.object({
  v: z.int().min(0),
  settings: z.array(settingSchema).max(switchPolicy.settingsMax),
});
export type SwitchSet = z.infer<typeof switchSetSchema>;

export const NO_SWITCHES: SwitchSet = Object.freeze({ v: 0, settings: [] });

/** The text that a switch has in a bucket at a moment: the bucket's own setting, else the one for all, else the default. */
function textOf(
  settings: readonly SwitchSetting[],
  name: SwitchName,
  bucket: string | null,
  nowMs: number,
): string {
  const live = settings.filter((each) => each.name === name && each.untilMs > nowMs);
  const own = bucket === null ? undefined : live.find((each) => each.bucket === bucket);
  const setting = own ?? live.find((each) => each.bucket === null);
  return setting?.value ?? definitionOf(name).standard;
}

/** What a bucket obeys at a moment; null: what counts for all. Pure. */
export function valuesOf(
  settings: readonly SwitchSetting[],
  bucket: string | null,
  nowMs: number,
): SwitchValues {
  const values: Partial<Record<keyof SwitchValues, unknown>> = {};
  for (const name of SWITCH_NAMES) {
    const { field, read } = definitionOf(name);
    values[field] = read(textOf(settings, name, bucket, nowMs));
  }
  return values as SwitchValues;
}

/** The set after an operator's word. Throws RangeError when it would be too much. Pure. */
export function setSwitch(set: SwitchSet, setting: SwitchSetting): SwitchSet {
  const others = set.settings.filter(
    ({ name, bucket }) => name !== setting.name || bucket !== setting.bucket,
  );
  if (others.length >= switchPolicy.settingsMax) {
    throw new RangeError(
      `switches: found ${others.length} already, expected at most ${switchPolicy.settingsMax}`,
    );
  }
  const next = { v: set.v + 1, settings: [...others, setting] };
  const bytes = Buffer.byteLength(JSON.stringify(next));
  if (bytes > switchPolicy.bytesMax)
    throw new RangeError(`switches: found ${bytes} bytes in all, expected at most ${switchPolicy.bytesMax}`);
  return next;
}

/** The set without a switch: in one bucket, or (bucket null) wherever it is set. `gone` is what that was. Pure. */
export function clearSwitch(
  set: SwitchSet,
  name: SwitchName,
  bucket: string | null,
): { set: SwitchSet; gone: SwitchSetting[] } {
  return without(set, (each) => each.name === name && (bucket === null || each.bucket === bucket));
}

/** The set without what has had its time. Pure. */
export function dropExpired(set: SwitchSet, nowMs: number): { set: SwitchSet; gone: SwitchSetting[] } {
  return without(set, ({ untilMs }) => untilMs <= nowMs);
}

/** The same set when nothing goes. */
function without(
  set: SwitchSet,
  goes: (setting: SwitchSetting) => boolean,
): { set: SwitchSet; gone: SwitchSetting[] } {
  const gone = set.settings.filter(goes);
  if (gone.length === 0) return { set, gone };
  return { set: { v: set.v + 1, settings: set.settings.filter((each) => !goes(each)) }, gone };
}

/** Node's timers take no more than this; a longer wait is cut into pieces. */
const TIMER_MS_MAX = 2_000_000_000;

/** The switches of one process. A setting ends by the process's own clock, so it ends also while nobody can be reached. */
export class LiveSwitches {
  readonly #bucket: string | null;
  readonly #nowMs: () => number;
  readonly #listeners: ((values: SwitchValues) => void)[] = [];
  #set: SwitchSet = NO_SWITCHES;
  #current: SwitchValues = STANDARD_SWITCHES;
  #timer: NodeJS.Timeout | undefined;

  /** @param bucket the bucket whose switches count; null: only those for all. */
  constructor(bucket: string | null, nowMs: () => number = Date.now) {
    this.#bucket = bucket;
    this.#nowMs = nowMs;
  }

  get current(): SwitchValues {
    return this.#current;
  }
  get set(): SwitchSet {
    return this.#set;
  }

  /** Called after each change, also when a setting ends by itself. */
  onChange(listener: (values: SwitchValues) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes over a newer set; false for one that is older or the same. */
  take(set: SwitchSet): boolean {
    if (set.v <= this.#set.v) return false;
    this.#set = set;
    this.#look();
    return true;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    clearTimeout(this.#timer);
    const nowMs = this.#nowMs();
    const before = this.#current;
    this.#current = valuesOf(this.#set.settings, this.#bucket, nowMs);
    const ends = this.#set.settings.map(({ untilMs }) => untilMs - nowMs).filter((ms) => ms > 0);
    if (ends.length > 0) {
      this.#timer = setTimeout(() => this.#look(), Math.min(TIMER_MS_MAX, ...ends));
      this.#timer.unref();
    }
    if (JSON.stringify(before) !== JSON.stringify(this.#current))
      for (const listener of this.#listeners) listener(this.#current);
  }
}
