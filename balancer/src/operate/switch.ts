/** `hongbao switch list|set|clear`. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  BadInput,
  confirmAct,
  durationMs,
  isSwitchName,
  print,
  printJson,
  say,
  SWITCH_NAMES,
  SWITCHES,
  switchPolicy,
  switchTrouble,
  table,
  type SwitchName,
} from "@hongbao/preprocess";
import { z } from "zod";
import { openControllers, type Controllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";
import { inOrder, settingSchema, timeLeft, type ShownSetting } from "./switch-words.ts";

export interface SwitchListOptions extends Where {
  json?: boolean;
}

export interface SwitchOptions extends SwitchListOptions {
  bucket?: string;
  by?: string;
  why?: string;
}

export interface SwitchSetOptions extends SwitchOptions {
  for?: string;
}

const CONFIRM_MS_MAX = 3_000;
const CONFIRM_POLL_MS = 50;

const switchesSchema = z.object({
  v: z.number(),
  nowMs: z.number(),
  settings: z.array(settingSchema),
  processes: z.array(z.object({ bucket: z.string(), id: z.string(), v: z.number().nullable() })),
  balancers: z.array(z.object({ id: z.string(), v: z.number().nullable() })),
});
type Switches = z.infer<typeof switchesSchema>;

async function readSwitches(controllers: Controllers): Promise<Switches> {
  return switchesSchema.parse(await controllers.get("/admin/switches"));
}

const whereOf = (bucket: string | null | undefined): string =>
  bucket === null || bucket === undefined ? "all buckets" : `bucket ${bucket}`;

function checkName(name: string): SwitchName {
  if (isSwitchName(name)) return name;
  throw new BadInput(`switch: found "${name}", expected one of ${SWITCH_NAMES.join(", ")}`);
}

function checkBucket(bucket: string | undefined, { topology }: Controllers): void {
  const known = topology.buckets.map(({ id }) => id);
  if (bucket !== undefined && !known.includes(bucket))
    throw new BadInput(`--bucket: found "${bucket}", expected one of ${known.join(", ")}`);
}

/** ms; half an hour when nothing is said. */
function readFor(text: string | undefined): number {
  const { forMsMin, forMsMax, forMsStandard } = switchPolicy;
  if (text === undefined) return forMsStandard;
  const ms = durationMs(text);
  if (ms !== null && ms >= forMsMin && ms <= forMsMax) return ms;
  throw new BadInput(`--for: found "${text}", expected 1s to 7d, such as 30s, 10m or 2h`);
}

/** Sets a switch and waits until whoever answers obeys it. */
export async function runSwitchSet(
  nameText: string,
  value: string | undefined,
  options: SwitchSetOptions,
): Promise<void> {
  const name = checkName(nameText);
  const { expected, effect } = SWITCHES[name];
  if (value === undefined) throw new BadInput(`${name}: found no value, expected ${expected}`);
  const trouble = switchTrouble(name, value, options.bucket ?? null);
  if (trouble !== null) throw new BadInput(trouble);
  const forMs = readFor(options.for);
  const controllers = openControllers(options);
  checkBucket(options.bucket, controllers);
  const { settings } = await readSwitches(controllers);
  const own = settings.filter((each) => each.name === name && each.bucket !== null);
  await confirmAct({
    what: [
      ...(await topologyLine(controllers)),
      `Will set switch ${name} to ${value} for ${timeLeft(forMs)} in ${whereOf(options.bucket)} (${effect}).`,
      ...(options.bucket === undefined && own.length > 0
        ? [
            `Buckets keep what is set for themselves: ${own.map((each) => `${each.bucket} ${each.value}`).join(", ")}.`,
          ]
        : []),
    ],
  });
  await act(
    controllers,
    options,
    { name, value, forMs },
    `switch ${name}: ${value} in ${whereOf(options.bucket)}`,
  );
}

/** Back to the default, everywhere or in one bucket. */
export async function runSwitchClear(nameText: string, options: SwitchOptions): Promise<void> {
  const name = checkName(nameText);
  const controllers = openControllers(options);
  checkBucket(options.bucket, controllers);
  const { settings } = await readSwitches(controllers);
  const { standard } = SWITCHES[name];
  const gone = settings.filter(
    (each) => each.name === name && (options.bucket === undefined || each.bucket === options.bucket),
  );
  const was = gone.map((each) => `${each.value} in ${whereOf(each.bucket)}, by ${each.by}`).join("; ");
  const will =
    was === "" ? "It is not set." : `Will clear switch ${name} (${was}); the default is ${standard}.`;
  await confirmAct({ what: [...(await topologyLine(controllers)), will] });
  await act(
    controllers,
    options,
    { name, value: null },
    `switch ${name}: cleared in ${whereOf(options.bucket)}`,
  );
}

async function topologyLine(controllers: Controllers): Promise<string[]> {
  const { event, buckets } = await controllers.state();
  const { path } = controllers.topology;
  return [`Topology ${path}, event ${event}, buckets ${buckets.map(({ id }) => id).join(", ")}`];
}

async function act(
  controllers: Controllers,
  { bucket = null, by, why, json }: Omit<SwitchOptions, "bucket"> & { bucket?: string | null },
  order: { name: SwitchName; value: string | null; forMs?: number },
  done: string,
): Promise<void> {
  const body = { ...order, bucket, by: by ?? byDefault(), why: why ?? "" };
  const { v } = z.object({ v: z.number() }).parse(await controllers.post("/admin/switches", body));
  const { settings, processes, balancers } = await confirmed(controllers, v);
  const obeys = (each: { v: number | null }): boolean => each.v !== null && each.v >= v;
  const all = [
    ...processes.map((each) => ({ ...each, id: `${each.bucket}/${each.id}` })),
    ...balancers.map((each) => ({ ...each, id: `HAProxy ${each.id}` })),
  ];
  const behind = all.filter((each) => !obeys(each)).map(({ id }) => id);
  if (balancers.length === 0) behind.push("HAProxy (none was heard)");
  if (json) {
    const setting = settings.find((each) => each.name === order.name && each.bucket === bucket);
    const untilMs = order.value === null ? undefined : setting?.untilMs;
    return printJson({
      switch: order.name,
      value: order.value,
      bucket,
      ...(untilMs === undefined ? {} : { until: new Date(untilMs).toISOString() }),
      v,
      live: all.length - all.filter((each) => !obeys(each)).length,
      behind,
    });
  }
  const live = (list: { v: number | null }[]): string => `${list.filter(obeys).length} of ${list.length}`;
  print(`${done}, live in ${live(processes)} processes and ${live(balancers)} HAProxies`);
  if (behind.length > 0) say(`not yet in ${behind.join(", ")}: told as soon as they answer`);
}

/** Waits, bounded, until everybody obeys the version. */
async function confirmed(controllers: Controllers, wanted: number): Promise<Switches> {
  const end = performance.now() + CONFIRM_MS_MAX;
  for (;;) {
    const switches = await readSwitches(controllers);
    const { processes, balancers } = switches;
    const isDone =
      balancers.length > 0 && [...processes, ...balancers].every(({ v }) => v !== null && v >= wanted);
    if (isDone || performance.now() >= end) return switches;
    await sleep(CONFIRM_POLL_MS);
  }
}

/** Every switch with what is set, and what holds else. */
export async function runSwitchList(options: SwitchListOptions): Promise<void> {
  const { v, settings, nowMs } = await readSwitches(openControllers(options));
  const shown = inOrder(settings);
  if (options.json) {
    return printJson({
      v,
      switches: shown.map((each) => withTimes(each, nowMs)),
      defaults: SWITCH_NAMES.map((name) => {
        const { standard, expected, effect } = SWITCHES[name];
        return { name, value: standard, expected, effect };
      }),
    });
  }
  const rows = SWITCH_NAMES.flatMap((name) => {
    const set = shown.filter((each) => each.name === name);
    const rest = set.some(({ bucket }) => bucket === null)
      ? []
      : [[name, SWITCHES[name].standard, "default"]];
    return [
      ...rest,
      ...set.map((each) => [
        name,
        each.value,
        each.bucket === null ? "all" : each.bucket,
        `${timeLeft(each.untilMs - nowMs)} left`,
        each.by,
        each.why,
      ]),
    ];
  });
  print(table([["switch", "value", "where", "time", "by", "why"], ...rows]));
}

function withTimes({ untilMs, atMs, ...rest }: ShownSetting, nowMs: number): Record<string, unknown> {
  const iso = (ms: number): string => new Date(ms).toISOString();
  return { ...rest, at: iso(atMs), until: iso(untilMs), leftMs: Math.max(0, Math.round(untilMs - nowMs)) };
}
