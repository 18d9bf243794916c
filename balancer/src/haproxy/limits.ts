/**
 * Who may ask how often (docs/decisions/0016). A user with a valid token is counted as that user, wherever they come from; an
 * address is counted only for what comes from it without a valid token, and for the page's files. So an office behind
 * one address meets no limit of its address in the API.
 *
 * The figures are `proc.` variables, which the runtime socket changes while HAProxy runs (0: any number). What one may do
 * for long is so many requests a second, at once those of two seconds; only requests that were let through are counted.
 * The users' table costs a grab about 4 us, nearly all of it for making the entry and letting it expire.
 */
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
   * Users, and addresses, that are remembered: 65,000 new ones a second, 250 bytes each. When a table is full the oldest go, and
   * their limit begins anew.
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

/**
 * @param counter the number of HAProxy's stick counter.
 * @param factor so many times the figure are allowed.
 */
function limit(counter: number, key: string, table: string, figure: string, factor: number): string[] {
  // HAProxy 2.6 takes a negative number minus another for a huge one, so there is one subtraction only.
  const isOver = `sc_gpc0_rate(${counter}),div(${POLICY.windowSeconds * factor}),sub(${figure}) -m int ge 0`;
  return [
    `http-request track-sc${counter} ${key} table ${table} if { var(${figure}) -m int gt 0 }`,
    answerIf("limited", `if { ${isOver} }`),
    `http-request sc-inc-gpc0(${counter})`,
  ];
}

/** For whoever has proven to be a user, wherever the request goes. */
export function userLimit(): string[] {
  return ["# How often does this user ask?", ...limit(0, "var(txn.user)", USERS, LIMIT_VARIABLES.user, 1)];
}

/** The client's own address, or with the PROXY protocol the one that the load balancer saw; never a header's. */
const address = `src,ipmask(${POLICY.networkBits.ipv4},${POLICY.networkBits.ipv6})`;

/** For the page's files. */
export function visitorLimit(): string[] {
  return limit(1, address, VISITORS, LIMIT_VARIABLES.ip, POLICY.siteFactor);
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
    lines: [...limit(1, address, STRANGERS, LIMIT_VARIABLES.ip, 1), answerIf("unauthorized", "")],
  };
}
