/** The layout of a local cluster: its processes and their ports, and the topology file that says so to everybody. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SECRET_NAMES, SLOTS, Unreachable } from "@hongbao/preprocess";
import { monitoringPorts } from "../monitoring/units.ts";
import { freePort, reserve } from "../processes/ports.ts";
import { writeAtomically, type Places } from "./places.ts";

export interface Shape {
  buckets: number;
  services: number;
}

export const CONTROLLERS = ["c0", "c1"] as const;
export const PERSIST = "p0";
export const PAYOUT = "pay0";
/** Where a browser looks first; another one when it is in use. */
const PAGE_PORT_PREFERRED = 8080;

export const bucketIds = ({ buckets }: Shape): string[] => Array.from({ length: buckets }, (_, b) => `b${b}`);
export const serviceIds = ({ services }: Shape): string[] =>
  Array.from({ length: services }, (_, s) => `s${s}`);

/** Names of all ports of a cluster, such as `b0/s1/http`. */
export function portNames(shape: Shape): string[] {
  const names = ["page", "balancer/admin", "site", ...CONTROLLERS.map((id) => `${id}/admin`)];
  for (const bucket of bucketIds(shape)) {
    names.push(
      `${bucket}/redis`,
      `${bucket}/mysql`,
      `${bucket}/${PERSIST}/admin`,
      `${bucket}/${PAYOUT}/admin`,
    );
    for (const service of serviceIds(shape)) {
      for (const door of ["http", "spop", "admin"]) names.push(`${bucket}/${service}/${door}`);
    }
  }
  return names;
}

/** Reserves every port: the same as last time where they are free. Throws Unreachable when `page` must be a certain one. */
export async function takePorts(
  places: Places,
  shape: Shape & { monitoring?: boolean },
  page?: number,
): Promise<Record<string, number>> {
  if (page !== undefined && !(await reserve(page))) {
    throw new Unreachable(`--port: port ${page} on 127.0.0.1 is in use`);
  }
  const before = readPorts(places);
  const ports: Record<string, number> = {};
  const further = shape.monitoring === true ? monitoringPorts(bucketIds(shape)) : [];
  for (const name of [...portNames(shape), ...further]) {
    const wanted = name === "page" ? (page ?? before[name] ?? PAGE_PORT_PREFERRED) : before[name];
    ports[name] = await freePort(wanted);
  }
  writeAtomically(places.ports, `${JSON.stringify(ports, null, 2)}\n`);
  return ports;
}

function readPorts(places: Places): Record<string, number> {
  try {
    return JSON.parse(readFileSync(places.ports, "utf8")) as Record<string, number>;
  } catch {
    return {};
  }
}

/** The slots of bucket `index` of `buckets`: runs of (nearly) equal length that cover all of them. */
export function slotsOf(index: number, buckets: number): [number, number] {
  const from = (i: number) => Math.floor((i * SLOTS) / buckets);
  return [from(index), from(index + 1) - 1];
}

/** The topology file's text. Paths are relative to the file, so that the directory can be moved. */
export function topologyText(shape: Shape, ports: Record<string, number>): string {
  const at = (name: string) => `127.0.0.1:${ports[name]}`;
  const buckets = bucketIds(shape).flatMap((bucket, index) => [
    `  - id: ${bucket}`,
    `    slots: [[${slotsOf(index, shape.buckets).join(", ")}]]`,
    `    redis: { url: "redis://${at(`${bucket}/redis`)}" }`,
    `    mysql: { url: "mysql://hongbao@${at(`${bucket}/mysql`)}" }`,
    `    services:`,
    ...serviceIds(shape).map((service) => {
      const doors = ["http", "spop", "admin"].map(
        (door) => `${door}: "${at(`${bucket}/${service}/${door}`)}"`,
      );
      return `      - { id: ${service}, ${doors.join(", ")} }`;
    }),
    `    persist: [{ id: ${PERSIST}, admin: "${at(`${bucket}/${PERSIST}/admin`)}" }]`,
    `    payout: [{ id: ${PAYOUT}, admin: "${at(`${bucket}/${PAYOUT}/admin`)}" }]`,
  ]);
  return [
    `# Written by "hongbao up" at every start: the local cluster. Edits are lost.`,
    `slots: ${SLOTS}`,
    `pack: pack`,
    `control: control`,
    `balancer:`,
    `  listen: "${at("page")}"`,
    `  url: "http://${at("page")}"`,
    `  admin: "${at("balancer/admin")}"`,
    `  site: "http://${at("site")}"`,
    `controllers:`,
    ...CONTROLLERS.map((id) => `  - { id: ${id}, admin: "${at(`${id}/admin`)}" }`),
    `buckets:`,
    ...buckets,
    `secrets:`,
    ...SECRET_NAMES.map((name) => `  ${name}: { file: secrets/${name} }`),
    "",
  ].join("\n");
}

/** 32 random bytes in hex each, made once: tokens and receipts outlive a restart. */
export function makeSecrets(places: Places): void {
  mkdirSync(places.secrets, { recursive: true, mode: 0o700 });
  for (const name of SECRET_NAMES) {
    const path = join(places.secrets, name);
    if (!existsSync(path))
      writeFileSync(path, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  }
}
