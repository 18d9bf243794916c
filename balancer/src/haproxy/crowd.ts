/**
 * What HAProxy does for services that have too much to do (docs/decisions/0018). Refusing costs a service
 * something too, so it must not refuse what it cannot serve: it says with its answers how many requests it bears at once, and
 * HAProxy answers for it what comes beyond. The word holds for a second; a service that is still crowded says it again.
 */
import { WINDOW_HEADER } from "@hongbao/bucket-service";
import { answerIf } from "./answers.ts";
import { POLICY } from "./policy.ts";

/** Set by the switch `shed`: 1 when those who are too many are told `ended`. */
const SHED_ENDED = "proc.shed_ended";

/** IDs may have dashes, which names of variables may not; no ID has an underscore. */
const windowOf = (id: string): string => `proc.window_${id.replaceAll("-", "_")}`;
const crowdedUntil = (id: string): string => `proc.crowded_until_${id.replaceAll("-", "_")}`;

const isCrowded = (id: string): string => `{ var(${crowdedUntil(id)}),sub(txn.now) -m int gt 0 }`;

/** More than the services bear. The conditions that are false on a quiet day come first. */
export function crowdRules(id: string, services: number): string[] {
  // Requests at the agents count as well as those at the HTTP servers.
  const isTooMany = `{ be_conn(bucket_${id}),sub(${windowOf(id)}) -m int gt 0 }`;
  const isFarTooMany = `{ be_conn(bucket_${id}) gt ${POLICY.requestsPerServiceMax * Math.max(1, services)} }`;
  return [
    "# More than the services bear, as they say, or than any could.",
    ...refuse(`${isCrowded(id)} ${isTooMany}`),
    ...refuse(isFarTooMany),
  ];
}

/**
 * For a question that no agent of a crowded bucket has answered in time: by the other door it would be asked a second time of
 * services that could not bear it once.
 */
export function noSecondPassRules(id: string, isUnanswered: string): string[] {
  return refuse(`${isUnanswered} ${isCrowded(id)}`);
}

/** More than may wait for the HTTP servers. */
export function queueRules(services: number): string[] {
  const most = POLICY.queuedPerServiceMax * Math.max(1, services);
  return ["# A fast busy is better than a slow one.", ...refuse(`{ queue gt ${most} }`)];
}

function refuse(condition: string): string[] {
  return [
    answerIf("ended", `if { var(${SHED_ENDED}) -m int 1 } { var(txn.grab) -m found } ${condition}`),
    answerIf("busy", `if ${condition}`),
  ];
}

/** Each service speaks for itself, and all of a bucket bear about the same. */
export function learnWindow(
  when: "http-request" | "http-response",
  id: string,
  told: { value: string; isThere: string; services: string },
): string[] {
  const until = `date(${POLICY.crowdedMs},ms)`;
  return [
    `${when} set-var(${windowOf(id)}) nbsrv(${told.services}),mul(${told.value}) if ${told.isThere}`,
    `${when} set-var(${crowdedUntil(id)}) ${until} if ${told.isThere}`,
  ];
}

/** The same from the header of an HTTP answer. */
export function learnWindowFromHeader(id: string): string[] {
  const header = `res.hdr(${WINDOW_HEADER})`;
  return [
    `http-response set-var(txn.window) ${header} if { ${header} -m reg ^[0-9]{1,6}$ }`,
    ...learnWindow("http-response", id, {
      value: "txn.window",
      isThere: "{ var(txn.window) -m found }",
      services: `bucket_${id}`,
    }),
  ];
}
