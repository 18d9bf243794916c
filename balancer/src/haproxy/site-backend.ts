import type { Topology } from "@hongbao/preprocess";
import { visitorLimit } from "./limits.ts";
import { POLICY } from "./policy.ts";

/** What comes with it is for the site: on its admin port a controller answers it with the page and nothing else. */
export const SITE_HEADER = "x-hongbao-site";

/** A site behind https is another origin (a CDN): browsers are sent there. Else a controller serves it through us. */
export function siteIsElsewhere(site: string): boolean {
  return new URL(site).protocol === "https:";
}

/**
 * The page and the start files from whichever controller has the site's port. One that is frozen keeps the port, and the kernel
 * goes on taking connections for it; then they come from a controller's admin port. Everything here may be asked twice.
 */
export function siteBackend({
  balancer: { site },
  controllers,
}: Pick<Topology, "balancer" | "controllers">): string[] {
  const { hostname, port } = new URL(site);
  if (siteIsElsewhere(site)) return ["# The site is another origin; browsers are redirected to it."];
  return [
    ...visitorLimit(),
    `timeout server ${POLICY.siteMs}ms`,
    // The first that is well: as long as it is, everybody sees the rounds with the same eyes.
    "balance first",
    `retries ${POLICY.retries}`,
    "retry-on conn-failure empty-response response-timeout",
    "option redispatch 1",
    // Where an attempt on a connection that had served before fails and no server is left for another one, HAProxy ends the
    // client's connection without a word. The page is not what has to be fast here.
    "option http-server-close",
    "http-reuse never",
    "http-request del-header authorization",
    "http-request del-header cookie",
    "http-request del-header x-hongbao- -m beg",
    `http-request set-header ${SITE_HEADER} 1`,
    "http-response del-header keep-alive",
    "option httpchk GET /livez",
    // Whatever it answers, it is awake.
    "http-check expect status 200-599",
    `default-server check inter ${POLICY.checkMs}ms fastinter ${POLICY.checkFastMs}ms downinter ${POLICY.checkFastMs}ms fall ${POLICY.checkFailures} rise 1 maxconn ${POLICY.requestsPerServerMax}`,
    `server site ${hostname}:${port === "" ? 80 : port}`,
    ...controllers.map(({ id, admin }) => `server controller_${id} ${admin}`),
  ];
}
