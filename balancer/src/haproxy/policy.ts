/**
 * Every bound and time-out of the way in, in one place. The relations between them are asserted below, because a
 * number that looks harmless alone can undo another.
 */
import assert from "node:assert/strict";

export const POLICY = Object.freeze({
  /** Connections of clients at once, when nothing else is asked for. */
  connectionsMax: 4_000,
  /** Requests on their way through a bucket, for each of its services, past which `busy` is answered at once. */
  requestsPerServiceMax: 1_500,
  /**
   * HTTP requests that one service process is given at once; more wait in the bucket's queue. Few, because they cost a service
   * many times what a question costs its agent, and they come in crowds when agents are late.
   */
  requestsPerServerMax: 128,
  /**
   * HTTP requests that may wait for each service of a bucket; beyond that `busy` is answered at once. A service on a quarter of a core
   * serves so many in a twentieth of a second.
   */
  queuedPerServiceMax: 250,
  queueMs: 500,
  connectMs: 500,
  /** A service answers `busy` itself long before this; only a frozen one lets it pass. */
  serverMs: 3_000,
  /** A list of receipts takes several transactions of its bucket's MySQL. */
  receiptsMs: 9_000,
  /** The page, a schedule, a start file: the controller that keeps one waiting is frozen, and the next one is asked. */
  siteMs: 1_000,
  /** Of silence, in a body or from a client that reads no answer. For an idle connection HAProxy takes the shorter of this
   * and keepAliveMs, so it may not be the shorter one; slow heads and bodies have bounds of their own. */
  clientMs: 80_000,
  /** For the whole head of a request, against slow clients. */
  requestMs: 5_000,
  /** For a body, which a service must not be kept waiting for. */
  bodyMs: 3_000,
  /** Clients connect in the last minute before an opening and must find the connection alive. */
  keepAliveMs: 75_000,
  /**
   * A HAProxy that ends, and the old one of a reload, wait so long for connections: each is closed with its next answer, and an
   * idle one ends by itself after keepAliveMs. Closed earlier it would be closed under a request that is just being sent.
   */
  hardStopMs: 85_000,
  checkMs: 500,
  /** A busy process may answer late; a dead one refuses at once and is found out without this. */
  checkAnswerMs: 1_000,
  checkFastMs: 100,
  checkFailures: 2,
  /** Attempts after the first one, each on another server. Safe, because a grab asked twice wins once. */
  retries: 3,
  tokenLengthMax: 2_048,
  headerBytesMax: 8_192,
  bodyBytesMax: 65_536,
  /** How long an `ended` learned from a bucket's answer is remembered. */
  endedMs: 1_000,
  /** How long a service's word holds that it has too much to do. */
  crowdedMs: 1_000,
  retryAfterSeconds: 1,
});

/** HAProxy's buffer; one request head and what the rules add to it must fit. */
const BUFFER_BYTES = 16_384;
const ONE_MINUTE_MS = 60_000;

assert(POLICY.keepAliveMs > ONE_MINUTE_MS);
assert(POLICY.clientMs > POLICY.keepAliveMs);
assert(POLICY.connectMs * (POLICY.retries + 1) <= POLICY.serverMs);
assert(POLICY.queueMs + POLICY.serverMs < POLICY.clientMs);
assert(POLICY.receiptsMs > POLICY.serverMs);
assert(POLICY.hardStopMs > POLICY.keepAliveMs + POLICY.queueMs + POLICY.receiptsMs);
assert(POLICY.headerBytesMax + POLICY.tokenLengthMax < BUFFER_BYTES);
assert(POLICY.checkFastMs < POLICY.checkMs);

/** Files that a process needs besides its connections: listeners, sockets, maps, epoll. */
const FILES_ASIDE = 200;

/**
 * How many client connections fit a limit of open files: each may need one to a service as well, and every server is
 * checked. During a reload nothing is shared: the old process and the new one have the limit each for itself.
 */
export function connectionsFor(filesMax: number, servers: number): number {
  return Math.max(100, Math.min(100_000, Math.floor((filesMax - FILES_ASIDE - 2 * servers) / 2)));
}
