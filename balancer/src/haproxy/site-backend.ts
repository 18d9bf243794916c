import { visitorLimit } from "./limits.ts";
import { POLICY } from "./policy.ts";

/** A site behind https is another origin (a CDN): browsers are sent there. Else a controller serves it through us. */
export function siteIsElsewhere(site: string): boolean {
  return new URL(site).protocol === "https:";
}

/** The page and the start files from whichever controller has the site's port. */
export function siteBackend(site: string): string[] {
  const { hostname, port } = new URL(site);
  if (siteIsElsewhere(site)) return ["# The site is another origin; browsers are redirected to it."];
  return [
    ...visitorLimit(),
    `retries ${POLICY.retries}`,
    "retry-on conn-failure empty-response",
    "http-reuse always",
    "http-request del-header authorization",
    "http-request del-header cookie",
    "http-request del-header x-hongbao- -m beg",
    "http-response del-header keep-alive",
    `server site ${hostname}:${port === "" ? 80 : port} check inter ${POLICY.checkMs}ms fastinter ${POLICY.checkFastMs}ms downinter ${POLICY.checkFastMs}ms fall ${POLICY.checkFailures} rise 1 maxconn ${POLICY.requestsPerServerMax}`,
  ];
}
