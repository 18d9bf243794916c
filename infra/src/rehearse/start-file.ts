/** Gets a round's key the way the page does: from the start file, which has none before the opening. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable, type Topology } from "@hongbao/preprocess";
import type { PublishedRound } from "../cluster/schedule.ts";

const POLL_MS = 100;
/** Polling starts this long before the opening. */
const EARLY_MS = 1_000;
const ASK_MS_MAX = 5_000;
/** How late a key may be after the opening before we give up. */
const LATE_MS_MAX = 30_000;

interface StartFile {
  round: number;
  key: string | null;
  opensAt: string | null;
}

/** Throws Unreachable when the round opens later than we may wait, or gets no key. */
export async function waitForKey(
  topology: Topology,
  round: Pick<PublishedRound, "id" | "opensAt">,
  waitSecondsMax: number,
  tell: (text: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const url = `${topology.balancer.url}/start/${round.id}.js`;
  const opensAtMs = round.opensAt === null ? null : Date.parse(round.opensAt);
  const waitMs = Math.max(0, (opensAtMs ?? Date.now()) - Date.now());
  if (waitMs > waitSecondsMax * 1000) {
    throw new Unreachable(
      `round ${round.id} opens at ${round.opensAt}, later than --wait ${waitSecondsMax} seconds`,
    );
  }
  if (waitMs > 0) tell(`It opens in ${Math.ceil(waitMs / 1000)} s ...`);
  await sleep(Math.max(0, waitMs - EARLY_MS), undefined, signal ? { signal } : {});
  const patienceMs = waitMs + (opensAtMs === null ? waitSecondsMax * 1000 : LATE_MS_MAX);
  const deadline = performance.now() + patienceMs;
  let last = "no answer";
  while (performance.now() < deadline) {
    signal?.throwIfAborted();
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
      const file = parseStartFile(await response.text());
      if (file?.key) return file.key;
      last = file ? "no key in it" : `answered ${response.status} without a start file`;
    } catch (error) {
      last = (error as Error).message;
    }
    await sleep(POLL_MS);
  }
  throw new Unreachable(`round ${round.id} did not open: ${url}: ${last}`);
}

/** `hongbaoStart({…});` */
export function parseStartFile(text: string): StartFile | null {
  const json = /^\s*hongbaoStart\((\{[^]*\})\);?\s*$/.exec(text)?.[1];
  if (json === undefined) return null;
  try {
    return JSON.parse(json) as StartFile;
  } catch {
    return null;
  }
}
