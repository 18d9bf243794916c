/**
 * Whom Prometheus is to ask, as its http_sd wants it: everybody that the topology names, and whoever service discovery found. DNS
 * would name eight tasks of a service at most. No secret and nobody's data: addresses inside the private network.
 */
import type { Router } from "@koa/router";
import { targetsOf } from "@hongbao/monitoring";
import type { Topology } from "@hongbao/preprocess";
import type { FoundServices } from "./found-services.ts";

export function targetsPage(
  topology: Topology,
  found: Pick<FoundServices, "of" | "balancers">,
): (router: Router) => void {
  const buckets = new Map(topology.buckets.map((bucket) => [bucket.id, bucket]));
  return (router) => {
    router.get("/targets", (context) => {
      context.set("cache-control", "no-store");
      context.body = targetsOf(topology, {
        services: (bucket) => found.of(buckets.get(bucket)!),
        balancers: found.balancers,
      });
    });
  };
}
