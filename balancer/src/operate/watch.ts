/** `hongbao watch`: the night in one screen. On a terminal it redraws; else it says what changed. */
import { setTimeout as sleep } from "node:timers/promises";
import { print, table } from "@hongbao/preprocess";
import { stopSignal } from "../listen.ts";
import { transferLine, underWay } from "./move-words.ts";
import { inOrder, settingLine } from "./switch-words.ts";
import { openControllers, type ControllerRound, type ControllerState, type Where } from "./controllers.ts";

const REDRAW_MS = 500;
const ASK_MS_MAX = 1_000;
/** Rounds that opened so long ago are not asked for their start file any more. */
const START_FILE_MS_MAX = 60_000;

export interface Sight {
  controllers: { id: string; state: ControllerState | null }[];
  /** By round: how long after the opening its start file was first seen through the balancer. */
  startFileMs: Map<number, number>;
  balancer: "ok" | "down";
  /** Prizes a second that were given since the look before; null: not known yet. */
  winsPerS: number | null;
}

/** Runs until Ctrl-C. */
export async function runWatch(where: Where): Promise<void> {
  const controllers = openControllers(where);
  const { url } = controllers.topology.balancer;
  const sight: Sight = { controllers: [], startFileMs: new Map(), balancer: "down", winsPerS: null };
  let before: { issued: number; atMs: number } | null = null;
  /** Rounds whose opening was over before anybody watched: when it was seen here says nothing. */
  let missed: Set<number> | null = null;
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  let shown = "";
  while (!stop.signal.aborted) {
    sight.controllers = await controllers.states();
    const best = bestState(sight);
    const seen = best === null ? null : { issued: issuedIn(best), atMs: performance.now() };
    sight.winsPerS =
      before === null || seen === null
        ? null
        : Math.max(0, ((seen.issued - before.issued) * 1000) / (seen.atMs - before.atMs));
    before = seen;
    sight.balancer = (await textOf(`${url}/rounds.json`)) === null ? "down" : "ok";
    missed ??= best && new Set(best.rounds.filter(({ state }) => state === "open").map(({ round }) => round));
    for (const round of best?.rounds ?? [])
      if (!missed?.has(round.round)) await lookForStartFile(sight, url, round, best?.nowMs ?? null);
    const lines = watchLines(sight);
    if (process.stdout.isTTY) print(`\x1b[H\x1b[2J${lines.join("\n")}`);
    else {
      const text = changesOnly(lines).join("\n");
      if (text !== shown) print(text);
      shown = text;
    }
    await sleep(REDRAW_MS, undefined, { signal: stop.signal }).catch(() => undefined);
  }
}

async function lookForStartFile(
  sight: Sight,
  url: string,
  { round, state, opensAtMs }: ControllerRound,
  nowMs: number | null,
): Promise<void> {
  if (state !== "open" || sight.startFileMs.has(round) || opensAtMs === null || nowMs === null) return;
  if (nowMs - opensAtMs > START_FILE_MS_MAX) return;
  const text = await textOf(`${url}/start/${round}.js`);
  if (text !== null && !text.includes('"key":null')) sight.startFileMs.set(round, nowMs - opensAtMs);
}

async function textOf(url: string): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
    const text = await response.text();
    return response.ok ? text : null;
  } catch {
    return null;
  }
}

/** The controller that sees most. */
function bestState({ controllers }: Sight): ControllerState | null {
  const states = controllers.flatMap(({ state }) => (state === null ? [] : [state]));
  const reach = (state: ControllerState): number => state.buckets.filter(({ reachable }) => reachable).length;
  return states.sort((a, b) => reach(b) - reach(a))[0] ?? null;
}

/** All rounds and buckets. */
const issuedIn = ({ rounds }: ControllerState): number =>
  rounds.flatMap(({ buckets }) => buckets).reduce((sum, { issued }) => sum + (issued ?? 0), 0);

/** A ticking clock is no news. */
function changesOnly(lines: string[]): string[] {
  return lines
    .filter((line) => !/^event |^traffic:|opens in /.test(line))
    .map((line) => (line.startsWith("switch ") ? line.replace(/, [^,]* left/, "") : line));
}

/** The screen's lines: pure. */
export function watchLines(sight: Sight): string[] {
  const names = sight.controllers.map(({ id, state }) => {
    if (state === null) return `${id} down`;
    const marks = [...(state.leading ? ["leading"] : []), ...(state.serving ? ["site"] : [])];
    return `${id} ok${marks.length > 0 ? ` (${marks.join(", ")})` : ""}`;
  });
  const head = `controllers: ${names.join(", ")}   balancer: ${sight.balancer}`;
  const state = bestState(sight);
  if (state === null) return [head, "no controller answers: the rounds go on, nothing can be changed"];
  const buckets = [["bucket", "reach", "clock", "MySQL", "journal", ""]];
  for (const { id, reachable, clockOffsetMs, mysql, lagRows, fenced } of state.buckets) {
    const offset = clockOffsetMs === null ? "?" : `${(clockOffsetMs / 1000).toFixed(1)} s`;
    buckets.push([
      id,
      reachable ? "yes" : "NO",
      offset,
      mysql,
      String(lagRows ?? "?"),
      fenced === null ? "" : `${fenced} (hongbao rebuild --bucket ${id})`,
    ]);
  }
  return [
    `event ${state.event}   ${state.nowMs === null ? "time unknown: no bucket within reach" : new Date(state.nowMs).toISOString()}`,
    head,
    ...(state.rehearsal
      ? [`a REHEARSAL is on (round ${state.rehearsal}): it pays nobody, and ends before a real opening`]
      : []),
    ...state.balancers.flatMap(({ id, v }) => (v === null ? [`HAProxy ${id} is not heard`] : [])),
    `traffic: ${perS(state.balancers.reduce((sum, { requestsPerS }) => sum + requestsPerS, 0))} requests/s at HAProxy, ${perS(sight.winsPerS)} wins/s`,
    ...table(buckets).split("\n"),
    "",
    ...state.rounds.flatMap((round) => roundLines(round, state.nowMs, sight.startFileMs)),
    ...underWay(state.transfers).map(transferLine),
    ...inOrder(state.switches).map((setting) => settingLine(setting, state.nowMs ?? Date.now())),
  ];
}

const perS = (rate: number | null): string =>
  rate === null ? "?" : Math.round(rate).toLocaleString("en-US");

function roundLines(
  round: ControllerRound,
  nowMs: number | null,
  startFileMs: Map<number, number>,
): string[] {
  const { opensAtMs, closesAtMs, state, buckets } = round;
  const name = `round ${round.round}`;
  const issued = buckets.reduce((sum, bucket) => sum + (bucket.issued ?? 0), 0);
  const left = buckets.reduce((sum, bucket) => sum + (bucket.left ?? 0), 0);
  if (state === "closed") return [`${name}  closed   ${issued} issued, ${left} left`];
  if (state === "scheduled") {
    if (opensAtMs === null) return [`${name}  waits for "hongbao round open ${round.round}"`];
    const inMs = nowMs === null ? null : opensAtMs - nowMs;
    return [
      `${name}  opens in ${inMs === null ? "?" : countdown(inMs)}   (${new Date(opensAtMs).toISOString()})`,
    ];
  }
  const closes =
    closesAtMs === null || nowMs === null
      ? ""
      : `, closes at ${new Date(closesAtMs).toISOString().slice(11, 19)}Z`;
  return [`${name}  ${opening(round, startFileMs)}`, `         ${issued} issued, ${left} left${closes}`];
}

/** "open in 2/2 buckets at +0.2 s, start file seen at +0.9 s, first win +1.0 s", or what is missing. */
function opening({ round, buckets, marks }: ControllerRound, startFileMs: Map<number, number>): string {
  const plus = (ms: number): string => `+${(ms / 1000).toFixed(1)} s`;
  const current = buckets.filter((bucket) => bucket.current);
  const missing = buckets.filter((bucket) => !bucket.current).map(({ id }) => id);
  const last = Math.max(...current.map(({ id }) => marks.openInMs[id] ?? 0));
  const parts = [`open in ${current.length}/${buckets.length} buckets`];
  if (current.length > 0) parts[0] += ` at ${plus(last)}`;
  if (missing.length > 0) parts.push(`MISSING ${missing.join(", ")}: see "hongbao status"`);
  const seen = startFileMs.get(round);
  if (seen !== undefined) parts.push(`start file seen at ${plus(seen)}`);
  else if (marks.publishedMs === null) parts.push("start file NOT published yet");
  else parts.push(`start file published at ${plus(marks.publishedMs)}`);
  parts.push(marks.firstWinMs === null ? "no win yet" : `first win ${plus(marks.firstWinMs)}`);
  return parts.join(", ");
}

function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const clock = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${clock}` : clock;
}
