/** `hongbao round list|open|close|move`. */
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { BadInput, confirmAct, print, printJson, say, table } from "@hongbao/preprocess";
import { movingTo, transferLine, underWay } from "./move-words.ts";
import { openControllers, type ControllerRound, type Controllers, type Where } from "./controllers.ts";

export interface RoundListOptions extends Where {
  json?: boolean;
}

export interface RoundOptions extends Where {
  opensAt?: string;
  closesAt?: string;
  by?: string;
  why?: string;
  yes?: boolean;
  json?: boolean;
}

const CONFIRM_MS_MAX = 5_000;
const CONFIRM_POLL_MS = 100;

/** When people do not say who they are, the machine does. */
export function byDefault(): string {
  return process.env.SUDO_USER ?? userInfo().username;
}

const time = (ms: number | null): string => (ms === null ? "by command" : new Date(ms).toISOString());

export async function runRoundList(options: RoundListOptions): Promise<void> {
  const { rounds, transfers } = await openControllers(options).state();
  if (options.json) {
    const withMoves = (round: ControllerRound): Record<string, unknown> => ({
      ...shown(round),
      moving: movingTo(transfers, round.round),
    });
    return printJson({ rounds: rounds.map(withMoves), transfers });
  }
  const rows = [["round", "state", "opens", "closes", "buckets", "issued", "left", "moving"]];
  for (const round of rounds) {
    const { opensAtMs, closesAtMs, state, buckets } = round;
    const current = buckets.filter((bucket) => bucket.current && bucket.reachable).length;
    const sum = (field: "issued" | "left"): string =>
      String(buckets.reduce((total, bucket) => total + (bucket[field] ?? 0), 0));
    rows.push([
      String(round.round),
      state === "open" && !round.published ? "opening" : state,
      time(opensAtMs),
      time(closesAtMs),
      `${current} of ${buckets.length}`,
      sum("issued"),
      sum("left"),
      String(movingTo(transfers, round.round)),
    ]);
  }
  print(table(rows));
  for (const transfer of underWay(transfers)) print(transferLine(transfer));
}

function shown({
  round,
  state,
  opensAtMs,
  closesAtMs,
  published,
  buckets,
}: ControllerRound): Record<string, unknown> {
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return { id: round, state, opensAt: iso(opensAtMs), closesAt: iso(closesAtMs), published, buckets };
}

export type RoundAction = "open" | "close" | "move";

/** Says what it acts on, asks where there is no way back, orders it, and waits until the buckets have it. */
export async function runRoundAction(
  action: RoundAction,
  roundText: string,
  options: RoundOptions,
): Promise<void> {
  const round = readRound(roundText);
  const controllers = openControllers(options);
  const before = await roundOf(controllers, round);
  await confirmAct({
    what: await announcement(controllers, action, before, options),
    ...(action === "move" ? {} : { ask: { word: String(round), yes: options.yes === true } }),
  });
  await controllers.post(`/admin/rounds/${round}/${action}`, {
    by: options.by ?? byDefault(),
    why: options.why ?? "",
    ...(options.opensAt === undefined ? {} : { opensAt: options.opensAt }),
    ...(options.closesAt === undefined ? {} : { closesAt: options.closesAt }),
  });
  const after = await confirmed(controllers, round, action);
  if (options.json) printJson(shown(after));
  else print(outcome(after, action));
  const behind = after.buckets.filter(({ current }) => !current).map(({ id }) => id);
  if (behind.length > 0)
    say(`not yet in ${behind.join(", ")}: it is installed as soon as the bucket is back`);
}

/** A round's number as a command has it. Throws BadInput. */
export function readRound(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new BadInput(`round: found "${text}", expected a round's number, 1 to 99`);
}

/** Throws BadInput when there is no such round. */
export async function roundOf(controllers: Controllers, round: number): Promise<ControllerRound> {
  const { rounds } = await controllers.state();
  const found = rounds.find((each) => each.round === round);
  if (found !== undefined) return found;
  throw new BadInput(
    `round: found ${round}, expected one of ${rounds.map((each) => each.round).join(", ") || "none"}`,
  );
}

async function announcement(
  controllers: Controllers,
  action: RoundAction,
  round: ControllerRound,
  options: RoundOptions,
): Promise<string[]> {
  const { event, buckets } = await controllers.state();
  const planned = `planned: opens ${time(round.opensAtMs)}, closes ${time(round.closesAtMs)}`;
  const wanted = [
    ...(options.opensAt === undefined ? [] : [`opens at ${options.opensAt}`]),
    ...(options.closesAt === undefined ? [] : [`closes at ${options.closesAt}`]),
  ].join(", ");
  const will = {
    open: `Will open round ${round.round} now (${planned}): its key becomes public and cannot be taken back.`,
    close: `Will close round ${round.round} now (${planned}): it stays closed.`,
    move: `Will move round ${round.round} (${planned}): ${wanted || "nothing given"}.`,
  }[action];
  return [
    `Topology ${controllers.topology.path}, event ${event}, buckets ${buckets.map(({ id }) => id).join(", ")}`,
    will,
  ];
}

/** Waits, bounded, until every bucket within reach has the change. */
async function confirmed(
  controllers: Controllers,
  round: number,
  action: RoundAction,
): Promise<ControllerRound> {
  const end = performance.now() + CONFIRM_MS_MAX;
  for (;;) {
    const found = await roundOf(controllers, round);
    const everywhere = found.buckets.every(({ reachable, current }) => current || !reachable);
    const isDone = everywhere && (action !== "open" || found.published || found.state === "closed");
    if (isDone || performance.now() >= end) return found;
    await sleep(CONFIRM_POLL_MS);
  }
}

function outcome({ round, buckets, opensAtMs, closesAtMs }: ControllerRound, action: RoundAction): string {
  const where = `in ${buckets.filter(({ current }) => current).length}/${buckets.length} buckets`;
  switch (action) {
    case "open":
      return `round ${round} is open ${where}, closes ${time(closesAtMs)}`;
    case "close":
      return `round ${round} is closed ${where}`;
    case "move":
      return `round ${round} opens ${time(opensAtMs)}, closes ${time(closesAtMs)}, ${where}`;
  }
}
