/** The live view of `up`: one line a second on a terminal, only what changes elsewhere. */
import { setTimeout as sleep } from "node:timers/promises";
import { say } from "@hongbao/preprocess";
import type { Figures, RoundFigures } from "./figures.ts";

const EVERY_MS = 1_000;

/** Runs until the signal comes. */
export async function liveView(read: () => Promise<Figures>, signal: AbortSignal): Promise<void> {
  const screen = process.stderr.isTTY ? terminalScreen() : lineScreen();
  let before: Figures | null = null;
  let told = "";
  while (!signal.aborted) {
    const now = await read();
    screen.line(statusLine(now, before));
    const change = changeText(now);
    if (change !== told) screen.event(change);
    told = change;
    before = now;
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  screen.end();
}

/** The line that is drawn over and over. */
export function statusLine(now: Figures, before: Figures | null): string {
  const clock = new Date(now.atMs).toLocaleTimeString("sv-SE");
  const missing = now.buckets.all - now.buckets.answered;
  const down = missing > 0 ? `  ${missing} of ${now.buckets.all} buckets do not answer` : "";
  const rounds = now.rounds.map((round) => roundText(round, now, before)).join(" | ");
  return `${clock}  ${rounds || "no round known"}${down}`;
}

function roundText(round: RoundFigures, now: Figures, before: Figures | null): string {
  const name = `round ${round.round}`;
  const all = round.issued + round.left;
  switch (round.state) {
    case "scheduled":
      return round.opensAtMs === null
        ? `${name} opens by command`
        : `${name} opens in ${span(round.opensAtMs - now.atMs)}`;
    case "closed":
      return `${name} closed, ${count(round.issued)} of ${count(all)} given`;
    case "open": {
      const earlier = before?.rounds.find((other) => other.round === round.round);
      const seconds = before ? (now.atMs - before.atMs) / 1000 : 0;
      const rate = earlier && seconds > 0 ? Math.max(0, (round.issued - earlier.issued) / seconds) : 0;
      const end = round.closesAtMs === null ? "" : `, closes in ${span(round.closesAtMs - now.atMs)}`;
      return `${name} open, ${count(round.issued)} of ${count(all)} given, ${count(Math.round(rate))}/s${end}`;
    }
  }
}

/** Changes when an operator would want a new line: states of rounds, sold out, buckets that come and go. */
export function changeText(now: Figures): string {
  const rounds = now.rounds.map(({ round, state, left, issued }) => {
    if (state === "open" && left === 0) return `round ${round} open, all ${count(issued)} given`;
    if (state === "closed") return `round ${round} closed, ${count(issued)} of ${count(issued + left)} given`;
    return `round ${round} ${state}`;
  });
  const { answered, all } = now.buckets;
  return [...rounds, ...(answered < all ? [`${all - answered} of ${all} buckets do not answer`] : [])].join(
    " | ",
  );
}

export const isOver = (rounds: RoundFigures[]): boolean =>
  rounds.length > 0 && rounds.every(({ state }) => state === "closed");

export const count = (value: number): string => value.toLocaleString("en-US");

/** 75_000 → 1:15; below a minute 12 s. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

interface Screen {
  line(text: string): void;
  event(text: string): void;
  end(): void;
}

function terminalScreen(): Screen {
  const width = () => process.stderr.columns ?? 80;
  return {
    line: (text) => void process.stderr.write(`\r\x1b[K${text.slice(0, width() - 1)}`),
    event: () => undefined,
    end: () => void process.stderr.write("\n"),
  };
}

function lineScreen(): Screen {
  return { line: () => undefined, event: say, end: () => undefined };
}
