import { hostname } from "node:os";
import {
  BadInput,
  findTopology,
  readTopology,
  type BucketPlace,
  type DiscoveredServices,
} from "@hongbao/preprocess";
import type { BucketOptions } from "./commands.ts";
import { startPayout } from "./payout/run.ts";
import { openFrame, startPersist, startService, type Role, type RunningPart } from "./process.ts";

const ROLES: readonly string[] = ["grab", "persist", "payout"];

/** `hongbao bucket`: runs the parts of a bucket that the options name until SIGTERM or SIGINT, then drains. */
export async function runBucket(options: BucketOptions): Promise<void> {
  const roles = options.roles.split(",").map((role) => role.trim());
  for (const role of roles) {
    if (!ROLES.includes(role))
      throw new BadInput(`--roles: found "${role}", expected some of ${ROLES.join(", ")}`);
  }
  const topology = readTopology(findTopology(options.topology, options.state));
  const bucket = topology.buckets.find(({ id }) => id === options.bucket);
  const places = bucket === undefined ? [] : placesOf(bucket, roles as Role[], options.service);
  if (bucket !== undefined && places.length === 0) {
    throw new BadInput(
      `--service: found ${options.service ?? "none"} for roles ${options.roles}, expected a process of bucket ${bucket.id} in ${topology.path}`,
    );
  }
  const running: RunningPart[] = [];
  const stop = stopSignal();
  if (places.length === 0) openFrame(topology, options.bucket, "grab", options.bucket);
  for (const { role, place } of places) {
    const frame = openFrame(topology, options.bucket, role, place.id);
    const start = {
      grab: () => startService(frame, place as ServiceAddress),
      persist: () => startPersist(frame, place),
      payout: () => startPayout(frame, place),
    };
    running.push(await start[role]());
  }
  await stop;
  await Promise.all(running.map((part) => part.stop()));
}

type ServiceAddress = { id: string; http: string; spop: string; admin: string };

function placesOf(
  bucket: BucketPlace,
  roles: Role[],
  service: string | undefined,
): { role: Role; place: { id: string; admin: string } | ServiceAddress }[] {
  const services = Array.isArray(bucket.services) ? bucket.services : [discoveredPlace(bucket.services)];
  return [
    ...(roles.includes("grab") ? services.map((place) => ({ role: "grab" as const, place })) : []),
    ...(roles.includes("persist")
      ? bucket.persist.map((place) => ({ role: "persist" as const, place }))
      : []),
    ...(roles.includes("payout") ? bucket.payout.map((place) => ({ role: "payout" as const, place })) : []),
  ].filter(({ place }) => service === undefined || place.id === service);
}

/** A service that others find by discovery: it listens on its ports, under the name of its machine. */
function discoveredPlace({ http, spop, admin }: DiscoveredServices): ServiceAddress {
  const id = `s-${hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-")
    .slice(-24)}`;
  return { id, http: `0.0.0.0:${http}`, spop: `0.0.0.0:${spop}`, admin: `0.0.0.0:${admin}` };
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
}
