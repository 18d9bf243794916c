/**
 * A TCP proxy that hands every answer on a fixed time later, as a store in another zone would: questions pass at once,
 * what comes back waits. Nothing is looked into, and what arrived together leaves together, so it is cheap per byte.
 *
 * node delay-proxy.ts PORT TARGET_PORT DELAY_MS
 */
import { connect, createServer, type Socket } from "node:net";

/** Node's timers tick in whole milliseconds; a piece that is due within this is due. */
const EARLY_MS = 0.3;

export function startDelayProxy(
  port: number,
  targetPort: number,
  delayMs: number,
): Promise<{ close(): void }> {
  const server = createServer({ noDelay: true }, (client) => {
    const store = connect({ host: "127.0.0.1", port: targetPort, noDelay: true });
    client.pipe(store);
    delay(store, client, delayMs);
    for (const [one, other] of [
      [client, store],
      [store, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port }, () => resolve({ close: () => void server.close() }));
  });
}

function delay(from: Socket, to: Socket, delayMs: number): void {
  const waiting: { dueMs: number; piece: Buffer }[] = [];
  const deliver = (): void => {
    to.cork();
    while (waiting.length > 0 && waiting[0]!.dueMs <= performance.now() + EARLY_MS) {
      to.write(waiting.shift()!.piece);
    }
    to.uncork();
    if (waiting.length > 0) setTimeout(deliver, Math.max(1, waiting[0]!.dueMs - performance.now()));
  };
  from.on("data", (piece) => {
    waiting.push({ dueMs: performance.now() + delayMs, piece });
    if (waiting.length === 1) setTimeout(deliver, delayMs);
  });
}

if (import.meta.main) {
  const [port, targetPort, delayMs] = process.argv.slice(2).map(Number);
  await startDelayProxy(port!, targetPort!, delayMs!);
}
