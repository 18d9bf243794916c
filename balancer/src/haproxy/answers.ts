/**
 * What HAProxy answers by itself, in HAProxy's words. The status codes and texts are those of the services; where they
 * differ a client would see which door it came through.
 */
import { POLICY } from "./policy.ts";

const JSON_TYPE = '"application/json; charset=utf-8"';
const NO_STORE = "hdr cache-control no-store";
const RETRY_AFTER = `hdr retry-after ${POLICY.retryAfterSeconds}`;

type Answer = { status: number; body: string; retryAfter?: boolean };

const answers = {
  noSuchRound: { status: 404, body: '{"result":"no_such_round"}' },
  notFound: { status: 404, body: '{"result":"not_found"}' },
  /** `%[…]` is HAProxy's; the path was found in the map before, so the round is one of ours. */
  ended: { status: 200, body: '{"result":"ended","round":%[path,field(4,/)]}' },
  unauthorized: { status: 401, body: '{"result":"unauthorized","message":"a valid token is needed"}' },
  badN: {
    status: 400,
    body: '{"result":"bad_request","round":%[var(txn.round)],"message":"n: expected 1 to perUser, with n - 1 won before"}',
  },
  tooLarge: { status: 400, body: '{"result":"bad_request","message":"the request is too large"}' },
  badRequest: { status: 400, body: '{"result":"bad_request"}' },
  limited: { status: 429, body: '{"result":"limited"}', retryAfter: true },
  busy: { status: 503, body: '{"result":"busy"}', retryAfter: true },
} satisfies Record<string, Answer>;

export type AnswerName = keyof typeof answers;

function parts({ status, body, retryAfter = false }: Answer, statusShown = status): string {
  const text = body.includes("%[") ? `lf-string '${body}'` : `string '${body}'`;
  const headers = retryAfter ? `${NO_STORE} ${RETRY_AFTER}` : NO_STORE;
  return `status ${statusShown} content-type ${JSON_TYPE} ${text} ${headers}`;
}

/** A rule that answers at once when the condition holds. */
export function answerIf(name: AnswerName, condition: string): string {
  return `http-request return ${parts(answers[name])} ${condition}`;
}

/** What stands in for HAProxy's own error pages, which are HTML. */
export function errorPages(): string[] {
  const pages: [number, AnswerName][] = [
    [400, "badRequest"],
    [401, "unauthorized"],
    [403, "badRequest"],
    [404, "notFound"],
    [405, "notFound"],
    [407, "badRequest"],
    [408, "badRequest"],
    [410, "notFound"],
    [413, "tooLarge"],
    [425, "busy"],
    [429, "busy"],
    [501, "badRequest"],
    [503, "busy"],
  ];
  return [
    ...pages.map(([status, name]) => `http-error ${parts(answers[name], status)}`),
    ...[500, 502, 504].map((status) => `errorfile ${status} ${BUSY_PAGE.name}`),
  ];
}

/**
 * What stands in for HAProxy's other pages of 5xx: a fault on our side is `busy` and nothing else, and `busy` is 503. Only a file,
 * which belongs beside the configuration, may have another status than its page; a rule would cost every answer.
 */
export const BUSY_PAGE = {
  name: "busy.http",
  text: [
    "HTTP/1.1 503 Service Unavailable",
    "content-type: application/json; charset=utf-8",
    `content-length: ${answers.busy.body.length}`,
    "cache-control: no-store",
    `retry-after: ${POLICY.retryAfterSeconds}`,
    "",
    answers.busy.body,
  ].join("\r\n"),
} as const;
