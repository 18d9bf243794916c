/**
 * Free ports that stay ours: a port is reserved for the life of this process, also against other Hongbao processes
 * that look for one at the same moment, long before the server that will use it listens.
 */
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type ListenOptions, type Server } from "node:net";
import { Unreachable } from "@hongbao/preprocess";

const LOWEST = 10_240;
const HIGHEST = 32_767;
const TRIES_MAX = 200;

/** Held abstract sockets; they vanish with the process, however it dies. */
const reserved = new Map<number, Server>();

/** Returns a port of 127.0.0.1 that nobody listens on; `wanted` when that one is free. */
export async function freePort(wanted?: number): Promise<number> {
  if (wanted !== undefined && (await reserve(wanted))) return wanted;
  const highest = highestPort();
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = randomInt(LOWEST, highest + 1);
    // One that this process was given before may not have its server yet.
    if (!reserved.has(port) && (await reserve(port))) return port;
  }
  throw new Unreachable(`no free port found on 127.0.0.1 between ${LOWEST} and ${highest}`);
}

/** Takes one port for this process; false when it is in use or another process holds it. Repeatable. */
export async function reserve(port: number): Promise<boolean> {
  if (reserved.has(port)) return isFree(port);
  const lock = await tryListen({ path: `\0hongbao-port-${port}` });
  if (lock === null) return false;
  if (!(await isFree(port))) {
    lock.close();
    return false;
  }
  lock.unref();
  reserved.set(port, lock);
  return true;
}

export function releasePort(port: number): void {
  reserved.get(port)?.close();
  reserved.delete(port);
}

async function isFree(port: number): Promise<boolean> {
  const probe = await tryListen({ host: "127.0.0.1", port });
  if (probe === null) return false;
  await new Promise((resolve) => probe.close(resolve));
  return true;
}

/** Listens, or gives null when somebody else does. */
export function tryListen(options: ListenOptions): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(null));
    server.listen({ ...options, exclusive: true }, () => resolve(server));
  });
}

/**
 * Below the kernel's range for outgoing connections: a load test opens thousands of those, and one of them would
 * otherwise sit on the port of a server that is just being restarted.
 */
function highestPort(): number {
  try {
    const low = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/)[0]);
    return low > LOWEST + 2_000 ? Math.min(low - 1, HIGHEST) : HIGHEST;
  } catch {
    return HIGHEST;
  }
}
