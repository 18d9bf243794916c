/** The floors: what a server costs that does nothing but answer, whatever was asked. */
import { join } from "node:path";
import { mkdirSync, writeFileSync } from "node:fs";
import { spawnChild } from "../../src/processes/child.ts";
import { freePort } from "../../src/processes/ports.ts";
import { waitUntil } from "../../src/processes/wait.ts";
import { needBinary } from "../../src/servers/binaries.ts";
import type { Load } from "../measure/wrk.ts";
import type { System } from "../measure/sample.ts";
import { startNginx } from "./nginx.ts";

const ANSWER = '{"result":"ended","round":1}';
const READY_MS_MAX = 10_000;

export type Started = System & { stop: () => Promise<void> };

/** nginx with one worker, asked with the smallest request there is: the unit that this bench scales by. */
export async function startNginxFloor(dir: string): Promise<Started> {
  const nginx = await startNginx({ dir, server: [`location / { return 200 '${ANSWER}'; }`] });
  return constant("floor-nginx", "nginx returning a constant", "nginx", nginx.pids, nginx.stop, {
    url: nginx.url,
    method: "GET",
    paths: ["/"],
  });
}

/** HAProxy returning a constant to the very requests that our own HAProxy gets. */
export async function startHaproxyFloor(dir: string, load: Omit<Load, "url">): Promise<Started> {
  const port = await freePort();
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const config = join(dir, "haproxy.cfg");
  writeFileSync(config, haproxyConfig(port));
  const logPath = join(dir, "haproxy.log");
  const child = await spawnChild({
    name: "haproxy (floor)",
    command: needBinary("haproxy", "haproxy"),
    args: ["-db", "-f", config],
    logPath,
  });
  const url = `http://127.0.0.1:${port}`;
  const answers = async (): Promise<boolean> => (await fetch(url)).ok;
  await waitUntil(answers, { what: child.name, timeoutMsMax: READY_MS_MAX, child });
  const stop = async (): Promise<void> => void (await child.stop());
  return constant("floor-haproxy", "HAProxy returning a constant", "haproxy", [child.pid], stop, {
    ...load,
    url,
  });
}

function haproxyConfig(port: number): string {
  return [
    "global",
    "    maxconn 8000",
    "defaults",
    "    mode http",
    "    timeout connect 1s",
    "    timeout client 75s",
    "    timeout server 5s",
    "frontend floor",
    `    bind 127.0.0.1:${port}`,
    `    http-request return status 200 content-type application/json string '${ANSWER}'`,
    "",
  ].join("\n");
}

function constant(
  id: string,
  what: string,
  role: string,
  pids: number[],
  stop: () => Promise<void>,
  load: Load,
): Started {
  return {
    id,
    what,
    processes: () => ({ [role]: pids }),
    begin: async () => load,
    settle: async () => ({ wins: 0, faults: [] }),
    stop,
  };
}
