/** `hongbao round lend|rollover`. */
import { setTimeout as sleep } from "node:timers/promises";
import { BadInput, confirmAct, print, printJson, say } from "@hongbao/preprocess";
import { openControllers, type Where } from "./controllers.ts";
import { prizes, transferLine, underWay } from "./move-words.ts";
import { byDefault, readRound, roundOf } from "./round.ts";

export interface LendOptions extends Where {
  from: string;
  to: string;
  count: string;
  by?: string;
  why?: string;
  json?: boolean;
}

export interface RolloverOptions extends Where {
  by?: string;
  why?: string;
  yes?: boolean;
  json?: boolean;
}

/** An order that takes longer is not lost: the conductor finishes it. */
const DONE_MS_MAX = 15_000;
const POLL_MS = 100;

export async function runLend(roundText: string, options: LendOptions): Promise<void> {
  const round = readRound(roundText);
  if (!/^[1-9]\d{0,9}$/.test(options.count))
    throw new BadInput(`--count: found "${options.count}", expected a whole number from 1`);
  const count = Number(options.count);
  const controllers = openControllers(options);
  await roundOf(controllers, round);
  const { event } = await controllers.state();
  const { from, to } = options;
  await confirmAct({
    what: [
      `Topology ${controllers.topology.path}, event ${event}, buckets ${from}, ${to}`,
      `Will lend up to ${prizes(count)} of round ${round} from ${from} to ${to}; they can be lent back.`,
    ],
  });
  const answer = (await controllers.post(`/admin/rounds/${round}/lend`, {
    from,
    to,
    count,
    by: options.by ?? byDefault(),
    why: options.why ?? "",
  })) as { transfer: { n: number } };
  const transfer = await settled(async () => {
    const { transfers } = await controllers.state();
    const found = transfers.find(({ n }) => n === answer.transfer.n);
    return { value: found, isDone: found?.state === "done" };
  });
  if (options.json) printJson({ transfer });
  else if (transfer?.state === "done")
    print(`lent ${prizes(transfer.moved)} of round ${round} from ${from} to ${to}`);
  if (transfer?.state !== "done")
    say(
      `not done yet: ${transfer === undefined ? "see" : `${transferLine(transfer)}; see`} "hongbao round list"`,
    );
}

export async function runRollover(roundText: string, options: RolloverOptions): Promise<void> {
  const round = readRound(roundText);
  const controllers = openControllers(options);
  const before = await roundOf(controllers, round);
  const { event, buckets } = await controllers.state();
  const left = leftIn(before.buckets);
  await confirmAct({
    what: [
      `Topology ${controllers.topology.path}, event ${event}, buckets ${buckets.map(({ id }) => id).join(", ")}`,
      `Will move what round ${round} (${before.state}) has left, ${prizes(left)}, into the next unclosed round of the same kind, item and groups.`,
    ],
    ask: { word: String(round), yes: options.yes === true },
  });
  await controllers.post(`/admin/rounds/${round}/rollover`, {
    by: options.by ?? byDefault(),
    why: options.why ?? "",
  });
  const after = await settled(async () => {
    const state = await controllers.state();
    const found = state.rounds.find((each) => each.round === round)!;
    const moving = underWay(state.transfers, round).filter(({ kind }) => kind === "roll");
    const here = found.buckets.filter(({ reachable }) => reachable);
    const rolled = state.transfers.filter((each) => each.kind === "roll" && each.round === round);
    return {
      value: { round, left: leftIn(found.buckets), transfers: rolled, behind: found.buckets },
      isDone: moving.length === 0 && leftIn(here) === 0,
    };
  });
  const { behind, ...report } = after;
  if (options.json) printJson(report);
  else
    print(
      `round ${round} has ${prizes(report.left)} left; ${prizes(Math.max(0, left - report.left))} went on`,
    );
  const away = behind.filter(({ reachable }) => !reachable).map(({ id }) => id);
  if (away.length > 0) say(`not yet in ${away.join(", ")}: what it has left goes on as soon as it is back`);
}

function leftIn(buckets: readonly { left?: number | undefined }[]): number {
  return buckets.reduce((sum, { left }) => sum + (left ?? 0), 0);
}

/** Looks until it is done, bounded; the last look. */
async function settled<T>(look: () => Promise<{ value: T; isDone: boolean }>): Promise<T> {
  const end = performance.now() + DONE_MS_MAX;
  for (;;) {
    const { value, isDone } = await look();
    if (isDone || performance.now() >= end) return value;
    await sleep(POLL_MS);
  }
}
