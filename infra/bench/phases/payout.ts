/** Payout: the bench's claims of one bucket wait for payment; how fast do two pullers credit them to the built-in ledger? */
import { setTimeout as sleep } from "node:timers/promises";
import { dirname, join } from "node:path";
import type { Child } from "../../src/processes/child.ts";
import { cpuUs } from "../measure/proc.ts";
import { startPart, type Cluster } from "../systems/hongbao/cluster.ts";

export interface PayoutFacts {
  /** Claims that were paid while it was measured. */
  claims: number;
  seconds: number;
  perSecond: number;
  cpuUsPerClaim: { payout: number; mysql: number };
  faults: string[];
}

const BUCKET = "b0";
/** Fewer say nothing. */
const CLAIMS_MIN = 10_000;
const POLL_MS = 25;
/** Without a further payment for so long, everything is paid. */
const QUIET_MS = 1_500;
const PAY_MS_MAX = 120_000;

/**
 * Nobody paid while the bench was winning. The pullers are stopped as soon as both are ready, so that they begin together and the
 * time of starting is not measured; what they have paid until then does not count.
 */
export async function measurePayout(cluster: Cluster, balancer: string): Promise<PayoutFacts> {
  await using begun = new AsyncDisposableStack();
  const places = cluster.payoutPlaces(BUCKET);
  const children = await Promise.all(places.map((place) => startPuller(cluster, place, begun)));
  const adminPorts = places.map(({ admin }) => admin);
  const paid = async (): Promise<number> =>
    (await Promise.all(adminPorts.map(paidClaims))).reduce((sum, count) => sum + count, 0);
  for (const child of children) child.kill("SIGSTOP");
  await sleep(100);
  const roles = cluster.processes(balancer);
  const cpu = (): number[] => [cpuUs(children.map(({ pid }) => pid)), cpuUs(roles["mysql"]!)];
  const paidBefore = (await cluster.books.payouts(BUCKET)).paid;
  const before = cpu();
  const began = performance.now();
  for (const child of children) child.kill("SIGCONT");
  // The counters of a stopped process cannot be asked; what they say now includes what was paid before.
  let last = { count: 0, atMs: began, cpu: before };
  const end = began + PAY_MS_MAX;
  while (performance.now() < end && performance.now() - last.atMs < QUIET_MS) {
    const count = await paid();
    if (count > last.count) last = { count, atMs: performance.now(), cpu: cpu() };
    await sleep(POLL_MS);
  }
  const books = await cluster.books.payouts(BUCKET);
  const claims = last.count - paidBefore;
  const seconds = (last.atMs - began) / 1000;
  const each = (index: number): number => (last.cpu[index]! - before[index]!) / Math.max(1, claims);
  const faults: string[] = [];
  if (claims < CLAIMS_MIN) faults.push(`only ${claims} claims were left to pay, expected ${CLAIMS_MIN}`);
  if (books.paid !== books.claims) faults.push(`${books.claims} claims, ${books.paid} of them paid`);
  if (books.creditMinor !== books.claimMinor || books.companyMinor !== books.claimMinor) {
    faults.push(
      `claims are worth ${books.claimMinor}, the ledger credits ${books.creditMinor}, the company paid ${books.companyMinor}`,
    );
  }
  return {
    claims,
    seconds,
    perSecond: claims / seconds,
    cpuUsPerClaim: { payout: each(0), mysql: each(1) },
    faults,
  };
}

async function startPuller(
  { name, topology }: Cluster,
  { id, admin }: { id: string; admin: number },
  begun: AsyncDisposableStack,
): Promise<Child> {
  const words = ["bucket", "--bucket", BUCKET, "--service", id, "--roles", "payout", "--topology", topology];
  const log = join(dirname(topology), "logs", `payout-${BUCKET}-${id}.log`);
  const child = await startPart(`${name} payout-${BUCKET}-${id}`, words, log, admin);
  begun.defer(async () => {
    child.kill("SIGCONT");
    await child.stop();
  });
  return child;
}

/** Claims that a process has paid since its start. */
async function paidClaims(adminPort: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`, {
    signal: AbortSignal.timeout(PAY_MS_MAX),
  });
  const line = (await response.text())
    .split("\n")
    .find((each) => each.startsWith("hongbao_payout_claims_total{") && each.includes('outcome="paid"'));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(" ")));
}
