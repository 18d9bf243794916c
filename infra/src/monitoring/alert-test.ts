/** `hongbao alert test`: sends an alert to Alertmanager and sees it through to the phone and the mailbox. */
import { setTimeout as sleep } from "node:timers/promises";
import { TEST_LABEL } from "@hongbao/monitoring";
import {
  BadInput,
  CheckFailed,
  print,
  printJson,
  readClusterFile,
  say,
  stateDir,
  Unreachable,
} from "@hongbao/preprocess";

export interface AlertTestOptions {
  alertmanager?: string;
  state?: string;
  json?: boolean;
}

const WAYS = { email: "mail", webhook: "phone (webhook)", sns: "phone (SMS)" } as const;
type Way = keyof typeof WAYS;
const WAY_NAMES = Object.keys(WAYS) as Way[];
const WAIT_MS_MAX = 120_000;
const ASK_MS_MAX = 5_000;
const LOOK_MS = 250;

interface Counts {
  sent: number;
  failed: number;
}

/** Throws CheckFailed when a way does not work, or when there is none; Unreachable without Alertmanager. */
export async function runAlertTest(options: AlertTestOptions): Promise<void> {
  const url = alertmanagerOf(options);
  const ways = await waysOf(url);
  if (ways.length === 0) {
    throw new CheckFailed(
      `${url} tells nobody: give "up --monitoring" a file with --alerts (docs/runbook.md)`,
    );
  }
  const before = await counts(url);
  const startsAt = new Date();
  say(`Sending a test alert by ${ways.map((way) => WAYS[way]).join(", ")} ...`);
  await post(url, startsAt, new Date(startsAt.getTime() + WAIT_MS_MAX));
  const results = await follow(url, ways, before);
  // It is over at once: nobody shall be told again.
  await post(url, startsAt, new Date());
  if (options.json) printJson({ ok: results.every(({ ok }) => ok), ways: results });
  else for (const { way, said } of results) print(`${way}: ${said}`);
  if (!results.every(({ ok }) => ok)) throw new CheckFailed("alerts do not reach everybody");
}

function alertmanagerOf({ alertmanager, state }: AlertTestOptions): string {
  if (alertmanager !== undefined) {
    if (URL.canParse(alertmanager)) return alertmanager.replace(/\/$/, "");
    throw new BadInput(`--alertmanager: found "${alertmanager}", expected a URL`);
  }
  const dir = stateDir(state);
  const found = readClusterFile(dir)?.monitoring?.alertmanager;
  if (found !== undefined) return found;
  throw new Unreachable(
    `no Alertmanager runs in ${dir}: start the cluster with "up --monitoring", or give --alertmanager URL`,
  );
}

/** By which ways Alertmanager's configuration tells people. */
async function waysOf(url: string): Promise<Way[]> {
  const { config } = JSON.parse(await ask(`${url}/api/v2/status`)) as { config: { original: string } };
  return WAY_NAMES.filter((way) => config.original.includes(`${way}_configs:`));
}

async function follow(
  url: string,
  ways: Way[],
  before: Record<Way, Counts>,
): Promise<{ way: string; ok: boolean; said: string }[]> {
  const deadline = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const now = await counts(url);
    const states = ways.map((way) => {
      const failed = now[way].failed > before[way].failed;
      return { way, failed, done: now[way].sent > before[way].sent && !failed };
    });
    if (states.every(({ failed, done }) => failed || done) || performance.now() > deadline) {
      return states.map(({ way, failed, done }) => ({
        way: WAYS[way],
        ok: done,
        said: done ? "delivered" : failed ? "FAILED, see Alertmanager's log" : "NOT delivered in time",
      }));
    }
    await sleep(LOOK_MS);
  }
}

/** Alertmanager's own counters, by way. A failed attempt counts, although it may be tried again. */
async function counts(url: string): Promise<Record<Way, Counts>> {
  const text = await ask(`${url}/metrics`);
  const value = (name: string, way: Way): number =>
    Number(new RegExp(`^alertmanager_${name}\\{integration="${way}"\\} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  const of = (way: Way): Counts => {
    const failed = value("notification_requests_failed_total", way);
    return { sent: value("notification_requests_total", way) - failed, failed };
  };
  return { email: of("email"), webhook: of("webhook"), sns: of("sns") };
}

async function post(url: string, startsAt: Date, endsAt: Date): Promise<void> {
  const alert = {
    labels: { alertname: "DeliveryTest", severity: "page", [TEST_LABEL]: startsAt.toISOString() },
    annotations: { summary: "This is a test: alerts arrive", runbook: "docs/runbook.md#deliverytest" },
    startsAt: startsAt.toISOString(),
    endsAt: endsAt.toISOString(),
  };
  await ask(`${url}/api/v2/alerts`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify([alert]),
  });
}

async function ask(url: string, init: RequestInit = {}): Promise<string> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ASK_MS_MAX) });
    const text = await response.text();
    if (response.ok) return text;
    throw new Error(`status ${response.status}: ${text.slice(0, 200)}`);
  } catch (error) {
    throw new Unreachable(`${url} does not answer: ${(error as Error).message}`);
  }
}
