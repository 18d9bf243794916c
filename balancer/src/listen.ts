/** What every process with a port of its own needs at its edge. */
import type { Server } from "node:http";
import { errorCode, listenAddress, Unreachable } from "@hongbao/preprocess";

const CLOSE_MS_MAX = 2_000;

/** Listens on `host:port`. Throws Unreachable when the address is taken or is not ours. */
export async function listenOn(server: Server, address: string): Promise<void> {
  const { host, port } = listenAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new Unreachable(`cannot listen on ${address}: ${errorCode(error) || error.message}`)),
    );
    server.listen({ port, ...(host === "" || host === "*" ? {} : { host }) }, resolve);
  });
}

/** Takes no new connections and waits, bounded, for requests under way. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Resolves at the first SIGTERM or SIGINT. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
}
