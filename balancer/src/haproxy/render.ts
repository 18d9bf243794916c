/**
 * HAProxy's configuration from the topology: a pure function, so that a test can hold its text against a snapshot.
 * With the door `spop`, the default, the file of spoe.ts belongs beside it.
 * Written for the 2.6 of Debian 12; nothing in it is secret (keys come by the environment of the HAProxy process).
 *
 * The order of the answers is the API's (README, "HTTP for apps") and the order of the sections here:
 * 404 no_such_round, ended everywhere (those two exclude each other), 401, 400, 429 limited, then in the bucket's backend ended
 * (learned), busy, the services. Every rule that a grab passes costs all grabs: what is rare stands behind a condition that is cheap
 * and false (docs/performance.md).
 */
import type { Topology } from "@hongbao/preprocess";
import { BadInput, TOKEN_PATTERNS } from "@hongbao/preprocess";
import { answerIf, errorPages } from "./answers.ts";
import { bucketBackend, listedBucket, roundsAcl } from "./bucket-backend.ts";
import { cookieAttributes, corsRules, pageOrigin } from "./cors.ts";
import { callLimit, limitTables, STRANGERS_BACKEND, strangersBackend, turnAway } from "./limits.ts";
import { MAPS } from "./maps.ts";
import { POLICY } from "./policy.ts";
import type { Slots } from "./slots.ts";
import { siteBackend, siteIsElsewhere } from "./site-backend.ts";
import { agentsBackend, spoeFile } from "./spoe.ts";
import { globalVariableLines, SHUT, STANDARD_VARIABLES, type SwitchVariables } from "./switched.ts";

/** What the renderer takes from a pack's manifest. */
export interface RoundRules {
  id: number;
  perUser: number;
  /** Null: everyone may take part. */
  groups: string[] | null;
}

export type Door = "spop" | "http";

export interface RenderOptions {
  /** Default: one thread per processor. */
  threads?: number;
  connectionsMax?: number;
  /** `spop`, the default: ask the services by SPOE first (spoe.ts). `http`: every grab goes by HTTP. */
  door?: Door;
  /** What switches say at this moment, for a HAProxy that starts. */
  variables?: SwitchVariables;
  /** Places of the services that service discovery found, by bucket. */
  slots?: ReadonlyMap<string, Slots>;
}

/** Environment variables of the HAProxy process that hold the keys of the users' tokens. */
export const TOKEN_KEY = "HONGBAO_TOKEN_KEY";
export const TOKEN_KEY_PREVIOUS = "HONGBAO_TOKEN_KEY_PREVIOUS";

/** What `signToken` and most libraries write before the first dot: {"alg":"HS256","typ":"JWT"}. */
const TOKEN_HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");

/** Of the last of 43 letters two bits say nothing: HAProxy does not look at them, and services want them to be 0. */
const SIGNATURE_ENDS = [..."AEIMQUYcgkosw048"].join(" ");

const INDENT = "    ";

interface Section {
  head: string;
  lines: string[];
}

/** Throws BadInput for what a topology may say and this renderer cannot do. */
export function render(
  topology: Topology,
  manifest: { rounds: RoundRules[] } | null = null,
  options: RenderOptions = {},
): string {
  const rounds = manifest?.rounds ?? [];
  const buckets = topology.buckets.map((bucket) => listedBucket(bucket, options.slots?.get(bucket.id)));
  const spoe = options.door === "http" ? null : spoeFile(buckets).name;
  const sections: Section[] = [
    { head: "global", lines: globalLines(options) },
    { head: "defaults", lines: defaultLines() },
    { head: "frontend public", lines: publicLines(topology, rounds) },
    { head: "backend site", lines: siteBackend(topology) },
    strangersBackend(),
    ...limitTables(),
    ...buckets.flatMap((bucket) => [
      {
        head: `backend bucket_${bucket.id}`,
        lines: bucketBackend(bucket, restrictedRounds(rounds), spoe),
      },
      ...(spoe === null ? [] : [agentsBackend(bucket)]),
    ]),
    { head: `backend bucket_${SHUT.busy}`, lines: [answerIf("busy", "")] },
    { head: `backend bucket_${SHUT.ended}`, lines: [answerIf("ended", "")] },
    { head: "frontend metrics", lines: metricsLines() },
  ];
  return `# Rendered from the topology by "hongbao balancer render"; changes belong there.\n${sections.map(sectionText).join("")}`;
}

function sectionText({ head, lines }: Section): string {
  // Conditional blocks and comments of HAProxy's own syntax are lines like any other.
  return `\n${head}\n${lines.map((line) => (line === "" ? "\n" : `${INDENT}${line}\n`)).join("")}`;
}

/** Rounds that not everyone may join: only the bucket knows who may, so HAProxy must not answer in its place. */
function restrictedRounds(rounds: RoundRules[]): number[] {
  return rounds.filter(({ groups }) => groups !== null).map(({ id }) => id);
}

function globalLines({
  threads,
  connectionsMax = POLICY.connectionsMax,
  variables = STANDARD_VARIABLES,
}: RenderOptions): string[] {
  for (const [name, value] of Object.entries({ threads, connectionsMax })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      throw new BadInput(`haproxy: ${name}: found ${value}, expected a whole number from 1`);
    }
  }
  return [
    `maxconn ${connectionsMax}`,
    ...(threads === undefined ? [] : [`nbthread ${threads}`]),
    `hard-stop-after ${POLICY.hardStopMs}ms`,
    // Relative to the directory that HAProxy runs in, which also keeps it below the length limit of such names.
    "stats socket unix@runtime.sock mode 600 level admin expose-fd listeners",
    `set-var proc.token_key env(${TOKEN_KEY})`,
    `.if defined(${TOKEN_KEY_PREVIOUS})`,
    `set-var proc.token_key_previous env(${TOKEN_KEY_PREVIOUS})`,
    ".endif",
    ...globalVariableLines(variables),
    // HAProxy remembers what matched what; for patterns against what differs from user to user that costs more than it saves.
    "tune.pattern.cache-size 0",
    "ssl-default-bind-options ssl-min-ver TLSv1.2",
  ];
}

function defaultLines(): string[] {
  return [
    "mode http",
    `timeout connect ${POLICY.connectMs}ms`,
    `timeout client ${POLICY.clientMs}ms`,
    `timeout server ${POLICY.serverMs}ms`,
    `timeout queue ${POLICY.queueMs}ms`,
    `timeout check ${POLICY.checkAnswerMs}ms`,
    `timeout http-request ${POLICY.requestMs}ms`,
    `timeout http-keep-alive ${POLICY.keepAliveMs}ms`,
    "option http-keep-alive",
    // A client that went away while its request waits frees its place in the queue.
    "option abortonclose",
    ...errorPages(),
  ];
}

function publicLines(topology: Topology, rounds: RoundRules[]): string[] {
  const { listen, tls, proxyProtocol } = topology.balancer;
  return [
    `bind ${listen}${proxyProtocol ? " accept-proxy" : ""}${tls ? ` ssl crt ${tls.cert} alpn h2,http/1.1` : ""}`,
    // During a reload an idle connection is closed with the next answer, never under a request on its way.
    "option idle-close-on-response",
    // What cannot even be parsed is refused below the rules, always in HTML; closing without a word is the better half.
    ...[400, 408, 501].map((status) => `errorfile ${status} /dev/null`),
    "",
    ...corsRules(topology.balancer),
    "# Ended everywhere: nobody needs a token to be told. First, because then everybody comes again and again.",
    // Looked up twice by all others: what is kept in a variable costs more than the look.
    answerIf("ended", `if METH_POST { path,map_str(${MAPS.rounds}) -m str over }`),
    `http-request set-var(txn.state) path,map_str(${MAPS.rounds})`,
    "",
    "# Which round, and is it one?",
    "http-request set-var(txn.grab) bool(true) if { var(txn.state) -m found } METH_POST { path_end /grab }",
    "http-request set-var(txn.round) path,field(4,/) if { var(txn.grab) -m found }",
    "http-request set-var(txn.round) path,field(4,/) if { var(txn.state) -m found } METH_GET { path_end /result }",
    answerIf(
      "noSuchRound",
      "if !{ var(txn.state) -m found } METH_POST { path -m reg ^/v1/rounds/[^/]+/grab$ }",
    ),
    answerIf(
      "noSuchRound",
      "if !{ var(txn.state) -m found } METH_GET { path -m reg ^/v1/rounds/[^/]+/result$ }",
    ),
    "",
    ...siteRules(topology.balancer.site),
    "",
    "# Nothing else is public.",
    "http-request set-var(txn.call) bool(true) if { var(txn.round) -m found }",
    "http-request set-var(txn.call) bool(true) if METH_GET { path /v1/wins }",
    "http-request set-var(txn.call) bool(true) if METH_POST { path /v1/session }",
    "http-request set-var(txn.call) bool(true) if METH_POST { path /v1/receipts }",
    answerIf("notFound", "if !{ var(txn.call) -m found }"),
    "",
    ...tokenRules(topology.balancer),
    "",
    ...requestRules(rounds),
    "",
    ...sessionRules(topology.balancer),
    "",
    "# The user's bucket.",
    `http-request set-var(txn.bucket) var(txn.user),crc32,mod(${topology.slots}),map_str(${MAPS.slots})`,
    `http-request set-var(txn.bucket) var(txn.bucket),map_str(${MAPS.switches}) if { var(txn.state) -m str switched }`,
    "use_backend site if { var(txn.site) -m found }",
    `use_backend ${STRANGERS_BACKEND} if !{ var(txn.signed) -m found }`,
    "use_backend bucket_%[var(txn.bucket)]",
  ];
}

/** GET of the page, the schedule, a start file or an asset; nothing whose path could climb out of its folder. */
function siteRules(site: string): string[] {
  const name = "[A-Za-z0-9_-][A-Za-z0-9._-]*";
  const paths = [
    "{ path / /rounds.json }",
    "{ path -m reg '^/start/[1-9][0-9]?\\.js$' }",
    `{ path -m reg '^/assets/(${name}/){0,4}${name}$' }`,
  ];
  // HAProxy's METH_GET is GET and HEAD.
  const isSite = "{ var(txn.site) -m found }";
  return [
    "# The page, the schedule and the start files.",
    ...paths.map((path) => `http-request set-var(txn.site) bool(true) if METH_GET ${path}`),
    siteIsElsewhere(site)
      ? `http-request redirect code 302 location ${new URL(site).origin}%[pathq] if ${isSite}`
      : `http-request allow if ${isSite}`,
  ];
}

/** Who asks: a signed, unexpired token in the Authorization header, or in the cookie when our own page asks. */
function tokenRules(balancer: { url: string; site: string }): string[] {
  const noToken = "!{ var(txn.token) -m found }";
  const noHeader = "!{ req.fhdr_cnt(authorization) gt 0 }";
  const { own, elsewhere } = pageOrigin(balancer);
  const origins = elsewhere === null ? own : `${own} ${elsewhere}`;
  const fromPage = "http-request set-var(txn.cookie) req.cook(hongbao)";
  return [
    "# Who asks? The algorithm is a literal, exp is compared by hand (jwt_verify looks at the signature only). Nearly all tokens",
    "# have the same header, which need not be read again and again, and claims of the same form. A comma makes two tokens.",
    "http-request set-var(txn.now) date(0,ms)",
    "http-request set-var(txn.token) http_auth_bearer if { req.hdr_cnt(authorization) eq 1 }",
    // Two cookies of the name: one of them is somebody else's gift, set by a neighbour of our domain.
    `${fromPage} if ${noToken} ${noHeader} { req.cook_cnt(hongbao) eq 1 } { req.fhdr_cnt(origin) eq 1 } { req.fhdr(origin) -m str ${origins} }`,
    // A page of our own origin sends none with a GET. One elsewhere always does, and then nothing else may come without.
    ...(elsewhere === null
      ? [
          `${fromPage} if ${noToken} METH_GET ${noHeader} { req.cook_cnt(hongbao) eq 1 } !{ req.fhdr_cnt(origin) gt 0 }`,
        ]
      : []),
    "http-request set-var(txn.token) var(txn.cookie) if { var(txn.cookie) -m found }",
    "http-request set-var(txn.claims) var(txn.token),field(2,.),ub64dec",
    "http-request set-var(txn.user) var(txn.claims),json_query('$.sub')",
    "http-request set-var(txn.left) var(txn.claims),json_query('$.exp','int'),mul(1000),sub(txn.now)",
    turnAway(
      `if !{ var(txn.token) -m len 1:${POLICY.tokenLengthMax} } || !{ var(txn.token) -m end ${SIGNATURE_ENDS} } || !{ var(txn.left) -m int gt 0 }`,
    ),
    turnAway(
      `if !{ var(txn.claims) -m reg '${TOKEN_PATTERNS.plainClaims}' } !{ var(txn.claims) -m reg '${TOKEN_PATTERNS.claims}' }`,
    ),
    turnAway(
      `if !{ var(txn.token) -m beg ${TOKEN_HEADER}. } !{ var(txn.token),field(1,.),ub64dec -m reg '${TOKEN_PATTERNS.header}' }`,
    ),
    'http-request set-var(txn.signed) bool(true) if { var(txn.token),jwt_verify("HS256",proc.token_key) -m int 1 }',
    `.if defined(${TOKEN_KEY_PREVIOUS})`,
    'http-request set-var(txn.signed) bool(true) if !{ var(txn.signed) -m found } { var(txn.token),jwt_verify("HS256",proc.token_key_previous) -m int 1 }',
    ".endif",
    turnAway("if !{ var(txn.signed) -m found }"),
  ];
}

function sessionRules(balancer: { url: string; site: string }): string[] {
  return [
    "# The page trades its token for a cookie that no script can read.",
    ...callLimit("{ path /v1/session }"),
    answerIf("unauthorized", "if { path /v1/session } { var(txn.cookie) -m found }"),
    "http-request set-var(txn.left) var(txn.left),div(1000) if { path /v1/session }",
    `http-request return status 204 hdr cache-control no-store hdr set-cookie "hongbao=%[var(txn.token)]; Path=/v1; Max-Age=%[var(txn.left)]; ${cookieAttributes(balancer)}" if { path /v1/session }`,
  ];
}

/** 400: what is wrong with the request itself. */
function requestRules(rounds: RoundRules[]): string[] {
  const isGrab = "{ var(txn.grab) -m found }";
  const limits = Map.groupBy(rounds, ({ perUser }) => perUser);
  return [
    "# Is the request well-formed? The only body is a list of receipts: it has to come before a service is kept waiting for it.",
    `http-request wait-for-body time ${POLICY.bodyMs}ms if METH_POST { path /v1/receipts }`,
    answerIf("tooLarge", `if { req.body_size gt ${POLICY.bodyBytesMax} }`),
    `http-request set-var(txn.n) url_param(n) if ${isGrab}`,
    answerIf("badN", "if { var(txn.n) -m found } !{ var(txn.n) -m reg ^[1-9][0-9]{0,5}$ }"),
    ...Array.from(limits, ([perUser, limited]) => [
      ...roundsAcl(
        `at_most_${perUser}`,
        limited.map(({ id }) => id),
      ),
      answerIf("badN", `if { var(txn.n) -m int gt ${perUser} } at_most_${perUser}`),
    ]).flat(),
  ];
}

/** Only for `balancer run`, which shows these figures on its admin port. */
function metricsLines(): string[] {
  return [
    "bind unix@metrics.sock mode 600",
    "http-request use-service prometheus-exporter if { path /metrics }",
    answerIf("notFound", ""),
  ];
}
