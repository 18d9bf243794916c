/** How a chaos cluster is laid out: its parts, the ports, and the topology that leads everybody through the links. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Topology } from "@hongbao/preprocess";
import { bucketIds, portNames, topologyText } from "../../src/cluster/layout.ts";
import type { Places } from "../../src/cluster/places.ts";
import { freePort } from "../../src/processes/ports.ts";
import type { WorldName } from "../scenario.ts";
import { Link } from "./link.ts";

/** One supervised process, as `service b0/s1`; the bucket is null for those that are of no single one. */
export interface Part {
  name: string;
  kind: "redis" | "mysql" | "service" | "persist" | "payout" | "controller" | "balancer";
  bucket: string | null;
  admin: string | null;
}

const SHAPE = { buckets: 2, services: 2 };
/** A wallet that hangs is given up soon: a scenario is short. */
const WALLET_MS_MAX = 800;

export function partsOf(topology: Topology): Part[] {
  const parts: Part[] = topology.buckets.flatMap(({ id: bucket, services, persist, payout }) => {
    const part = (kind: Part["kind"], id: string, admin: string): Part => {
      return { name: `${kind} ${bucket}/${id}`, kind, bucket, admin };
    };
    return [
      { name: `redis ${bucket}`, kind: "redis" as const, bucket, admin: null },
      { name: `mysql ${bucket}`, kind: "mysql" as const, bucket, admin: null },
      ...(Array.isArray(services) ? services : []).map(({ id, admin }) => part("service", id, admin)),
      ...persist.map(({ id, admin }) => part("persist", id, admin)),
      ...payout.map(({ id, admin }) => part("payout", id, admin)),
    ];
  });
  for (const { id, admin } of topology.controllers)
    parts.push({ name: `controller ${id}`, kind: "controller", bucket: null, admin });
  return [...parts, { name: "balancer", kind: "balancer", bucket: null, admin: topology.balancer.admin }];
}

/** Ports, links and the topology that tells everybody to go through the links. */
export async function layOut(
  places: Places,
  world: WorldName,
): Promise<{
  text: string;
  links: Map<string, Link>;
  backPorts: Map<string, number>;
  walletPort: number | null;
}> {
  const ports: Record<string, number> = {};
  for (const name of portNames(SHAPE)) ports[name] = await freePort();
  const links = new Map<string, Link>();
  const backPorts = new Map<string, number>();
  for (const bucket of bucketIds(SHAPE)) {
    for (const kind of ["redis", "mysql"] as const) {
      const back = await freePort();
      backPorts.set(`${bucket}/${kind}`, back);
      links.set(`${kind} ${bucket}`, new Link(ports[`${bucket}/${kind}`]!, back));
    }
  }
  links.set("clients", new Link(await freePort(), ports["page"]!));
  const walletPort = world === "wallet" ? await freePort() : null;
  let text = topologyText(SHAPE, ports);
  if (walletPort !== null) {
    const secret = join(places.secrets, "wallet");
    rmSync(secret, { force: true });
    writeFileSync(secret, `${readFileSync(join(places.secrets, "operator"), "utf8").trim()}wallet\n`, {
      mode: 0o600,
    });
    const url = `http://127.0.0.1:${walletPort}/v1/payouts`;
    text += `wallet: { url: "${url}", secret: { file: "${secret}" }, timeoutMs: ${WALLET_MS_MAX} }\n`;
  }
  return { text, links, backPorts, walletPort };
}
