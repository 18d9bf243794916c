/**
 * The page on another origin than the API (a CDN): what browsers ask for before they let it talk to us. HAProxy answers all
 * of it; services know nothing of origins. Why so: docs/decisions/0020-the-page-elsewhere.md
 *
 * The grab needs no preflight: a POST without a header or a body of its own, with the cookie. Only calls with an
 * Authorization header have one: the session, and the page's way out where a browser keeps no cookie.
 */
import { siteIsElsewhere } from "./site-backend.ts";

interface Places {
  url: string;
  site: string;
}

/** Browsers keep an answer at most two hours (Chromium). */
const PREFLIGHT_SECONDS = 7_200;
const METHODS = "GET, POST";
const HEADERS = "authorization, content-type";
/** What the page reads besides the body: when to come again, and what time it is. */
const EXPOSED = "retry-after, date, age";

/** The API's own origin, and the page's where it is another one. */
export function pageOrigin({ url, site }: Places): { own: string; elsewhere: string | null } {
  const own = new URL(url).origin;
  const other = new URL(site).origin;
  return { own, elsewhere: siteIsElsewhere(site) && other !== own ? other : null };
}

/**
 * First in the frontend, so that every answer has them, those of HAProxy itself too. An app's request names no origin, and
 * then each rule is one look at a variable that is not there.
 */
export function corsRules(places: Places): string[] {
  const { elsewhere } = pageOrigin(places);
  if (elsewhere === null) return [];
  const isPage = "{ var(txn.page) -m found }";
  const header = (name: string, value: string): string =>
    `http-after-response set-header access-control-${name} "${value}" if ${isPage}`;
  const asks = "{ req.hdr(access-control-request-method) -m found }";
  return [
    "# The page is another origin, and the only one that a browser may read our answers on.",
    `http-request set-var(txn.page) bool(true) if { req.fhdr(origin) -m str ${elsewhere} } { req.fhdr_cnt(origin) eq 1 }`,
    header("allow-origin", elsewhere),
    header("allow-credentials", "true"),
    header("expose-headers", EXPOSED),
    "http-after-response add-header vary origin",
    `http-request return status 204 hdr access-control-allow-methods "${METHODS}" hdr access-control-allow-headers "${HEADERS}" hdr access-control-max-age ${PREFLIGHT_SECONDS} hdr cache-control no-store if ${isPage} METH_OPTIONS { path_beg /v1/ } ${asks}`,
    "",
  ];
}

/** Hosts whose last two labels are the same count as one site; where that is a public suffix, browsers refuse the cookie. */
function isSameSite({ url, site }: Places): boolean {
  const [own, other] = [new URL(url).hostname, new URL(site).hostname];
  const tail = (host: string): string => host.split(".").slice(-2).join(".");
  const isName = /[a-z]/i.test(own.split(".").at(-1)!) && own.includes(".");
  return own === other || (isName && tail(own) === tail(other));
}

/**
 * Strict: other sites cannot make a browser send it, whatever they try. Only a page under another domain needs None; then
 * the check of the Origin header stands alone, and browsers that separate third parties keep the cookie for that page only.
 */
export function cookieAttributes(places: Places): string {
  const { elsewhere } = pageOrigin(places);
  if (elsewhere !== null && !isSameSite(places)) return "HttpOnly; SameSite=None; Secure; Partitioned";
  const secure = new URL(places.url).protocol === "https:" ? "; Secure" : "";
  return `HttpOnly; SameSite=Strict${secure}`;
}
