/**
 * Who may ask how often (docs/decisions/0016). A user with a valid token is counted as that user, wherever they come from; an
 * address is counted only for what comes from it without a valid token, and for the page's files. So an office behind
 * one address meets no limit of its address in the API.
 *
 * The figures are `proc.` variables, which the runtime socket changes while HAProxy runs (0: any number). What one may do
 * for long is so many requests a second, at once those of two seconds; only requests that were let through are counted.
 *
 * To count everybody would cost each grab 4 to 9 us, nearly all of it for making the entry and letting it expire. So the services
 * count (0.15 us), and say of whom they hear a second time within two seconds; only those are counted here, over all
 * processes, and those whom HAProxy answers by itself.
 */
import { OFTEN_HEADER } from "@hongbao/bucket-service";
import { answerIf } from "./answers.ts";
import type { SwitchVariables } from "./switched.ts";

/** The variables of a HAProxy process that hold the figures. */
const LIMIT_VARIABLES = { user: "proc.limit_user", ip: "proc.limit_ip" } as const satisfies Record<
  string,
  keyof SwitchVariables
>;

const POLICY = Object.freeze({
  /** The rates are taken over so long; who was silent as long has all of it again, so an entry need not live longer. */
  windowSeconds: 2,
  /**
   * Users who ask often, and addresses, that are remembered: 65,000 new ones a second, 250 bytes each. When a table is full the
   * oldest go, and their limit begins anew.
   */
  entries: "128k",
  /** Digits of an IPv4 and an IPv6 address that name one customer; who has a /64 has all of its addresses. */
  networkBits: { ipv4: 32, ipv6: 64 },
  /**
   * The page's files are small and an office needs no token for them: 5,000 people ask for a start file every second, each
   * at a page that has a dozen files. So this much more than of calls without a token.
   */
  siteFactor: 200,
});

const USERS = "limit_users";
const STRANGERS = "limit_strangers";
const VISITORS = "limit_visitors";

/** Each table needs a section to stand in. */
export function limitTables(): { head: string; lines: string[] }[] {
  const table = (name: string, type: string): { head: string; lines: string[] } => ({
    head: `backend ${name}`,
    lines: [
      `stick-table type ${type} size ${POLICY.entries} expire ${POLICY.windowSeconds}s store gpc0_rate(${POLICY.windowSeconds}s)`,
    ],
  });
  return [table(USERS, "string len 64"), table(STRANGERS, "ipv6"), table(VISITORS, "ipv6")];
}

interface Limit {
  /** The number of HAProxy's stick counter. */
  counter: number;
  key: string;
  table: string;
  figure: string;
  /** So many times the figure are allowed. */
  factor: number;
}

/** HAProxy 2.6 takes a negative number minus another for a huge one, so there is one subtraction only. */
const isOver = ({ counter, factor, figure }: Limit): string =>
  `{ sc_gpc0_rate(${counter}),div(${POLICY.windowSeconds * factor}),sub(${figure}) -m int ge 0 }`;

function limit(what: Limit): string[] {
  return [track(what, []), answerIf("limited", `if ${isOver(what)}`), count(what)];
}

/** Who is not tracked is neither limited nor counted. */
function track({ counter, key, table, figure }: Limit, conditions: string[]): string {
  const when = [`{ var(${figure}) -m int gt 0 }`, ...conditions].join(" ");
  return `http-request track-sc${counter} ${key} table ${table} if ${when}`;
}

const count = ({ counter }: Limit): string => `http-request sc-inc-gpc0(${counter})`;

const user: Limit = {
  counter: 0,
  key: "var(txn.user)",
  table: USERS,
  figure: LIMIT_VARIABLES.user,
  factor: 1,
};

/** While nobody asks often there is nobody to look up. Written seldom, because all threads want it. */
const OFTEN_UNTIL = "proc.often_until";
const isOftenLeft = (ms: number): string => `{ var(${OFTEN_UNTIL}),sub(txn.now) -m int gt ${ms} }`;

/**
 * For whoever has proven to be a user, in the bucket's backend: who is known to ask often is counted, and everybody whom HAProxy
 * answers by itself, because no service hears of that.
 * @param own the condition under which it does.
 */
export function userLimit(own: string): string[] {
  return [
    "# How often does this user ask? Without a service everybody is counted, else who has asked a moment before.",
    track(user, [own]),
    track(user, [`!${own}`, isOftenLeft(0), `{ ${user.key},in_table(${USERS}) }`]),
    answerIf("limited", `if ${isOver(user)}`),
    count(user),
    learn("http-request", own),
  ];
}

/** The same for a call that ends in the frontend, and is always HAProxy's own. */
export function callLimit(call: string): string[] {
  return [
    track(user, [call]),
    answerIf("limited", `if ${call} ${isOver(user)}`),
    `${count(user)} if ${call}`,
    learn("http-request", call),
  ];
}

/** A service has heard of this user a second time: from now on the user is counted here. */
export function learnOften(when: "http-request" | "http-response", isTold: string): string[] {
  return [`${when} track-sc0 ${user.key} table ${USERS} if ${isTold}`, learn(when, isTold)];
}

/** The same from the header of an HTTP answer. */
export function learnOftenFromHeader(): string[] {
  return learnOften("http-response", `{ res.hdr(${OFTEN_HEADER}) -m found }`);
}

/** As long as an entry may live, at least. */
function learn(when: string, condition: string): string {
  const ms = POLICY.windowSeconds * 1000;
  return `${when} set-var(${OFTEN_UNTIL}) date(${2 * ms},ms) if ${condition} !${isOftenLeft(ms)}`;
}

/** The client's own address, or with the PROXY protocol the one that the load balancer saw; never a header's. */
const address = `src,ipmask(${POLICY.networkBits.ipv4},${POLICY.networkBits.ipv6})`;

const addressLimit = (table: string, factor: number): Limit => ({
  counter: 1,
  key: address,
  table,
  figure: LIMIT_VARIABLES.ip,
  factor,
});

/** For the page's files. */
export function visitorLimit(): string[] {
  return limit(addressLimit(VISITORS, POLICY.siteFactor));
}

/**
 * Ends the rules of the frontend for a request without a valid token: what is not signed goes to the backend of strangers,
 * which refuses it. That way the limit of addresses stands beside the road and a grab passes no rule of it.
 */
export function turnAway(condition: string): string {
  return `http-request allow ${condition}`;
}

export const STRANGERS_BACKEND = "strangers";

/** A stranger's answer, and that only so often. */
export function strangersBackend(): { head: string; lines: string[] } {
  return {
    head: `backend ${STRANGERS_BACKEND}`,
    lines: [...limit(addressLimit(STRANGERS, 1)), answerIf("unauthorized", "")],
  };
}
