import { STOCK_HEADER } from "@hongbao/bucket-service";
import type { BucketPlace, ServicePlace } from "@hongbao/preprocess";
import { answerIf } from "./answers.ts";
import { crowdRules, learnWindow, learnWindowFromHeader, noSecondPassRules, queueRules } from "./crowd.ts";
import { learnOften, learnOftenFromHeader, userLimit } from "./limits.ts";
import { MAPS } from "./maps.ts";
import { POLICY } from "./policy.ts";
import { noSlots, slotServices, type Slots } from "./slots.ts";
import { askAgents, isOftenTold, isUnanswered, secondPassRules, stockSeen, windowTold } from "./spoe.ts";

/** A service as the configuration names it; `free` is set where it is a place for one that is found later. */
export type ListedService = ServicePlace & { free?: boolean };

export type ListedBucket = Omit<BucketPlace, "services"> & { services: ListedService[]; discovered: boolean };

/** A bucket's services: those of the topology, or the places of those that service discovery finds. */
export function listedBucket(bucket: BucketPlace, slots: Slots = noSlots()): ListedBucket {
  const { services } = bucket;
  if (Array.isArray(services)) return { ...bucket, services, discovered: false };
  return { ...bucket, services: slotServices(services, slots), discovered: true };
}

/**
 * One bucket: what HAProxy remembers of it, its agents, when it is busy, and its HTTP servers.
 * @param spoeFile null: without agents.
 */
export function bucketBackend(
  bucket: ListedBucket,
  restrictedRounds: number[],
  spoeFile: string | null,
): string[] {
  const learned = [
    ...learnEnded("http-request", bucket.id, stockSeen.value, stockSeen.isThere, restrictedRounds),
    ...learnWindow("http-request", bucket.id, windowTold(bucket.id)),
    ...learnOften("http-request", isOftenTold),
  ];
  return [
    ...endedRules(bucket.id, restrictedRounds),
    "",
    ...crowdRules(bucket.id, bucket.services.length),
    "",
    ...(spoeFile === null
      ? []
      : [...askAgents(bucket.id, spoeFile, learned), ...noSecondPassRules(bucket.id, isUnanswered), ""]),
    "# What goes on as HTTP is rewritten on its way, and has to leave room for that.",
    answerIf("tooLarge", `if { req.hdrs,length gt ${POLICY.headerBytesMax} }`),
    // HAProxy lets them pass; Node refuses them below its routes, and closes a connection that others use.
    answerIf("badRequest", "if { req.hdrs -m reg '[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]' }"),
    "",
    // Without a server HAProxy answers 503 (our busy) by itself. A rule on nbsrv would answer it during reloads too:
    // in a worker that hands over, nbsrv is 0 while its servers still serve.
    ...queueRules(bucket.services.length),
    "",
    "# One identity, in one place, and none of our own words from outside.",
    'http-request set-header authorization "Bearer %[var(txn.token)]" if { var(txn.cookie) -m found }',
    "http-request del-header cookie",
    // HTTP/1.1 lets a client write the whole URL, and the services know paths.
    "http-request set-uri %[pathq] if !{ url_beg / }",
    "http-request del-header x-hongbao- -m beg",
    `http-request set-timeout server ${POLICY.receiptsMs}ms if { path /v1/receipts }`,
    ...(spoeFile === null ? [] : secondPassRules()),
    "",
    ...serverLines(bucket),
  ];
}

/**
 * The form of a grab's query that HAProxy and the services read alike: HAProxy does not decode, and takes `;` for `&`. A
 * grab in any other form is for the HTTP door alone, and nothing is learned from its answer: its key would be any text
 * that the client likes.
 */
const PLAIN_QUERY = "^k=[A-Za-z0-9_-]*(&n=[1-9][0-9]{0,5})?$";

/** `ended`, learned from an answer of this bucket and forgotten soon, unless the stock is another one by then. */
function endedRules(id: string, restrictedRounds: number[]): string[] {
  const isGrab = "{ var(txn.grab) -m found }";
  const isPossible = `{ var(txn.key) -m found } { var(${LEARNED_UNTIL}),sub(txn.now) -m int gt 0 }`;
  const stock = `res.hdr(${STOCK_HEADER})`;
  return [
    "# Ended, as far as this bucket goes.",
    ...roundsAcl("for_some", restrictedRounds),
    `http-request set-var(txn.key) url_param(k) if ${isGrab} { query -m reg '${PLAIN_QUERY}' }`,
    `http-request set-var-fmt(txn.place) %[var(txn.round)]/${id}/%[var(txn.round),concat(/${id}),map_str(${MAPS.stocks})]/%[var(txn.key)] if ${isPossible}`,
    `http-request set-var(txn.dry) bool(true) if { var(txn.place) -m found } { var(txn.place),map_str_int(${MAPS.ended}),sub(txn.now) -m int gt 0 }`,
    ...userLimit("{ var(txn.dry) -m found }"),
    answerIf("ended", "if { var(txn.dry) -m found }"),
    ...learnEnded("http-response", id, stock, `{ ${stock} -m reg ^[0-9]{1,15}$ }`, restrictedRounds),
    ...learnWindowFromHeader(id),
    ...learnOftenFromHeader(),
    "http-response del-header x-hongbao- -m beg",
    // The service's word about its connection with us; ours with the client has other times.
    "http-response del-header keep-alive",
  ];
}

/** While nothing was learned in any bucket there is nothing to look up, and grabs pass the look-up by. */
const LEARNED_UNTIL = "proc.learned_until";

/** Either door may tell the stock's number; HAProxy believes it for rounds that everyone may join. */
function learnEnded(
  when: string,
  id: string,
  stock: string,
  isTold: string,
  restrictedRounds: number[],
): string[] {
  const isForAll = restrictedRounds.length === 0 ? "" : " !for_some";
  const condition = `if ${isTold} { var(txn.key) -m found }${isForAll}`;
  const until = `date(${POLICY.endedMs},ms)`;
  return [
    `${when} set-map(${MAPS.ended}) %[var(txn.round)]/${id}/%[${stock}]/%[var(txn.key)] %[${until}] ${condition}`,
    `${when} set-var(${LEARNED_UNTIL}) ${until} ${condition}`,
  ];
}

/** HAProxy takes 64 words a line; several lines of one name are alternatives. */
export function roundsAcl(name: string, rounds: number[]): string[] {
  const lines: string[] = [];
  for (let from = 0; from < rounds.length; from += 40) {
    lines.push(`acl ${name} var(txn.round) -m str ${rounds.slice(from, from + 40).join(" ")}`);
  }
  return lines;
}

function serverLines({ services, discovered }: ListedBucket): string[] {
  return [
    "balance leastconn",
    "http-reuse always",
    // A grab may be sent twice: the second one gets the first one's prize.
    `retries ${POLICY.retries}`,
    "retry-on conn-failure empty-response",
    "option redispatch 1",
    "option httpchk GET /readyz",
    "http-check expect status 200",
    `default-server check inter ${POLICY.checkMs}ms fastinter ${POLICY.checkFastMs}ms downinter ${POLICY.checkMs}ms fall ${POLICY.checkFailures} rise 1 maxconn ${POLICY.requestsPerServerMax}`,
    ...services.map((service) => serverLine(service, discovered)),
  ];
}

/** Whether a service is ready is asked on its admin port, which the public one knows nothing of. */
function serverLine({ id, http, admin, free }: ListedService, discovered: boolean): string {
  const colon = admin.lastIndexOf(":");
  const port = `port ${admin.slice(colon + 1)}`;
  // The address of a place may change; then it has to count for the check, too.
  if (discovered) return `server ${id} ${http} ${port}${free === true ? " disabled" : ""}`;
  return `server ${id} ${http} addr ${admin.slice(0, colon)} ${port}`;
}
