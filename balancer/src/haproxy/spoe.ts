/**
 * HAProxy's side of the SPOP door: it asks a bucket's services by SPOE for a grab's answer and writes the HTTP answer
 * itself. Where no service answers in time the same request goes on to the bucket's HTTP servers, marked as a second
 * pass. Pure functions; written for the 2.6 of Debian 12. Of 3.1 and later, whose SPOE was written anew, they use nothing
 * that is gone: `mode tcp` becomes `mode spop` there by itself, and the keywords that lost their meaning are accepted.
 *
 *     http-request rules ── send-spoe-group ──> agents_<bucket> (mode tcp) ──> services' spop ports
 *            └── no answer ──> servers of bucket_<bucket>                   ──> services' http ports
 *
 * Without `option async`: an answer then belongs to the connection that asked, so when a service dies HAProxy knows at
 * once which questions died with it. With it they would hang until the time-out. Pipelining is enough for many questions
 * on one connection.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  answerTable,
  GRAB_ARGUMENTS,
  GRAB_MESSAGE,
  SECOND_PASS_HEADER,
  SPOP_VARIABLES,
  spopPolicy,
} from "@hongbao/bucket-service";
import type { BucketPlace, ServicePlace } from "@hongbao/preprocess";
import { POLICY } from "./policy.ts";

/** Environment variable of the HAProxy process by which it proves itself to the agents. */
export const SPOP_KEY = "HONGBAO_SPOP_KEY";
export const SPOE_POLICY = Object.freeze({
  helloMs: 500,
  /** A connection without questions is closed after this. */
  idleMs: 60_000,
  /** A question and its answer, with a new connection where there is none. Then the request takes the other door. */
  processingMs: 1_000,
  /**
   * Questions on their way over one connection. Many of them to a connection cost least on both sides, but HAProxy fills
   * one up before it turns to the next, so with too many all go to one service.
   */
  questionsPerConnectionMax: 100,
  /** New connections a second, for each thread: enough after a restart, too few for a storm. */
  connectionsPerSecondMax: 100,
  /** Past so many failed questions a second, for each thread, requests take the other door without trying this one. */
  errorsPerSecondMax: 500,
  /** For a request that comes by the other door; then another service is asked, as this one may be frozen. */
  secondPassMs: 1_500,
});

// The agent answers `busy` by itself before HAProxy gives up, so a slow Redis does not send everyone through both doors.
assert(spopPolicy.answerMsMax + 2 * spopPolicy.answerTickMs < SPOE_POLICY.processingMs);
assert(SPOE_POLICY.processingMs + (POLICY.retries + 1) * SPOE_POLICY.secondPassMs < POLICY.clientMs);
// HAProxy is the one that closes idle connections; the agent would close them under a question.
assert(SPOE_POLICY.idleMs < spopPolicy.idleMsMax);
assert(SPOE_POLICY.questionsPerConnectionMax <= spopPolicy.questionsPerConnectionMax);
assert(SPOE_POLICY.helloMs < spopPolicy.strangerMsMax);

const PREFIX = "g";
const ERROR = "error";
const variable = (name: string): string => `var(txn.${PREFIX}.${name})`;

/** What rules before ours have found out of a request; a key only of a grab that both doors read alike. */
const VALUES: Record<(typeof GRAB_ARGUMENTS)[number], string> = {
  secret: `env(${SPOP_KEY})`,
  round: "var(txn.round)",
  user: "var(txn.user)",
  key: "var(txn.key)",
  n: "var(txn.n)",
};

const engineOf = (bucket: string): string => `spoe_${bucket}`;
export const agentsOf = (bucket: string): string => `agents_${bucket}`;

/** What SPOE wants in a file of its own; one scope for each bucket. */
export interface SpoeFile {
  /** Tells the content, so a configuration and the file that it was checked with stay together. */
  name: string;
  text: string;
}

export function spoeFile(buckets: readonly Pick<BucketPlace, "id">[]): SpoeFile {
  const text = spoeText(buckets);
  return { name: `spoe-${createHash("sha256").update(text).digest("hex").slice(0, 12)}.cfg`, text };
}

function spoeText(buckets: readonly Pick<BucketPlace, "id">[]): string {
  const args = GRAB_ARGUMENTS.map((name) => `${name}=${VALUES[name]}`).join(" ");
  const scopes = buckets.map(({ id }) =>
    [
      `[${engineOf(id)}]`,
      `spoe-agent ${agentsOf(id)}`,
      "    groups ask",
      `    option var-prefix ${PREFIX}`,
      `    option set-on-error ${ERROR}`,
      "    option pipelining",
      "    no option async",
      "    no option send-frag-payload",
      "    option dontlog-normal",
      `    max-waiting-frames ${SPOE_POLICY.questionsPerConnectionMax}`,
      `    maxconnrate ${SPOE_POLICY.connectionsPerSecondMax}`,
      `    maxerrrate ${SPOE_POLICY.errorsPerSecondMax}`,
      `    timeout hello ${SPOE_POLICY.helloMs}ms`,
      `    timeout idle ${SPOE_POLICY.idleMs}ms`,
      `    timeout processing ${SPOE_POLICY.processingMs}ms`,
      `    use-backend ${agentsOf(id)}`,
      "",
      `spoe-message ${GRAB_MESSAGE}`,
      `    args ${args}`,
      "",
      "spoe-group ask",
      `    messages ${GRAB_MESSAGE}`,
      "",
    ].join("\n"),
  );
  return `# Rendered from the topology by "hongbao balancer render"; changes belong there.\n\n${scopes.join("\n")}`;
}

/** How many requests an agent bears at once: the variable, the condition that it was told, and who tells it. */
export function windowTold(bucket: string): { value: string; isThere: string; services: string } {
  const name = `txn.${PREFIX}.${SPOP_VARIABLES.window}`;
  return { value: name, isThere: `{ var(${name}) -m found }`, services: agentsOf(bucket) };
}

/** The backend of a bucket's agents. */
export function agentsBackend({
  id,
  services,
}: {
  id: string;
  services: readonly (ServicePlace & { free?: boolean })[];
}): {
  head: string;
  lines: string[];
} {
  return {
    head: `backend ${agentsOf(id)}`,
    lines: [
      "mode tcp",
      // Of the ways to choose, this one turns to the next server at once when one refuses a connection.
      "balance roundrobin",
      "retries 2",
      "option redispatch 1",
      `timeout server ${2 * SPOE_POLICY.idleMs}ms`,
      "option spop-check",
      // A service that hangs keeps its connections: they would go on taking questions, were they not shut down with it.
      // One that is gone is found out by the first questions that need a connection.
      `default-server check inter ${POLICY.checkMs}ms fastinter ${POLICY.checkFastMs}ms downinter ${POLICY.checkMs}ms fall ${POLICY.checkFailures} rise 1 observe layer4 error-limit 2 on-error mark-down on-marked-down shutdown-sessions`,
      ...services.map(({ id, spop, free }) => `server ${id} ${spop}${free === true ? " disabled" : ""}`),
    ],
  };
}

/**
 * The rules of a bucket's backend that ask its agents and answer with what they said.
 * @param learned rules between the two, which may look at `stockSeen`.
 */
export function askAgents(bucket: string, file: string, learned: readonly string[] = []): string[] {
  // nbsrv is 0 in a worker that hands over, too: it asks by the other door, and has no agents' connections to wait for.
  const conditions = `{ ${VALUES.key} -m found } { nbsrv(${agentsOf(bucket)}) gt 0 }`;
  return [
    "# A service says what to answer. Where none does, the request goes on, and may have won already.",
    `filter spoe engine ${engineOf(bucket)} config ${file}`,
    `http-request send-spoe-group ${engineOf(bucket)} ask if ${conditions}`,
    ...learned,
    ...statuses().map(answerRule),
  ];
}

/** An agent was asked by a user who had asked a moment before. */
export const isOftenTold = `{ ${variable(SPOP_VARIABLES.often)} -m found }`;

/** An agent was asked and has not answered, at least not in time. */
export const isUnanswered = `{ ${variable(ERROR)} -m found }`;

/** For a request that an agent may have handled; they belong behind the rule that takes such marks from clients. */
export function secondPassRules(): string[] {
  return [
    `http-request set-header ${SECOND_PASS_HEADER} 1 if ${isUnanswered}`,
    `http-request set-timeout server ${SPOE_POLICY.secondPassMs}ms if ${isUnanswered}`,
  ];
}

/** The stock number whose end an agent has seen: an expression, and the condition that there is one. */
export const stockSeen = {
  value: variable(SPOP_VARIABLES.stock),
  isThere: `{ ${variable(SPOP_VARIABLES.stock)} -m found }`,
} as const;

interface StatusRule {
  status: number;
  retries: boolean;
}

/** The statuses that answers have, the most frequent first: a rule's status is fixed, so each has a rule of its own. */
function statuses(): StatusRule[] {
  const entries: { status: number; retryAfterSeconds?: number }[] = Object.values(answerTable);
  const found = new Map<number, StatusRule>();
  for (const { status, retryAfterSeconds } of entries) {
    const rule = found.get(status) ?? { status, retries: false };
    rule.retries ||= retryAfterSeconds !== undefined;
    found.set(status, rule);
  }
  return [...found.values()].sort((a, b) => rank(a.status) - rank(b.status));
}

const FREQUENT = [200, 503, 403];

function rank(status: number): number {
  const place = FREQUENT.indexOf(status);
  return place < 0 ? FREQUENT.length : place;
}

function answerRule({ status, retries }: StatusRule): string {
  const retryAfter = retries ? ` hdr retry-after %[${variable(SPOP_VARIABLES.retry)}]` : "";
  return (
    `http-request return status ${status} content-type "application/json; charset=utf-8"` +
    ` lf-string %[${variable(SPOP_VARIABLES.body)}] hdr cache-control no-store${retryAfter}` +
    ` if { ${variable(SPOP_VARIABLES.status)} -m int ${status} }`
  );
}
