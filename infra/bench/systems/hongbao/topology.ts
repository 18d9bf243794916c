/** The files of a bench's cluster: event and topologies. JSON is YAML, so that nothing has to be quoted by hand. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SECRET_NAMES, SLOTS } from "@hongbao/preprocess";
import { freePort } from "../../../src/processes/ports.ts";
import { slotsOf } from "../../../src/cluster/layout.ts";
import type { World } from "./world.ts";

export interface RoundSpec {
  id: number;
  count: number;
  /** Default: open as soon as the event is loaded, until long after the bench. */
  opensAt?: string;
  closesAt?: string;
  /** Default: 1. */
  perUser?: number;
}

export interface EventSpec {
  id: string;
  rounds: RoundSpec[];
  ack?: "journal" | "database";
  usersCsv: string;
}

const CENTS_EACH = 500;

/** Writes event.yaml and returns its path. */
export function writeEvent(dir: string, spec: EventSpec): string {
  const money = (count: number): string => ((count * CENTS_EACH) / 100).toFixed(2);
  const event = {
    event: spec.id,
    title: { zh: "压测", en: "Bench" },
    currency: "CNY",
    timezone: "Asia/Shanghai",
    budget: money(spec.rounds.reduce((sum, { count }) => sum + count, 0)),
    users: spec.usersCsv,
    ack: spec.ack ?? "journal",
    rounds: spec.rounds.map(({ id, count, opensAt, closesAt, perUser }) => ({
      id,
      kind: "envelope",
      opensAt: opensAt ?? "now+1s",
      closesAt: closesAt ?? "now+6h",
      count,
      budget: money(count),
      split: { method: "lucky", min: 0.01, max: 200 },
      perUser: perUser ?? 1,
      leftovers: "hold",
    })),
  };
  const path = join(dir, "event.yaml");
  writeFileSync(path, JSON.stringify(event, null, 2));
  return path;
}

export interface BucketPorts {
  id: string;
  redis: number;
  /** Where the services find Redis: the server itself, or a proxy in front of it. */
  redisFront: number;
  mysql: number;
  services: { id: string; http: number; spop: number; admin: number }[];
  persist: { id: string; admin: number };
  /** In the topology, but started only where paying is measured. */
  payout: { id: string; admin: number }[];
}

export async function bucketPorts(
  buckets: number,
  services: number,
  proxied: boolean,
): Promise<BucketPorts[]> {
  const list: BucketPorts[] = [];
  for (let b = 0; b < buckets; b++) {
    const redis = await freePort();
    const bucket: BucketPorts = {
      id: `b${b}`,
      redis,
      redisFront: proxied ? await freePort() : redis,
      mysql: await freePort(),
      services: [],
      persist: { id: "p0", admin: await freePort() },
      payout: [
        { id: "pay0", admin: await freePort() },
        { id: "pay1", admin: await freePort() },
      ],
    };
    for (let s = 0; s < services; s++) {
      bucket.services.push({
        id: `s${s}`,
        http: await freePort(),
        spop: await freePort(),
        admin: await freePort(),
      });
    }
    list.push(bucket);
  }
  return list;
}

export interface BalancerPorts {
  listen: number;
  admin: number;
  /** The certificate's path when it speaks TLS. */
  certificate?: string;
}

const at = (port: number): string => `127.0.0.1:${port}`;

/** Writes a topology and returns its path; several may describe one cluster, each with another way in. */
export function writeTopology(
  path: string,
  world: Pick<World, "secretsDir">,
  parts: {
    buckets: BucketPorts[];
    balancer: BalancerPorts;
    controllerAdmin: number;
    site: number;
    pack: string;
  },
): string {
  const { balancer, buckets } = parts;
  const topology = {
    slots: SLOTS,
    pack: parts.pack,
    control: "control",
    balancer: {
      listen: at(balancer.listen),
      url: `${balancer.certificate === undefined ? "http" : "https"}://${at(balancer.listen)}`,
      admin: at(balancer.admin),
      site: `http://${at(parts.site)}`,
      ...(balancer.certificate === undefined ? {} : { tls: { cert: balancer.certificate } }),
    },
    controllers: [{ id: "c0", admin: at(parts.controllerAdmin) }],
    buckets: buckets.map((bucket, index) => ({
      id: bucket.id,
      slots: [slotsOf(index, buckets.length)],
      redis: { url: `redis://${at(bucket.redisFront)}` },
      mysql: { url: `mysql://hongbao@${at(bucket.mysql)}` },
      services: bucket.services.map(({ id, http, spop, admin }) => ({
        id,
        http: at(http),
        spop: at(spop),
        admin: at(admin),
      })),
      persist: [{ id: bucket.persist.id, admin: at(bucket.persist.admin) }],
      payout: bucket.payout.map(({ id, admin }) => ({ id, admin: at(admin) })),
    })),
    secrets: Object.fromEntries(SECRET_NAMES.map((name) => [name, { file: join(world.secretsDir, name) }])),
  };
  writeFileSync(path, JSON.stringify(topology, null, 2));
  return path;
}
