/** TLS: what a handshake costs HAProxy. Every request has a connection of its own and is answered by HAProxy itself. */
import { cpuUs } from "../measure/proc.ts";
import { runWrk } from "../measure/wrk.ts";
import type { Sizes } from "../sizes.ts";
import type { Cluster } from "../systems/hongbao/cluster.ts";
import { grabPath } from "../systems/hongbao/system.ts";

export interface HandshakeFacts {
  perSecond: number;
  /** CPU time of HAProxy for a connection with its handshake and one small answer. */
  haproxyUs: number;
  perSecondAndCore: number;
  faults: string[];
}

/** Few enough that the handshakes of one core are not queued behind each other. */
const CONNECTIONS = 32;

export async function measureHandshakes(
  cluster: Cluster,
  sizes: Sizes,
  round: number,
  balancer: string,
): Promise<HandshakeFacts> {
  const { haproxy } = cluster.processes(balancer);
  const before = cpuUs(haproxy!);
  const wrk = await runWrk(
    { url: cluster.url(balancer), method: "POST", paths: [grabPath(round, "over")], closes: true },
    { seconds: sizes.secondsEach, connections: CONNECTIONS, threads: sizes.wrkThreads },
  );
  const haproxyUs = (cpuUs(haproxy!) - before) / Math.max(1, wrk.answered);
  const faults = wrk.refused > 0 ? [`${wrk.refused} answers with a status of 400 or more`] : [];
  if (wrk.answered === 0) faults.push("no answer at all");
  return { perSecond: wrk.perSecond, haproxyUs, perSecondAndCore: 1e6 / haproxyUs, faults };
}
